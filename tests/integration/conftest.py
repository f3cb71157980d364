"""A studio in this very process, on loopback, with test cards; what it leaves behind is found out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from studio.spec import AvatarSpec, IceSpec, LimitsSpec, StudioSpec
from studio.web.app import make_app
from studio.web.keys import HOST, STATS
from tests.conftest import need
from tests.inside import Inside, inside, spec_of
from tests.server import ROOT
from tests.visitor import Visitor, make_speech, opus_packets

AVATARS = tuple(
    AvatarSpec(name, ROOT / "static" / "avatars", engine="testcard", options={"beep": True} if name == "beeps" else {})
    for name in ("card", "other", "beeps")
)


@dataclass
class House:
    """A running studio and its visitors."""

    app: web.Application
    ws: str
    packets: list[bytes]
    visitors: list[Visitor] = field(default_factory=list)

    def visitor(self, avatar_id: str | None = "card", speaks: bool = True) -> Visitor:
        """Return a visitor who has not come yet; he leaves with the house."""
        visitor = Visitor(self.ws, avatar_id, self.packets if speaks else None)
        self.visitors.append(visitor)
        return visitor

    @property
    def taken(self) -> int:
        """Seats."""
        return self.app[HOST].capacity().taken

    def count(self, name: str, **labels: str) -> float:
        """Value of a counter."""
        return self.app[STATS].value(name, **labels)


@pytest.fixture(scope="session")
def packets(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Speech in Opus packets."""
    need("espeak-ng", "espeak-ng")
    return opus_packets(make_speech(tmp_path_factory.mktemp("speech") / "speech.wav"))


@pytest.fixture
async def open_house(
    counting_peers: None, packets: list[bytes], tmp_path: Path
) -> AsyncIterator[Callable[..., contextlib.AbstractAsyncContextManager[House]]]:
    """Return a context that runs a studio; its arguments replace fields of limits and ice."""

    @contextlib.asynccontextmanager
    async def opened(limits: LimitsSpec | None = None, ice: IceSpec | None = None) -> AsyncIterator[House]:
        spec = StudioSpec(AVATARS, cache=tmp_path / "cache", limits=limits or LimitsSpec(sessions=9))
        spec = dataclasses.replace(spec, ice=ice or spec.ice)
        async with nothing_left():
            server = TestServer(make_app(spec, ROOT))
            await server.start_server()
            house = House(server.app, f"http://127.0.0.1:{server.port}/ws", packets)
            try:
                yield house
            finally:
                await asyncio.gather(*(visitor.close() for visitor in house.visitors))
                await server.close()

    yield opened


@pytest.fixture
async def house(open_house: Callable[..., contextlib.AbstractAsyncContextManager[House]]) -> AsyncIterator[House]:
    """A studio as it is by default."""
    async with open_house() as opened:
        yield opened


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    """The HTTP front with two test cards."""
    async with inside(spec_of(tmp_path)) as one:
        yield one


async def soon(claim: Callable[[], object], limit: float = 5.0) -> float:
    """Wait until ``claim()`` holds and return the seconds it took.

    Raises:
        TimeoutError: It did not.
    """
    began = time.monotonic()
    async with asyncio.timeout(limit):
        while not claim():  # noqa: ASYNC110 - claims are about things that set no event
            await asyncio.sleep(0.01)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    """Require that threads, tasks and descriptors are as before, within 2 s."""
    gc.collect()
    before, files = {*threading.enumerate(), *asyncio.all_tasks()}, descriptors()

    def left() -> set[object]:
        now = {*threading.enumerate(), *asyncio.all_tasks()} - before
        return {one for one in now if one is not asyncio.current_task()}

    yield
    with contextlib.suppress(TimeoutError):
        await soon(lambda: not left(), limit=2)
    assert not left()
    gc.collect()
    assert descriptors() <= files + 1


def descriptors() -> int:
    """Return how many files this process has open; 0 where the system does not tell."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
