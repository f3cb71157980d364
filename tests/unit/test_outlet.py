from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import av
import numpy as np
import pytest
from aiortc.codecs.base import Encoder
from aiortc.mediastreams import MediaStreamError
from av.frame import Frame

from studio.audio import SILENCE
from studio.beat import Beat
from studio.encode import Encoded
from studio.outlet import BUFFERED_SLOTS, Outlet, PacketTrack
from studio.stats import Stats
from tests.fakes import until


class FakeEncoder(Encoder):
    """Encodes to its count; waits while the gate is closed."""

    def __init__(self) -> None:
        self.timestamps: list[int] = []
        self.keyframes: list[bool] = []
        self.gate = threading.Event()
        self.gate.set()

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert self.gate.wait(5) and frame.pts is not None
        self.timestamps.append(frame.pts)
        self.keyframes.append(force_keyframe)
        return [b"x"], frame.pts

    def pack(self, packet: object) -> tuple[list[bytes], int]:
        raise NotImplementedError


class Loudness(FakeEncoder):
    """Notes the first sample of each frame."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        assert isinstance(frame, av.AudioFrame)
        self.levels.append(int(frame.to_ndarray()[0, 0]))
        return super().encode(frame, force_keyframe)


def beat(index: int) -> Beat:
    return Beat(index, np.zeros((12, 8), np.uint8), SILENCE, True)


@contextlib.asynccontextmanager
async def running(outlet: Outlet) -> AsyncIterator[None]:
    task = asyncio.create_task(outlet.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def taken(track: PacketTrack, count: int) -> list[int]:
    return [(await track.recv()).timestamp for _ in range(count)]


async def test_beat_leaves_as_one_picture_and_two_sounds() -> None:
    stats = Stats()
    outlet = Outlet(stats)
    outlet.use("video", FakeEncoder())
    outlet.use("audio", FakeEncoder())
    async with running(outlet):
        outlet.send(7, beat(0), arrived=time.monotonic() - 0.1)
        assert await taken(outlet.video, 1) == [7 * 3600]
        began = time.monotonic()
        assert await taken(outlet.audio, 2) == [7 * 1920, 7 * 1920 + 960]
        assert time.monotonic() - began < 1
    assert 100 <= stats.percentile_ms("studio_sound_to_beat_ms", 0.5) < 1000
    assert outlet.dropped == 0


async def test_slow_encoder_loses_pictures_but_no_sound() -> None:
    stats, video, audio = Stats(), FakeEncoder(), FakeEncoder()
    outlet = Outlet(stats)
    outlet.use("video", video)
    outlet.use("audio", audio)
    async with running(outlet):
        video.gate.clear()
        outlet.send(0, beat(0))
        await until(lambda: len(audio.timestamps) == 2)
        for slot in range(1, 6):
            outlet.send(slot, beat(slot))
        video.gate.set()
        await until(lambda: outlet.dropped)
        assert len(audio.timestamps) == 12
        assert video.timestamps == [0, 3 * 3600, 4 * 3600, 5 * 3600]
    assert outlet.dropped == 2 == stats.value("studio_dropped_total", what="picture")


async def test_beats_that_wait_are_bounded() -> None:
    stats = Stats()
    outlet = Outlet(stats)
    for slot in range(BUFFERED_SLOTS + 3):
        outlet.send(slot, beat(slot))
    assert outlet.dropped == 3 == stats.value("studio_dropped_total", what="beat")


async def test_hush_silences_what_waits_and_keeps_the_pictures() -> None:
    video, audio = FakeEncoder(), Loudness()
    outlet = Outlet(Stats())
    outlet.use("video", video)
    outlet.use("audio", audio)
    for slot in range(3):
        outlet.send(slot, replace(beat(slot), pcm=np.full(640, 99, np.int16)))
    outlet.hush()
    outlet.send(3, replace(beat(3), pcm=np.full(640, 99, np.int16)))
    async with running(outlet):
        await until(lambda: len(audio.timestamps) == 8 and video.timestamps)
    assert audio.levels == [0] * 6 + [99] * 2


async def test_keyframe_request_reaches_the_encoder() -> None:
    video = FakeEncoder()
    outlet = Outlet(Stats())
    outlet.use("video", video)
    async with running(outlet):
        outlet.request_keyframe()
        outlet.send(0, beat(0))
        await taken(outlet.video, 1)
        outlet.send(1, beat(1))
        await taken(outlet.video, 1)
    assert video.keyframes == [True, False]


async def test_visitor_without_sound_gets_pictures_only() -> None:
    outlet = Outlet(Stats())
    outlet.use("video", FakeEncoder())
    async with running(outlet):
        outlet.send(0, beat(0))
        await taken(outlet.video, 1)
    assert not outlet.audio._queue


async def test_track_waits_until_a_packet_is_due_and_ends_when_stopped() -> None:
    track = PacketTrack("audio", Stats())
    track.put(time.monotonic() + 3600, Encoded([b"x"], 1))
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


async def test_stop_wakes_whoever_waits() -> None:
    outlet = Outlet(Stats())
    waiting = [asyncio.create_task(track.recv()) for track in (outlet.video, outlet.audio)]
    await asyncio.sleep(0)
    outlet.stop()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, MediaStreamError) for result in results)


async def test_track_that_nobody_reads_forgets_the_oldest() -> None:
    track = PacketTrack("video", Stats())
    for i in range(1000):
        track.put(0.0, Encoded([b"x"], i))
    assert len(track._queue) == 4 * BUFFERED_SLOTS
    assert (await track.recv()).timestamp == 1000 - 4 * BUFFERED_SLOTS


async def test_fault_of_an_encoder_comes_out_of_run() -> None:
    class Broken(FakeEncoder):
        def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
            raise ValueError("broken")

    outlet = Outlet(Stats())
    outlet.use("video", Broken())
    outlet.send(0, beat(0))
    with pytest.raises(ValueError, match="broken"):
        await asyncio.wait_for(outlet.run(), 5)
