"""Wire contract C as ditto's streaming client speaks it: message order, headers, backpressure, stop and start again."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from studio.engines.testcard import TestcardAvatar
from studio.picture import Picture
from studio.web.keys import HOST
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.unit.test_recording import wav

SECONDS = 1.21
FRAMES = 31
"""ceil(1.21 * 25)"""
SOURCE = "static/avatars/astronaut.png"


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=2)) as one:
        yield one


@pytest.fixture
async def audio_path(studio: Inside, tmp_path: Path) -> str:
    return await uploaded(studio, tmp_path, SECONDS)


async def uploaded(studio: Inside, folder: Path, seconds: float) -> str:
    form = aiohttp.FormData()
    form.add_field("audio", wav(folder / "talk.wav", speech(seconds)).read_bytes(), filename="talk.wav")
    async with studio.client.post(studio.url("/upload"), data=form) as answer:
        return str((await answer.json())["audio_path"])


def start(audio_path: str, **more: Any) -> dict[str, Any]:
    kwargs = {"setup_kwargs": {}, "run_kwargs": {}, "binary": True, "engine": "testcard", **more}
    return {"type": "start_streaming", "audio_path": audio_path, "source_path": SOURCE, **kwargs}


async def heard(socket: aiohttp.ClientWebSocketResponse, limit: float = 30.0) -> Any:
    """Return the next message: a dict, or bytes."""
    message = await socket.receive(limit)
    if message.type is aiohttp.WSMsgType.BINARY:
        return message.data
    assert message.type is aiohttp.WSMsgType.TEXT, f"{message.type!r} {message.data!r}"
    return json.loads(message.data)


async def whole_stream(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """Return all messages of a stream to its last."""
    messages: list[Any] = []
    async with asyncio.timeout(60):
        while not (messages and isinstance(messages[-1], dict) and messages[-1]["type"] == "writer_closed"):
            messages.append(await heard(socket))
    return messages


def unpacked(frame: bytes) -> tuple[int, float, bytes]:
    index, at, length = struct.unpack("!IdI", frame[:16])
    assert length == len(frame) - 16
    return index, at, frame[16:]


def picture_sides(data: bytes) -> tuple[int, int]:
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return (int(picture.shape[0]), int(picture.shape[1]))


async def test_first_picture_is_drawn_beside_the_event_loop(
    studio: Inside, audio_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    draw = TestcardAvatar.idle

    def idle(avatar: TestcardAvatar, phase: int) -> Picture:
        threads.append(threading.current_thread())
        return draw(avatar, phase)

    monkeypatch.setattr(TestcardAvatar, "idle", idle)
    async with studio.client.ws_connect(studio.url("/ws/client-1")) as socket:
        await socket.send_json(start(audio_path, avatar_id="ada", source_path=None))
        await whole_stream(socket)
    async with studio.socket() as microphone:
        threads_before = len(threads)
        await microphone.send_json({"type": "start"})
        while (await heard(microphone))["type"] != "frame":
            pass
    assert threading.main_thread() not in (threads[0], threads[threads_before])


@pytest.mark.parametrize(
    ("run", "magic", "sides"),
    [
        ({}, b"WEBP", (512, 512)),
        ({"frame_format": "jpeg", "frame_scale": 0.5}, b"\xff\xd8\xff", (256, 256)),
        ({"frame_format": "webp", "fade_in": 5, "fade_out": 5, "chunksize": [2, 3, 2]}, b"WEBP", (512, 512)),
    ],
)
async def test_stream_comes_in_the_contracts_order(
    studio: Inside, audio_path: str, run: dict[str, Any], magic: bytes, sides: tuple[int, int]
) -> None:
    async with studio.client.ws_connect(studio.url("/ws/client-1")) as socket:
        await socket.send_json(start(audio_path, run_kwargs=run))
        started, metadata, *frames, completed, closed = await whole_stream(socket)
        assert started["type"] == "streaming_started" and started["binary"] is True
        assert (started["audio_path"], started["source_path"]) == (audio_path, SOURCE)
        assert abs(started["timestamp"] - time.time()) < 60
        assert metadata["type"] == "metadata" and metadata["audio_duration"] == pytest.approx(SECONDS)
        assert metadata["expected_frames"] == FRAMES
        assert completed["type"] == "streaming_completed"
        assert closed == {"type": "writer_closed", "total_frames": FRAMES}
        assert [unpacked(frame)[0] for frame in frames] == list(range(FRAMES))
        times = [unpacked(frame)[1] for frame in frames]
        assert times == sorted(times) and times[-1] - times[0] > (FRAMES - 1) * 0.04 - 0.5, "in its own time"
        for frame in (frames[0], frames[-1]):
            data = unpacked(frame)[2]
            assert magic in data[:12]
            assert picture_sides(data) == sides
        assert await studio.is_empty()
        await socket.send_json(start(audio_path))
        assert (await heard(socket))["type"] == "streaming_started", "the socket serves again"


async def test_frames_may_come_as_json(studio: Inside, audio_path: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_json(start(audio_path, binary=False, run_kwargs={"frame_scale": 0.2}))
        _, _, *frames, _, closed = await whole_stream(socket)
        assert closed["total_frames"] == len(frames) == FRAMES
        assert all(frame["type"] == "frame" and frame["mime"] == "image/webp" for frame in frames)
        assert [frame["frame_id"] for frame in frames] == list(range(FRAMES))
        assert b"WEBP" in base64.b64decode(frames[0]["frame_data"])[:12]


async def test_second_start_is_refused_and_the_first_goes_on(studio: Inside, audio_path: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_json(start(audio_path))
        await socket.send_json(start(audio_path))
        await socket.send_json({"type": "ping", "timestamp": 7})
        messages = await whole_stream(socket)
        told = [message for message in messages if isinstance(message, dict)]
        errors = [message for message in told if message["type"] == "error"]
        assert len(errors) == 1 and "active" in errors[0]["message"]
        assert {"type": "pong", "timestamp": 7} in told
        assert told[-1] == {"type": "writer_closed", "total_frames": FRAMES}


async def test_stop_ends_the_stream_and_frees_the_seat(studio: Inside, audio_path: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_json(start(audio_path))
        while not isinstance(await heard(socket), bytes):
            pass
        await socket.send_json({"type": "stop_streaming"})
        *_, completed, closed = await whole_stream(socket)
        assert completed["type"] == "streaming_completed" and 1 <= closed["total_frames"] < FRAMES
        assert await studio.is_empty()
        await socket.send_json({"type": "stop_streaming"})
        assert (await heard(socket))["type"] == "error"


async def test_socket_that_closes_frees_the_seat_within_a_second(studio: Inside, audio_path: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_json(start(audio_path))
        while not isinstance(await heard(socket), bytes):
            pass
        assert studio.app[HOST].capacity().taken == 1
    assert await studio.is_empty()
    assert not studio.app[HOST]._visitors


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ("nonsense", "JSON"),
        ("[]", "JSON"),
        ('{"type": "dance"}', "kind of message"),
        ('{"type": "start_streaming"}', "audio_path and source_path"),
        ('{"type": "start_streaming", "audio_path": "a.wav", "source_path": "b.png"}', "no such file"),
        ('{"type": "start_streaming", "audio_path": "a.exe", "source_path": "b.png"}', "ending in .wav"),
        ('{"type": "start_streaming", "audio_path": "/etc/passwd.wav", "source_path": "b.png"}', "no such file"),
    ],
)
async def test_mistakes_get_a_sentence_and_the_socket_stays(studio: Inside, message: str, sentence: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_str(message)
        answer = await heard(socket)
        assert answer["type"] == "error" and sentence in answer["message"]
        await socket.send_bytes(b"\0" * 100)
        assert "binary" in (await heard(socket))["message"]
        await socket.send_json({"type": "ping"})
        assert (await heard(socket))["type"] == "pong"


async def test_house_that_is_full_says_so(studio: Inside, audio_path: str) -> None:
    async with (
        studio.client.ws_connect(studio.url("/ws/a")) as a,
        studio.client.ws_connect(studio.url("/ws/b")) as b,
        studio.client.ws_connect(studio.url("/ws/c")) as c,
    ):
        for socket in (a, b):
            await socket.send_json(start(audio_path))
            assert (await heard(socket))["type"] == "streaming_started"
        await c.send_json(start(audio_path))
        refusal = await heard(c)
        assert refusal["type"] == "error" and refusal["code"] == "capacity"


async def test_slow_reader_slows_the_stream_and_loses_nothing(
    studio: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody reads for a while: what waits is bounded, quality falls, and every picture comes in the end."""
    audio_path = await uploaded(studio, tmp_path, 6.0)
    monkeypatch.setattr("studio.outputs.images.QUEUED_PICTURES", 10)
    async with studio.client.ws_connect(studio.url("/ws/x"), max_msg_size=0) as socket:
        socket._conn.protocol.pause_reading()  # type: ignore[union-attr]
        run_kwargs = {"frame_format": "jpeg", "frame_quality": 100, "frame_quality_min": 10}
        await socket.send_json(start(audio_path, run_kwargs=run_kwargs))
        await asyncio.sleep(3.0)
        socket._conn.protocol.resume_reading()  # type: ignore[union-attr]
        _, _, *frames, _, closed = await whole_stream(socket)
        assert closed["total_frames"] == len(frames) == 150
        sizes = [len(frame) for frame in frames]
        assert min(sizes[5:]) < 0.6 * max(sizes), (sizes, "the quality fell")


async def test_reader_who_stalls_is_let_go(studio: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real one, whom the system's buffers do not hide: in them there would be room for all of this."""
    monkeypatch.setattr("studio.web.patience.PATIENCE", 0.5)
    audio_path = await uploaded(studio, tmp_path, 20.0)
    async with studio.client.ws_connect(studio.url("/ws/x")) as socket:
        await socket.send_json(start(audio_path, run_kwargs={"frame_format": "jpeg", "frame_quality": 100}))
        assert (await heard(socket))["type"] == "streaming_started"
        socket._conn.protocol.pause_reading()  # type: ignore[union-attr]
        assert await studio.is_empty(limit=12)
        socket._conn.protocol.resume_reading()  # type: ignore[union-attr]
        while (await socket.receive(10)).type not in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED):
            pass
