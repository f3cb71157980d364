"""Drawing by OpenCV and array operations: runs wherever the studio runs, and says what `compiled` has to return."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import SHAPES, LipLine, Shape
from studio.engines.portrait.mouth import Layer, Scene
from studio.engines.portrait.rig import NODE, SIZE, Box, Float
from studio.engines.portrait.warp import Warp

Byte = NDArray[np.uint8]
HALF = SIZE // 2
SHUT_PX = 0.7
"""Openings below this many pixels show nothing of the inside: no dark dashes where lips touch."""


class PortableTools:
    """See `warp.Tools`."""

    def make_warp(self, shape: Shape, y: Byte, u: Byte, v: Byte) -> Warp:
        """See `warp.Tools.make_warp`."""
        return OpenCVWarp(shape, y, u, v)

    def lip_line(self, contour: Float) -> LipLine:
        """See `warp.Tools.lip_line`."""
        return lip_line(contour)

    def paint_inside(self, scene: Scene, line: LipLine, out: Byte) -> None:
        """See `warp.Tools.paint_inside`."""
        paint_inside(scene, line, out)


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
        self._back = inverse(field, self._back, iterations)
        self._back_low = inverse(low, self._back_low, iterations)
        _still(self._planes, out)
        if not self._back.any() and not self._back_low.any():
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


def inverse(field: Float, back: Float, iterations: int) -> Float:
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


_COLUMNS = np.arange(SIZE, dtype=np.float32)


def lip_line(contour: Float) -> LipLine:
    """Resample contours (2, 49, 2) to pixel columns.

    The fields meet half-way between the lips; beyond the corners at the corner's height, ever more softly.
    """
    left, right = contour[:, 0].mean(axis=0), contour[:, -1].mean(axis=0)
    first, last = int(np.ceil(left[0])), int(np.floor(right[0]))
    inside = _COLUMNS[max(first, 0) : min(last, SIZE - 1) + 1]
    onwards = np.maximum.accumulate(contour[..., 0], axis=1)
    upper, lower = (np.interp(inside, x, row[:, 1]).astype(np.float32) for x, row in zip(onwards, contour, strict=True))
    middle = np.where(left[0] > _COLUMNS, left[1], right[1])
    middle[max(first, 0) : max(first, 0) + len(inside)] = 0.5 * (upper + lower)
    outside = np.maximum(np.maximum(left[0] - _COLUMNS, _COLUMNS - right[0]), 0)
    luma = np.stack([middle, 0.5 / (0.5 + 0.45 * outside)]).astype(np.float32)
    chroma = np.ascontiguousarray(0.5 * (luma[:, 0::2] + luma[:, 1::2]))
    return LipLine(max(first, 0), upper, lower, luma, chroma)


def paint_inside(scene: Scene, line: LipLine, out: Byte) -> None:
    """Paint into the I420 picture ``out`` (768, 512) what the lips uncover."""
    if len(line.upper):
        box = block(line)
        upper, lower, keen = columns(line, box)
        rows = np.arange(box[1], box[3], dtype=np.float32)[:, None]
        if scene.seam:
            _draw_seam(out, box, rows, upper, lower, scene)
        mask = np.clip((rows - upper) * keen[0] + 0.5, 0, 1) * np.clip((lower - rows) * keen[1] + 0.5, 0, 1)
        mask *= np.clip((lower - upper - SHUT_PX) / 1.2, 0, 1)
        if mask.any():
            _composite(out, box, mask, _inside(scene, box, rows, upper, lower))
    if scene.rest is not None:
        add_rest(scene.rest, out)


def block(line: LipLine) -> Box:
    """Even pixel box around the opening."""
    x0, x1 = line.first - 2, line.first + len(line.upper) + 2
    y0, y1 = int(line.upper.min()) - 3, int(line.lower.max()) + 4
    x0, y0 = max(x0 // 2 * 2, 0), max(y0 // 2 * 2, 0)
    return x0, y0, min((x1 + 1) // 2 * 2, SIZE), max(min((y1 + 1) // 2 * 2, SIZE), y0 + 2)


def columns(line: LipLine, box: Box) -> tuple[Float, Float, Float]:
    """Return upper and lower edge per column of ``box``, shut outside the corners, and their keenness (2, w).

    Keenness is the cosine of an edge's slope: a height times it is the distance to the edge.
    """
    start, count = line.first - box[0], len(line.upper)
    edges = np.zeros((2, box[2] - box[0]), np.float32)
    edges[0] = line.upper[0]
    edges[:, start : start + count] = line.upper, line.lower
    keen = np.ones_like(edges)
    slope = (edges[:, start + 2 : start + count] - edges[:, start : start + count - 2]) * np.float32(0.5)
    keen[:, start + 1 : start + count - 1] = 1 / np.sqrt(1 + slope * slope)
    return edges[0], edges[1], keen


def _inside(scene: Scene, box: Box, rows: Float, upper: Float, lower: Float) -> Float:
    """Return the inside (h, w, 3) as Y, U - 128, V - 128 of ``box``."""
    mm = scene.mm
    inside = np.empty((box[3] - box[1], box[2] - box[0], 3), np.float32)
    inside[:] = scene.colours[0]
    shade = 1 - scene.relief * (1 - _shade(rows, upper, lower, mm))
    inside[..., 0] = 16 + (inside[..., 0] - 16) * shade
    for layer in scene.layers:
        drawn = _drawn(layer, box) * np.float32(layer.strength)
        dim = 1 - scene.act * (1 - np.minimum(1, 1.25 * shade)) if layer.photo else shade
        drawn[..., 0] = 16 * drawn[..., 3] + (drawn[..., 0] - 16 * drawn[..., 3]) * dim
        _over(inside, drawn)
    near = np.minimum(rows - upper, lower - rows) / np.float32(0.55 * mm)
    # Dark wedges at the corners become lip; along a wide opening a rim this strong would be a drawn line.
    wedge = np.clip(1.2 - (lower - upper) / (4.0 * mm), 0.2, 1)
    wet = (0.62 * scene.act) * (wedge * np.clip(1 - near, 0, 1))[..., None]
    inside += wet * (scene.colours[1] - inside)
    return inside


def _drawn(layer: Layer, box: Box) -> Float:
    at = layer.at - complex(box[0], box[1])
    matrix = np.array([[layer.turn.real, -layer.turn.imag, at.real], [layer.turn.imag, layer.turn.real, at.imag]])
    size = (box[2] - box[0], box[3] - box[1])
    return np.asarray(cv2.warpAffine(layer.pixels, matrix, size, flags=cv2.INTER_LINEAR), np.float32)


def _shade(rows: Float, upper: Float, lower: Float, mm: float) -> Float:
    """Shadow of the lips and cheeks on the inside; 1 / (1 + u + u^2) stands for exp(-u)."""
    top = np.maximum(rows - upper, 0) * np.float32(1 / (1.7 * mm))
    bottom = np.maximum(lower - rows, 0) * np.float32(1 / (1.4 * mm))
    t = np.linspace(-1, 1, len(upper), dtype=np.float32)
    shade: Float = (1 - 0.50 / (1 + top + top * top)) * (1 - 0.30 / (1 + bottom + bottom * bottom))
    return shade * (1 - 0.45 * t**4)


def _over(under: Float, sprite: Float) -> None:
    under *= 1 - sprite[..., 3:]
    under += sprite[..., :3]


def _draw_seam(out: Byte, box: Box, rows: Float, upper: Float, lower: Float, scene: Scene) -> None:
    """Darken the line on which parted lips meet."""
    shut = scene.act * np.clip(1.5 - (lower - upper), 0, 1)
    shut *= np.sin(np.linspace(0, np.pi, len(upper))).clip(0) ** 0.5
    if not shut.any():
        return
    near = ((rows - 0.5 * (upper + lower)) / (0.42 * scene.mm)) ** 2
    y = out[box[1] : box[3], box[0] : box[2]]
    y[:] = 16.5 + (y.astype(np.float32) - 16) * (1 - 0.42 * shut * np.exp(-near))


def _composite(out: Byte, box: Box, mask: Float, inside: Float) -> None:
    """Lay ``inside`` (h, w, 3) over the picture where ``mask`` (h, w) says so; chroma over 2 x 2 pixels."""
    x0, y0, x1, y1 = box
    y = out[y0:y1, x0:x1]
    y[:] = np.clip(y * (1 - mask) + mask * inside[..., 0] + 0.5, 0, 255)
    layers = np.dstack([mask, mask * inside[..., 1], mask * inside[..., 2]])
    half = cv2.resize(layers, ((x1 - x0) // 2, (y1 - y0) // 2), interpolation=cv2.INTER_AREA)
    planes = out[SIZE:].reshape(2, HALF, HALF)
    for c in range(2):
        plane = planes[c, y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        plane[:] = np.clip((plane.astype(np.float32) - 128) * (1 - half[..., 0]) + half[..., c + 1] + 128.5, 0, 255)


def add_rest(rest: Layer, out: Byte) -> None:
    """Add a correction (h, w, 4), even in size and place, to the picture."""
    height, width = rest.pixels.shape[:2]
    x0, y0 = max(int(rest.at.real) // 2 * 2, 0), max(int(rest.at.imag) // 2 * 2, 0)
    box = (x0, y0, min(x0 + width + 2, SIZE), min(y0 + height + 2, SIZE))
    drawn = _drawn(rest, box) * np.float32(rest.strength)
    y = out[y0 : box[3], x0 : box[2]]
    y[:] = np.clip(y + drawn[..., 0] + 0.5, 0, 255)
    half = cv2.resize(drawn, ((box[2] - x0) // 2, (box[3] - y0) // 2), interpolation=cv2.INTER_AREA)
    planes = out[SIZE:].reshape(2, HALF, HALF)
    for c in range(2):
        plane = planes[c, y0 // 2 : box[3] // 2, x0 // 2 : box[2] // 2]
        plane[:] = np.clip(plane + half[..., c + 1] + 0.5, 0, 255)
