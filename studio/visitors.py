"""Who is here and may sit: one visitor between two offers, and the seats of all. `host.SessionHost` keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from studio.errors import BadMessage, PeerTimeout, StudioError, StudioFull
from studio.messages import Candidate, Fault
from studio.peer import Peer
from studio.pipeline import LoadedAvatar
from studio.seats import Capacity, measured_seats
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

    def hand_over(self, session: Session) -> None:
        """Give the candidates that came early to a visit that begins; one that cannot be read costs no more."""
        early, self.early = self.early, []
        for candidate in early:
            try:
                session.candidate(candidate)
            except BadMessage as error:
                self.send(Fault.of(error))

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
        running = [visitor.running for visitor in self._visitors.values() if visitor.running]
        for session in sorted(running, key=lambda one: -one.seconds):
            if session.is_stuck and not self._has_room(seats):
                await session.aclose(PeerTimeout("No media path between you and the studio, and others want the seat."))

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
