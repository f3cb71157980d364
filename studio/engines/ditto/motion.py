"""From conditions to motion: overlapping windows, sampled one after another, become one stream of motion vectors.

`Windows` blends and smooths; `OfflineMotion` lays windows over a whole sound, `OnlineMotion` over a sound that goes on.
Both hand out what the next window needs (`Request`) and take the sampled window back, so that the windows of several
takes can be sampled together. Specification: sections 8 and 12.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.engines.ditto.condition import Condition
from studio.engines.ditto.options import Setup
from studio.engines.ditto.sampler import FRAMES
from studio.engines.ditto.types import MOTION_DIM, Floats

SMOOTHED = 202
"""Leading numbers of a motion vector that are smoothed: scale, pose and t."""
KEPT = 2 * FRAMES
"""Newest frames that the online way keeps of results and features."""


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What the sampler needs for one window."""

    start: Floats
    """(265,)"""
    condition: Floats
    """(80, 1103)"""
    first: int
    """Number of the window's first frame."""


def smooth(frames: Floats, first: int, last: int, width: int) -> None:
    """Replace pose and t of frames ``first`` .. ``last`` (exclusive) by means over ``width`` unsmoothed frames around.

    An even ``width`` reaches as far as the next odd one; 1 or less changes nothing.
    """
    if width <= 1:
        return
    rough = frames[:, :SMOOTHED].copy()
    reach = width // 2
    for i in range(max(first, 0), min(last, len(frames))):
        frames[i, :SMOOTHED] = rough[max(i - reach, 0) : i + reach + 1].mean(axis=0)


def clip(frames: Floats, limits: Floats | None) -> Floats:
    """Return frames (n, 265) within rows 0 and 1 of ``limits``, or as they are."""
    if limits is None:
        return frames.copy()
    clipped: Floats = np.clip(frames, limits[0], limits[1])
    return clipped


class Windows:
    """The result so far, and the motion from which the next window starts.

    Args:
        start: (265,) the first window's.
        setup: For overlap, smoothing, `fix_kp_cond` and whether the sound is online.
    """

    def __init__(self, start: Floats, setup: Setup) -> None:
        self.overlap = setup.overlap_v2
        self.fresh = FRAMES - self.overlap
        """New frames for each window, ``v``."""
        self.fuse = min(self.overlap, self.fresh) if setup.online_mode else self.overlap
        """Frames that a window blends with those before, ``f``."""
        self._width = setup.smo_k_d
        self._every, self._kept_dims = setup.fix_kp_cond, setup.fix_kp_cond_dim
        self._first, self._count = start, 0
        self.start = start
        """(265,) what the next window starts from."""
        self.result = np.zeros((0, MOTION_DIM), np.float32)

    def add(self, window: Floats) -> None:
        """Blend in a sampled window (80, 265)."""
        if not len(self.result):
            self.result = window.copy()
            smooth(self.result, 0, len(window), self._width)
        else:
            self._blend(window)
        self._count += 1
        self.start = self._next_start()

    def forget(self, frames: int) -> None:
        """Forget the oldest frames of the result."""
        self.result = self.result[frames:]

    def take_back(self, frames: int) -> None:
        """Undo the newest frames of the result: the next window starts where they began."""
        self.result = self.result[: len(self.result) - frames]
        self.start = self._next_start() if len(self.result) > self.overlap else self._first

    def _blend(self, window: Floats) -> None:
        fuse, overlap = self.fuse, self.overlap
        if fuse:
            weight = (np.arange(fuse, dtype=np.float32) / np.float32(fuse))[:, None]
            tail = self.result[-fuse:] * (1 - weight) + window[overlap - fuse : overlap] * weight
            self.result = np.concatenate([self.result[:-fuse], tail, window[overlap:]])
        else:
            self.result = np.concatenate([self.result, window])
        end = len(self.result) - self.fresh
        smooth(self.result, end - fuse, end + 1, self._width)

    def _next_start(self) -> Floats:
        last: Floats = self.result[len(self.result) - self.overlap - 1].copy()
        if not self._every or self._count % self._every:
            return last
        start = self._first.copy()
        if self._kept_dims is not None:
            kept = slice(*self._kept_dims)
            start[kept] = last[kept]
        return start


