"""From sound to speech features: which windows the speech network hears, and what is kept of its answers.

Every five frames (200 ms) one window of 6480 samples is heard: three frames of past, five of present, two of future
and 80 samples; of its 20 output rows, the ten of the present become five frames. The two ways to lay the windows differ
by 80 samples, as upstream. Specification: section 6.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT
from studio.engines.ditto.types import Floats
from studio.engines.runtime import Model

FRAMES = 5
"""Frames of speech features that one window gives."""
HOP = FRAMES * SAMPLES_PER_BEAT
"""3200 samples from window to window."""
WINDOW = 10 * SAMPLES_PER_BEAT + 80
"""6480 samples."""
LEAD = 3 * SAMPLES_PER_BEAT
"""Zeros before the first sample, online."""
LEAD_OFFLINE = WINDOW - 7 * SAMPLES_PER_BEAT
"""Zeros before the first sample, offline: 80 more."""
_PRESENT = slice(-14, -4)


def frame_count(samples: int) -> int:
    """Return the frames that ``samples`` of sound at 16 kHz need: ceil(samples * 25 / 16000)."""
    return -(-samples // SAMPLES_PER_BEAT)


def wave_of(pcm: NDArray[np.int16]) -> Floats:
    """Return (n,) float32 in [-1, 1) of int16 samples."""
    return pcm.astype(np.float32) / np.float32(32768)


def present(answer: Floats) -> Floats:
    """Return the five frames (5, width) of a window's present from the network's answer (20, width)."""
    rows = answer[_PRESENT]
    pairs: Floats = rows.reshape(FRAMES, 2, rows.shape[-1]).mean(axis=1, dtype=np.float32)
    return pairs


def offline_windows(wave: Floats) -> Floats:
    """Return all windows (m, 6480) of a whole sound (n,): together they give `frame_count` frames or up to 4 more."""
    padded = np.concatenate([np.zeros(LEAD_OFFLINE, np.float32), wave, np.zeros(WINDOW, np.float32)])
    starts = range(0, frame_count(len(wave)) * SAMPLES_PER_BEAT, HOP)
    return np.stack([padded[start : start + WINDOW] for start in starts])


class Hearing:
    """The speech network.

    Args:
        network: ``hubert``; T = 20 rows for each window.
    """

    def __init__(self, network: Model) -> None:
        self._network = network
        self._silence: Floats | None = None

    def features(self, windows: Floats) -> Floats:
        """Return the frames of m windows (m, 6480), one after another: (5 m, width).

        Raises:
            EngineFault: The network failed.
        """
        answers = self._network.run({"input_values": windows})["encoding_out"]
        rows = answers.reshape(len(windows), -1, answers.shape[-1])
        return np.concatenate([present(one) for one in rows])

    def silence(self, frames: int) -> Floats:
        """Return ``frames`` frames of silence, by the offline rule: all windows are zeros, so one is heard, once."""
        if self._silence is None:
            self._silence = self.features(np.zeros((1, WINDOW), np.float32))
        return np.tile(self._silence, (-(-frames // FRAMES), 1))[:frames]


class SpeechStream:
    """Sound as it comes in, cut into the windows of the online way."""

    def __init__(self) -> None:
        self._wave = np.zeros(LEAD, np.float32)

    def feed(self, wave: Floats) -> list[Floats]:
        """Add sound (n,) of any length; return the windows (6480,) that are complete now."""
        self._wave = np.concatenate([self._wave, wave])
        windows = []
        while len(self._wave) >= WINDOW:
            windows.append(self._wave[:WINDOW].copy())
            self._wave = self._wave[HOP:]
        return windows

    def finish(self) -> list[Floats]:
        """Return the last windows of a sound that ends here, filled with zeros."""
        starts = range(0, len(self._wave), HOP)
        padded = np.concatenate([self._wave, np.zeros(WINDOW, np.float32)])
        return [padded[start : start + WINDOW] for start in starts]
