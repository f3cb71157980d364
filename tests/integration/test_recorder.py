"""The older microphone dialect on /ws: start, then raw samples or what a MediaRecorder makes; JPEGs come back."""

from __future__ import annotations

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from studio.web.keys import HOST, STATS
from tests.conftest import need
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import soon
from tests.unit.test_recording import wav


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=2)) as one:
        yield one


async def frames(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """Return the next pictures; nothing else may come."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            body = json.loads((await socket.receive()).data)
            assert body["type"] == "frame", body
            assert base64.b64decode(body["data"]).startswith(b"\xff\xd8\xff") and body["timestamp"] > 1.6e9
            found.append(body)
    return found


def recorded(folder: Path, kind: str) -> bytes:
    """Return two seconds of speech as a microphone client sends them."""
    pcm = speech(2.0)
    if kind == "raw":
        return (pcm.astype("<f4") / 32768).tobytes()
    need("ffmpeg", "ffmpeg")
    target = folder / ("a.ogg" if kind == "ogg" else "a.webm")
    codec = ["-c:a", "pcm_f32le", "-f", "matroska"] if kind == "webm-pcm" else ["-c:a", "libopus"]
    live = [] if kind == "ogg" else ["-live", "1"]
    source = wav(folder / "a.wav", pcm)
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(source), *codec, *live, str(target)], check=True)
    return target.read_bytes()


@pytest.mark.parametrize("kind", ["raw", "webm-opus", "webm-pcm", "ogg"])
async def test_voice_is_heard_whatever_carries_it(studio: Inside, tmp_path: Path, kind: str) -> None:
    data = recorded(tmp_path, kind)
    async with studio.socket() as socket:
        await socket.send_json({"type": "start", "source_path": None})
        await frames(socket, 2)
        assert studio.app[HOST].capacity().taken == 1
        pieces = np.array_split(np.frombuffer(data, np.uint8), 20)
        for piece in pieces:
            await socket.send_bytes(piece.tobytes())
            await frames(socket, 2)
        await frames(socket, 10)
        assert studio.app[STATS].value("studio_beats_total", kind="speech") >= 20
    assert await studio.is_empty()
    await soon(lambda: not studio.app[HOST]._visitors)


async def test_start_takes_a_portrait_and_refuses_what_is_none(studio: Inside) -> None:
    async with studio.socket() as socket:
        for path, sentence in (("/etc/passwd.png", "no such file"), ("a.exe", "ending in")):
            await socket.send_json({"type": "start", "source_path": path})
            body = json.loads((await socket.receive(10)).data)
            assert body["type"] == "error" and sentence in body["message"]
        assert await studio.is_empty()


async def test_sound_without_start_is_refused_and_a_second_start_too(studio: Inside) -> None:
    async with studio.socket() as socket:
        await socket.send_bytes(b"\0" * 640)
        assert "start" in json.loads((await socket.receive(10)).data)["message"]
        await socket.send_json({"type": "start"})
        await frames(socket, 1)
        await socket.send_json({"type": "start"})
        async with asyncio.timeout(10):
            while (body := json.loads((await socket.receive()).data))["type"] != "error":
                pass
        assert "already" in body["message"]


async def test_broken_container_ends_with_a_sentence(studio: Inside) -> None:
    async with studio.socket() as socket:
        await socket.send_json({"type": "start"})
        await frames(socket, 1)
        await socket.send_bytes(b"OggS" + bytes(100_000))
        async with asyncio.timeout(20):
            while (body := json.loads((await socket.receive()).data))["type"] != "error":
                pass
        assert body["code"] == "bad_audio"
    assert await studio.is_empty()


@pytest.mark.parametrize("head", [b"\0\0\0\x18ftypiso5", b"RIFF\xff\xff\xff\xffWAVE"])
async def test_containers_that_are_not_read_are_refused_and_not_played_as_noise(studio: Inside, head: bytes) -> None:
    async with studio.socket() as socket:
        await socket.send_json({"type": "start"})
        await frames(socket, 1)
        await socket.send_bytes(head + bytes(range(256)) * 40)
        async with asyncio.timeout(20):
            while (body := json.loads((await socket.receive()).data))["type"] != "error":
                pass
        assert body["code"] == "bad_audio" and "WebM or Ogg" in body["message"]
