"""What moves besides the mouth: the idle loop, and what speech adds to it.

`idle_poses` is a loop that ends where it starts: breathing, a swaying head, blinks, small saccades and a glance.
`SpeechLife` is added on top of it while somebody speaks: more sway, nods and brows on stressed words, blinks in pauses;
it fades to exactly zero in silence, so that picture and idle loop meet again. Values are those of the portrait
specification, section 12. Knows nothing of sound but its loudness, and nothing of pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.beat import FPS
from studio.engines.portrait.parameters import COUNT, HIGHEST, INDEX, LOWEST

Float = NDArray[np.float32]

IDLE_LENGTH = 10 * FPS
"""Beats of the idle loop."""
IDLE_CLOSE = 0.6
"""How far a smile with parted lips is closed at rest; speech closes it wholly (no effect on closed lips)."""

_DEGREE = np.pi / 180
SWAY: Final[Sequence[tuple[str, float]]] = (
    ("yaw", 1.6 * _DEGREE), ("pitch", 1.1 * _DEGREE), ("roll", 1.0 * _DEGREE), ("tx", 1.2), ("ty", 0.8),
)  # fmt: skip
"""Largest idle motion of the head: rad and mm."""
BLINK: Final = np.array([0.0, 0.55, 1.0, 1.0, 0.7, 0.35, 0.12, 0.0])
"""A blink, beat by beat: 80 ms shutting, 40 ms shut, 160 ms opening."""
BLINK_LAG = 0.2
"""Beats (8 ms) by which the second eye follows the first."""


def sway(length: int, cycles: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (length,) smooth noise in -1..1 that repeats after ``length``: whole cycles, slower ones stronger."""
    turns = 2 * np.pi * np.arange(length) / length
    parts = [np.sin(n * turns + rng.uniform(0, 2 * np.pi)) / np.sqrt(n) for n in cycles]
    noise = np.sum(parts, axis=0)
    return np.asarray(noise / np.abs(noise).max())


def breath(length: int, breaths: int) -> NDArray[np.float64]:
    """Return (length,) 0..1: breathing in takes two fifths of the time, out three fifths."""
    at = np.arange(length) * breaths / length % 1.0
    warped = np.where(at < 0.4, at / 0.8, 0.5 + (at - 0.4) / 1.2)
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * warped))


def blink_starts(length: int, rng: np.random.Generator) -> list[int]:
    """Return the beats at which the eyes begin to shut, in a loop: log-normal gaps, median 3.6 s, one double at most.

    The loop is short and seen again and again: a cluster of blinks in it would be a tic.
    """
    starts = [int(rng.integers(FPS))]
    doubled = False
    while True:
        gap = float(np.clip(3.6 * np.exp(rng.normal(0, 0.45)), 1.6, 9.0))
        double = not doubled and rng.uniform() < 0.15
        doubled |= double
        after = starts[-1] + (len(BLINK) + 2 if double else round(gap * FPS))
        if after > length + starts[0] - FPS:
            return starts
        starts.append(after)


def blinks(length: int, starts: Sequence[int], lag: float = 0.0) -> NDArray[np.float64]:
    """Return (length,) lid travel 0..1, ``lag`` beats late, wrapped round the loop."""
    lids = np.zeros(length)
    beats = np.arange(len(BLINK) + 1)
    shape = np.interp(beats - lag, np.arange(len(BLINK)), BLINK)
    for start in starts:
        at = (start + beats) % length
        lids[at] = np.maximum(lids[at], shape)
    return lids


