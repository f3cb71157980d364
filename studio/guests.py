"""Portraits that visitors brought: each is prepared once, in the background, and then played like any avatar.

Its id is known only to who knows the portrait's path. `Guests` stands before the library and answers as it does. A few
are kept; the one used longest ago makes room, on disk too. Visits that still play it go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from studio.engine import ENGINES, Finding
from studio.errors import AvatarNotFound, AvatarNotReady, BadMessage, BadPortrait, StudioError, StudioFull
from studio.library import Library, LoadedAvatar, resolved
from studio.preparation import bring_in
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec

log = logging.getLogger(__name__)

PREFIX = "guest-"
"""Of their ids."""
WAITING = 8
"""Portraits that may wait to be prepared."""
NICENESS = 10
"""Of the thread that prepares: visits that are going on come first."""


@dataclass(slots=True, eq=False)
class Guest:
    """One portrait and what became of it."""

    spec: AvatarSpec
    task: Future[LoadedAvatar[Scheduler]] | None = None
    done: float = 0.0
    """0..1."""
    phrase: str = "It waits for its turn."
    findings: Sequence[Finding] = field(default_factory=tuple)

    @property
    def is_ready(self) -> bool:
        """It can be played."""
        return self.task is not None and self.task.done() and self.task.exception() is None

    @property
    def may_try_again(self) -> bool:
        """It failed for a reason that was not the picture's."""
        error = self.task.exception() if self.task is not None and self.task.done() else None
        return error is not None and not isinstance(error, BadPortrait)

    @property
    def reason(self) -> str:
        """Why it cannot become an avatar, in words; empty otherwise."""
        error = self.task.exception() if self.task is not None and self.task.done() else None
        if error is None:
            return ""
        return error.message if isinstance(error, StudioError) else AvatarNotReady.default


