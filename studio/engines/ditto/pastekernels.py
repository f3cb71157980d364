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


@numba.njit(nogil=True, cache=True, error_model="numpy")
def fill(face: Floats, out: Floats) -> None:
    """See `pasteportable.fill`."""
    low, high = np.float32(0), np.float32(255)
    for y in range(face.shape[1]):
        for channel in range(3):
            for x in range(face.shape[2]):
                out[y, x, channel] = min(max(face[channel, y, x] * high, low), high)


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
