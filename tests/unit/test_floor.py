from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Pcm
from studio.beat import SAMPLES_PER_BEAT
from studio.errors import BadMessage, StudioError, StudioFull
from studio.floor import RECORDINGS, Floor
from studio.source import Recording
from studio.voice import BLOCK_BYTES, FLUSHES, Voice
from tests.fakes import speech, until
from tests.unit.test_recording import wav


class Ear:
    """A `floor.Speaker`: has room until it is full, and has spoken when it is told so."""

    def __init__(self, most: int = 10**9) -> None:
        self.most, self.heard = most, list[Pcm]()
        self.ends, self.turns_at = 0, list[int]()
        self.has_spoken, self.left = asyncio.Event(), asyncio.Event()
        self.has_spoken.set()
        self.turns = 0

    def feed(self, pcm: Pcm, live: bool = False, arrived: float = 0.0) -> int:
        self.heard.append(pcm.copy())
        self.turns_at.append(self.turns)
        return len(pcm)

    async def room(self, beats: int) -> None:
        while self.samples >= self.most:
            self.left.clear()
            await self.left.wait()

    def end(self) -> None:
        self.ends += 1

    async def spoken(self) -> None:
        await self.has_spoken.wait()

    @property
    def samples(self) -> int:
        return sum(map(len, self.heard))

    @property
    def sound(self) -> Pcm:
        return np.concatenate(self.heard)


def floor_of(ear: Ear, told: list[StudioError] | None = None) -> Floor:
    floor = Floor(ear, (told if told is not None else list[StudioError]()).append)
    floor.open()
    return floor


async def test_voice_of_sixteen_kilohertz_is_handed_over_sample_for_sample_however_it_was_cut() -> None:
    ear, voice, pcm = Ear(), Voice(), speech(0.5)
    data = pcm.astype("<i2").tobytes()
    for start in range(0, len(data), 777):
        voice.push(data[start : start + 777], 16_000)
    assert voice.seconds == pytest.approx(0.5)
    voice.close()
    await voice.run(ear)
    assert np.array_equal(ear.sound[: len(pcm)], pcm) and ear.ends == 1 and voice.seconds == 0
    with pytest.raises(BadMessage):
        voice.push(data, 16_000)
    with pytest.raises(BadMessage):
        voice.flush()


@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000])
async def test_burst_is_handed_over_in_pieces_between_which_the_loop_is_free(rate: int) -> None:
    ear, voice = Ear(), Voice()
    voice.push(bytes(2 * rate * 10), rate)
    voice.close()
    speaking = asyncio.create_task(voice.run(ear))
    while not speaking.done():
        ear.turns += 1
        await asyncio.sleep(0)
    assert ear.samples == pytest.approx(160_000, abs=200)
    assert max(map(len, ear.heard)) <= 2 * SAMPLES_PER_BEAT
    assert len(set(ear.turns_at)) >= len(ear.heard) - 1, "each piece in a turn of its own; the last with the rest"


async def test_many_tiny_messages_cost_no_more_than_one_large_one() -> None:
    voice = Voice()
    for _ in range(BLOCK_BYTES + 1):
        voice.push(b"\0", 8_000)
    assert len(voice._queue) == 2


async def test_rate_may_change_within_a_voice() -> None:
    ear, voice = Ear(), Voice()
    for rate in (8_000, 48_000, 16_000):
        voice.push(bytes(2 * rate), rate)
    voice.close()
    await voice.run(ear)
    assert ear.samples == pytest.approx(48_000, abs=400)


async def test_flush_is_done_when_all_was_spoken_and_not_before() -> None:
    ear, voice = Ear(), Voice()
    ear.has_spoken.clear()
    voice.push(bytes(3200), 16_000)
    flushed = voice.flush()
    voice.push(bytes(3200), 16_000)
    speaking = asyncio.create_task(voice.run(ear))
    await until(lambda: ear.ends)
    assert not flushed.done() and ear.samples == 1600
    ear.has_spoken.set()
    assert await flushed is True
    await until(lambda: ear.samples == 3200)
    speaking.cancel()


async def test_what_is_forgotten_is_not_spoken_and_flush_says_so() -> None:
    ear, voice = Ear(most=SAMPLES_PER_BEAT), Voice()
    voice.push(bytes(32_000), 16_000)
    flushed = voice.flush()
    speaking = asyncio.create_task(voice.run(ear))
    await until(lambda: ear.samples >= ear.most)
    before = ear.samples
    assert voice.forget() == pytest.approx(1 - before / 16_000, abs=0.1)
    assert await flushed is False and voice.seconds == 0
    ear.most = 10**9
    ear.left.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert ear.samples == before and not speaking.done()
    voice.push(np.full(640, 7, "<i2").tobytes(), 16_000)
    voice.close()
    await speaking
    assert (ear.sound[before:] == 7).all() and ear.samples == before + 640


