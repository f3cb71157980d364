"""Connections by id, as WHIP and WHEP know them (RFC 9725): opened with an offer, followed by candidates, closed.

One that does not come about in time, or breaks, frees its place. Knows nothing of HTTP, nor of what is said or shown.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from studio.errors import RateLimited, SessionNotFound, StudioError, StudioFull
from studio.line import Line
from studio.seats import CONNECT_PATIENCE
from studio.trickle import Fragment, ufrags

log = logging.getLogger(__name__)


class TagMissing(StudioError):
    """Candidates came without saying which ICE session they belong to (RFC 9725, 4.3.1)."""

    code = "precondition_required"
    status = 428
    default = "Send If-Match with the ETag that came with the answer."


class TagMismatch(StudioError):
    """Candidates belong to another ICE session (RFC 9725, 4.3.1)."""

    code = "precondition_failed"
    status = 412
    default = "This is not the ETag that came with the answer."


class RestartRefused(StudioError):
    """An ICE restart, which cannot be done (RFC 9725, 4.3.1)."""

    code = "ice_restart_refused"
    status = 422
    default = "The studio cannot restart ICE. Delete this session and send a new offer."


@dataclass(frozen=True, slots=True)
class Opened:
    """A connection that was answered."""

    id: str
    """Who knows it may add candidates, and close."""
    tag: str
    """Of its ICE session, as an entity-tag: with quotes."""
    sdp: str
    """The answer."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    line: Line
    who: str
    tag: str
    ufrags: frozenset[str]
    began: float

    @property
    def is_stuck(self) -> bool:
        """It looks for a path for so long that somebody else may have its place."""
        return self.line.state != "connected" and time.monotonic() - self.began >= CONNECT_PATIENCE


class Lines:
    """Connections that are open, or about to be.

    Args:
        most: Says how many there may be now.
        each: Of these, from one caller.
        connect_limit: Seconds until one that has not come about is given up.
        on_count: Hears how many there are.
    """

    def __init__(
        self, most: Callable[[], int], each: int, connect_limit: float,
        on_count: Callable[[int], None] = lambda count: None,
    ) -> None:  # fmt: skip
        self._most, self._each, self._connect_limit, self._on_count = most, each, connect_limit, on_count
        self._entries: dict[str, _Entry] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._entries)

    def check_room(self, who: str) -> None:
        """See that there is a place; those that have found no path make room.

        Args:
            who: Wants it: a name for one caller; empty: this machine's own programs, whom no share bounds.

        Raises:
            StudioFull: There is none.
            RateLimited: The caller has as many as one may have.
        """
        if len(self._entries) >= self._most():
            for id, entry in list(self._entries.items()):
                if entry.is_stuck:
                    self._drop(id)
                    entry.line.hang_up()
        if len(self._entries) >= self._most():
            raise StudioFull("As many are connected here as the studio allows. Please try again shortly.")
        if who and sum(entry.who == who for entry in self._entries.values()) >= self._each:
            raise RateLimited("There are too many connections from your network.")

    async def open(self, line: Line, sdp: str, who: str = "") -> Opened:
        """Answer an offer; the connection is closed with its entry, or at once where this raises.

        Args:
            line: Not answered yet.
            sdp: The offer.
            who: As for `check_room`.

        Raises:
            StudioFull: There is no place.
            RateLimited: The caller has as many as one may have.
            OfferInvalid: Nobody could answer it.
            CodecUnsupported: No codec in common.
        """
        id, tag = secrets.token_urlsafe(18), f'"{secrets.token_urlsafe(9)}"'
        entry = _Entry(line, who, tag, ufrags(sdp), time.monotonic())
        try:
            self.check_room(who)
            self._entries[id] = entry
            self._on_count(len(self._entries))
            answer = await line.accept(sdp)
        except BaseException:
            self._drop(id)
            await line.aclose()
            raise
        task = asyncio.create_task(self._attend(id, entry))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return Opened(id, tag, answer)

    def trickle(self, id: str, tags: str, fragment: Fragment) -> None:
        """Add candidates.

        Args:
            id: From `open`.
            tags: What ``If-Match`` says: entity-tags, or ``*`` for any.
            fragment: What has come.

        Raises:
            SessionNotFound: There is no such connection any more.
            TagMissing: ``tags`` is empty.
            TagMismatch: It is another's.
            RestartRefused: The fragment begins a new ICE session.
            BadMessage: A candidate cannot be read, or there are too many; those before it were added.
        """
        entry = self._entry(id)
        if not tags.strip():
            raise TagMissing
        if tags.strip() != "*" and entry.tag not in [tag.strip() for tag in tags.split(",")]:
            raise TagMismatch
        if not fragment.ufrags <= entry.ufrags:
            raise RestartRefused
        for candidate in fragment.candidates:
            entry.line.add_candidate(candidate)

    async def close(self, id: str) -> None:
        """End a connection.

        Raises:
            SessionNotFound: There is no such connection any more.
        """
        entry = self._entry(id)
        self._drop(id)
        await entry.line.aclose()

    async def aclose(self) -> None:
        """End all of them; idempotent."""
        await asyncio.gather(*(entry.line.aclose() for entry in list(self._entries.values())))
        await asyncio.gather(*self._tasks)

    def _entry(self, id: str) -> _Entry:
        try:
            return self._entries[id]
        except KeyError:
            raise SessionNotFound from None

    def _drop(self, id: str) -> None:
        self._entries.pop(id, None)
        self._on_count(len(self._entries))

    async def _attend(self, id: str, entry: _Entry) -> None:
        """Forget a connection that does not come about, and one that has ended."""
        try:
            async with asyncio.timeout(self._connect_limit):
                await entry.line.until("connected", "failed", "closed")
            await entry.line.until("failed", "closed")
        except TimeoutError:
            log.info("connection %.4s has not come about", id)
        self._drop(id)
        await entry.line.aclose()
