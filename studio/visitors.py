"""Who is here and may sit: one visitor between two offers, and the seats of all. `host.SessionHost` keeps them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from studio.errors import BadMessage, PeerTimeout, StudioError, StudioFull
from studio.messages import Answer, Candidate, Fault, Offer
from studio.peer import Peer
from studio.pipeline import LoadedAvatar
from studio.seats import CONNECT_PATIENCE, Capacity, measured_seats
from studio.session import Connection, Send, Session
from studio.stats import Stats

EARLY_CANDIDATES = 64
"""Remote candidates kept for an offer that has not come yet."""


class Library(Protocol):
    """What the host needs to know of the avatars."""

    @property
    def first_id(self) -> str:
        """The first configured avatar."""

    def get(self, avatar_id: str) -> LoadedAvatar:
        """Return an avatar that can be played now.

        Raises:
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """


Ready = Callable[[], Awaitable[None]]
"""Returns when an avatar can be played, or raises why it cannot."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What is told of a visit that goes on."""

    avatar_id: str
    state: str
    """As in `messages.State.connection`."""
    seconds: float
    """Since it began."""


class Visitor:
    """Who may sit down, stand up and sit down again.

    Args:
        send: What the visitor hears.
        avatar_id: Whom the next offer shows.
        once: Forgotten when the first visit is over.
    """

    def __init__(self, send: Send, avatar_id: str, once: bool) -> None:
        self.send = send
        self.once = once
        self.avatar_id = avatar_id
        self.session: Session | None = None
        self.expecting: Peer | None = None
        """Answered; the visit begins when the avatar is ready."""
        self._expecting_since = 0.0
        self.seats = 1
        """That the visit takes."""
        self.early: list[Candidate] = []
        self.lock = asyncio.Lock()  # offers, stop and close of one visitor happen one after the other

    @property
    def running(self) -> Session | None:
        """The visit that goes on."""
        return self.session if self.session and self.session.connection is not Connection.CLOSED else None

    @property
    def is_seated(self) -> bool:
        """A visit goes on, or will as soon as its avatar is ready."""
        return self.running is not None or self.expecting is not None

    @property
    def seconds(self) -> float:
        """For which it has its seat."""
        return self.running.seconds if self.running else time.monotonic() - self._expecting_since

    @property
    def is_stuck(self) -> bool:
        """Its peer looks for a path for so long that somebody else may have its seat."""
        if self.running:
            return self.running.is_stuck
        is_looking = self.expecting is not None and self.expecting.state != "connected"
        return is_looking and self.seconds >= CONNECT_PATIENCE

    def expect(self, peer: Peer) -> None:
        """Keep a seat for a peer whose avatar is not ready yet."""
        self.expecting, self._expecting_since = peer, time.monotonic()

    async def give_way(self) -> None:
        """Give the seat to others: no path was found."""
        expecting, self.expecting = self.expecting, None
        if self.running:
            await self.running.aclose(PeerTimeout("No media path between you and the studio; others want the seat."))
        elif expecting:
            await expecting.aclose()  # of which whoever waits for the avatar takes notice

    def candidate(self, candidate: Candidate) -> None:
        """Add a remote candidate, or keep it for the offer.

        Raises:
            BadMessage: It cannot be read.
        """
        if running := self.running:
            running.candidate(candidate)
        elif self.expecting:
            self.expecting.add_candidate(candidate)
        elif len(self.early) < EARLY_CANDIDATES:
            self.early.append(candidate)

    async def begin(self, session: Session, offer: Offer) -> Answer:
        """Begin a visit and answer its offer; what cannot be answered is closed. Raises what `Session.accept` does.

        Candidates that came early come with it; one that cannot be read costs no more than itself.
        """
        self.session = session
        try:
            early, self.early = self.early, []
            for candidate in early:
                try:
                    session.candidate(candidate)
                except BadMessage as error:
                    self.send(Fault.of(error))
            return await session.accept(offer)
        except BaseException:
            await session.aclose()
            raise

    async def end(self) -> None:
        """End the visit, if there is one; the caller holds the lock."""
        session, self.session = self.session, None
        expecting, self.expecting = self.expecting, None
        if session is not None:
            await session.aclose()
        if expecting is not None:
            await expecting.aclose()


class Seating:
    """The seats of the house.

    Args:
        library: Whose first avatar tells what a visit costs.
        most: Seats as configured; 0: what this machine was measured to hold.
        stats: Counts.
        visitors: Who is here, by id.
    """

    def __init__(self, library: Library, most: int, stats: Stats, visitors: Mapping[str, Visitor]) -> None:
        self._library, self._most, self._stats, self._visitors = library, most, stats, visitors

    def capacity(self) -> Capacity:
        """Return the seats, and how many are taken."""
        seats = self._most or self._measured()
        return Capacity(
            seats, sum(min(visitor.seats, seats) for visitor in self._visitors.values() if visitor.is_seated)
        )

    async def make_room(self, seats: int) -> None:
        """Take seats back from peers that found no path, as many as are wanted; who tries longest goes first."""
        for visitor in sorted(self._visitors.values(), key=lambda one: -one.seconds):
            if visitor.is_stuck and not self._has_room(seats):
                await visitor.give_way()

    def check_room(self, seats: int) -> None:
        """See that somebody may sit down.

        Raises:
            StudioFull: There are no seats left; counted.
        """
        if not self._has_room(seats):
            self._stats.count("studio_refused_total")
            raise StudioFull

    def _has_room(self, seats: int) -> bool:
        """Tell whether somebody fits; whoever is larger than the house may have all of it."""
        capacity = self.capacity()
        return capacity.taken + min(seats, max(1, capacity.seats)) <= capacity.seats

    def _measured(self) -> int:
        try:
            scheduler = self._library.get(self._library.first_id).scheduler
        except StudioError:  # no avatar is ready: there is nothing to sit down for
            return 0
        return measured_seats(scheduler, self._stats)


async def ready_or_gone(ready: Ready, peer: Peer) -> None:
    """Return when an avatar is ready that a peer waits for.

    Raises:
        StudioError: It will never be.
        PeerTimeout: The peer has gone.
    """
    waiting = asyncio.ensure_future(ready())
    leaving = asyncio.create_task(peer.until("failed", "closed"))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if leaving.done():
            raise PeerTimeout
        await waiting
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)
