"""Drawing by compiled kernels; imported only where numba is installed. They release the GIL."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait import kernels, lipkernels, portable
from studio.engines.portrait.field import SHAPES, LipLine, Shape
from studio.engines.portrait.mouth import Layer, Scene
from studio.engines.portrait.rig import SIZE, Box, Float
from studio.engines.portrait.warp import COLD, Warp

Byte = NDArray[np.uint8]
HALF = SIZE // 2
LAZY_PX = 0.2
"""Motion that is not worth drawing: a head that sways redraws half of its cells in a picture."""
REACH_PX = 24
"""How far a painted patch of the texture may appear from its place, more than any pose moves it."""


class CompiledTools:
    """See `warp.Tools`.

    Args:
        threshold: See `CompiledWarp`.
    """

    def __init__(self, threshold: float = LAZY_PX) -> None:
        self._threshold = threshold

    def make_warp(self, shape: Shape, y: Byte, u: Byte, v: Byte) -> Warp:
        """See `warp.Tools.make_warp`."""
        return CompiledWarp(shape, y, u, v, self._threshold)

    def lip_line(self, contour: Float) -> LipLine:
        """See `warp.Tools.lip_line`."""
        luma, chroma = np.empty((2, SIZE), np.float32), np.empty((2, HALF), np.float32)
        edges = np.empty((2, SIZE), np.float32)
        first, count = lipkernels.resample(contour, luma, chroma, edges)
        return LipLine(first, edges[0, :count], edges[1, :count], luma, chroma)

    def paint_inside(self, scene: Scene, line: LipLine, out: Byte) -> None:
        """See `warp.Tools.paint_inside`."""
        if len(line.upper):
            block = portable.block(line)
            upper, lower, keen = portable.columns(line, block)
            box, flat = np.array(block), out.reshape(-1)
            if scene.seam and scene.act > 0:
                lipkernels.seam(flat, box, upper, lower, scene.act, scene.mm)
            sprites = tuple(layer.pixels for layer in scene.layers)
            places = np.array([_place(layer) for layer in scene.layers], np.float32)
            numbers = np.array([scene.mm, scene.relief, scene.act], np.float32)
            half = np.empty(((block[3] - block[1]) // 2, (block[2] - block[0]) // 2, 3), np.float32)
            lipkernels.inside(flat, box, upper, lower, keen, sprites, places, scene.colours, numbers, half)
        if scene.rest is not None:
            portable.add_rest(scene.rest, out)


def _place(layer: Layer) -> tuple[float, ...]:
    """Return inverse turn, place, strength and whether it is the photo's own, as `lipkernels.inside` reads them."""
    back = 1 / layer.turn
    return back.real, back.imag, layer.at.real, layer.at.imag, layer.strength, float(layer.photo)


def pack(plane: Byte) -> NDArray[np.uint32]:
    """Return (h, w) words that hold each pixel, its right, lower and lower right neighbour, low byte first."""
    padded = np.pad(plane, ((0, 1), (0, 1)), mode="edge").astype(np.uint32)
    right, below, across = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray(padded[:-1, :-1] | right << 8 | below << 16 | across << 24, np.uint32)


