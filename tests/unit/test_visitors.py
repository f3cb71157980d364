from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from studio.engine import Options
from studio.errors import PeerTimeout, StudioFull
from studio.messages import Fault
from studio.peer import Peer
from studio.seats import CONNECT_PATIENCE
from studio.session import Connection, Session
from studio.spec import StudioSpec
from studio.stats import Stats
from studio.visitors import Seating, Visitor
from tests.fakes import FakeEngine, FakeLibrary, FakeLoaded, Outbox


class House:
    """Two seats, and peers that look for a path."""

    def __init__(self, loaded: FakeLoaded) -> None:
        self.loaded, self.stats = loaded, Stats()
        self.visitors: dict[str, Visitor] = {}
        self.seating = Seating(FakeLibrary(loaded), 2, self.stats, self.visitors)

    def seat(self, name: str, seconds: float, seats: int = 1) -> tuple[Session, Outbox]:
        """Seat a peer that has looked for a path for so long."""
        outbox = Outbox()
        visitor = self.visitors[name] = Visitor(outbox, "ada", once=False)
        visitor.session = Session(name, self.loaded, Options(), StudioSpec(()), self.stats, outbox)
        visitor.session.begin()
        visitor.session._began -= seconds
        visitor.seats = seats
        return visitor.session, outbox


@contextlib.asynccontextmanager
async def house() -> AsyncIterator[House]:
    loaded = FakeLoaded.of(FakeEngine())
    it = House(loaded)
    try:
        yield it
    finally:
        for visitor in it.visitors.values():
            await visitor.end()
        await loaded.scheduler.aclose()


async def test_peer_that_finds_no_path_gives_way_and_is_told() -> None:
    async with house() as it:
        young, _ = it.seat("young", CONNECT_PATIENCE - 1)
        old, outbox = it.seat("old", CONNECT_PATIENCE + 1)
        await it.seating.make_room(1)
        assert old.connection is Connection.CLOSED and young.connection is Connection.CONNECTING
        assert [fault.code for fault in outbox.of(Fault) if isinstance(fault, Fault)] == [PeerTimeout.code]
        it.seating.check_room(1)


async def test_who_tries_longest_goes_first_and_no_more_go_than_must() -> None:
    async with house() as it:
        old, _ = it.seat("old", CONNECT_PATIENCE + 1)
        oldest, _ = it.seat("oldest", CONNECT_PATIENCE + 9)
        await it.seating.make_room(1)
        assert oldest.connection is Connection.CLOSED and old.connection is Connection.CONNECTING


async def test_peer_that_waits_for_its_avatar_without_a_path_gives_way_too() -> None:
    async with house() as it:
        spec = StudioSpec(())
        for name, seconds in (("young", 0.0), ("old", CONNECT_PATIENCE)):
            visitor = it.visitors[name] = Visitor(Outbox(), "ada", once=True)
            visitor.expect(Peer(spec.ice, spec.media, spec.server.host, lambda pcm, arrived: None, it.stats))
            visitor._expecting_since -= seconds
        assert it.seating.capacity().taken == 2
        await it.seating.make_room(1)
        assert it.visitors["young"].is_seated and not it.visitors["old"].is_seated


async def test_nobody_is_sent_away_while_there_are_seats() -> None:
    async with house() as it:
        only, _ = it.seat("only", CONNECT_PATIENCE + 9)
        await it.seating.make_room(1)
        assert only.connection is Connection.CONNECTING


async def test_who_is_connected_or_still_young_keeps_the_seat() -> None:
    async with house() as it:
        live, _ = it.seat("live", 100)
        live._move(Connection.LIVE)
        it.seat("young", 0)
        await it.seating.make_room(1)
        with pytest.raises(StudioFull):
            it.seating.check_room(1)
        assert it.stats.value("studio_refused_total") == 1


async def test_large_visit_takes_its_seats_or_the_whole_house() -> None:
    async with house() as it:
        it.seating.check_room(9)
        it.seat("small", 0)
        it.seating.check_room(1)
        with pytest.raises(StudioFull):
            it.seating.check_room(2)
    async with house() as it:
        it.seat("huge", 0, seats=9)
        assert it.seating.capacity().taken == 2
