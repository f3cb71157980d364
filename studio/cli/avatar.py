"""Brings one avatar into the house for a command that needs it: chosen by id, prepared, loaded, with a progress bar."""

from __future__ import annotations

import time
from contextlib import closing

from studio.cli.terminal import Progress
from studio.engine import Avatar, Engine, Prepared, load_engine
from studio.errors import ConfigError
from studio.library import resolved
from studio.preparation import bring_in
from studio.spec import AvatarSpec, StudioSpec


def chosen(spec: StudioSpec, avatar_id: str) -> AvatarSpec:
    """Return an avatar of the configuration.

    Raises:
        ConfigError: There is none of that id; the sentence names those there are.
    """
    for one in spec.avatars:
        if one.id == avatar_id:
            return one
    known = ", ".join(one.id for one in spec.avatars) or "none"
    raise ConfigError(f"{spec.file}: there is no avatar called {avatar_id!r}; there are: {known}")


def engine_of(spec: AvatarSpec, studio: StudioSpec) -> closing[Engine]:
    """Return the avatar's engine, closed when the context ends."""
    return closing(load_engine(resolved(spec.engine), studio.limits))


def brought_in(engine: Engine, spec: AvatarSpec, studio: StudioSpec) -> tuple[Prepared, Avatar, float]:
    """Prepare and load an avatar while a bar shows how far it is; also return the seconds that took.

    Raises:
        BadPortrait: Its source cannot become an avatar.
        AvatarNotReady: The cache cannot be written.
    """
    progress = Progress()
    began = time.monotonic()
    try:
        prepared, avatar = bring_in(engine, spec, studio.cache, progress.show)
    finally:
        progress.end()
    return prepared, avatar, time.monotonic() - began
