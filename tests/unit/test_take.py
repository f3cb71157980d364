"""A portrait's take, on a fake painter: timing, gates, interruptions, and the way back to the idle loop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engines.portrait.life import idle_poses
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.parameters import COUNT, HIGHEST, INDEX, LOWEST
from studio.engines.portrait.take import SPEED, Mouth, PortraitTake
from studio.engines.portrait.voice import REST, MouthRow

JAW, PRESS = INDEX["jaw"], INDEX["press"]
MOUTH = [INDEX[n] for n in ("jaw", "upraise", "lodep", "wide", "pucker", "press", "ff")]
POSES = idle_poses(7)


class FakePortrait:
    """Pictures that say where they come from: row 0 holds a pose, the rest 1 if rendered."""

    width = height = 512
    restless = False
    memory_bytes = 0
    poses = POSES
    idle_length = len(POSES)

    def idle(self, phase: int) -> NDArray[np.uint8]:
        return np.zeros((768, 512), np.uint8)


class FakePainter:
    def __init__(self) -> None:
        self.poses: list[NDArray[np.float32]] = []

    def render(self, pose: NDArray[np.float32]) -> NDArray[np.uint8]:
        self.poses.append(pose)
        return np.ones((768, 512), np.uint8)


class ScriptedVoice:
    """Opens wide from the first sample on, whatever is heard: the worst model a gate can meet."""

    def __init__(self) -> None:
        self.fed = 0
        self.resets = 0

    def feed(self, pcm: NDArray[np.int16]) -> list[MouthRow]:
        self.fed += 1
        return [MouthRow(open=0.15, dwidth=0.03, energy=0.6)] if self.fed > 1 else []

    def flush(self) -> list[MouthRow]:
        return []

    def reset(self) -> None:
        self.fed, self.resets = 0, self.resets + 1


def take() -> tuple[PortraitTake, FakePainter, ScriptedVoice]:
    painter, voice = FakePainter(), ScriptedVoice()
    return PortraitTake(FakePortrait(), voice, painter, seed=4), painter, voice


def chunk(index: int, speech: bool = True, cut: bool = False, level: int = 0) -> AudioChunk:
    return AudioChunk(index, np.full(640, level, np.int16), speech, (index + 40) % 250, cut)


def mouths(painter: FakePainter) -> NDArray[np.float32]:
    return np.array([pose[MOUTH] for pose in painter.poses])


def test_beat_comes_with_the_next_chunk_and_keeps_its_samples() -> None:
    visit, _, _ = take()
    chunks = [chunk(i, level=i) for i in range(5)]
    beats = [visit.hear(c) for c in chunks]
    assert beats[0] == []
    for before, (beat,) in zip(chunks, beats[1:], strict=False):
        assert (beat.index, beat.phase, beat.speech) == (before.index, before.phase, True)
        assert beat.pcm is before.pcm


def test_silent_take_shows_the_idle_loop_itself() -> None:
    visit, painter, _ = take()
    beats = [beat for i in range(30) for beat in visit.hear(chunk(i, speech=False))]
    assert len(beats) == 29
    assert not any(beat.picture.any() for beat in beats)
    assert painter.poses == []


def test_first_rendered_pose_is_near_the_idle_pose() -> None:
    visit, painter, _ = take()
    for i in range(3):
        visit.hear(chunk(i))
    change = np.abs(painter.poses[0] - POSES[40])
    assert change[INDEX["pitch"]] < 0.01
    assert (change[MOUTH] <= SPEED[MOUTH] + 1e-6).all()
    assert painter.poses[0][JAW] > 0.1


def test_silence_shuts_the_mouth_and_meets_the_idle_loop_within_four_beats() -> None:
    visit, painter, _ = take()
    beats: list[Beat] = []
    for i in range(40):
        beats += visit.hear(chunk(i, speech=i < 25))
    rendered = [beat.index for beat in beats if beat.picture.any()]
    assert rendered == list(range(28))  # silence begins at 25; beats 25, 26, 27 are the way back
    jaw = mouths(painter)[:, 0]
    assert (np.diff(jaw[24:]) <= 0).all()
    assert np.abs(np.diff(jaw)).max() <= SPEED[JAW] + 1e-6


def test_cut_closes_the_mouth_smoothly_within_three_beats_and_voids_the_sound() -> None:
    visit, painter, voice = take()
    for i in range(20):
        visit.hear(chunk(i))
    visit.hear(chunk(20, speech=False, cut=True))
    assert voice.resets == 1
    assert voice.fed == 1
    before = mouths(painter)[-1]
    assert np.array_equal(before, mouths(painter)[-2])  # beat 19 belongs to what is void: the mouth waits
    for i in range(21, 26):
        visit.hear(chunk(i, speech=False))
    after = mouths(painter)[20:]
    assert after[0][0] < before[0]
    assert (np.diff(after[:, 0]) <= 0).all()
    assert not after[2:].any()


def test_speech_right_after_a_cut_opens_again() -> None:
    visit, painter, _ = take()
    for i in range(20):
        visit.hear(chunk(i))
    for i in range(20, 32):
        visit.hear(chunk(i, cut=i == 20))
    jaw = mouths(painter)[:, 0]
    assert np.abs(np.diff(jaw)).max() <= SPEED[JAW] + 1e-6
    assert jaw[-1] > 0.3


def test_stuttering_speech_flag_never_breaks_a_speed_limit() -> None:
    visit, painter, _ = take()
    flags = np.random.default_rng(0).uniform(size=200) < 0.6
    for i, speech in enumerate(flags):
        visit.hear(chunk(i, speech=bool(speech)))
    steps = np.abs(np.diff(mouths(painter), axis=0))
    assert (steps <= SPEED[MOUTH] + 1e-6).all()
    for pose in painter.poses:
        assert (pose >= LOWEST).all()
        assert (pose <= HIGHEST).all()


def test_press_is_fast_and_jaw_is_not() -> None:
    mouth = Mouth(1.0)
    mouth.step(REST, True)
    pose = mouth.step(MouthRow(press=1.0, open=0.4), True)
    assert pose[PRESS] == np.float32(0.8)
    assert pose[JAW] == np.float32(0.36)
    assert pose.shape == (COUNT,)


def test_same_seed_and_sound_give_the_same_poses() -> None:
    def run(seed: int) -> bytes:
        painter = FakePainter()
        visit = PortraitTake(FakePortrait(), LearnedVoice(), painter, seed)
        sound = np.random.default_rng(2).normal(0, 3000, (60, 640)).astype(np.int16)
        for i, pcm in enumerate(sound):
            visit.hear(AudioChunk(i, pcm, True, i))
        return np.array(painter.poses).tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)
