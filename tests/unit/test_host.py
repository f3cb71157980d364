from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from studio.errors import AvatarNotFound, BadMessage, OfferInvalid, StudioFull
from studio.host import SessionHost
from studio.messages import (
    AvatarSelected,
    Candidate,
    Fault,
    Interrupt,
    Interrupted,
    Offer,
    Ping,
    Pong,
    SelectAvatar,
    State,
    Stop,
    Stopped,
)
from studio.seats import Capacity
from studio.spec import IceSpec, LimitsSpec, MediaSpec, StudioSpec
from studio.stats import Stats
from studio.visitors import EARLY_CANDIDATES
from tests.fakes import FakeEngine, FakeLibrary, FakeLoaded, Outbox, until


@dataclass
class House:
    host: SessionHost
    loaded: FakeLoaded
    stats: Stats


@contextlib.asynccontextmanager
async def house(sessions: int = 2) -> AsyncIterator[House]:
    loaded, other = FakeLoaded.of(FakeEngine()), FakeLoaded.of(FakeEngine(), avatar_id="omar")
    stats = Stats()
    host = SessionHost(FakeLibrary(loaded, other), StudioSpec((), limits=LimitsSpec(sessions=sessions)), stats)
    try:
        yield House(host, loaded, stats)
    finally:
        await host.aclose()
        await host.aclose()
        await loaded.scheduler.aclose()
        await other.scheduler.aclose()


async def test_visitor_who_only_talks_takes_no_seat() -> None:
    async with house() as it:
        outbox = Outbox()
        visitor = it.host.open(outbox)
        it.host.handle(visitor, Ping(7))
        it.host.handle(visitor, SelectAvatar("omar"))
        it.host.handle(visitor, Interrupt())
        assert outbox.messages == [Pong(7), AvatarSelected("omar"), Interrupted(0, 0)]
        it.host.handle(visitor, Stop())
        await until(lambda: outbox.of(Stopped))
        assert it.host.capacity().taken == 0


async def test_unknown_avatar_is_refused() -> None:
    async with house() as it:
        with pytest.raises(AvatarNotFound):
            it.host.handle(it.host.open(Outbox()), SelectAvatar("nobody"))


async def test_session_that_has_ended_is_said_so() -> None:
    async with house() as it:
        visitor = it.host.open(Outbox())
        await it.host.close(visitor)
        await it.host.close(visitor)
        with pytest.raises(BadMessage, match="ended"):
            it.host.handle(visitor, Ping(1))


async def test_early_candidates_are_kept_but_not_without_end() -> None:
    async with house() as it:
        visitor = it.host.open(Outbox())
        for _ in range(EARLY_CANDIDATES + 50):
            it.host.handle(visitor, Candidate("candidate:1 1 udp 1 127.0.0.1 9 typ host"))
        assert len(it.host._visitors[visitor].early) == EARLY_CANDIDATES


async def test_early_candidate_that_cannot_be_read_is_said_so_and_the_offer_goes_on() -> None:
    async with house() as it:
        outbox = Outbox()
        visitor = it.host.open(outbox)
        it.host.handle(visitor, Candidate("candidate:complete nonsense"))
        with pytest.raises(OfferInvalid):
            await it.host.offer(visitor, Offer("garbage"))
        assert outbox.of(Fault) == [Fault.of(BadMessage("This candidate cannot be read."))]


async def test_offer_that_waited_while_its_visitor_left_takes_no_seat() -> None:
    async with house() as it:
        visitor = it.host.open(Outbox())
        lock = it.host._visitors[visitor].lock
        async with lock:
            offer = asyncio.create_task(it.host.offer(visitor, Offer("v=0")))
            await asyncio.sleep(0)
            leaving = asyncio.create_task(it.host.close(visitor))
            await asyncio.sleep(0)
        with pytest.raises(BadMessage, match="ended"):
            await offer
        await leaving
        assert it.loaded.scheduler.takes == 0


async def test_offer_that_cannot_be_answered_leaves_no_session() -> None:
    async with house() as it:
        outbox = Outbox()
        visitor = it.host.open(outbox)
        with pytest.raises(OfferInvalid):
            await it.host.offer(visitor, Offer("garbage"))
        assert it.host.capacity().taken == 0 and it.loaded.scheduler.takes == 0
        states = [message.connection for message in outbox.messages if isinstance(message, State)]
        assert states == ["connecting", "closing", "closed"]


async def test_offer_whose_options_are_refused_takes_no_seat_and_the_next_one_may() -> None:
    async with house() as it:
        outbox = Outbox()
        visitor = it.host.open(outbox)
        with pytest.raises(BadMessage, match="option bad"):
            await it.host.offer(visitor, Offer("v=0", options={"bad": 1}))
        assert it.host.capacity().taken == 0 and it.loaded.scheduler.takes == 0 and outbox.messages == []
        with pytest.raises(OfferInvalid):
            await it.host.offer(visitor, Offer("v=0", options={"good": 1}))


@pytest.mark.parametrize(
    ("offered", "door", "avatar", "sent"),
    [(None, None, None, 1.0), (None, None, 0.5, 0.5), (None, 0.3, 0.5, 0.3), (0.2, 0.3, 0.5, 0.2)],
)
async def test_size_that_is_sent_is_the_visits_then_the_doors_then_the_avatars(
    monkeypatch: pytest.MonkeyPatch, offered: float | None, door: float | None, avatar: float | None, sent: float
) -> None:
    def peer(ice: IceSpec, media: MediaSpec, *_: object) -> None:
        assert media.scale == sent
        raise OfferInvalid("far enough")

    monkeypatch.setattr("studio.session.Peer", peer)
    options = {} if offered is None else {"frame_scale": offered}
    async with house() as it:
        spec = replace(it.loaded.spec, options={} if avatar is None else {"frame_scale": avatar})
        monkeypatch.setattr(FakeLibrary, "get", lambda library, avatar_id: replace(it.loaded, spec=spec))
        with pytest.raises(OfferInvalid, match="far enough"):
            await it.host.offer(it.host.open(Outbox()), Offer("v=0", options=options), scale=door)


async def test_house_without_seats_refuses_and_counts() -> None:
    async with house(sessions=1) as it:
        it.host._seating.capacity = lambda: Capacity(1, 1)  # type: ignore[method-assign]
        with pytest.raises(StudioFull):
            await it.host.offer(it.host.open(Outbox()), Offer("v=0"))
        assert it.stats.value("studio_refused_total") == 1


async def test_seats_follow_configuration_or_the_engine() -> None:
    async with house(sessions=5) as it:
        assert it.host.capacity().seats == 5
    async with house(sessions=0) as it:
        assert 1 <= it.host.capacity().seats <= it.loaded.scheduler.capacity()
