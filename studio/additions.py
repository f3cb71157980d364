"""Avatars that are added while the studio runs: kept on disk, prepared in the background, in the gallery when ready.

``<cache>/added/<id>/`` holds an avatar's source and ``avatar.json``; it is written beside its place and renamed, so
that a crash leaves a whole avatar or none, and read again at the next start. What is prepared from it lies where all
prepared avatars do. The configuration's file is never touched; an avatar that it has goes before an added one.

`Additions` is used on the event loop, but for `keep` and `restore`, which write and read files. Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from studio.config.reader import ID, ID_RULE
from studio.engine import ENGINES
from studio.errors import AvatarNotReady, BadMessage, BadPortrait, StudioError, StudioFull
from studio.guests import PREFIX, be_nice
from studio.library import Library, Shelf, reason_of
from studio.preparation import SHELF
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec, LimitsSpec

log = logging.getLogger(__name__)

FOLDER = "added"
"""In the cache."""
SOURCE, CARD = "source", "avatar.json"
"""In an avatar's folder: its picture or video, with the ending that goes with it, and what was said about it."""
NAME_LENGTH = 64
"""Characters of a name."""
WAITING = 4
"""Avatars that may wait to be prepared."""
STEP = 0.01
"""Of a preparation that is worth telling."""


class AvatarTaken(StudioError):
    """There is an avatar of that id."""

    code = "avatar_taken"
    status = 409
    default = "There is an avatar of that id already. Choose another, or remove it first."


class AvatarFixed(StudioError):
    """The avatar is the configuration's."""

    code = "avatar_fixed"
    status = 409
    default = "This avatar stands in the studio's configuration. Take it out there, and start the studio again."


class State(StrEnum):
    """What becomes of an avatar."""

    QUEUED = "queued"
    PREPARING = "preparing"
    READY = "ready"
    FAILED = "failed"


@dataclass(slots=True, eq=False)
class Addition:
    """One added avatar."""

    shelf: Shelf[Scheduler]
    state: State = State.QUEUED
    done: float = 0.0
    """0..1."""
    phrase: str = "It waits for its turn."
    task: Future[None] | None = None
    """None: its source is being kept."""
    is_removed: bool = False


