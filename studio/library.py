"""The avatars: prepared once, preloaded on the device, with thumbnails; one that fails stops no other.

Knows nothing of the network or of the event loop: `Library.load` blocks, in threads of its own, and is called once;
avatars that come later are put on a shelf on the event loop and brought in by a thread (`Library.bring`).
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from studio import picture
from studio.beat import FPS
from studio.engine import ENGINES, Avatar, Engine, Finding, load_engine
from studio.errors import AvatarNotFound, AvatarNotReady, ConfigError, StudioError
from studio.preparation import bring_in
from studio.spec import AvatarSpec, StudioSpec

log = logging.getLogger(__name__)

BEST_FIRST = ("portrait",)
"""What ``engine: auto`` tries, in this order."""
STILL_SIDE = 512
LOOP = "loop.webp"
LOOP_STEP = 3
"""Every so many beats of the idle loop make a picture of the small one."""
LOOP_BEATS = 300
"""Of an idle loop that the small one shows whole; of a longer one its first half of that, forth and back."""

S = TypeVar("S")
Report = Callable[[str, float, str], None]
"""Called with the avatar's id, the fraction done (0..1) and a phrase; from several threads."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedAvatar(Generic[S]):
    """An avatar that can be played now."""

    spec: AvatarSpec
    engine: Engine
    scheduler: S
    avatar: Avatar


@dataclass(slots=True)
class Shelf(Generic[S]):
    """One avatar of the gallery and what became of it."""

    spec: AvatarSpec
    engine_name: str
    is_added: bool = False
    """It is none of the configuration's."""
    loaded: LoadedAvatar[S] | None = None
    findings: Sequence[Finding] = ()
    thumbnail: bytes = b""
    """JPEG, empty until it is ready."""
    still: bytes = b""
    """The same picture for a stage, (512, 512)."""
    loop: bytes = b""
    """The idle life as an animated WebP, empty if there is none."""
    reason: str = "It is still being prepared."
    """Why it is not ready; empty when it is."""


