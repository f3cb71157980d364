"""Wire contract B while a portrait is still being prepared: the answer comes at once, the face when it is ready."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from studio.errors import BadPortrait, StudioError
from studio.preparation import bring_in as really_bring_in
from studio.web.keys import HOST
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import soon
from tests.integration.test_oneshot import SECONDS, Client, uploaded
from tests.unit.test_recording import wav


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=2)) as one:
        yield one


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    return wav(tmp_path / "talk.wav", speech(SECONDS)).read_bytes()


@pytest.fixture
async def client(studio: Inside) -> AsyncIterator[Client]:
    one = Client(studio)
    yield one
    await one.pc.close()
    for task in one.tasks:
        task.cancel()


@dataclass
class Preparation:
    """That of a portrait, which goes on until the test says so."""

    may_end: threading.Event
    error: StudioError | None = None


@pytest.fixture
def preparation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Preparation]:
    one = Preparation(threading.Event())

    def bring_in(*arguments: Any) -> Any:
        one.may_end.wait(30)
        if one.error:
            raise one.error
        return really_bring_in(*arguments)

    monkeypatch.setattr("studio.guests.bring_in", bring_in)
    monkeypatch.setattr("studio.web.oneshot.AT_ONCE", 0.05)
    yield one
    one.may_end.set()


NEW = {"source_path": "static/avatars/astronaut.png", "engine": "testcard"}


async def test_portrait_that_is_still_prepared_delays_no_answer(
    studio: Inside, client: Client, sound: bytes, preparation: Preparation
) -> None:
    paths = await uploaded(studio, sound)
    answer = await client.offer(**paths, **NEW, run_kwargs={"frame_scale": 0.5})
    assert answer["type"] == "answer" and studio.app[HOST].capacity().taken == 1, "it has its seat already"
    await soon(lambda: client.pc.connectionState == "connected")
    await asyncio.sleep(0.3)
    assert not client.first.is_set()
    preparation.may_end.set()
    async with asyncio.timeout(40):
        await client.first.wait()
        assert studio.app[HOST].capacity().taken == 1
        assert await studio.is_empty(limit=25)
    assert client.counts["video"] >= 25 * SECONDS * 0.5
    assert not studio.app[HOST]._visitors


async def test_portrait_that_turns_out_to_be_none_ends_the_call(
    studio: Inside, client: Client, sound: bytes, preparation: Preparation
) -> None:
    preparation.error = BadPortrait()
    await client.offer(**await uploaded(studio, sound), **NEW)
    await soon(lambda: client.pc.connectionState == "connected")
    preparation.may_end.set()
    await soon(lambda: client.pc.connectionState == "closed")
    assert await studio.is_empty() and not studio.app[HOST]._visitors and not client.first.is_set()


async def test_visitor_who_does_not_wait_for_the_portrait_gives_the_seat_back(
    studio: Inside, client: Client, sound: bytes, preparation: Preparation
) -> None:
    await client.offer(**await uploaded(studio, sound), **NEW)
    await soon(lambda: client.pc.connectionState == "connected")
    await client.pc.close()
    assert await studio.is_empty()
    assert not studio.app[HOST]._visitors