class OfflineMotion:
    """Motion for a whole sound.

    Args:
        start: (265,) motion of the person whom the network sees.
        setup: Options.
        condition: What is not speech.
        speech: (n, 1024) features of all frames.
    """

    def __init__(self, start: Floats, setup: Setup, condition: Condition, speech: Floats) -> None:
        self.windows = Windows(start, setup)
        self._setup, self._frames, self._position = setup, len(speech), 0
        self._rows = condition.rows(speech, 0)

    def request(self) -> Request | None:
        """Return what the next window needs; None after the last."""
        if self._position >= self._frames:
            return None
        rows = self._rows[self._position : self._position + FRAMES]
        rows = np.concatenate([rows, np.repeat(rows[-1:], FRAMES - len(rows), axis=0)])
        return Request(self.windows.start, rows, self._position)

    def accept(self, window: Floats) -> None:
        """Take the sampled window (80, 265) of the last request."""
        self.windows.add(window)
        self._position += self.windows.fresh

    def smoothed(self) -> Floats:
        """Return the motion of all frames (n, 265), smoothed a second time, before the clip."""
        result = self.windows.result[: self._frames].copy()
        smooth(result, 0, len(result), self._setup.smo_k_d)
        return result


class OnlineMotion:
    """Motion for a sound that goes on; its first frame is the first of the sound.

    Args:
        start: (265,) motion of the person whom the network sees.
        setup: Options.
        condition: What is not speech.
        silence: (overlap, 1024) features of silence, which come before the sound.
    """

    def __init__(self, start: Floats, setup: Setup, condition: Condition, silence: Floats) -> None:
        assert len(silence) == setup.overlap_v2
        self.windows = Windows(start, setup)
        self._limits = setup.v_min_max_for_clip
        self._condition = condition
        self._speech = silence
        self._position, self._number = 0, -setup.overlap_v2
        """Of the next window: row of ``_speech``, and frame number."""
        self._leaving = FRAMES - self.windows.fuse
        """Row of the result that leaves next."""
        self.reference: Floats | None = None
        """(265,) ``d0``: the very first frame, clipped; None before the first window."""

    def hear(self, speech: Floats) -> None:
        """Add features (n, 1024)."""
        self._speech = np.concatenate([self._speech, speech])

    def request(self, ends: bool = False) -> Request | None:
        """Return what the next window needs; None while there is not enough speech.

        Args:
            ends: No more speech will come: what is there is filled up with its last row.
        """
        speech = self._speech[self._position : self._position + FRAMES]
        if len(speech) < FRAMES:
            if not ends:
                return None
            speech = np.concatenate([speech, np.repeat(speech[-1:], FRAMES - len(speech), axis=0)])
        return Request(self.windows.start, self._condition.rows(speech, self._number), self._number)

    def accept(self, window: Floats, ends: bool = False) -> Floats:
        """Take the sampled window (80, 265) of the last request; return the frames (m, 265) that leave, not clipped.

        What the next window will blend stays back: the first window gives none, every other ``v``, the last one all.
        """
        self.windows.add(window)
        if self.reference is None:
            self.reference = self.clipped(self.windows.result[:1])[0]
        self._position += self.windows.fresh
        self._number += self.windows.fresh
        end = len(self.windows.result) - (0 if ends else self.windows.fuse)
        frames = self.windows.result[self._leaving : end].copy()
        self._leaving = max(end, self._leaving)
        self._forget()
        return frames

    def rewind(self, unseen: int) -> None:
        """Take back what nobody saw; what is heard from here on follows the last frame that was shown.

        Without this an interruption would leave up to ``2 v`` frames of cancelled speech.

        Args:
            unseen: Newest of the frames handed out that were not shown.
        """
        if self.reference is not None:
            shown = self._leaving - unseen
            taken = len(self.windows.result) - shown
            self.windows.take_back(taken)
            self._leaving = shown
            self._position -= taken
            self._number -= taken
        self._speech = self._speech[: self._position + self.windows.overlap]

    def clipped(self, frames: Floats) -> Floats:
        """Return frames (n, 265) as they go to the avatar."""
        return clip(frames, self._limits)

    def _forget(self) -> None:
        extra = max(len(self.windows.result) - KEPT, 0)
        self.windows.forget(extra)
        self._leaving -= extra
        old = max(min(len(self._speech) - KEPT, self._position), 0)
        self._speech = self._speech[old:]
        self._position -= old
