"""The unit of time: one beat is 40 ms, one picture and its 640 samples of sound.

Knows nothing of clocks, queues or networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FPS = 25
"""Pictures a second, everywhere."""
SAMPLE_RATE = 16_000
"""Samples a second of every ``pcm`` inside the studio."""
SAMPLES_PER_BEAT = SAMPLE_RATE // FPS
"""640 samples = 40 ms."""
BEAT_SECONDS = 1 / FPS


@dataclass(frozen=True, slots=True, eq=False)
class AudioChunk:
    """What an engine hears: the sound of one beat."""

    index: int
    """Position within the take, from 0, without gaps."""
    pcm: NDArray[np.int16]
    """(640,) mono, 16 kHz."""
    speech: bool
    """False: silence that only keeps time."""
    phase: int = 0
    """Position in the avatar's idle loop at which this beat is going to be seen; the engine moves
    head and eyes from there, so that speech starts and ends without a jump."""
    cut: bool = False
    """True on the first chunk after an interruption: what was heard before is void and the mouth
    closes within three beats."""


@dataclass(frozen=True, slots=True, eq=False)
class Beat:
    """What a visitor gets: picture and sound, inseparable."""

    index: int
    """The index of the chunk it was made from."""
    picture: NDArray[np.uint8]
    """(H * 3 // 2, W) I420, BT.601 limited range. Read-only for everybody after the engine."""
    pcm: NDArray[np.int16]
    """(640,) the very samples of that chunk."""
    speech: bool
    phase: int = 0
    """The chunk's phase."""
