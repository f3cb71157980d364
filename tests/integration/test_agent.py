"""Speech pushed into visits that go on: an agent's socket, at whatever rate and in whatever bursts, and recordings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import Beat
from studio.messages import State
from studio.output import Output
from studio.source import Recording
from studio.web.agent import MESSAGE_BYTES
from studio.web.keys import HOST
from tests.fakes import speech
from tests.inside import Inside, heard, inside, spec_of
from tests.integration.conftest import House, soon
from tests.unit.test_recording import wav


class Ear:
    """An output that keeps what it hears; `output.Output`."""

    def __init__(self) -> None:
        self.state = "connected"
        self.sound: list[NDArray[np.int16]] = []
        self.closed = asyncio.Event()
        self.hushed = 0

    @property
    def dropped(self) -> int:
        return 0

    async def until(self, *states: str) -> str:
        if self.state not in states:
            await self.closed.wait()
        return self.state

    async def room(self) -> None:
        pass

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        if beat.speech or beat.pcm.any():
            self.sound.append(beat.pcm)

    def hush(self) -> None:
        self.hushed += 1

    async def encode(self) -> None:
        await self.closed.wait()

    async def finish(self) -> None:
        pass

    async def aclose(self, limit: float = 1.0) -> None:
        self.state = "closed"
        self.closed.set()

    @property
    def seconds(self) -> float:
        return sum(map(len, self.sound)) / 16_000


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=3, queue_seconds=2.0)) as one:
        yield one


async def visit(studio: Inside, source: Recording | None = None, paced: bool = True) -> tuple[str, Ear]:
    """Begin a visit that has no socket of its own."""
    ear, told = Ear(), list[Any]()
    output: Output = ear
    session_id = studio.app[HOST].open(told.append, once=True)
    await studio.app[HOST].play(session_id, "ada", output, source, paced=paced)
    assert any(isinstance(one, State) for one in told)
    return session_id, ear


@contextlib.asynccontextmanager
async def agent(studio: Inside, session_id: str, rate: int = 16_000) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with studio.client.ws_connect(studio.url(f"/api/sessions/{session_id}/audio")) as socket:
        await socket.send_json({"type": "format", "sample_rate": rate})
        yield socket


def at(rate: int, seconds: float) -> bytes:
    """Return speech in s16le."""
    t = np.arange(round(rate * seconds)) / rate
    return np.asarray(9000 * np.sin(2 * np.pi * 220 * t) * (0.6 + 0.4 * np.sin(25 * t)), "<i2").tobytes()


@pytest.mark.parametrize("rate", [8_000, 22_050, 48_000])
async def test_burst_of_any_rate_is_spoken_in_its_own_time_and_flush_is_answered_then(
    studio: Inside, rate: int
) -> None:
    session_id, ear = await visit(studio)
    sound = at(rate, 1.0)
    async with agent(studio, session_id, rate) as socket:
        began = time.monotonic()
        await socket.send_bytes(sound[:1001])  # a burst may end within a sample
        await socket.send_bytes(sound[1001:])
        await socket.send_json({"type": "flush"})
        assert await heard(socket, "flushed", "error") == {"type": "flushed", "interrupted": False}
        assert 0.9 <= time.monotonic() - began < 8
        assert ear.seconds == pytest.approx(1.0, abs=0.09)


async def test_sixteen_kilohertz_come_out_sample_for_sample(studio: Inside) -> None:
    session_id, ear = await visit(studio)
    pcm = speech(0.8)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(pcm.astype("<i2").tobytes())
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")
    assert np.array_equal(np.concatenate(ear.sound)[: len(pcm)], pcm)


async def test_interruption_silences_and_says_how_much_was_spoken(studio: Inside) -> None:
    session_id, ear = await visit(studio)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(at(16_000, 6.0))
        await socket.send_json({"type": "flush"})
        await soon(lambda: ear.seconds >= 0.4, limit=10)
        await socket.send_json({"type": "interrupt"})
        assert (await heard(socket, "flushed"))["interrupted"] is True
        cut = await heard(socket, "interrupted")
        before = ear.seconds
        assert set(cut) == {"type", "spoken_ms", "discarded_ms", "stopped_in_ms"} and ear.hushed == 1
        assert cut["spoken_ms"] >= 400 and cut["discarded_ms"] >= 3000
        assert cut["spoken_ms"] + cut["discarded_ms"] == pytest.approx(6000, abs=400)
        assert 0 <= cut["stopped_in_ms"] < 500
        await socket.send_bytes(at(16_000, 0.4))
        await socket.send_json({"type": "flush"})
        assert (await heard(socket, "flushed"))["interrupted"] is False
        assert ear.seconds - before == pytest.approx(0.4, abs=0.09), "nothing old is left"


async def test_more_than_the_queue_holds_is_told_and_nothing_is_lost(studio: Inside) -> None:
    session_id, ear = await visit(studio)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(at(16_000, 5.0))
        assert (await heard(socket, "full"))["queued_ms"] >= 2000
        assert (await heard(socket, "room"))["queued_ms"] < 1000
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")
    assert ear.seconds == pytest.approx(5.0, abs=0.09)


async def test_what_is_no_speech_is_refused_with_a_sentence_and_the_socket_stays(studio: Inside) -> None:
    session_id, _ = await visit(studio)
    async with studio.client.ws_connect(studio.url(f"/api/sessions/{session_id}/audio")) as socket:
        await socket.send_bytes(bytes(640))
        assert "format" in (await heard(socket, "error"))["message"]
        for rate in (7_999, 48_001, "16000", True, None, 16_000.5):
            await socket.send_json({"type": "format", "sample_rate": rate})
            assert "sample_rate" in (await heard(socket, "error"))["message"]
        for text, code in (("{", "bad_json"), ('{"type": "sing"}', "unknown_type"), ("[]", "bad_json")):
            await socket.send_str(text)
            assert (await heard(socket, "error"))["code"] == code
        await socket.send_json({"type": "flush"})
        assert (await heard(socket, "flushed"))["interrupted"] is False


async def test_unknown_session_plain_request_and_second_agent_are_refused(studio: Inside) -> None:
    session_id, _ = await visit(studio)
    where = studio.url(f"/api/sessions/{session_id}/audio")
    for url, status in ((studio.url("/api/sessions/nobody/audio"), 404), (where, 400)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(studio.client.ws_connect(where))
                await stack.enter_async_context(studio.client.ws_connect(url))
        assert refusal.value.status == status
    async with studio.client.get(where) as answer:
        assert answer.status == 400 and (await answer.json())["error"]["code"] == "bad_message"
    headers = {"Origin": "http://evil.example"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await studio.client.ws_connect(where, headers=headers)
    assert refusal.value.status == 403


async def test_agent_that_leaves_is_spoken_to_its_end_and_another_may_come(studio: Inside) -> None:
    session_id, ear = await visit(studio)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(at(16_000, 0.6))
        await socket.send_json({"type": "ping"})
        await heard(socket, "error")  # by then the sound has been read
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(at(16_000, 0.4))
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")
    assert ear.seconds == pytest.approx(1.0, abs=0.17)


async def test_agent_hears_that_the_visit_is_over(studio: Inside) -> None:
    session_id, _ = await visit(studio)
    async with agent(studio, session_id) as socket:
        await studio.app[HOST].close(session_id)
        told = await heard(socket, "error")
        assert told["code"] == "session_not_found" and told["fatal"]
        assert (await socket.receive(5)).type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)
    assert await studio.is_empty()


async def test_message_larger_than_any_voice_sends_closes_the_socket_and_the_visit_goes_on(studio: Inside) -> None:
    session_id, _ = await visit(studio)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(bytes(MESSAGE_BYTES + 1))
        async with asyncio.timeout(10):
            while (frame := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
        assert frame.type is aiohttp.WSMsgType.CLOSE and frame.data == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    assert studio.app[HOST].visit(session_id)
    async with agent(studio, session_id) as socket:
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")


async def test_recording_of_a_visit_waits_while_an_agent_speaks_and_then_goes_on(
    studio: Inside, tmp_path: Path
) -> None:
    own = Recording.of_file(wav(tmp_path / "own.wav", speech(3.0)), "wav")
    session_id, ear = await visit(studio, own)
    async with agent(studio, session_id) as socket:
        await socket.send_bytes(at(16_000, 0.5))
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")
        assert studio.app[HOST].capacity().taken == 1
    assert await studio.is_empty(limit=20), "a recording's visit ends when all was said"
    assert ear.seconds == pytest.approx(3.5, abs=0.2)


async def test_pictures_made_as_fast_as_possible_take_no_other_speech(studio: Inside, tmp_path: Path) -> None:
    own = Recording.of_file(wav(tmp_path / "own.wav", speech(1.0)), "wav", loop=True)
    session_id, _ = await visit(studio, own, paced=False)
    async with studio.client.get(
        studio.url(f"/api/sessions/{session_id}/audio"), headers={"Upgrade": "websocket", "Connection": "Upgrade"}
    ) as answer:
        assert answer.status == 400 and "one recording" in json.dumps(await answer.json())


async def say(
    studio: Inside, session_id: str, sound: bytes, name: str = "talk.wav", field: str = "audio"
) -> tuple[int, dict[str, Any]]:
    """Post a recording."""
    form = aiohttp.FormData()
    form.add_field(field, sound, filename=name)
    async with studio.client.post(studio.url(f"/api/sessions/{session_id}/say"), data=form) as answer:
        return answer.status, await answer.json()


async def test_recordings_are_spoken_one_after_the_other(studio: Inside, tmp_path: Path) -> None:
    session_id, ear = await visit(studio)
    pcm = speech(0.6)
    sound = wav(tmp_path / "a.wav", pcm).read_bytes()
    for _ in range(2):
        assert await say(studio, session_id, sound) == (202, {"session_id": session_id, "seconds": 0.6})
    await soon(lambda: ear.seconds >= 1.2, limit=15)
    assert np.array_equal(np.concatenate(ear.sound)[: len(pcm)], pcm)
    await soon(lambda: not studio.app[HOST]._session(session_id).floor.is_taken)


async def test_peer_hears_the_agent_and_no_longer_its_own_microphone(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await visitor.heard("state", speaking=True)
    (session_id,) = house.app[HOST].sessions()
    url = house.ws.removesuffix("/ws") + f"/api/sessions/{session_id}/audio"
    async with aiohttp.ClientSession() as client, client.ws_connect(url) as socket:
        await visitor.heard("state", speaking=False, limit=10)
        await socket.send_json({"type": "format", "sample_rate": 24_000})
        await socket.send_bytes(at(24_000, 1.0))
        await socket.send_json({"type": "flush"})
        await visitor.heard("state", speaking=True, limit=10)
        assert (await heard(socket, "flushed"))["interrupted"] is False
    await visitor.heard("state", speaking=False, limit=10)
    await visitor.heard("state", speaking=True, limit=10)


async def test_recordings_that_will_not_do_are_refused(studio: Inside, tmp_path: Path) -> None:
    session_id, ear = await visit(studio)
    sound = wav(tmp_path / "a.wav", speech(0.2)).read_bytes()
    assert (await say(studio, "nobody", sound))[0] == 404
    for status, code, arguments in (
        (415, "bad_audio", {"sound": b"RIFF" + bytes(100)}),
        (415, "bad_audio", {"sound": b""}),
        (415, "bad_audio", {"sound": sound, "name": "a.mp3"}),
        (400, "bad_message", {"sound": sound, "name": "../a.exe"}),
        (400, "bad_message", {"sound": sound, "field": "source"}),
    ):
        found, body = await say(studio, session_id, **arguments)
        assert (found, body["error"]["code"]) == (status, code), body
    async with studio.client.post(studio.url(f"/api/sessions/{session_id}/say"), json={}) as answer:
        assert answer.status == 400
    async with agent(studio, session_id):
        status, body = await say(studio, session_id, sound)
        assert status == 400 and "agent" in body["error"]["message"]
    assert not ear.sound
