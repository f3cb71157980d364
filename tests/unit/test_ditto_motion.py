"""Ditto's motion: windows, the online stream, its end and its interruption, on a network that is a formula."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.ditto.condition import Condition, emotion_rows
from studio.engines.ditto.motion import OfflineMotion, OnlineMotion, Request, smooth
from studio.engines.ditto.options import Setup
from studio.engines.ditto.types import CheckpointInfo, Floats, Reference

START = np.zeros(265, np.float32)
PERSON = Reference((), np.zeros((1, 2), np.float32), np.zeros((1, 6), np.float32), np.zeros(63, np.float32))


def condition() -> Condition:
    return Condition(PERSON, emotion_rows(4), False, CheckpointInfo({}, {}))


def speech(first: int, count: int) -> Floats:
    """Features whose value is the frame's number."""
    return np.repeat(np.arange(first, first + count, dtype=np.float32)[:, None], 1024, axis=1)


def answer(request: Request) -> Floats:
    """A network that says what it hears: each frame of the window is the feature's value."""
    return np.repeat(request.condition[:, :1], 265, axis=1)


def online(overlap: int) -> OnlineMotion:
    setup = Setup(online_mode=True, overlap_v2=overlap, smo_k_d=1)
    return OnlineMotion(START, setup, condition(), speech(-overlap, overlap))


def run(motion: OnlineMotion) -> list[float]:
    frames: list[float] = []
    while (request := motion.request()) is not None:
        frames += np.round(motion.accept(answer(request))[:, 0], 2).tolist()
    return frames


@pytest.mark.parametrize("overlap", [40, 70, 75, 79])
def test_online_frames_are_those_of_the_sound_from_its_first_one(overlap: int) -> None:
    motion, frames = online(overlap), []
    for at in range(0, 300, 5):
        motion.hear(speech(at, 5))
        frames += run(motion)
    assert frames == list(range(len(frames)))
    fresh = 80 - overlap
    assert len(frames) == (300 // fresh - 1) * fresh


@pytest.mark.parametrize(("overlap", "heard", "given"), [(70, 45, 50), (70, 105, 110), (75, 35, 40), (68, 40, 48)])
def test_online_end_gives_whole_blocks(overlap: int, heard: int, given: int) -> None:
    """Lengths that upstream showed: (floor(N / v) + 1) * v."""
    motion = online(overlap)
    motion.hear(speech(0, heard))
    frames = run(motion)
    request = motion.request(ends=True)
    assert request is not None
    assert len(frames) + len(motion.accept(answer(request), ends=True)) == given


@pytest.mark.parametrize("overlap", [40, 70, 75, 79])
@pytest.mark.parametrize("heard", [0, 5, 20, 60, 85, 400])
def test_rewinding_leaves_no_frame_of_the_cancelled_speech(overlap: int, heard: int) -> None:
    motion = online(overlap)
    motion.hear(speech(0, heard))
    frames = run(motion)
    unseen = min(3, len(frames))
    shown = len(frames) - unseen
    motion.rewind(unseen)
    after: list[float] = []
    for at in range(0, 200, 5):
        motion.hear(speech(shown + 1000 + at, 5))
        after += run(motion)
    assert len(after) >= 100
    assert after == [shown + 1000 + i for i in range(len(after))], "the new speech, from its first frame"


def test_state_does_not_grow() -> None:
    motion = online(70)
    for at in range(0, 2000, 5):
        motion.hear(speech(at, 5))
        run(motion)
    assert len(motion.windows.result) <= 160
    assert len(motion._speech) <= 170


def test_offline_gives_every_frame_once() -> None:
    motion = OfflineMotion(START, Setup(smo_k_d=1), condition(), speech(0, 203))
    while (request := motion.request()) is not None:
        assert request.condition.shape == (80, 1103)
        motion.accept(answer(request))
    assert np.array_equal(motion.smoothed()[:, 0], np.arange(203))


def test_smoothing_takes_unsmoothed_neighbours_and_leaves_expression_alone() -> None:
    frames = np.zeros((9, 265), np.float32)
    frames[4] = 3.0
    smooth(frames, 0, 9, 3)
    assert np.array_equal(frames[:, 0], [0, 0, 0, 1, 1, 1, 0, 0, 0])
    assert np.array_equal(frames[:, 201], frames[:, 0])
    assert np.array_equal(frames[:, 202], [0, 0, 0, 0, 3, 0, 0, 0, 0])