class CompiledWarp:
    """Draws what `portable.OpenCVWarp` draws, but for roundings and two savings in a running sequence.

    Cells that moved less than ``threshold`` px since they were drawn stay as they are, but for the mouth's window and
    what was painted; and away from the lips the motion is inverted with one iteration less.

    Args:
        shape: The face's bases.
        y: (512, 512) texture; u, v: (256, 256). Copied.
        threshold: Pixels.
    """

    def __init__(self, shape: Shape, y: Byte, u: Byte, v: Byte, threshold: float = LAZY_PX) -> None:
        self._threshold = threshold
        self._shape = shape
        self._planes = (y.copy(), u.copy(), v.copy())
        self._words = tuple(pack(plane) for plane in self._planes)
        self._origin = shape.origin
        low_height, low_width = shape.low.shape[2:]
        self._field = np.zeros((2, shape.height, shape.width), np.float32)
        self._back = np.zeros_like(self._field)
        self._low = np.zeros((2, low_height, low_width), np.float32)
        self._back_low = np.zeros_like(self._low)
        self._lip_spans = shape.spans.copy()
        row, column = shape.low_at
        self._lip_spans[:row] = self._lip_spans[row + low_height :] = 0
        self._lip_spans.clip(column, column + low_width, out=self._lip_spans)
        self._low_spans = np.tile(np.array([0, low_width], np.int32), (low_height, 1))
        self._canvas = np.concatenate([plane.reshape(-1) for plane in self._planes])
        self._shown = np.zeros_like(self._field)
        self._stale = np.ones((shape.height - 1, -(-(shape.width - 1) // kernels.CELL)), np.uint8)
        self._columns = np.arange(SIZE, dtype=np.float32)
        self._work = np.zeros((6, 544), np.float32)
        self._cells = np.zeros((3, 544), np.uint32)

    def paint(self, box: Box, y: Byte, u: Byte, v: Byte) -> None:
        """Replace the texture in ``box``; see `Warp.paint`."""
        x0, y0, x1, y1 = box
        half = (x0 // 2, y0 // 2, x1 // 2, y1 // 2)
        for plane, words, (left, top, right, bottom), new in zip(
            self._planes, self._words, (box, half, half), (y, u, v), strict=True
        ):
            plane[top:bottom, left:right] = new
            # The word of a pixel also holds its right and lower neighbours.
            left, top = max(left - 1, 0), max(top - 1, 0)
            words[top:bottom, left:right] = pack(plane[top : bottom + 1, left : right + 1])[
                : bottom - top, : right - left
            ]

        left, top, right, bottom = x0 - REACH_PX, y0 - REACH_PX, x1 + REACH_PX, y1 + REACH_PX
        self._spoil((left - 2) // 4, (top - 2) // 4, (right - 2) // 4 + 1, (bottom - 2) // 4 + 1)

    def _spoil(self, left: int, top: int, right: int, bottom: int) -> None:
        """Have the cells between these nodes of the picture drawn, whatever moved."""
        first, last = max(left - self._shape.left, 0) // kernels.CELL, max(right - self._shape.left, 0)
        rows = slice(max(top - self._shape.top, 0), max(bottom - self._shape.top, 0))
        self._stale[rows, first : -(-last // kernels.CELL)] = 1

    def draw(self, weights: Float, line: LipLine, iterations: int, out: Byte) -> None:
        """Draw the moved texture into ``out``; see `Warp.draw`."""
        shape, field = self._shape, self._field
        shapes, head = weights[:SHAPES], weights[SHAPES:]
        field[:] = 0
        kernels.combine(head, shape.head, field, 0, 0)
        row, column = shape.low_at
        height, width = self._low.shape[1:]
        self._low[:] = field[:, row : row + height, column : column + width]
        kernels.combine(shapes, shape.low, self._low, 0, 0)
        kernels.combine(shapes, shape.face, field, *shape.face_at)
        back, low, place = self._back, self._back_low, self._origin
        # In a running sequence, near the lips one iteration more than elsewhere: there an error is seen.
        last = int(iterations < COLD)
        kernels.invert(field, self._back, shape.spans, iterations - last)
        kernels.invert(field, self._back, self._lip_spans, last)
        kernels.invert(self._low, self._back_low, self._low_spans, iterations)
        left, top = (int(n) for n in self._origin[2:])
        self._spoil(left, top, left + low.shape[2] - 1, top + low.shape[1] - 1)
        kernels.find_stale(back, self._shown, shape.spans, self._stale, self._threshold)
        y, u, v = (plane.reshape(-1) for plane in self._words)
        columns, work, cells, canvas = self._columns, self._work, self._cells, self._canvas
        luma, chroma, stale = line.luma, line.chroma, self._stale
        kernels.draw(back, low, shape.spans, stale, place, luma, chroma, y, u, v, canvas, columns, work, cells)
        out.reshape(-1)[:] = canvas