class Additions:
    """All added avatars.

    Args:
        library: On whose shelves they are put.
        cache: The configuration's.
        limits: The configuration's.
        ring: Called when something has changed; from several threads.
    """

    def __init__(self, library: Library[Scheduler], cache: Path, limits: LimitsSpec, ring: Callable[[], None]) -> None:
        self._library, self._limits, self._ring = library, limits, ring
        self._folder, self._prepared = cache / FOLDER, cache / SHELF
        self._additions: dict[str, Addition] = {}
        self._worker = ThreadPoolExecutor(1, "additions", be_nice)
        self._closing = threading.Event()

    def find(self, avatar_id: str) -> Addition | None:
        """Return an added avatar; None: there is none of that id, or it is the configuration's."""
        return self._additions.get(avatar_id)

    def reserve(self, avatar_id: str, name: str, engine: str, ending: str) -> Addition:
        """Give an id to an avatar whose source comes with `keep`; then `begin` it, or `withdraw` it.

        Args:
            avatar_id: As in the configuration.
            name: What the page shows; the id where empty.
            engine: A name of `ENGINES`, or ``auto``.
            ending: Of the source, with its dot.

        Raises:
            BadMessage: The id, the name or the engine cannot be.
            AvatarTaken: There is an avatar of that id.
            StudioFull: There are as many as may be, or too many wait.
        """
        name = name.strip()
        if not ID.fullmatch(avatar_id) or avatar_id.startswith(PREFIX):
            raise BadMessage(f"This cannot be an id: {ID_RULE}; and it does not begin with {PREFIX}.")
        if len(name) > NAME_LENGTH or not name.isprintable():
            raise BadMessage(f"A name is one line of {NAME_LENGTH} characters at most.")
        if engine not in ("auto", *ENGINES):
            raise BadMessage(f"There is no engine called {engine[:64]!r}; there are: auto, {', '.join(ENGINES)}.")
        if avatar_id in self._library.shelves:
            raise AvatarTaken
        if (self._folder / avatar_id).exists():
            raise AvatarTaken(f"An avatar of that id was left out: look into {FOLDER} of the cache folder.")
        if len(self._additions) >= self._limits.added_avatars:
            raise StudioFull(f"The studio keeps {self._limits.added_avatars} added avatars. Remove one first.")
        if sum(one.state in (State.QUEUED, State.PREPARING) for one in self._additions.values()) >= WAITING:
            raise StudioFull("Too many avatars wait to be prepared. Please try again shortly.")
        source = self._folder / avatar_id / (SOURCE + ending)
        return self._put(AvatarSpec(avatar_id, source, name, engine, configured_source=source.name))

    def keep(self, addition: Addition, upload: Path) -> None:
        """Move a source to its place on disk; blocks, any thread.

        Raises:
            AvatarNotReady: The disk does not take it.
        """
        spec = addition.shelf.spec
        draft = self._folder / f".draft-{secrets.token_hex(6)}"
        try:
            draft.mkdir(parents=True)
            shutil.move(upload, draft / spec.source.name)
            card = {"id": spec.id, "name": spec.name, "engine": spec.engine, "source": spec.source.name}
            (draft / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False), "utf-8")
            draft.rename(spec.source.parent)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise AvatarNotReady(f"The studio cannot keep it: {error.strerror}.", str(error)) from error

    def begin(self, addition: Addition) -> None:
        """Prepare and load an avatar in the background; its source is kept.

        While the studio closes nothing begins: the next start does it.
        """
        if self._closing.is_set():
            return
        addition.task = self._worker.submit(self._library.bring, addition.shelf, self._reporter(addition))
        addition.task.add_done_callback(lambda task: self._settle(addition, task))
        self._ring()

    def withdraw(self, addition: Addition) -> None:
        """Give an id back whose source could not be kept."""
        del self._additions[addition.shelf.spec.id]
        self._library.remove(addition.shelf.spec.id)

    def remove(self, avatar_id: str) -> None:
        """Take an avatar away, with everything that is kept of it; visits that play it go on with it until they end.

        A preparation is given up at its next step.

        Raises:
            AvatarNotFound: There is none of that id.
            AvatarFixed: It is the configuration's.
            AvatarNotReady: Its source is being kept at this very moment, or the disk does not let it go.
        """
        self._library.shelf(avatar_id)
        addition = self._additions.get(avatar_id)
        if addition is None:
            raise AvatarFixed
        if addition.task is None:
            raise AvatarNotReady("It is just arriving. Try again in a moment.")
        gone = self._folder / f".draft-{secrets.token_hex(6)}"
        try:
            with contextlib.suppress(FileNotFoundError):  # a picture that failed is gone already
                addition.shelf.spec.source.parent.rename(gone)
        except OSError as error:
            raise AvatarNotReady(f"The studio cannot remove it: {error.strerror}.", str(error)) from error
        addition.is_removed = True
        addition.task.cancel()
        self.withdraw(addition)
        self._worker.submit(self._forget, avatar_id, gone)
        self._ring()

    def restore(self) -> None:
        """Begin with what is kept on disk, the oldest first; blocks for a moment, before anything else is called."""
        for draft in self._folder.glob(".draft-*"):
            shutil.rmtree(draft, ignore_errors=True)
        cards = sorted(self._folder.glob(f"*/{CARD}"), key=lambda path: path.stat().st_mtime)
        for card in cards:
            spec = _read(card)
            if spec is None or spec.id in self._library.shelves:
                log.warning("the added avatar %s is left out: it is damaged, or its id is taken", card.parent.name)
            elif len(self._additions) >= self._limits.added_avatars:
                log.warning("the added avatar %s is left out: there are more than limits.added_avatars", spec.id)
            else:
                self.begin(self._put(spec))

    def close(self) -> None:
        """Give up what is being prepared, at its next step: the next start goes on. Blocks until then."""
        self._closing.set()
        self._worker.shutdown(cancel_futures=True)

    def _put(self, spec: AvatarSpec) -> Addition:
        addition = self._additions[spec.id] = Addition(self._library.add(spec))
        return addition

    def _reporter(self, addition: Addition) -> Callable[[str, float, str], None]:
        def report(_: str, done: float, phrase: str) -> None:
            if addition.is_removed or self._closing.is_set():
                raise AvatarNotReady("It was removed." if addition.is_removed else "The studio is closing.")
            is_news = done - addition.done >= STEP or phrase != addition.phrase
            addition.state, addition.done, addition.phrase = State.PREPARING, done, phrase
            if is_news:
                self._ring()

        return report

    def _settle(self, addition: Addition, task: Future[None]) -> None:
        """Say what came of it; on whatever thread that was."""
        if task.cancelled() or addition.is_removed or self._closing.is_set():
            return
        error, spec = task.exception(), addition.shelf.spec
        addition.shelf.reason = reason_of(spec, error)
        addition.state = State.FAILED if error else State.READY
        addition.phrase = addition.shelf.reason or "ready"
        if isinstance(error, BadPortrait):  # it will never become one: the next start need not try
            shutil.rmtree(spec.source.parent, ignore_errors=True)
        self._ring()

    def _forget(self, avatar_id: str, gone: Path) -> None:
        """Remove what is left of an avatar, in the worker: before another of its id is prepared."""
        self._library.release(avatar_id)
        shutil.rmtree(gone, ignore_errors=True)
        shutil.rmtree(self._prepared / avatar_id, ignore_errors=True)


def _read(card: Path) -> AvatarSpec | None:
    """Return what a card says; None if it is none of ours."""
    try:
        body = json.loads(card.read_text("utf-8"))
        texts = [body[key] for key in ("id", "name", "engine", "source")]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    avatar_id, name, engine, source = texts
    place = card.parent / source
    is_ours = ID.fullmatch(avatar_id) and card.parent.name == avatar_id and Path(source).name == source
    if not is_ours or not place.is_file() or engine not in ("auto", *ENGINES):
        return None
    return AvatarSpec(avatar_id, place, name, engine, configured_source=source)
