from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from studio.broadcast import Broadcast
from studio.errors import AvatarNotFound, OfferInvalid, StudioFull
from studio.host import SessionHost
from studio.spec import LimitsSpec, StudioSpec
from studio.stats import Stats
from studio.viewers import Viewers
from tests.fakes import FakeEngine, FakeLibrary, FakeLoaded, until


@dataclass
class House:
    host: SessionHost
    viewers: Viewers


@contextlib.asynccontextmanager
async def house(grace: float = 60.0, sessions: int = 1, viewers: int = 2) -> AsyncIterator[House]:
    loaded, other = FakeLoaded.of(FakeEngine()), FakeLoaded.of(FakeEngine(), avatar_id="omar")
    spec, stats = StudioSpec((), limits=LimitsSpec(sessions=sessions, viewers=viewers)), Stats()
    library = FakeLibrary(loaded, other)
    host = SessionHost(library, spec, stats)
    it = House(host, Viewers(host, library, spec, stats, grace))
    try:
        yield it
    finally:
        await it.viewers.aclose()
        await it.viewers.aclose()
        await host.aclose()
        await loaded.scheduler.aclose()
        await other.scheduler.aclose()


def on_air(it: House) -> Broadcast:
    output = it.viewers.broadcast(it.host._library.first_id)
    assert output is not None
    return output


async def test_first_viewer_begins_and_the_others_join() -> None:
    async with house() as it:
        avatar_id = it.host._library.first_id
        entered = await asyncio.gather(*(it.viewers._enter(avatar_id) for _ in range(5)))
        assert it.host.capacity().taken == 1 == len(it.host.sessions())
        assert on_air(it).viewers == 5
        on_air(it).was_watched = True
        await asyncio.gather(*(viewer.aclose() for viewer in entered))
        assert it.host.capacity().taken == 1, "for a while"


async def test_broadcast_ends_with_its_grace_and_begins_anew() -> None:
    async with house(grace=0.0) as it:
        avatar_id = it.host._library.first_id
        viewer = await it.viewers._enter(avatar_id)
        first = on_air(it)
        await viewer.aclose()
        await until(lambda: first.state == "closed" and not it.host.sessions())
        assert it.viewers.broadcast(avatar_id) is None
        again = await it.viewers._enter(avatar_id)
        assert on_air(it) is not first and it.host.capacity().taken == 1
        await again.aclose()


async def test_viewer_within_the_grace_finds_the_same_broadcast() -> None:
    async with house() as it:
        avatar_id = it.host._library.first_id
        output = None
        for _ in range(3):
            viewer = await it.viewers._enter(avatar_id)
            assert output in (None, on_air(it))
            output = on_air(it)
            output.was_watched = True
            await viewer.aclose()
            await asyncio.sleep(0)


async def test_offer_that_cannot_be_answered_leaves_no_broadcast() -> None:
    async with house() as it:
        with pytest.raises(OfferInvalid):
            await it.viewers.watch(it.host._library.first_id, "nonsense")
        await until(lambda: not it.host.sessions())  # at once, whatever the grace: nobody has watched
        with pytest.raises(AvatarNotFound):
            await it.viewers.watch("nobody", "nonsense")


async def test_broadcast_needs_a_seat() -> None:
    async with house() as it:
        viewer = await it.viewers._enter(it.host._library.first_id)
        with pytest.raises(StudioFull):
            await it.viewers._enter("omar")
        assert it.viewers.broadcast("omar") is None and len(it.host.sessions()) == 1
        await viewer.aclose()


async def test_session_that_is_ended_ends_its_broadcast() -> None:
    async with house() as it:
        avatar_id = it.host._library.first_id
        viewer = await it.viewers._enter(avatar_id)
        (session_id,) = it.host.sessions()
        await it.host.close(session_id)
        assert viewer.state == "closed"
        await until(lambda: it.viewers.broadcast(avatar_id) is None)


async def test_avatar_that_was_replaced_is_watched_anew() -> None:
    async with house(sessions=2) as it:
        before = await it.viewers._enter("omar")
        first = it.viewers.broadcast("omar")
        assert isinstance(it.host._library, FakeLibrary)
        it.host._library._loaded["omar"] = dataclasses.replace(it.host._library.get("omar"))
        after = await it.viewers._enter("omar")
        assert it.viewers.broadcast("omar") is not first and it.host.capacity().taken == 2
        assert before.state != "closed", "who watches the one before goes on"
        await asyncio.gather(before.aclose(), after.aclose())
        await until(lambda: not it.host.sessions())
