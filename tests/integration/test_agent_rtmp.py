"""An agent speaks into a stream: its words reach a real RTMP server whole, in step with the mouth, cut when told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.examples.speakers import Witness, bursts
from tests.inside import Inside, heard, inside, spec_of
from tests.integration.conftest import nothing_left
from tests.integration.rtmp_server import RtmpServer, rtmp_server

RATE = 22_050


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RtmpServer]:
    (tmp_path / "nginx").mkdir()
    async with rtmp_server(tmp_path / "nginx") as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Inside]:
    async with nothing_left(), inside(spec_of(tmp_path, sessions=2)) as opened:
        yield opened


async def start(house: Inside, server: RtmpServer) -> str:
    """Start a stream that says nothing of its own; return its session's id."""
    body = {"rtmp_url": server.url("talk"), "avatar_id": "ada"}
    async with house.client.post(house.url("/start_stream/talk"), json=body) as answer:
        assert answer.status == 200
        told: dict[str, Any] = await answer.json()
    return str(told["session_id"])


async def stop(house: Inside, server: RtmpServer) -> Witness:
    """Stop it, and watch what the server recorded: a Witness's seconds are then the recording's own."""
    async with house.client.delete(house.url("/stop_stream/talk")) as answer:
        assert answer.status == 200
    (tape,) = server.tapes
    with av.open(str(tape), "r") as film:
        frames = [frame for frame in film.decode()]
    witness = Witness()
    for frame in sorted(frames, key=lambda one: one.time or 0.0):
        witness.heard = frame.time or 0.0
        if isinstance(frame, av.VideoFrame):
            witness.see(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
        elif isinstance(frame, av.AudioFrame):
            witness.hear((frame.to_ndarray()[0] * 32767).astype(np.int16), frame.sample_rate)
    return witness


async def test_words_of_an_agent_are_on_the_server_in_step_with_the_mouth(house: Inside, server: RtmpServer) -> None:
    session_id = await start(house, server)
    pcm = bursts(3, RATE).astype("<i2").tobytes()
    async with house.client.ws_connect(house.url(f"/api/sessions/{session_id}/audio")) as socket:
        await socket.send_json({"type": "format", "sample_rate": RATE})
        for begin in range(0, len(pcm), 4001):  # bursts as they come, samples torn apart
            await socket.send_bytes(pcm[begin : begin + 4001])
        await socket.send_json({"type": "flush"})
        assert (await heard(socket, "flushed"))["interrupted"] is False
    witness = await stop(house, server)
    assert witness.loud == pytest.approx(1.2, abs=0.15)
    assert abs(witness.skew) <= 0.061, "more than a beat and a frame of AAC"


async def test_interrupted_agent_is_silent_on_the_server_and_may_speak_again(house: Inside, server: RtmpServer) -> None:
    session_id = await start(house, server)
    async with house.client.ws_connect(house.url(f"/api/sessions/{session_id}/audio")) as socket:
        await socket.send_json({"type": "format", "sample_rate": RATE})
        await socket.send_bytes(bursts(10, RATE).astype("<i2").tobytes())
        await asyncio.sleep(1.2)
        await socket.send_json({"type": "interrupt"})
        cut = await heard(socket, "interrupted")
        assert cut["stopped_in_ms"] < 500 and cut["discarded_ms"] > 4000
        await socket.send_bytes(bursts(1, RATE).astype("<i2").tobytes())
        await socket.send_json({"type": "flush"})
        await heard(socket, "flushed")
    witness = await stop(house, server)
    spoken = cut["spoken_ms"] / 1000
    assert 0.4 <= witness.loud <= 0.4 * (spoken + 2), "of each second that was spoken, and of the last one"
    assert witness.began[-1] - witness.began[0] < spoken + 1.5, "nothing is left of what was cut"