def gaze(length: int, starts: Sequence[int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return (length, 2) iris shifts in mm: fixations of 0.6 to 1.5 s, and one glance aside that begins in a blink."""
    shifts = np.zeros((length, 2))
    at = 0
    while at < length:
        until = at + round(float(rng.uniform(0.6, 1.5)) * FPS)
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.35) / 2
        shifts[at:until] = size * np.cos(angle), 0.6 * size * np.sin(angle)
        at = until
    begin = int(starts[int(rng.integers(len(starts)))]) + 2
    glance = (begin + np.arange(round(float(rng.uniform(0.5, 1.2)) * FPS))) % length
    shifts[glance] += rng.uniform(0.8, 1.2) * rng.choice([-1, 1]), rng.uniform(-0.3, 0.1)
    return shifts


def idle_poses(seed: int, length: int = IDLE_LENGTH) -> Float:
    """Return (length, COUNT) float32 poses of a seamless loop; the same seed gives the same loop.

    Args:
        seed: Of everything random in it.
        length: Beats, at least 200.
    """
    rng = np.random.default_rng(seed)
    poses = np.zeros((length, COUNT))
    for name, most in SWAY:
        poses[:, INDEX[name]] = most * sway(length, (1, 2, 4), rng)
    poses[:, INDEX["breathe"]] = breath(length, round(0.23 * length / FPS))
    poses[:, INDEX["browup"]] = 0.04 + 0.04 * sway(length, (1, 3, 5), rng)
    poses[:, INDEX["smile"]] = 0.04 + 0.04 * sway(length, (1, 2), rng)
    poses[:, INDEX["close"]] = IDLE_CLOSE
    starts = blink_starts(length, rng)
    poses[:, INDEX["blink_left"]] = blinks(length, starts)
    poses[:, INDEX["blink_right"]] = blinks(length, starts, BLINK_LAG)
    poses[:, INDEX["squint"]] = 0.25 * blinks(length, starts)
    poses[:, [INDEX["gx"], INDEX["gy"]]] = gaze(length, starts, rng)
    return np.asarray(np.clip(poses, LOWEST, HIGHEST), np.float32)


NOD: Final = np.array([0.0, 0.2, 0.6, 1.0, 0.9, 0.7, 0.48, 0.28, 0.13, 0.04])
"""A nod, beat by beat: 120 ms down, 280 ms back."""
BROW: Final = np.array([0.3, 0.8, 1.0, 0.95, 0.85, 0.7, 0.5, 0.32, 0.18, 0.07])
"""The brows with it, 40 ms ahead."""
RISE, FALL = 4, 4
"""Beats in which speech life comes and goes: it is gone before a silent take is put to rest."""
_SWAY_HZ = (0.07, 0.19, 0.43)
_SWAY_STEP: Final = 2 * np.pi / FPS * np.array(_SWAY_HZ)
_SWAY_MEAN: Final = np.full(len(_SWAY_HZ), 1 / len(_SWAY_HZ))
_SWAY_AT: Final = np.array([INDEX[name] for name, _ in SWAY])
_SWAY_MOST: Final = np.array([0.5 * most for _, most in SWAY])


def eased(position: float) -> float:
    """Return the smooth step of ``position`` 0..1: exactly 0 and 1 at its ends."""
    return position * position * (3.0 - 2.0 * position)


class SpeechLife:
    """What one take's speech adds to its idle pose.

    Args:
        seed: Of everything random in it; two takes of one avatar never move alike.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._phases = self._rng.uniform(0, 2 * np.pi, (len(SWAY), len(_SWAY_HZ)))
        self._beat = 0
        self._position = 0.0
        self._mean = 0.5
        self._since_nod = self._since_blink = self._open = FPS
        self._voiced = 0
        self._nod, self._brow = 0.0, 0.0
        self._patience = 0.0

    @property
    def gain(self) -> float:
        """How much of the speech life shows, 0..1; exactly 0 in lasting silence."""
        return eased(self._position)

    def step(self, energy: float, speech: bool, idle_blink: float) -> Float:
        """Advance one beat; return the offset (COUNT,) to the idle pose, zero where `gain` is.

        Args:
            energy: Loudness of the beat, 0..1.
            speech: False: silence that only keeps time.
            idle_blink: Lid travel of the idle pose, so that the two do not blink in a row.
        """
        self._beat += 1
        self._position += 1 / RISE if speech else -1 / FALL
        self._position = min(max(self._position, 0.0), 1.0)
        self._stress(energy, speech)
        self._pause(energy, speech, idle_blink)
        offset = np.zeros(COUNT, np.float32)
        if self._position == 0.0:
            return offset
        offset[_SWAY_AT] = np.sin(self._beat * _SWAY_STEP + self._phases) @ _SWAY_MEAN * _SWAY_MOST
        if self._since_nod < len(NOD):
            offset[INDEX["pitch"]] += self._nod * NOD[self._since_nod]
            offset[INDEX["browup"]] += self._brow * BROW[self._since_nod]
        offset[INDEX["close"]] = 1.0 - IDLE_CLOSE
        offset *= self.gain
        if self._since_blink < len(BLINK):  # not eased but at its very end: half-shut eyes look ill
            lid = float(BLINK[self._since_blink]) * eased(min(2.0 * self._position, 1.0))
            offset[INDEX["blink_left"]] = offset[INDEX["blink_right"]] = lid
            offset[INDEX["squint"]] = 0.25 * lid
        return offset

    def _stress(self, energy: float, speech: bool) -> None:
        """Nod on every other stressed beat, at least 600 ms after the last, mostly later: 15 to 25 nods a minute."""
        self._since_nod += 1
        if speech and energy > min(1.4 * self._mean, 0.95) and self._since_nod > self._patience:
            self._since_nod = 0
            self._patience = self._rng.uniform(0.6, 2.0) * FPS
            nods = self._rng.uniform() < 0.5
            self._nod = self._rng.uniform(1.2, 1.8) * _DEGREE if nods else 0.0
            self._brow = self._rng.uniform(0.3, 0.5) if nods else 0.0
        if speech:
            self._mean += 0.03 * (energy - self._mean)

    def _pause(self, energy: float, speech: bool, idle_blink: float) -> None:
        """Blink in every other pause after a phrase, if the eyes were open for a second."""
        self._since_blink += 1
        self._open = 0 if idle_blink > 0.0 or self._since_blink < len(BLINK) else self._open + 1
        if energy > 0.25:
            self._voiced += 1
        elif energy < 0.1:
            if speech and self._voiced > 10 and self._open > FPS and self._rng.uniform() < 0.5:
                self._since_blink = 0
            self._voiced = 0
