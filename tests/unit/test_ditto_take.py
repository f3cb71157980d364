"""A visit to a Ditto avatar: every beat shows the motion of its own sound; the idle loop before, after and when cut.

Network, motion and keypoints are one number each: the beat's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.ditto.condition import Condition, emotion_rows
from studio.engines.ditto.options import Setup
from studio.engines.ditto.speech import WINDOW
from studio.engines.ditto.take import Conductor, delay_beats
from studio.engines.ditto.types import CheckpointInfo, Floats, Motion, Reference

PERSON = Reference((), np.zeros((1, 2), np.float32), np.zeros((1, 6), np.float32), np.zeros(63, np.float32))
IDLE = -500.0


@dataclass
class Loop:
    points: Floats
    templates: int = 1


class Retarget:
    referred = 0

    def drive(self, motion: Motion, template: int) -> tuple[Floats, Floats]:
        return np.zeros((21, 3), np.float32), np.full((21, 3), motion["exp"][0, 0])

    def refer(self, motion: Motion) -> None:
        self.referred += 1


def conductor(overlap: int) -> Conductor:
    setup = Setup(online_mode=True, overlap_v2=overlap, smo_k_d=1, sampling_timesteps=1)
    condition = Condition(PERSON, emotion_rows(4), False, CheckpointInfo({}, {}))
    loop = Loop(np.full((200, 21, 3), IDLE, np.float32))
    silence = np.zeros((overlap, 1024), np.float32)
    start = np.zeros(265, np.float32)
    return Conductor(loop, setup, condition, start, silence, Retarget(), np.random.RandomState(0))


def chunk(index: int, value: int, speech: bool = True, cut: bool = False) -> AudioChunk:
    return AudioChunk(index, np.full(SAMPLES_PER_BEAT, value, np.int16), speech, index, cut)


Seen = tuple[int, float]
"""Index of a beat and the number its keypoints show."""


def play(take: Conductor, chunks: Sequence[AudioChunk]) -> list[Seen]:
    """Do what the engine does, with a network that says what it hears."""
    seen: list[Seen] = []
    for one in chunks:
        for window in take.hear(one):
            assert window.shape == (WINDOW,)
            heard = np.round(window[1920 + 320 : 1920 + 3200 : 640] * 32768)
            take.learn(np.repeat(heard[:, None], 1024, axis=1))
        while (request := take.request()) is not None:
            take.accept(np.repeat(request.condition[:, :1], 265, axis=1))
        if (shot := take.shot()) is not None:
            assert take.shot() is shot
            points = shot.points(None if shot.spoken is None else shot.spoken[1])
            seen.append((shot.chunk.index, round(float(points[0, 0]), 2)))
            take.commit(points if shot.weight else None)
    return seen


def blended(index: int, weight: float) -> float:
    return round(IDLE + weight * (index + 1 - IDLE), 2)


@pytest.mark.parametrize(("overlap", "delay"), [(70, 22), (75, 12), (79, 8)])
def test_delay_is_the_arithmetic_of_the_windows(overlap: int, delay: int) -> None:
    assert delay_beats(overlap) == delay


@pytest.mark.parametrize("overlap", [40, 68, 70, 75, 77, 79])
def test_every_beat_shows_the_motion_of_its_own_sound(overlap: int) -> None:
    take = conductor(overlap)
    seen = play(take, [chunk(i, i + 1) for i in range(150)])
    assert [index for index, _ in seen] == list(range(150 - take.delay)), "one a chunk, none early, none late"
    assert [value for _, value in seen[:4]] == [blended(i, 0.25 * (i + 1)) for i in range(4)]
    assert [value for _, value in seen[3:]] == [index + 1 for index, _ in seen[3:]]


def test_a_chunk_that_is_tried_again_is_heard_once() -> None:
    one, other = conductor(75), conductor(75)
    chunks = [chunk(i, i + 1) for i in range(60)]
    twice: list[Seen] = []
    for each in chunks:
        other.hear(each)
        other.shot()
        twice += play(other, [each])
    assert play(one, chunks) == twice


@pytest.mark.parametrize("overlap", [70, 75, 79])
def test_pauses_are_the_networks_and_a_long_one_is_the_idle_loops(overlap: int) -> None:
    take = conductor(overlap)
    spoken = {*range(20), *range(24, 40), *range(70, 90)}
    seen = dict(play(take, [chunk(i, i + 1, i in spoken) for i in range(120)]))
    assert all(seen[i] == i + 1 for i in range(3, 45))
    assert [seen[45 + i] for i in range(4)] == [blended(45 + i, 0.75 - 0.25 * i) for i in range(4)]
    assert all(seen[i] == IDLE for i in range(48, 70))
    assert seen[70] == blended(70, 0.25) and all(seen[i] == i + 1 for i in range(73, 90))


@pytest.mark.parametrize("overlap", [70, 75, 79])
@pytest.mark.parametrize("at", [0, 3, 30, 61])
def test_interruption_closes_at_once_and_what_follows_is_seen_with_its_own_motion(overlap: int, at: int) -> None:
    take = conductor(overlap)
    before = play(take, [chunk(i, i + 1) for i in range(at)])
    assert len(before) == max(0, at - take.delay)
    away = before[-1][1] - IDLE if before else 0.0
    cut = play(take, [chunk(at + i, 0, False, cut=i == 0) for i in range(6)])
    assert [one.index for one in take.void] == list(range(len(before), at))
    assert [index for index, _ in cut] == list(range(at, at + 6)), "at once"
    assert [value for _, value in cut] == [round(IDLE + kept * away, 2) for kept in (0.6, 0.2, 0, 0, 0, 0)]
    after = play(take, [chunk(at + 6 + i, at + 7 + i) for i in range(80)])
    assert [index for index, _ in after] == list(range(at + 6, at + 86 - take.delay))
    assert all(value == index + 1 for index, value in after[3:])


def test_one_reference_for_the_whole_take() -> None:
    take = conductor(75)
    retarget = take._retarget
    play(take, [chunk(i, i + 1, cut=i == 50) for i in range(100)])
    assert isinstance(retarget, Retarget) and retarget.referred == 1
