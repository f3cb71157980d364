"""Resizing as the Pillow library does it, to the bit: two passes, horizontal first, in fixed point of 22 bits.

Upstream's masks go through Pillow, whose results OpenCV does not give; Pillow itself is not needed for it. (Pillow 13
may take the passes in the other order where one side shrinks and the other grows; crops are squares.) Filters and
their scaling: Turkowski, "Filters for common resampling tasks", 1990; the cubic is Keys 1981 with a = -1/2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk.types import Bytes

Kernel = Literal["bilinear", "bicubic"]
_BITS = 22
"""Fractional bits of a weight: what remains of 32 beside 8 bits of pixel and 2 of head-room."""


def resize(pixels: Bytes, width: int, height: int, kernel: Kernel) -> Bytes:
    """Return the picture at another size; where it shrinks, all of it is averaged.

    Args:
        pixels: (h, w) or (h, w, channels) uint8.
        width: Pixels of the result, at least 1.
        height: Pixels of the result, at least 1.
        kernel: Which filter.
    """
    across = pixels if width == pixels.shape[1] else _pass(pixels.swapaxes(0, 1), width, kernel).swapaxes(0, 1)
    return across if height == pixels.shape[0] else _pass(across, height, kernel)


def _pass(pixels: Bytes, size: int, kernel: Kernel) -> Bytes:
    """Resize the first axis."""
    rows = pixels.reshape(len(pixels), -1)
    # Whole numbers below 2**53: the product of doubles is exact.
    sums = _weights(len(pixels), size, kernel) @ rows.astype(np.float64)
    rounded = np.floor((sums + (1 << (_BITS - 1))) / (1 << _BITS))
    return np.clip(rounded, 0, 255).astype(np.uint8).reshape(size, *pixels.shape[1:])


@lru_cache(maxsize=32)
def _weights(old: int, new: int, kernel: Kernel) -> NDArray[np.float64]:
    """Return the fixed-point weights (new, old), whole numbers."""
    scale = old / new
    stretch = max(scale, 1.0)
    curve, reach = _KERNELS[kernel]
    weights = np.zeros((new, old))
    for row in range(new):
        centre = (row + 0.5) * scale
        first = max(0, int(centre - reach * stretch + 0.5))
        last = min(old, int(centre + reach * stretch + 0.5))
        taps = [curve((tap - centre + 0.5) / stretch) for tap in range(first, last)]
        total = sum(taps)
        weights[row, first:last] = [math.trunc(tap / total * (1 << _BITS) + math.copysign(0.5, tap)) for tap in taps]
    return weights


def _bilinear(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _bicubic(x: float) -> float:
    x, a = abs(x), -0.5
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0.0


_KERNELS: dict[Kernel, tuple[Callable[[float], float], float]] = {
    "bilinear": (_bilinear, 1.0),
    "bicubic": (_bicubic, 2.0),
}
