"""What is heard: 42 features a hop of 10 ms, from 16 kHz sound, causal and level-free.

40 mel bands relative to a tracked speech level, the level over a tracked noise floor, and the level itself
(audio2mouth specification, section 2). There is no gain control: the two trackers do its work. Knows nothing of mouths.

State advances one beat of four hops at a time with the same array shapes every time, so any chunking of the sound
gives bit-identical features.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE, SAMPLES_PER_BEAT

Float = NDArray[np.float32]

HOP = 160
"""Samples between hops: 10 ms."""
HOPS_PER_BEAT = SAMPLES_PER_BEAT // HOP
FRAME = 400
"""Samples a hop looks at: its own 160 and the 240 before."""
BANDS = 40
FEATURES = BANDS + 2
OVER_FLOOR, LEVEL = BANDS, BANDS + 1
"""Positions of the two level features; the bands come first, low to high."""

_BEFORE = FRAME - HOP
"""Samples kept from before a beat."""
_FFT = 512
_LOW_HZ, _HIGH_HZ = 80.0, 7600.0
_FLOOR_START, _REFERENCE_START = -60.0, -38.0
_DRY: Final = 1e-9
"""Added to every power before its logarithm: digital silence is -90 dB."""


def hertz_of_mel(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return frequencies of mel values (O'Shaughnessy 1987: mel = 2595 log10(1 + f / 700))."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def mel_filters() -> Float:
    """Return (257, 40) triangular bands over the power spectrum, 80..7600 Hz, each summing to 1."""
    ends = 2595.0 * np.log10(1.0 + np.array([_LOW_HZ, _HIGH_HZ]) / 700.0)
    edges = hertz_of_mel(np.linspace(ends[0], ends[1], BANDS + 2))
    bins = np.arange(_FFT // 2 + 1)[:, None] * (SAMPLE_RATE / _FFT)
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rise, fall), 0.0, None)
    return np.ascontiguousarray(filters / filters.sum(0), np.float32)


BAND_HZ: Final = hertz_of_mel(
    np.linspace(*(2595.0 * np.log10(1.0 + np.array([_LOW_HZ, _HIGH_HZ]) / 700.0)), BANDS + 2)  # type: ignore[call-overload]
)[1:-1]
"""(40,) centre of each band in Hz."""
_FILTERS: Final = mel_filters()
_WINDOW: Final = np.hanning(FRAME + 1)[:-1].astype(np.float32)
_POWER: Final = np.float32(1.0 / (FRAME * 0.375))
"""0.375 is the mean square of the Hann window: a band's power becomes independent of the frame."""


class Features:
    """The running features of one voice; about 12 KB, most of it working space."""

    def __init__(self) -> None:
        self._sound = np.zeros(_BEFORE + SAMPLES_PER_BEAT, np.float32)
        self._frames = np.lib.stride_tricks.sliding_window_view(self._sound, FRAME)[::HOP]
        self._padded = np.zeros((HOPS_PER_BEAT, _FFT), np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything heard: the state of a new one."""
        self._sound[:] = 0.0
        self._filled = _BEFORE
        self._floor, self._reference = _FLOOR_START, _REFERENCE_START

    def feed(self, pcm: NDArray[np.int16]) -> list[Float]:
        """Hear ``pcm`` (n,) mono 16 kHz, any n; return the beats it completes, each with its 4 hops: (4, 42).

        Bands are in units of 20 dB around the speech level less 10 dB, clipped to -3..2; `OVER_FLOOR` is 20 dB units
        over the noise floor, 0..3; `LEVEL` is 20 dB units over the speech level, -3..1.
        """
        beats: list[Float] = []
        while len(pcm):
            part = pcm[: len(self._sound) - self._filled]
            pcm = pcm[len(part) :]
            np.multiply(part, np.float32(1 / 32768), out=self._sound[self._filled : self._filled + len(part)])
            self._filled += len(part)
            if self._filled == len(self._sound):
                beats.append(self._hops())
                self._sound[:_BEFORE] = self._sound[-_BEFORE:]
                self._filled = _BEFORE
        return beats

    def _hops(self) -> Float:
        """Return the features of the four frames in ``_sound`` and advance the trackers hop by hop."""
        frames = self._frames
        powers = np.einsum("ij,ij->i", frames, frames)
        np.multiply(frames - frames.mean(1, keepdims=True), _WINDOW, out=self._padded[:, :FRAME])
        spectrum = np.fft.rfft(self._padded)
        power = (spectrum.real**2 + spectrum.imag**2) * _POWER
        hops = np.empty((HOPS_PER_BEAT, FEATURES), np.float32)
        np.log10(np.dot(power, _FILTERS) + np.float32(_DRY), out=hops[:, :BANDS])
        for hop, frame_power in zip(hops, powers.tolist(), strict=True):
            level = 10.0 * math.log10(frame_power / FRAME + _DRY)
            self._track(level)
            # 10 log10 for decibels over 20 for the unit: half.
            hop[:BANDS] = hop[:BANDS] * np.float32(0.5) + np.float32((10.0 - self._reference) / 20.0)
            hop[OVER_FLOOR] = min(max((level - self._floor) / 20.0, 0.0), 3.0)
            hop[LEVEL] = min(max((level - self._reference) / 20.0, -3.0), 1.0)
        np.minimum(np.maximum(hops[:, :BANDS], -3.0), 2.0, out=hops[:, :BANDS])
        return hops

    def _track(self, level: float) -> None:
        """Follow the speech level (fast up, 3 dB/s down) and the noise floor (fast down, 2 dB/s up), in dB."""
        if level > self._reference:
            self._reference += 0.3 * (level - self._reference)
        else:
            self._reference = max(self._reference - 0.03, -62.0)
        self._floor += 0.2 * (level - self._floor) if level < self._floor else 0.02
