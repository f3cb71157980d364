"""Moves the texture: forward field, its inverse, one resampling of Y, U and V into an I420 picture.

Two implementations of one interface: compiled kernels where numba is installed (`kernels`), OpenCV elsewhere. Both
return the texture bit for bit where nothing moves. Knows nothing of mouths and eyes.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import SHAPES, LipLine, Shape
from studio.engines.portrait.rig import NODE, SIZE, Box, Float

Byte = NDArray[np.uint8]
HALF = SIZE // 2
WARM, COLD = 2, 5
"""Fixed-point iterations in a running sequence and after a jump (specification section 4)."""


class Warp(Protocol):
    """One take's texture and motion."""

    def paint(self, box: Box, y: Byte, u: Byte, v: Byte) -> None:
        """Replace the texture in ``box`` (even pixels): y (h, w), u and v (h / 2, w / 2)."""

    def draw(self, weights: Float, line: LipLine, iterations: int, out: Byte) -> None:
        """Draw the texture moved by ``weights`` (len(BASES),) into ``out`` (768, 512), which holds the still source."""


class OpenCVWarp:
    """The warp by array operations and `cv2.remap`.

    Args:
        shape: The face's bases.
        y: (512, 512) texture; u, v: (256, 256). Copied.
    """

    def __init__(self, shape: Shape, y: Byte, u: Byte, v: Byte) -> None:
        self._shape = shape
        self._planes = (y.copy(), u.copy(), v.copy())
        row, column = shape.low_at
        height, width = shape.low.shape[2:]
        self._low = np.s_[:, row : row + height, column : column + width]
        self._back = np.zeros((2, shape.height, shape.width), np.float32)
        self._back_low = np.zeros((2, height, width), np.float32)

    def paint(self, box: Box, y: Byte, u: Byte, v: Byte) -> None:
        """Replace the texture in ``box``."""
        x0, y0, x1, y1 = box
        self._planes[0][y0:y1, x0:x1] = y
        self._planes[1][y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = u
        self._planes[2][y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = v

    def draw(self, weights: Float, line: LipLine, iterations: int, out: Byte) -> None:
        """Draw the moved texture into ``out``; see `Warp.draw`."""
        shape = self._shape
        field = np.tensordot(weights[SHAPES:], shape.head, 1)
        low = field[self._low] + np.tensordot(weights[:SHAPES], shape.low, 1)
        row, column = shape.face_at
        height, width = shape.face.shape[2:]
        field[:, row : row + height, column : column + width] += np.tensordot(weights[:SHAPES], shape.face, 1)
        self._back = _inverse(field, self._back, iterations)
        self._back_low = _inverse(low, self._back_low, iterations)
        if not self._back.any() and not self._back_low.any():
            _still(self._planes, out)
            return
        self._resample(_upsample(self._back, NODE), NODE, line.luma, 0, out[:SIZE])
        chroma = out[SIZE:].reshape(2, HALF, HALF)
        half = _upsample(self._back, 2) * np.float32(0.5)
        self._resample(half, 2, line.chroma, 1, chroma[0])
        self._resample(half, 2, line.chroma, 2, chroma[1])

    def _resample(self, back: Float, per: int, line: Float, plane: int, out: Byte) -> None:
        """Draw one plane; ``back`` (2, per (h - 1), per (w - 1)) in its pixels, changed in the mouth's block."""
        shape = self._shape
        x0, y0 = per * shape.left + per // 2, per * shape.top + per // 2
        row, column = shape.low_at
        if self._back_low.size and (plane < 2):
            low = _upsample(self._back_low, per) * np.float32(per / NODE)
            inside = back[:, per * row : per * row + low.shape[1], per * column : per * column + low.shape[2]]
            left, top = x0 + per * column, y0 + per * row
            heights = np.arange(top, top + low.shape[1], dtype=np.float32)[:, None]
            heights = heights if per == NODE else 2 * heights + np.float32(0.5)
            columns = slice(left, left + low.shape[2])
            inside += np.clip((heights - line[0, columns]) * line[1, columns] + 0.5, 0, 1) * (low - inside)
        height, width = back.shape[1:]
        map_x = np.arange(x0, x0 + width, dtype=np.float32) - back[0]
        map_y = np.arange(y0, y0 + height, dtype=np.float32)[:, None] - back[1]
        texture = self._planes[plane]
        moved = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        cut_x, cut_y = max(0, -x0), max(0, -y0)
        target = out[y0 + cut_y : y0 + height, x0 + cut_x : x0 + width]
        target[:] = moved[cut_y : cut_y + target.shape[0], cut_x : cut_x + target.shape[1]]


def _still(planes: tuple[Byte, Byte, Byte], out: Byte) -> None:
    out[:SIZE] = planes[0]
    chroma = out[SIZE:].reshape(2, HALF, HALF)
    chroma[0], chroma[1] = planes[1], planes[2]


def _inverse(field: Float, back: Float, iterations: int) -> Float:
    """Iterate b(q) <- field(q - b(q)) on all nodes; arrays (2, h, w), pixels."""
    height, width = field.shape[1:]
    if not height or not width:
        return back
    columns = np.arange(width, dtype=np.float32)
    rows = np.arange(height, dtype=np.float32)[:, None]
    pairs = np.ascontiguousarray(np.moveaxis(field, 0, -1))
    for _ in range(iterations):
        x = columns - back[0] * np.float32(1 / NODE)
        y = rows - back[1] * np.float32(1 / NODE)
        moved = cv2.remap(pairs, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        back = np.ascontiguousarray(np.moveaxis(moved, -1, 0))
    return back


def _upsample(nodes: Float, per: int) -> Float:
    """Return (2, per (h - 1), per (w - 1)): ``per`` samples between every two nodes."""
    height, width = nodes.shape[1:]
    if not height or not width:
        return np.zeros((2, 0, 0), np.float32)
    cut = per // 2
    planes = [cv2.resize(p, (per * width, per * height), interpolation=cv2.INTER_LINEAR) for p in nodes]
    return np.stack(planes)[:, cut : per * height - (per - cut), cut : per * width - (per - cut)]


def compiled_is_available() -> bool:
    """Say whether numba is installed."""
    return find_spec("numba") is not None


def make_warp(shape: Shape, y: Byte, u: Byte, v: Byte) -> Warp:
    """Return the fastest warp that this machine can run."""
    if not compiled_is_available():
        return OpenCVWarp(shape, y, u, v)
    from studio.engines.portrait.compiled import CompiledWarp

    return CompiledWarp(shape, y, u, v)
