"""The kernels of `paste`, compiled; imported only where numba is installed. They release the GIL.

Same numbers as `pasteportable`: multiplications and additions stay apart, none is fused.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.core.compiler import Compiler

from studio.engines.ditto.types import Bytes, Floats


class _Disjoint(Compiler):
    """Compiles a function whose arrays never overlap, as C's ``restrict``: only then LLVM vectorises it."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]  # numba has no types


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _fill_row(face: Floats, out: Floats) -> None:
    low, high = np.float32(0), np.float32(255)
    for x in range(out.shape[0]):
        out[x] = min(max(face[x] * high, low), high)


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill(face: Floats, out: Floats) -> None:
    """See `pasteportable.fill`."""
    _fill_row(face.ravel(), out.ravel())


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _blend_row(weight: Floats, colour: Floats, plane: Bytes) -> None:
    low, one, high = np.float32(0), np.float32(1), np.float32(255)
    for x in range(plane.shape[0]):
        mixed = weight[x] * colour[x] + (one - weight[x]) * np.float32(plane[x])
        plane[x] = np.uint8(np.int32(min(max(mixed, low), high)))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def blend(weight: Floats, colour: Floats, plane: Bytes) -> None:
    """See `pasteportable.blend`."""
    _blend_row(weight.ravel(), colour.ravel(), plane.ravel())


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _luma(red: Bytes, green: Bytes, blue: Bytes, y: Bytes) -> None:
    for x in range(y.shape[0]):
        # Casts between the steps keep the lanes at 32 bits; numba would widen them to 64.
        warm = np.int32(np.int32(269484) * np.int32(red[x])) + np.int32(np.int32(528482) * np.int32(green[x]))
        whole = np.int32(warm) + np.int32(np.int32(102760) * np.int32(blue[x])) + np.int32(16 << 20 | 1 << 19)
        y[x] = np.uint8(np.int32(whole) >> np.int32(20))


@numba.njit(nogil=True, cache=True, error_model="numpy", pipeline_class=_Disjoint)
def _chroma(red: Bytes, green: Bytes, blue: Bytes, u: Bytes, v: Bytes) -> None:
    middle = np.int32(128 << 20 | 1 << 19)
    for x in range(u.shape[0]):
        r, g, b = np.int32(red[2 * x]), np.int32(green[2 * x]), np.int32(blue[2 * x])
        cool = np.int32(-155188) * r - np.int32(305135) * g + np.int32(460324) * b + middle
        warm = np.int32(460324) * r - np.int32(385875) * g - np.int32(74448) * b + middle
        u[x] = np.uint8(np.int32(cool) >> np.int32(20))
        v[x] = np.uint8(np.int32(warm) >> np.int32(20))


@numba.njit(nogil=True, cache=True, error_model="numpy")
def convert(red: Bytes, green: Bytes, blue: Bytes, y: Bytes, u: Bytes, v: Bytes) -> None:
    """See `pasteportable.convert`.

    Coefficients of ITU-R BT.601 in limited range with 20 binary digits; chroma is that of each square's first pixel,
    as OpenCV does it.
    """
    for row in range(y.shape[0]):
        _luma(red[row], green[row], blue[row], y[row])
    for row in range(u.shape[0]):
        _chroma(red[2 * row], green[2 * row], blue[2 * row], u[row], v[row])