async def test_flushes_are_bounded_and_waiting_ends_when_there_is_room() -> None:
    ear, voice = Ear(most=0), Voice()
    voice.push(bytes(32_000), 16_000)
    for _ in range(FLUSHES):
        voice.flush()
    with pytest.raises(BadMessage):
        voice.flush()
    speaking, waiting = asyncio.create_task(voice.run(ear)), asyncio.create_task(voice.drained(0.5))
    await asyncio.sleep(0)
    assert not waiting.done()
    ear.most = 10**9
    ear.left.set()
    await waiting
    assert voice.seconds < 0.5
    speaking.cancel()


async def test_microphone_is_not_heard_and_own_sound_waits_while_an_agent_speaks() -> None:
    ear, voice = Ear(), Voice()
    floor = floor_of(ear)
    assert floor.feed(speech(0.1), live=True) == 1600 and ear.samples == 1600
    speaking = floor.attach(voice)
    assert floor.is_taken
    assert floor.feed(speech(0.1), live=True) == 1600 and floor.feed(speech(0.1)) == 0
    room = asyncio.create_task(floor.room(50))
    floor.end()
    assert ear.samples == 1600 and not ear.ends
    voice.close()
    await speaking
    await room
    assert not floor.is_taken and ear.ends == 2, "the agent's end, and the one that was owed"
    floor.feed(speech(0.1))
    assert ear.samples == 3200


async def test_second_agent_has_to_wait_for_the_first_to_leave() -> None:
    ear, first = Ear(), Voice()
    ear.has_spoken.clear()
    floor = floor_of(ear)
    floor.attach(first)
    with pytest.raises(BadMessage, match="Another agent"):
        floor.attach(Voice())
    first.close()
    second = Voice()
    floor.attach(second)
    second.push(bytes(32_000), 16_000)
    second.close()
    with pytest.raises(BadMessage, match="Another agent"):
        floor.attach(Voice())
    assert floor.forget() == pytest.approx(1)
    ear.has_spoken.set()
    await until(lambda: not floor.is_taken)
    assert not ear.samples


async def test_recordings_are_spoken_one_after_the_other_and_no_more_than_may_wait(tmp_path: Path) -> None:
    ear = Ear()
    floor = floor_of(ear)
    files = [wav(tmp_path / f"{i}.wav", np.full(1000, i, np.int16)) for i in range(RECORDINGS)]
    for file in files:
        floor.say(Recording.of_file(file, "wav"))
    with pytest.raises(StudioFull):
        floor.say(Recording.of_file(files[0], "wav"))
    await until(lambda: not floor.is_taken)
    assert np.array_equal(ear.sound, np.repeat(np.arange(RECORDINGS, dtype=np.int16), 1000))


async def test_recordings_are_refused_beside_an_agent_and_forgotten_when_interrupted(tmp_path: Path) -> None:
    ear, voice = Ear(most=0), Voice()
    floor = floor_of(ear)
    recording = Recording.of_file(wav(tmp_path / "a.wav", speech(0.2)), "wav")
    floor.say(recording)
    floor.say(recording)
    await asyncio.sleep(0)
    assert floor.forget() == 0
    await until(lambda: not floor.is_taken)
    assert not ear.samples
    floor.attach(voice)
    with pytest.raises(BadMessage, match="agent"):
        floor.say(recording)
    await floor.aclose()
    assert voice.is_closed


async def test_recording_that_breaks_is_told_and_the_next_is_spoken(tmp_path: Path) -> None:
    told, ear = list[StudioError](), Ear()
    floor = floor_of(ear, told)
    (tmp_path / "bad.wav").write_bytes(b"RIFF0000WAVE")
    floor.say(Recording.of_file(tmp_path / "bad.wav", "wav"))
    floor.say(Recording.of_file(wav(tmp_path / "a.wav", speech(0.2)), "wav"))
    await until(lambda: not floor.is_taken)
    assert [error.code for error in told] == ["bad_audio"] and ear.samples == 3200


async def test_nobody_speaks_before_media_flow_or_after_the_visit() -> None:
    ear, voice = Ear(), Voice()
    floor = Floor(ear, list[StudioError]().append)
    voice.push(bytes(320), 16_000)
    floor.attach(voice)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ear.samples
    floor.open()
    await until(lambda: ear.samples)
    await floor.aclose()
    await floor.aclose()
    with pytest.raises(BadMessage, match="ended"):
        floor.attach(Voice())
