"""From a source to an avatar that lies on disk, once: prepared, cached, loaded, prepared again if that is of no use.

Blocks; any thread. Knows nothing of which avatars there are.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import secrets
import shutil
import time
from pathlib import Path

from studio.engine import Avatar, Engine, Finding, Prepared, Progress
from studio.errors import AvatarNotReady, BadNetwork, DeviceFull
from studio.spec import AvatarSpec

log = logging.getLogger(__name__)

MARK = "prepared.json"
"""Written last into a prepared avatar's folder; holds the findings."""
STALE_SECONDS = 86_400.0
"""Other preparations of an avatar are removed when nobody has touched them for that long."""
SHELF = "avatars"
"""Folder of the cache; in it one for each avatar, in that one for each preparation."""


def prepare(engine: Engine, spec: AvatarSpec, cache: Path, progress: Progress) -> Prepared:
    """Return the prepared avatar, from the cache if it is there whole.

    Written to a temporary folder beside its final place and renamed, so that a crash leaves no half avatar.

    Raises:
        BadPortrait: The source cannot become an avatar.
        AvatarNotReady: The cache cannot be written.
    """
    shelf = cache / SHELF / spec.id
    folder = shelf / engine.fingerprint(spec)
    if not spec.preparation and (there := _cached(spec, folder)):
        return there
    try:
        shelf.mkdir(parents=True, exist_ok=True)
        _sweep(shelf, folder)
        draft = shelf / f".draft-{secrets.token_hex(6)}"
        draft.mkdir()
    except OSError as error:
        raise AvatarNotReady(f"The studio cannot write to its cache folder: {error.strerror}.", str(error)) from error
    try:
        findings = tuple(engine.prepare(spec, draft, progress))
        mark = {"engine": engine.name, "findings": [dataclasses.asdict(finding) for finding in findings]}
        (draft / MARK).write_text(json.dumps(mark, indent=1), "utf-8")
        _put(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        with contextlib.suppress(OSError):  # an empty shelf: nothing came of this avatar
            shelf.rmdir()
    return Prepared(spec, folder, findings)


def found(engine: Engine, spec: AvatarSpec, cache: Path) -> Prepared | None:
    """Return the avatar if the cache has it as it is configured now; raises what `Engine.fingerprint` does."""
    return _cached(spec, cache / SHELF / spec.id / engine.fingerprint(spec))


def bring_in(engine: Engine, spec: AvatarSpec, cache: Path, progress: Progress) -> tuple[Prepared, Avatar]:
    """Prepare and load; what the engine cannot read any more is prepared once again.

    Raises:
        BadPortrait: The source cannot become an avatar.
        AvatarNotReady: The cache cannot be written, or a network is missing.
        ConfigError: The engine does not have such an option.
    """
    prepared = prepare(engine, spec, cache, progress)
    try:
        return prepared, engine.load(prepared)
    except (BadNetwork, DeviceFull):  # nothing that another preparation would change
        raise
    except AvatarNotReady as error:
        log.warning("avatar %s is prepared again: %s", spec.id, error)
        prepared = prepare(engine, dataclasses.replace(spec, preparation=True), cache, progress)
        return prepared, engine.load(prepared)


def _cached(spec: AvatarSpec, folder: Path) -> Prepared | None:
    try:
        body = json.loads((folder / MARK).read_text("utf-8"))
        return Prepared(spec, folder, tuple(Finding(**finding) for finding in body["findings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _put(draft: Path, folder: Path) -> None:
    """Give ``draft`` its final name; what stood there is set aside first, because a folder cannot be replaced."""
    try:
        draft.rename(folder)
    except OSError:
        aside = draft.with_name(draft.name + "-old")
        folder.rename(aside)
        draft.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)


def _sweep(shelf: Path, keep: Path) -> None:
    """Remove drafts of crashed processes and preparations of former sources."""
    for other in shelf.iterdir():
        if other != keep and other.is_dir() and time.time() - other.stat().st_mtime > STALE_SECONDS:
            shutil.rmtree(other, ignore_errors=True)
