"""The visitor's voice as it arrives: frames of a received track -> gapless 16 kHz sound. Pure: time is given."""

from __future__ import annotations

import av
import numpy as np
from numpy.typing import NDArray

from studio.audio import Resampler
from studio.beat import SAMPLE_RATE

STALE = 0.4
"""Seconds: sound of the microphone that arrives later than that is dropped."""
GAP = 1.0
"""Seconds: a longer hole in the microphone's sound is not filled."""


class Microphone:
    """Turn the frames of a received track into gapless 16 kHz sound; pure but for the time it is given."""

    def __init__(self) -> None:
        self._resampler = Resampler()
        self._next_pts: float | None = None
        self._origin = 0.0
        self.stale = 0
        """Frames dropped because they arrived more than `STALE` seconds late."""

    def hear(self, frame: av.AudioFrame, now: float) -> NDArray[np.int16]:
        """Return the samples of one frame, (n,), after silence for what was lost before it.

        Args:
            frame: With pts.
            now: Seconds of arrival.
        """
        assert frame.pts is not None and frame.time_base is not None
        pts = float(frame.pts * frame.time_base)
        length = frame.samples / frame.sample_rate
        gap = 0.0 if self._next_pts is None else pts - self._next_pts
        first = self._next_pts is None or abs(gap) > 10 * GAP
        self._next_pts = pts + length
        delay = now - pts
        self._origin = delay if first else min(delay, self._origin + length / 1000)  # forgives 1 ms of drift a second
        if delay - self._origin > STALE:
            self.stale += 1
            return np.zeros(0, np.int16)
        pcm = self._resampler.resample(frame)
        if first or not 0.001 < gap <= GAP:
            return pcm
        return np.concatenate((np.zeros(round(gap * SAMPLE_RATE), np.int16), pcm))
