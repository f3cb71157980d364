"""Lips and sound: a mouth that follows the loudness is found, at its lag; what cannot be told is said to be unknown."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.beat import SAMPLE_RATE
from studio.client import lips
from studio.client.figures import Floats, Unmeasured
from studio.client.lips import Lips

ROOT = Path(__file__).resolve().parents[2]
TIMES = np.arange(200) / 25


def babble(seconds: float = 8.0) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """Noise that swells and fades like syllables, (n,) mono 16 kHz."""
    rng = np.random.default_rng(4)
    knots = rng.uniform(0, 1, round(seconds * 5) + 1) ** 2
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    gain = np.interp(t, np.arange(len(knots)) / 5, knots)
    return (gain * rng.normal(0, 4000, len(t))).clip(-32768, 32767).astype(np.int16)


def mouth(lag: float) -> Floats:
    at, level = lips.loudness(babble())
    return np.interp(TIMES - lag, at, level) / 100


@pytest.mark.parametrize("lag_ms", [-120, 0, 80])
def test_a_mouth_that_follows_is_found_at_its_lag(lag_ms: int) -> None:
    found = lips.compare(mouth(lag_ms / 1000), TIMES + 40, babble(), 40.0)
    assert isinstance(found, Lips)
    assert found.lag_ms == pytest.approx(lag_ms, abs=20)
    assert found.best_r > 0.95
    assert (found.r == found.best_r) == (lag_ms == 0)


def test_another_voice_correlates_little() -> None:
    found = lips.compare(mouth(0)[::-1].copy(), TIMES, babble(), 0.0)
    assert isinstance(found, Lips)
    assert found.best_r < 0.5


def test_lost_faces_are_left_out() -> None:
    opening = mouth(0)
    opening[::3] = np.nan
    found = lips.compare(opening, TIMES, babble(), 0.0)
    assert isinstance(found, Lips)
    assert found.pictures < 130
    assert found.lag_ms == 0


@pytest.mark.parametrize(
    ("opening", "pcm", "reason"),
    [
        (np.full(200, np.nan), babble(), "seen in 0"),
        (np.full(200, 0.1), babble(), "does not move"),
        (mouth(0), np.full(8 * SAMPLE_RATE, 5000, np.int16), "equally loud"),
        (mouth(0), babble(1.0), "seen in"),
    ],
)
def test_what_cannot_be_told_is_said(
    opening: Floats, pcm: np.ndarray[tuple[int], np.dtype[np.int16]], reason: str
) -> None:
    found = lips.compare(opening, TIMES, pcm, 0.0)
    assert isinstance(found, Unmeasured)
    assert reason in found.reason


def test_too_little_is_not_looked_at() -> None:
    dark = np.full((96, 64), 16, np.uint8)
    few = lips.measure([dark] * 9, TIMES[:9], babble(), 0.0, lambda _: None)
    mute = lips.measure([dark] * 60, TIMES[:60], np.zeros(99, np.int16), 0.0, lambda _: None)
    assert isinstance(few, Unmeasured)
    assert "too few" in few.reason
    assert isinstance(mute, Unmeasured)
    assert "no sound" in mute.reason


def test_pictures_without_a_face_are_no_measure() -> None:
    grey = np.full((96, 64), 128, np.uint8)
    found = lips.measure([grey] * 60, TIMES[:60], babble(), 0.0, lambda _: None)
    assert isinstance(found, Unmeasured)
    assert "face" in found.reason


def test_a_face_is_followed_from_picture_to_picture() -> None:
    image = cv2.imread(str(ROOT / "static" / "avatars" / "astronaut.png"))
    assert image is not None
    seen = []
    for left in (0, 6):  # the head moves, the mouth does not
        moved = cv2.resize(image[:, left : left + image.shape[1] - 8], (320, 320), interpolation=cv2.INTER_AREA)
        seen.append(np.asarray(cv2.cvtColor(moved, cv2.COLOR_BGR2YUV_I420), np.uint8))
    done: list[float] = []
    found = lips.openings([*seen, np.full((480, 320), 128, np.uint8)], done.append)
    assert found is not None
    assert done[-1] == 1.0
    assert found[0] == pytest.approx(found[1], abs=0.08)
    assert np.isnan(found[2])


def test_loudness_of_a_tone_that_stops() -> None:
    tone = (8000 * np.sin(np.arange(SAMPLE_RATE) * 0.3)).astype(np.int16)
    at, level = lips.loudness(np.concatenate([tone, np.zeros(SAMPLE_RATE, np.int16)]))
    assert level[(at > 0.1) & (at < 0.9)] == pytest.approx(lips.RANGE_DB, abs=0.5)
    assert level[at > 1.1].max() == 0.0
