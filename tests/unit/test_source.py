from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Pcm
from studio.beat import SAMPLES_PER_BEAT, Beat
from studio.engine import Options
from studio.errors import BadAudio, TooLarge
from studio.pipeline import Pipeline
from studio.source import LEAD_BEATS, PIPE_BYTES, LiveVoice, Pipe, Recording
from tests.fakes import FakeEngine, FakeLoaded, speech, until
from tests.unit.test_recording import wav


class Listener:
    """Hears up to a number of beats, until told to forget them."""

    def __init__(self, beats: int = 10**6, bite: int = 10**9) -> None:
        self.most, self.bite = beats, bite
        self.heard: list[Pcm] = []
        self.waiting = 0.0
        self.ended = 0
        self.left = asyncio.Event()

    def feed(self, pcm: Pcm, live: bool = False, arrived: float = 0.0) -> int:
        taken = min(len(pcm), self.bite)
        self.heard.append(pcm[:taken].copy())
        self.waiting += taken / SAMPLES_PER_BEAT
        return taken

    async def room(self, beats: int) -> None:
        while self.waiting >= min(beats, self.most):
            self.left.clear()
            await self.left.wait()

    def end(self) -> None:
        self.ended += 1

    def forget(self) -> None:
        self.waiting = 0.0
        self.left.set()

    @property
    def sound(self) -> Pcm:
        return np.concatenate(self.heard)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("source")]


async def test_recording_is_handed_over_whole(tmp_path: Path) -> None:
    pcm, hearer = speech(1.23), Listener(bite=777)
    await Recording.of_file(wav(tmp_path / "a.wav", pcm), "wav").run(hearer)
    assert np.array_equal(hearer.sound, pcm)
    assert hearer.ended == 1
    await until(lambda: not readers())


async def test_recording_waits_for_room(tmp_path: Path) -> None:
    pcm, hearer = speech(6.0), Listener()
    task = asyncio.create_task(Recording.of_file(wav(tmp_path / "a.wav", pcm), "wav").run(hearer))
    await until(lambda: hearer.waiting >= LEAD_BEATS)
    assert hearer.waiting <= 1.5 * LEAD_BEATS and not task.done()
    while not task.done():
        hearer.forget()
        await asyncio.sleep(0)
    assert np.array_equal(hearer.sound, pcm)


async def test_loop_goes_on_without_a_pause_until_cancelled(tmp_path: Path) -> None:
    pcm, hearer = speech(0.7), Listener(beats=60)
    task = asyncio.create_task(Recording.of_file(wav(tmp_path / "a.wav", pcm), "wav", loop=True).run(hearer))
    await until(lambda: len(hearer.heard) and len(hearer.sound) > 2 * len(pcm))
    assert np.array_equal(hearer.sound[: 2 * len(pcm)], np.concatenate((pcm, pcm)))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert hearer.ended == 1
    await until(lambda: not readers())


async def test_broken_recording_says_so_after_what_was_read() -> None:
    def pieces() -> Generator[Pcm, None, None]:
        yield speech(0.6)
        raise BadAudio

    hearer = Listener()
    with pytest.raises(BadAudio):
        await Recording(pieces).run(hearer)
    assert len(hearer.sound) and hearer.ended == 1


async def test_empty_loop_ends() -> None:
    def pieces() -> Generator[Pcm, None, None]:
        yield from ()

    await Recording(pieces, loop=True).run(Listener())


@pytest.mark.parametrize("lookahead", [0, 30, 80])
@pytest.mark.parametrize("queue_seconds", [0.04, 120.0])
async def test_pipeline_gets_every_sample_in_its_own_time(lookahead: int, queue_seconds: float) -> None:
    """The queue may be shorter than the lead, the engine's look-ahead longer."""
    loaded, pcm = FakeLoaded.of(FakeEngine(lookahead=lookahead)), speech(8.0)

    def pieces() -> Generator[Pcm, None, None]:
        yield from np.array_split(pcm, 100)

    pipeline = Pipeline(loaded, Options(), paced=False, queue_seconds=queue_seconds)
    task = asyncio.create_task(Recording(pieces).run(pipeline))
    beats, deepest = list[Beat](), 0
    with contextlib.suppress(StopAsyncIteration):
        while True:
            beats.append(await pipeline.next())
            deepest = max(deepest, 0 if task.done() else pipeline.depth)  # at its end silence follows
    assert np.array_equal(np.concatenate([beat.pcm for beat in beats])[: len(pcm)], pcm)
    await task
    await pipeline.aclose()
    await loaded.scheduler.aclose()
    assert deepest <= LEAD_BEATS + lookahead + 13  # half a second more than there was room for


async def test_live_voice_is_handed_on_as_it_comes_and_ends_with_its_pipe() -> None:
    pcm, hearer, pipe = speech(0.5), Listener(), Pipe()
    task = asyncio.create_task(LiveVoice(pipe).run(hearer))
    wave = (pcm / 32767).astype("<f4").tobytes()
    pipe.push(wave[:1001])
    await until(lambda: hearer.heard)
    pipe.push(wave[1001:])
    pipe.close()
    await task
    assert np.array_equal(hearer.sound, pcm), "samples that were cut in two are whole again"
    await until(lambda: not readers())


async def test_numbers_that_are_none_are_silence_or_full_scale() -> None:
    hearer, pipe = Listener(), Pipe()
    pipe.push(np.array([0, 0, 0, np.nan, np.inf, -np.inf, 7], "<f4").tobytes())
    pipe.close()
    await LiveVoice(pipe).run(hearer)
    assert hearer.sound.tolist() == [0, 0, 0, 0, 32767, -32767, 32767]


async def test_voice_that_is_left_gives_its_thread_back() -> None:
    pipe = Pipe()
    task = asyncio.create_task(LiveVoice(pipe).run(Listener()))
    await until(readers)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not readers())


def test_pipe_holds_so_much_and_no_more() -> None:
    pipe = Pipe()
    pipe.push(bytes(PIPE_BYTES))
    with pytest.raises(TooLarge):
        pipe.push(b"x")
    assert len(pipe.read(100)) == 100
    pipe.push(b"x")
