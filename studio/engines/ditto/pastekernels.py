"""The kernels of `paste`, compiled; imported only where numba is installed. They release the GIL.

A plane is stored as pairs: a 32-bit word holds a pixel in its low and the right neighbour in its high half, so that a
bilinear sample takes two loads. Colours have 8 binary digits behind the point, weights 15. A row of the frame is made
in passes (where each pixel comes from, its words, the interpolation), as only so LLVM vectorises all but the loads.
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
    begin = math.ceil(min(max(min(one, other), first), last))
    end = math.floor(min(max(max(one, other), first - 1), last - 1)) + 1
    return begin, max(begin, end)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _place(
    left: float, top: float, dx: float, dy: float, first: int, cells: NDArray[np.int32], fx: Floats, fy: Floats
) -> None:
    # From the first pixel on, which lies in the face: single precision would not do for a face far away.
    x, y = np.float32(left + dx * first), np.float32(top + dy * first)
    right, down = np.float32(dx), np.float32(dy)
    for i in range(cells.shape[0]):
        step = np.float32(np.int32(i))
        across, along = x + right * step, y + down * step
        column, row = np.int32(across), np.int32(along)
        fx[i], fy[i] = across - np.float32(column), along - np.float32(row)
        cells[i] = np.int32(np.int32(row * np.int32(SIDE)) + column)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _fetch(plane: Words, cells: NDArray[np.int32], upper: Words, lower: Words) -> None:
    for i in range(cells.shape[0]):
        at = np.uint32(cells[i])
        upper[i], lower[i] = plane[at], plane[np.uint32(at + np.uint32(SIDE))]


@numba.njit(inline="always")
def _between(upper: np.uint32, lower: np.uint32, fx: np.float32, fy: np.float32) -> np.float32:
    """Return the bilinear sample within two words, not shifted."""
    half, low = np.uint32(16), np.uint32(0xFFFF)
    a, b = np.float32(np.int32(upper & low)), np.float32(np.int32(upper >> half))
    c, d = np.float32(np.int32(lower & low)), np.float32(np.int32(lower >> half))
    top, bottom = a + fx * (b - a), c + fx * (d - c)
    return top + fy * (bottom - top)


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _lay(upper: Words, lower: Words, fx: Floats, fy: Floats, bias: np.float32, out: Bytes) -> None:
    for i in range(out.shape[0]):
        whole = np.int32(_between(upper[i], lower[i], fx[i], fy[i]) + bias)
        out[i] = np.uint8(whole >> np.int32(8))


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _mix(
    upper: Words, lower: Words, over: Words, under: Words, fx: Floats, fy: Floats, bias: np.float32, out: Bytes
) -> None:
    for i in range(out.shape[0]):
        colour = _between(upper[i], lower[i], fx[i], fy[i])
        weight = _between(over[i], under[i], fx[i], fy[i]) / WEIGHT
        below = (np.float32(1) - weight) * (np.float32(np.int32(out[i])) * COLOUR)
        whole = np.int32(weight * colour + below + bias)
        out[i] = np.uint8(whole >> np.int32(8))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def draw(plane: Words, mask: Words, back: NDArray[np.float64], bias: float, out: Bytes) -> None:
    """See `pasteportable.draw`."""
    height, width = out.shape
    cells, shift = np.empty(width, np.int32), np.float32(bias) * COLOUR
    fx, fy = np.empty(width, np.float32), np.empty(width, np.float32)
    upper, lower = np.empty(width, np.uint32), np.empty(width, np.uint32)
    over, under = np.empty(width, np.uint32), np.empty(width, np.uint32)
    colours, shares, dx, dy = plane.ravel(), mask.ravel(), back[0, 0], back[1, 0]
    for y in range(height):
        left, top = back[0, 1] * y + back[0, 2], back[1, 1] * y + back[1, 2]
        first, last = _span(left, dx, 0, SIDE - 1, 0, width)
        first, last = _span(top, dy, 0, SIDE - 1, first, last)
        if first == last:
            continue
        _place(left, top, dx, dy, first, cells[first:last], fx[first:last], fy[first:last])
        _fetch(colours, cells[first:last], upper[first:last], lower[first:last])
        row = out[y]
        begin, end = _span(left, dx, BORDER, SIDE - 1 - BORDER, first, last)
        begin, end = _span(top, dy, BORDER, SIDE - 1 - BORDER, begin, end)
        _lay(upper[begin:end], lower[begin:end], fx[begin:end], fy[begin:end], shift, row[begin:end])
        for i, j in ((first, begin), (end, last)):
            _fetch(shares, cells[i:j], over[i:j], under[i:j])
            _mix(upper[i:j], lower[i:j], over[i:j], under[i:j], fx[i:j], fy[i:j], shift, row[i:j])
