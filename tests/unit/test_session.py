from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from studio.engine import Options
from studio.errors import EngineFault, OfferInvalid
from studio.messages import Candidate, Fault, Interrupted, Offer, State
from studio.session import LEGAL, Connection, Session
from studio.spec import StudioSpec
from studio.stats import Stats
from tests.fakes import FakeEngine, FakeLoaded, Outbox, until


@contextlib.asynccontextmanager
async def visit() -> AsyncIterator[tuple[Session, Outbox, FakeLoaded]]:
    loaded, outbox = FakeLoaded.of(FakeEngine()), Outbox()
    session = Session("abc", loaded, Options(), StudioSpec(()), Stats(), outbox)
    try:
        yield session, outbox, loaded
    finally:
        await session.aclose()
        await loaded.scheduler.aclose()


def states(outbox: Outbox) -> list[str]:
    return [message.connection for message in outbox.messages if isinstance(message, State)]


async def test_visit_that_never_began_closes() -> None:
    async with visit() as (session, outbox, loaded):
        assert session.connection is Connection.NEW and session.avatar_id == "ada"
        await session.aclose()
        assert states(outbox) == ["closing", "closed"] and loaded.scheduler.takes == 0


async def test_closing_twice_waits_for_the_first_and_says_why_once() -> None:
    async with visit() as (session, outbox, _):
        await asyncio.gather(session.aclose(EngineFault()), session.aclose(EngineFault()))
        await session.aclose()
        assert session.connection is Connection.CLOSED
        assert [fault.code for fault in outbox.messages if isinstance(fault, Fault)] == ["engine_failed"]
        assert isinstance(outbox.messages[0], Fault), "the reason comes before the goodbye"


async def test_who_stops_waiting_for_the_end_does_not_stop_the_end() -> None:
    async with visit() as (session, _, _):
        session.begin()
        leaving = asyncio.create_task(session.aclose())
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert leaving.cancelled()
        await until(lambda: session.connection is Connection.CLOSED)


async def test_offer_that_makes_no_sense_is_refused() -> None:
    async with visit() as (session, _, _):
        with pytest.raises(OfferInvalid):
            await session.accept(Offer("v=0"))


async def test_interrupt_in_silence_has_nothing_to_report() -> None:
    async with visit() as (session, _, _):
        assert session.interrupt() == Interrupted(0, 0)


async def test_switch_is_pushed() -> None:
    async with visit() as (session, outbox, loaded):
        other = FakeLoaded.of(FakeEngine(), avatar_id="omar")
        session.select(other)
        assert outbox.messages == [State("new", False, "omar")]
        assert loaded.scheduler.takes == 0 and other.scheduler.takes == 1
        await session.aclose()
        await other.scheduler.aclose()


async def test_switch_leaves_behind_options_that_the_other_engine_does_not_have() -> None:
    loaded, outbox = FakeLoaded.of(FakeEngine()), Outbox()
    session = Session("abc", loaded, Options(7, {"shape": 1}), StudioSpec(()), Stats(), outbox)
    alike, plain = FakeLoaded.of(FakeEngine(), avatar_id="alike"), FakeLoaded.of(FakeEngine(bad="shape"), avatar_id="x")
    for other in (alike, plain):
        session.select(other)
    await until(lambda: alike.engine.takes and plain.engine.takes)
    assert alike.engine.takes[0].options == Options(7, {"shape": 1})
    assert plain.engine.takes[0].options == Options(7)
    await session.aclose()
    for one in (loaded, alike, plain):
        await one.scheduler.aclose()


async def test_switch_while_closing_takes_no_seat() -> None:
    async with visit() as (session, _, _):
        other = FakeLoaded.of(FakeEngine(), avatar_id="omar")
        closing = asyncio.create_task(session.aclose())
        while session.connection is not Connection.CLOSING:  # noqa: ASYNC110 - the task needs turns of the loop
            await asyncio.sleep(0)
        session.select(other)
        await closing
        session.select(other)
        assert other.scheduler.takes == 0 and session.avatar_id == "ada"
        await other.scheduler.aclose()


async def test_candidates_after_the_end_are_ignored() -> None:
    async with visit() as (session, _, _):
        await session.aclose()
        session.candidate(Candidate("nonsense"))


def test_every_state_but_the_last_can_close() -> None:
    assert all(Connection.CLOSING in LEGAL[state] for state in (Connection.NEW, Connection.CONNECTING, Connection.LIVE))
    assert not LEGAL[Connection.CLOSED]
