"""The learned sound-to-mouth model: the contract of `voice.Voice`, seventy thousand weights, plain numpy.

Two strided convolutions see 13 hops of 10 ms around a beat, a gated recurrent unit remembers, six numbers come out
(audio2mouth specification, section 3). `training/` makes the weights and their card. Every product has the same
shapes in every call, so any chunking of the sound gives the same bits. Knows nothing of pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.features import FEATURES, HOPS_PER_BEAT, LEVEL, OVER_FLOOR, Features
from studio.engines.portrait.voice import LOOK_AHEAD, MouthRow, certainty

Float = NDArray[np.float32]

WEIGHTS: Final = Path(__file__).with_name("lipnet.npz")
SCALES: Final = (0.08, 0.04, 0.25, 0.35)
"""Unit of the first four outputs inside the network: open, dwidth, jaw, round."""
OPEN_OFFSET, OPEN_GAIN = 0.05, 1.8
"""Regression never reaches zero by itself: this much goes off the opening, and the rest is stretched."""
WIDTH_GAIN = 1.7
"""Width and rounding are stretched as well, to the spread that the phones of a voice never heard ask for."""
NEAR_SPEECH, ABOVE_NOISE, ALIVE = (-1.2, 0.5), (0.15, 0.35), (0.2, 0.15)
"""Start and width, in 20 dB, of the ramps by which a sound counts: its level against the speech so far and against the
noise floor, and how much that level changed in `LIVELY` beats. Speech always changes; a fan or a hum does not."""
LIVELY = 20
_KERNEL, _STRIDE = 5, 2
_PRIMED = 5
"""Copies of the first hop that stand for the time before it."""


@dataclass(frozen=True, slots=True)
class LipWeights:
    """The network's arrays, float32, laid out for vector-matrix products; shared by all voices."""

    first_w: Float
    """(5 * 42, C1), hop by hop."""
    first_b: Float
    second_w: Float
    """(5 * C1, C2)."""
    second_b: Float
    input_w: Float
    """(C2, 3 H): reset, update and new gate side by side."""
    input_b: Float
    memory_w: Float
    """(H, 3 H)."""
    memory_b: Float
    out_w: Float
    """(H, 6)."""
    out_b: Float

    @classmethod
    def read(cls, path: Path) -> LipWeights:
        """Read what `training` wrote.

        Raises:
            ValueError: An array is missing, or its shape does not fit the others.
        """
        with np.load(path, allow_pickle=False) as stored:
            missing = [f.name for f in fields(cls) if f.name not in stored]
            if missing:
                raise ValueError(f"{path}: {', '.join(missing)} missing")
            arrays = {f.name: np.ascontiguousarray(stored[f.name], np.float32) for f in fields(cls)}
        first, second, hidden = (len(arrays[name]) for name in ("first_b", "second_b", "memory_w"))
        shapes = {
            "first_w": (_KERNEL * FEATURES, first), "second_w": (_KERNEL * first, second), "input_w": (second, 3 *
            hidden), "input_b": (3 * hidden,), "memory_w": (hidden, 3 * hidden), "memory_b": (3 * hidden,),
            "out_w": (hidden, 6), "out_b": (6,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"{path}: {name} is {arrays[name].shape}, not {shape}")
        return cls(**arrays)


@cache
def shipped_weights() -> LipWeights:
    """Return the weights that come with the studio."""
    return LipWeights.read(WEIGHTS)


class LearnedVoice:
    """One visitor's model; about 14 KB, most of it working space.

    Args:
        weights: The network; the shipped one if None.
    """

    def __init__(self, weights: LipWeights | None = None) -> None:
        self._weights = w = shipped_weights() if weights is None else weights
        self._features = Features()
        first, self._hidden = len(w.first_b), len(w.memory_w)
        self._hops = np.zeros((_PRIMED + 2 * HOPS_PER_BEAT, FEATURES), np.float32)
        self._first = np.zeros((_KERNEL, first), np.float32)
        self._memory = np.zeros(self._hidden, np.float32)
        self._levels: list[float] = []
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample is sample 0 of row 0."""
        self._features.reset()
        self._memory[:] = 0.0
        self._beats = 0

    def flush(self) -> list[MouthRow]:
        """Hear 80 ms of silence: returns the rows still held back."""
        return self.feed(np.zeros(LOOK_AHEAD, np.int16))

    def feed(self, pcm: NDArray[np.int16]) -> list[MouthRow]:
        """Hear ``pcm`` (n,) mono 16 kHz, any n; return the rows that became complete."""
        rows: list[MouthRow] = []
        for beat in self._features.feed(pcm):
            level = float(beat[:, LEVEL].mean())
            if self._beats == 0:
                self._hops[:] = beat[0]
                self._levels = [level] * LIVELY
            self._levels = [*self._levels[1:], level]
            self._hops[:-HOPS_PER_BEAT] = self._hops[HOPS_PER_BEAT:]
            self._hops[-HOPS_PER_BEAT:] = beat
            self._beats += 1
            if self._beats >= 2:
                rows.append(self._row())
        return rows

    def _row(self) -> MouthRow:
        """Advance the network by one beat: hops 4 k - 5 .. 4 k + 7 lie in ``_hops``."""
        w, first = self._weights, self._first
        if self._beats == 2:
            for i in range(_KERNEL - 2):
                first[i + 2] = self._convolve(_STRIDE * i)
        first[:-2] = first[2:]
        for i in (_KERNEL - 2, _KERNEL - 1):
            first[i] = self._convolve(_STRIDE * i)
        seen = np.dot(first.ravel(), w.second_w)
        seen += w.second_b
        np.maximum(seen, 0.0, out=seen)
        self._remember(seen)
        out = np.dot(self._memory, w.out_w)
        out += w.out_b
        levels = self._hops[_PRIMED : _PRIMED + HOPS_PER_BEAT, LEVEL].tolist()
        energy = sum(min(max(v + 1.0, 0.0), 1.0) for v in levels) / HOPS_PER_BEAT
        return finish([float(v) for v in out], energy, self._heard())

    def _heard(self) -> float:
        """Return 0..1: is any of the hops around the beat near the level of speech, above the noise, and alive?"""
        level, over_floor = self._hops[_PRIMED - 2 :, [LEVEL, OVER_FLOOR]].max(0).tolist()
        # The beat to come may show that speech begins; that a noise ends is no speech.
        change = max(self._levels) - min(self._levels[:-1])
        return ramp(level, *NEAR_SPEECH) * ramp(over_floor, *ABOVE_NOISE) * ramp(change, *ALIVE)

    def _convolve(self, hop: int) -> Float:
        """Return the first layer (C1,) of the five hops from ``hop`` on."""
        out = np.dot(self._hops[hop : hop + _KERNEL].ravel(), self._weights.first_w)
        out += self._weights.first_b
        np.maximum(out, 0.0, out=out)
        return np.asarray(out)

    def _remember(self, seen: Float) -> None:
        """Advance the gated recurrent unit (Cho et al. 2014, in PyTorch's arrangement)."""
        w, n = self._weights, self._hidden
        given = np.dot(seen, w.input_w)
        given += w.input_b
        kept = np.dot(self._memory, w.memory_w)
        kept += w.memory_b
        gates = 1.0 / (1.0 + np.exp(-(given[: 2 * n] + kept[: 2 * n])))
        new = np.tanh(given[2 * n :] + gates[:n] * kept[2 * n :])
        self._memory += (1.0 - gates[n:]) * (new - self._memory)


def ramp(value: float, start: float, width: float) -> float:
    """Return 0 below ``start``, 1 above ``start + width``, linear between."""
    return min(max((value - start) / width, 0.0), 1.0)


def finish(out: list[float], energy: float, heard: float = 1.0) -> MouthRow:
    """Turn the network's six outputs into a row: gates that really close the mouth (specification, section 1).

    Args:
        out: open, dwidth, jaw, round in units of `SCALES`; press and fv as logits.
        energy: Loudness 0..1.
        heard: 0..1, how surely there is a sound at all; 0 gives rest.
    """
    opening, dwidth, jaw, rounding = (value * scale for value, scale in zip(out[:4], SCALES, strict=True))
    press, fv = (heard / (1.0 + math.exp(-min(max(v, -30.0), 30.0))) for v in out[4:])
    shut = (1.0 - certainty(press)) * (1.0 - 0.5 * certainty(fv)) * heard
    return MouthRow(
        open=max(0.0, opening - OPEN_OFFSET) * OPEN_GAIN * shut,
        dwidth=WIDTH_GAIN * dwidth * heard,
        jaw=min(max(jaw, 0.0), 1.0) * heard,
        round=min(max(WIDTH_GAIN * rounding, 0.0), 1.0) * heard,
        press=press,
        fv=fv,
        energy=energy * heard,
    )