class Guests:
    """The guests, before the library.

    Args:
        library: Has the configured avatars and the engines.
        cache: The configuration's; prepared guests lie beside prepared avatars.
        most: Guests that are kept.
        keep_seconds: After which what a former process prepared is removed.
    """

    def __init__(self, library: Library[Scheduler], cache: Path, most: int, keep_seconds: float) -> None:
        self._library, self._cache, self._most, self._keep_seconds = library, cache, most, keep_seconds
        self._guests: dict[str, Guest] = {}
        self._worker = ThreadPoolExecutor(1, "guests", be_nice)
        self._closing = threading.Event()

    @property
    def first_id(self) -> str:
        """The library's."""
        return self._library.first_id

    def get(self, avatar_id: str) -> LoadedAvatar[Scheduler]:
        """Return an avatar or a guest that can be played.

        Raises:
            AvatarNotFound: There is none of that id.
            AvatarNotReady: It cannot run here, or not yet; the sentence says why.
        """
        guest = self._guests.get(avatar_id)
        if guest is None or guest.task is None:
            return self._library.get(avatar_id)
        if not guest.is_ready:
            raise AvatarNotReady(guest.reason or "This portrait is still being prepared.")
        self._guests[avatar_id] = self._guests.pop(avatar_id)
        return guest.task.result()

    def engine_name(self, avatar_id: str) -> str:
        """Return the name of the engine that plays an avatar or a guest, ready or not; raises as `get`."""
        guest = self._guests.get(avatar_id)
        return guest.spec.engine if guest is not None else self._library.get(avatar_id).engine.name

    def guest(self, avatar_id: str) -> Guest:
        """Return what is known of a guest.

        Raises:
            AvatarNotFound: There is none of that id.
        """
        if avatar_id not in self._guests:
            raise AvatarNotFound
        return self._guests[avatar_id]

    def invite(self, portrait: Path, engine: str = "auto") -> str:
        """Return the id of the avatar that a portrait is or becomes; its preparation begins in the background.

        Args:
            portrait: Absolute; a configured avatar's own source is that avatar.
            engine: A name of `ENGINES`, or ``auto``.

        Raises:
            BadMessage: No such engine.
            StudioFull: Too many portraits wait.
        """
        if engine not in ("auto", *ENGINES):
            raise BadMessage(f"There is no engine called {engine[:64]!r}; there are: auto, {', '.join(ENGINES)}.")
        for shelf in self._library.shelves.values():
            if shelf.loaded and shelf.spec.source == portrait and engine in ("auto", shelf.engine_name):
                return shelf.spec.id
        name = resolved(engine)
        avatar_id = PREFIX + hashlib.sha256(f"{portrait}\0{name}".encode()).hexdigest()[:24]
        guest = self._guests.get(avatar_id)
        if guest is None or guest.may_try_again:
            self._make_room()
            guest = self._guests[avatar_id] = Guest(AvatarSpec(avatar_id, portrait, engine=name))
            guest.task = self._worker.submit(self._bring, guest, name)
        return avatar_id

    async def settled(self, avatar_id: str, limit: float) -> bool:
        """Tell, within ``limit`` seconds, whether it is known what becomes of a guest; `ready` then returns at once."""
        guest = self._guests.get(avatar_id)
        if guest is None or guest.task is None:
            return True
        settled = asyncio.wrap_future(guest.task)
        settled.add_done_callback(lambda done: done.cancelled() or done.exception())  # looked at, even if nobody waits
        await asyncio.wait([settled], timeout=limit)
        return guest.task.done()

    async def ready(self, avatar_id: str, limit: float) -> None:
        """Return when a guest can be played; a configured avatar is not waited for. Cancelling stops no preparation.

        Raises:
            StudioError: It cannot become an avatar; the sentence says why.
            AvatarNotReady: Not within ``limit`` seconds.
        """
        if not await self.settled(avatar_id, limit):
            raise AvatarNotReady("This portrait is still being prepared. Try again in a moment.")
        guest = self._guests.get(avatar_id)
        if guest is not None and guest.task is not None and (error := guest.task.exception()):
            raise error if isinstance(error, StudioError) else AvatarNotReady(detail=repr(error)) from error

    def sweep(self) -> None:
        """Remove what former processes prepared and nobody used for long; blocks."""
        for folder in (self._cache / "avatars").glob(PREFIX + "*"):
            if folder.name not in self._guests and time.time() - folder.stat().st_mtime > self._keep_seconds:
                shutil.rmtree(folder, ignore_errors=True)

    def close(self) -> None:
        """Forget all guests; what is being prepared is given up at its next step. Blocks until then."""
        self._closing.set()
        self._worker.shutdown(cancel_futures=True)
        self._guests.clear()

    def _make_room(self) -> None:
        waiting = [guest for guest in self._guests.values() if guest.task and not guest.task.done()]
        if len(waiting) >= WAITING:
            raise StudioFull("Too many portraits wait to be prepared. Please try again shortly.")
        settled = [id for id, guest in self._guests.items() if guest.task and guest.task.done()]
        for avatar_id in settled[: max(0, len(self._guests) + 1 - self._most)]:
            del self._guests[avatar_id]
            self._library.release(avatar_id)
            self._worker.submit(shutil.rmtree, self._cache / "avatars" / avatar_id, True)

    def _bring(self, guest: Guest, name: str) -> LoadedAvatar[Scheduler]:
        """Prepare and load, in the worker's thread."""
        began = time.monotonic()
        engine, scheduler = self._library.engine(name)

        def report(done: float, phrase: str) -> None:
            if self._closing.is_set():
                raise AvatarNotReady("The studio is closing.")
            guest.done, guest.phrase = done, phrase

        try:
            prepared, avatar = bring_in(engine, guest.spec, self._cache, report)
            self._library.hold(guest.spec.id, avatar)
        except ImportError as error:
            raise AvatarNotReady(f"This engine needs the Python package {error.name}, which is missing.") from error
        guest.findings = prepared.findings
        report(1.0, "ready")
        log.info("%.12s was prepared in %.1f s", guest.spec.id, time.monotonic() - began)
        return LoadedAvatar(guest.spec, engine, scheduler, avatar)


def be_nice() -> None:
    """Lower this thread's priority; Linux has one for each."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
