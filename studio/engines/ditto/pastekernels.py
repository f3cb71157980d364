"""The kernels of `paste`, compiled; imported only where numba is installed. They release the GIL.

A plane is stored as pairs: a 32-bit word holds a pixel in its low and the right neighbour in its high half, so that a
bilinear sample takes two loads. Colours have 8 binary digits behind the point, weights 15. A row of the frame is made in
passes, because only then LLVM vectorises all but the loads: where each pixel comes from, its words, the interpolation.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba.core.compiler import Compiler
from numpy.typing import NDArray

from studio.engines.ditto.types import Bytes, Floats

Words = NDArray[np.uint32]
SIDE = 512
BORDER = 26
"""Pixels of a face's edge where the mask is not 1; see `paste.mask`."""
COLOUR = np.float32(256)
WEIGHT = np.float32(1 << 15)
SLACK = 1 / 512
"""Pixels by which a span stays clear of its ends, more than rounding moves a place: no load is out of bounds."""


class _Disjoint(Compiler):
    """Compiles a function whose arrays never overlap, as C's ``restrict``: only then LLVM vectorises it."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]  # numba has no types


def room() -> Words:
    """See `pasteportable.room`."""
    return np.empty((3, SIDE, SIDE), np.uint32)


def weights(mask: Floats) -> Words:
    """See `pasteportable.weights`."""
    whole = np.rint(mask * WEIGHT).astype(np.uint32)
    return np.asarray(whole | np.roll(whole, -1, axis=1) << 16, np.uint32)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _clip(face: Floats, out: Floats) -> None:
    low, high = np.float32(0), np.float32(255)
    for x in range(SIDE):
        out[x] = min(max(face[x] * high, low), high)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _combine(colours: Floats, factors: Floats, out: Words) -> None:
    red, green, blue = factors[0] * COLOUR, factors[1] * COLOUR, factors[2] * COLOUR
    rest = factors[3] * COLOUR + np.float32(0.5)
    for x in range(SIDE):
        whole = red * colours[x] + green * colours[SIDE + x] + blue * colours[2 * SIDE + x] + rest
        out[x] = np.uint32(np.int32(whole))


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _pair(single: Words, out: Words) -> None:
    for x in range(SIDE - 1):
        out[x] = np.uint32(single[x] | np.uint32(single[x + 1] << np.uint32(16)))
    out[SIDE - 1] = single[SIDE - 1]


@numba.njit(nogil=True, cache=True, error_model="numpy")
def spread(face: Floats, factors: Floats, out: Words) -> None:
    """See `pasteportable.spread`."""
    colours, single = np.empty(3 * SIDE, np.float32), np.empty(SIDE, np.uint32)
    for y in range(SIDE):
        for i in range(3):
            _clip(face[i, y], colours[i * SIDE : (i + 1) * SIDE])
        for i in range(3):
            _combine(colours, factors[i], single)
            _pair(single, out[i, y])


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _span(start: float, step: float, low: float, high: float, first: int, last: int) -> tuple[int, int]:
    """Return the part of first .. last - 1 where low < start + step * x < high."""
    low, high = low + SLACK, high - SLACK
    if step == 0:
        return (first, last) if low < start < high else (first, first)
    one, other = (low - start) / step, (high - start) / step
    # Clipped as numbers with fractions: a step of nearly nothing makes them larger than any whole number.
    begin = int(math.ceil(min(max(min(one, other), first), last)))
    end = int(math.floor(min(max(max(one, other), first - 1), last - 1))) + 1
    return begin, max(begin, end)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _place(x: float, y: float, dx: float, dy: float, cells: NDArray[np.int32], fractions: Floats) -> None:
    n = cells.shape[0]
    left, top, right, down = np.float32(x), np.float32(y), np.float32(dx), np.float32(dy)
    for i in range(n):
        step = np.float32(np.int32(i))
        across, along = left + right * step, top + down * step
        column, row = np.int32(across), np.int32(along)
        fractions[i], fractions[n + i] = across - np.float32(column), along - np.float32(row)
        cells[i] = np.int32(np.int32(row * np.int32(SIDE)) + column)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _fetch(plane: Words, cells: NDArray[np.int32], upper: Words, lower: Words) -> None:
    for i in range(cells.shape[0]):
        at = np.uint32(cells[i])
        upper[i], lower[i] = plane[at], plane[np.uint32(at + np.uint32(SIDE))]


@numba.njit(inline="always")
def _between(upper: int, lower: int, fx: float, fy: float) -> float:
    half, low = np.uint32(16), np.uint32(0xFFFF)
    a, b = np.float32(np.int32(upper & low)), np.float32(np.int32(upper >> half))
    c, d = np.float32(np.int32(lower & low)), np.float32(np.int32(lower >> half))
    top, bottom = a + fx * (b - a), c + fx * (d - c)
    return top + fy * (bottom - top)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _lay(upper: Words, lower: Words, fx: Floats, fy: Floats, bias: float, out: Bytes) -> None:
    for i in range(out.shape[0]):
        whole = np.int32(_between(upper[i], lower[i], fx[i], fy[i]) + bias)
        out[i] = np.uint8(whole >> np.int32(8))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def _mix(words: Words, fx: Floats, fy: Floats, bias: float, out: Bytes) -> None:
    for i in range(out.shape[0]):
        colour = _between(words[0, i], words[1, i], fx[i], fy[i])
        weight = _between(words[2, i], words[3, i], fx[i], fy[i]) / WEIGHT
        below = (np.float32(1) - weight) * (np.float32(out[i]) * COLOUR)
        out[i] = np.uint8(np.int32(weight * colour + below + bias) >> np.int32(8))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def draw(plane: Words, mask: Words, back: NDArray[np.float64], bias: float, out: Bytes) -> None:
    """See `pasteportable.draw`."""
    height, width = out.shape
    cells, fractions = np.empty(width, np.int32), np.empty(2 * width, np.float32)
    words, shift = np.empty((4, width), np.uint32), np.float32(bias) * COLOUR
    colours, shares = plane.ravel(), mask.ravel()
    dx, dy = back[0, 0], back[1, 0]
    for y in range(height):
        left, top = back[0, 1] * y + back[0, 2], back[1, 1] * y + back[1, 2]
        first, last = _span(left, dx, 0, SIDE - 1, 0, width)
        first, last = _span(top, dy, 0, SIDE - 1, first, last)
        n = last - first
        if n == 0:
            continue
        begin, end = _span(left, dx, BORDER, SIDE - 1 - BORDER, first, last)
        begin, end = _span(top, dy, BORDER, SIDE - 1 - BORDER, begin, end)
        fx, fy, at = fractions[:n], fractions[n : 2 * n], cells[:n]
        _place(left + dx * first, top + dy * first, dx, dy, at, fractions[: 2 * n])
        _fetch(colours, at, words[0, :n], words[1, :n])
        row, a, b = out[y, first:last], begin - first, end - first
        _lay(words[0, a:b], words[1, a:b], fx[a:b], fy[a:b], shift, row[a:b])
        for i, j in ((0, a), (b, n)):
            _fetch(shares, at[i:j], words[2, i:j], words[3, i:j])
            _mix(words[:, i:j], fx[i:j], fy[i:j], shift, row[i:j])
