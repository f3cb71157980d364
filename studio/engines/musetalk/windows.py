"""Which feature rows a picture hears, and the encoding of their places.

Rows come 50 a second, (5, 384) each; a picture's prompt is ten of them, row by row: (50, 384). Rows outside the sound
are zero vectors, before the encoding. Specification 3.5 and 4.3.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from studio.beat import FPS, SAMPLE_RATE
from studio.engines.musetalk.types import STATES, TOKENS, WIDTH, Floats

ROW_RATE = 50
"""Feature rows a second."""
PADDING = 2
"""Pictures' worth of rows to either side, upstream's ``audio_padding_length_left`` and ``..._right``."""
NOTHING = -1
"""Stands for a zero vector."""


def row_count(samples: int) -> int:
    """Return how many rows ``samples`` at 16 kHz have."""
    return math.floor(samples / SAMPLE_RATE * ROW_RATE)


def picture_count(samples: int, fps: float = FPS) -> int:
    """Return how many pictures ``samples`` at 16 kHz have: those that fit whole."""
    return math.floor(samples / SAMPLE_RATE * fps)


def window_rows(
    samples: int, fps: float = FPS, left: int = PADDING, right: int = PADDING, pictures: int | None = None
) -> NDArray[np.int64]:
    """Return the rows of every picture's window, (pictures, 2 * (left + right + 1)); `NOTHING` outside the sound.

    Args:
        samples: At 16 kHz.
        fps: Pictures a second.
        left: Pictures' worth of rows before a picture's own.
        right: The same after them.
        pictures: How many; None: those that fit whole.
    """
    rows, pictures = row_count(samples), picture_count(samples, fps) if pictures is None else pictures
    step = ROW_RATE / fps
    width = 2 * (left + right + 1)
    starts = [math.floor(picture * step) - math.ceil(step) * left for picture in range(pictures)]
    window = np.array(starts, np.int64)[:, None] + np.arange(width)
    return np.where((window >= 0) & (window < rows), window, NOTHING)


def prompts(features: Floats, windows: NDArray[np.int64]) -> Floats:
    """Return the prompts (n, 50, 384), without encoding.

    Args:
        features: (rows, 5, 384).
        windows: (n, 10) as of `window_rows`.
    """
    padded = np.concatenate([features, np.zeros((1, STATES, WIDTH), np.float32)])  # -1 is the last: zeros
    return padded[windows].reshape(len(windows), -1, WIDTH)


@cache
def encoding(tokens: int = TOKENS) -> Floats:
    """Return the table of places (tokens, 384): sine and cosine of Vaswani et al. 2017, section 3.5."""
    place = np.arange(tokens, dtype=np.float32)[:, None]
    rate = np.exp(np.arange(0, WIDTH, 2, dtype=np.float32) * np.float32(-math.log(10000.0) / WIDTH))
    table = np.zeros((tokens, WIDTH), np.float32)
    table[:, 0::2], table[:, 1::2] = np.sin(place * rate), np.cos(place * rate)
    table.flags.writeable = False
    return table
