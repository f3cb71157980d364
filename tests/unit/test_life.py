"""Idle loop and speech life: seamless, deterministic, within limits, back to exactly nothing."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.portrait.life import BLINK, FALL, IDLE_CLOSE, RISE, SWAY, SpeechLife, eased, idle_poses
from studio.engines.portrait.parameters import COUNT, HIGHEST, INDEX, LOWEST

LEFT, RIGHT, PITCH = INDEX["blink_left"], INDEX["blink_right"], INDEX["pitch"]
SMOOTH = [INDEX[name] for name in ("yaw", "pitch", "roll", "tx", "ty", "breathe", "browup", "smile", "close")]
SEEDS = range(12)


@pytest.mark.parametrize("seed", SEEDS)
def test_idle_loop_is_legal_and_deterministic(seed: int) -> None:
    poses = idle_poses(seed)
    assert poses.shape == (250, COUNT)
    assert poses.dtype == np.float32
    assert (poses >= LOWEST).all()
    assert (poses <= HIGHEST).all()
    assert np.array_equal(poses, idle_poses(seed))
    assert not np.array_equal(poses, idle_poses(seed + 1))


@pytest.mark.parametrize("seed", SEEDS)
def test_idle_loop_has_no_seam(seed: int) -> None:
    poses = idle_poses(seed)
    steps = np.abs(np.diff(np.concatenate([poses, poses[:1]]), axis=0))
    inner, seam = steps[:-1, SMOOTH].max(0), steps[-1, SMOOTH]
    assert (seam <= inner + 1e-6).all()
    assert steps[:, PITCH].max() < np.radians(0.25)
    blink = steps[:, LEFT].max()
    assert blink <= 0.56


@pytest.mark.parametrize("seed", SEEDS)
def test_idle_loop_lives_but_the_mouth_rests(seed: int) -> None:
    poses = idle_poses(seed)
    for name, most in SWAY:
        assert float(np.abs(poses[:, INDEX[name]]).max()) == pytest.approx(most, rel=1e-4)
    for name in ("jaw", "upraise", "lodep", "wide", "pucker", "press", "ff", "tongue", "jawside"):
        assert not poses[:, INDEX[name]].any()
    assert (poses[:, INDEX["close"]] == np.float32(IDLE_CLOSE)).all()
    assert 0.0 <= poses[:, INDEX["breathe"]].min() < 0.01
    assert poses[:, INDEX["breathe"]].max() > 0.99


@pytest.mark.parametrize("seed", SEEDS)
def test_idle_loop_blinks_like_a_person(seed: int) -> None:
    shut = idle_poses(seed)[:, LEFT] > 0.9
    blinks = int((shut & ~np.roll(shut, 1)).sum())
    assert 1 <= blinks <= 7
    assert shut.mean() < 0.1
    both = np.abs(idle_poses(seed)[:, LEFT] - idle_poses(seed)[:, RIGHT])
    assert both.max() < 0.3


@pytest.mark.parametrize("seed", SEEDS)
def test_gaze_rests_on_the_viewer_and_glances_aside(seed: int) -> None:
    gx, gy = idle_poses(seed)[:, [INDEX["gx"], INDEX["gy"]]].T
    away = np.hypot(gx, gy) > 0.6
    assert 0 < away.mean() < 0.15
    assert np.hypot(gx, gy).max() <= 1.5


def voice(beats: int, seed: int = 1) -> np.ndarray:
    """Loudness of talk in phrases of a second with pauses of a third."""
    noise = np.random.default_rng(seed).uniform(0.3, 1.0, beats)
    return np.where(np.arange(beats) % 33 < 25, noise, 0.0)


def test_speech_life_is_zero_before_and_after() -> None:
    life = SpeechLife(3)
    assert not any(life.step(0.0, False, 0.0).any() for _ in range(20))
    offsets = [life.step(e, True, 0.0) for e in voice(200)]
    assert any(o.any() for o in offsets)
    assert life.gain == 1.0
    tail = [life.step(0.0, False, 0.0) for _ in range(12)]
    assert tail[0].any()
    assert not any(o.any() for o in tail[FALL - 1 :])
    assert life.gain == 0.0


def test_gain_eases_in_over_four_beats() -> None:
    life = SpeechLife(0)
    gains = []
    for _ in range(RISE + 1):
        life.step(0.5, True, 0.0)
        gains.append(life.gain)
    assert gains == [eased(0.25), eased(0.5), eased(0.75), 1.0, 1.0]


@pytest.mark.parametrize("seed", SEEDS)
def test_head_stays_slow_and_small(seed: int) -> None:
    life, idle = SpeechLife(seed), idle_poses(seed)
    loud = voice(500, seed)
    poses = np.array([idle[i % 250] + life.step(e, True, float(idle[i % 250, LEFT])) for i, e in enumerate(loud)])
    head = poses[:, [INDEX[n] for n in ("yaw", "pitch", "roll")]]
    assert np.abs(head).max() <= np.radians(5)
    assert np.abs(np.diff(head, axis=0)).max() <= np.radians(1.0)  # 25 degrees a second
    assert head[:, 1].max() - head[:, 1].min() > np.radians(1.0)


def test_pauses_blink_and_never_in_a_row() -> None:
    life = SpeechLife(5)
    lids = np.array([life.step(e, True, 0.0)[LEFT] for e in voice(750)])
    begins = np.flatnonzero((lids[1:] > 0) & (lids[:-1] == 0))
    assert 3 <= len(begins) <= 20
    assert np.diff(begins).min() > 25
    shut = SpeechLife(5)
    assert not any(shut.step(e, True, 0.5)[LEFT] for e in voice(750))


def test_blink_shape_ends_open() -> None:
    assert BLINK[0] == BLINK[-1] == 0.0
    assert BLINK.max() == 1.0


def test_takes_move_differently_but_each_reproducibly() -> None:
    def run(seed: int) -> list[bytes]:
        life = SpeechLife(seed)
        return [life.step(e, True, 0.0).tobytes() for e in voice(60)]

    assert run(1) == run(1)
    assert run(1) != run(2)