class Library(Generic[S]):
    """All avatars of the gallery: the configuration's, then what was added.

    Args:
        spec: The configuration.
        schedule: Makes the one scheduler of an engine.
    """

    def __init__(self, spec: StudioSpec, schedule: Callable[[Engine], S]) -> None:
        self._cache, self._limits = spec.cache, spec.limits
        self._held: dict[str, int] = {}
        """Bytes of memory by the ids of those that are loaded."""
        self._schedule = schedule
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._engines: dict[str, tuple[Engine, S]] = {}
        self.shelves: dict[str, Shelf[S]] = {
            avatar.id: Shelf(avatar, resolved(avatar.engine)) for avatar in spec.avatars
        }

    @property
    def first_id(self) -> str:
        """The avatar of a visitor who chose none: the first that is ready, else the first."""
        ready = (id for id, shelf in self.shelves.items() if shelf.loaded)
        return next(ready, next(iter(self.shelves), ""))

    @property
    def engines(self) -> tuple[str, ...]:
        """Names of the engines that are loaded."""
        return tuple(self._engines)

    @property
    def schedulers(self) -> tuple[S, ...]:
        """The schedulers of the loaded engines."""
        return tuple(scheduler for _, scheduler in self._engines.values())

    def get(self, avatar_id: str) -> LoadedAvatar[S]:
        """Return an avatar that can be played.

        Raises:
            AvatarNotFound: There is none of that id.
            AvatarNotReady: It cannot run here; the sentence says why.
        """
        shelf = self.shelf(avatar_id)
        if shelf.loaded is None:
            raise AvatarNotReady(f"{shelf.spec.name or avatar_id} is not ready on this server. {shelf.reason}")
        return shelf.loaded

    def shelf(self, avatar_id: str) -> Shelf[S]:
        """Return what is known of an avatar.

        Raises:
            AvatarNotFound: There is none of that id.
        """
        try:
            return self.shelves[avatar_id]
        except KeyError:
            raise AvatarNotFound(f'There is no avatar called "{avatar_id[:64]}".') from None

    def load(self, report: Report) -> None:
        """Prepare what is not in the cache and load everything; a failure ends as the ``reason`` on its avatar's shelf.

        Raises:
            ConfigError: An avatar has options that the engine it asks for does not have.
        """
        shelves = tuple(self.shelves.values())
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1), "library") as pool:
            tasks = [(shelf, pool.submit(self.bring, shelf, report)) for shelf in shelves]
        for shelf, task in tasks:
            shelf.reason = reason_of(shelf.spec, task.exception())
        wrong = [(shelf.spec.id, task.exception()) for shelf, task in tasks if shelf.spec.engine != "auto"]
        sentences = [f"avatars: {id}: {error.message}" for id, error in wrong if isinstance(error, ConfigError)]
        if sentences:
            raise ConfigError("\n".join(sentences))

    def hold(self, avatar_id: str, avatar: Avatar) -> None:
        """Count what a loaded avatar keeps in memory; any thread.

        Raises:
            AvatarNotReady: All would keep more than `LimitsSpec.avatar_memory_mb`; the sentence says what to do.
        """
        needed, allowed = avatar.memory_bytes / 1e6, self._limits.avatar_memory_mb
        with self._lock:
            taken = sum(held for id, held in self._held.items() if id != avatar_id) / 1e6
            if taken + needed > allowed:
                raise AvatarNotReady(
                    f"It needs {needed:.0f} MB of memory, and {taken:.0f} of the {allowed} MB that "
                    "limits.avatar_memory_mb allows are taken by other avatars. Raise that limit, "
                    "or make a source smaller or shorter.",
                    avatar_id,
                )
            self._held[avatar_id] = avatar.memory_bytes

    def release(self, avatar_id: str) -> None:
        """Count an avatar no more: nobody is going to ask for it."""
        with self._lock:
            self._held.pop(avatar_id, None)

    def stop(self) -> None:
        """Make a `load` that goes on give up what is not ready yet; any thread."""
        self._stopping.set()

    def close(self) -> None:
        """Drop the avatars and close the engines; their schedulers are closed before."""
        for shelf in self.shelves.values():
            shelf.loaded = None
        engines, self._engines = self._engines, {}
        for engine, _ in engines.values():
            engine.close()

    def add(self, spec: AvatarSpec) -> Shelf[S]:
        """Put an avatar on a shelf, the last one, and return it; `bring` then brings it in. Its id is free."""
        assert spec.id not in self.shelves
        shelf = self.shelves[spec.id] = Shelf[S](spec, resolved(spec.engine), is_added=True)
        return shelf

    def remove(self, avatar_id: str) -> None:
        """Take an avatar off its shelf; visits that play it go on."""
        del self.shelves[avatar_id]
        self.release(avatar_id)

    def bring(self, shelf: Shelf[S], report: Report) -> None:
        """Prepare and load one avatar; blocks, any thread. What it raises, `reason_of` says in words.

        Raises:
            StudioError: It cannot become an avatar, or not here; or whatever ``report`` raises.
            ImportError: Its engine needs a package.
        """
        spec, (engine, scheduler) = shelf.spec, self.engine(shelf.engine_name)

        def progress(done: float, phrase: str) -> None:
            if self._stopping.is_set():
                raise AvatarNotReady("The studio is closing.")
            report(spec.id, done, phrase)

        prepared, avatar = bring_in(engine, spec, self._cache, progress)
        self.hold(spec.id, avatar)
        shelf.thumbnail, shelf.still = picture.thumbnail(avatar.idle(0)), picture.thumbnail(avatar.idle(0), STILL_SIDE)
        shelf.loop = _loop(avatar, prepared.folder / LOOP)
        shelf.findings = prepared.findings
        log.info("%s", f"avatar {spec.id} is ready. {prepared.memory}".rstrip())
        shelf.reason = ""
        shelf.loaded = LoadedAvatar(spec, engine, scheduler, avatar)
        report(spec.id, 1.0, "ready")

    def engine(self, name: str) -> tuple[Engine, S]:
        """Return an engine and its scheduler, loaded by the first call; blocks, any thread."""
        with self._lock:
            if name not in self._engines:
                engine = load_engine(name, self._limits)
                self._engines[name] = (engine, self._schedule(engine))
            return self._engines[name]


def resolved(engine: str) -> str:
    """Return the engine that ``auto`` means, any other name as it is."""
    return next(name for name in BEST_FIRST if name in ENGINES) if engine == "auto" else engine


def _loop(avatar: Avatar, file: Path) -> bytes:
    """Return the idle loop as a small animation; drawn once for each preparation, kept in ``file``."""
    if avatar.idle_length < 2:
        return b""
    if file.exists():
        return file.read_bytes()
    length = min(avatar.idle_length, LOOP_BEATS)
    beats = range(0, length, LOOP_STEP)
    durations = [min(LOOP_STEP, length - beat) * 1000 // FPS for beat in beats]
    is_whole = length == avatar.idle_length
    phases = beats if is_whole else (beat if beat < length // 2 else length - 1 - beat for beat in beats)
    loop = picture.moving_thumbnail(map(avatar.idle, phases), durations)
    draft = file.with_name(f".{secrets.token_hex(6)}")
    draft.write_bytes(loop)
    draft.replace(file)
    return loop


def reason_of(spec: AvatarSpec, error: BaseException | None) -> str:
    """Return why an avatar is not ready, empty if it is; logged, not raised: the others go on."""
    if error is None:
        return ""
    if isinstance(error, StudioError):
        log.warning("avatar %s is not ready: %s", spec.id, error)
        return error.message
    if isinstance(error, ImportError):
        log.warning("avatar %s is not ready: %s", spec.id, error)
        return f"Its engine needs the Python package {error.name}, which is not installed here."
    log.error("avatar %s could not be loaded", spec.id, exc_info=error)
    return "It could not be loaded; the server's log says why."
