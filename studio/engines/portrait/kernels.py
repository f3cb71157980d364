"""The compiled inner loops of the warp; imported only where numba is installed.

One texture word holds the four neighbours of a sample (`compiled.pack`), so that a bilinear sample is one load, two
shifts and four multiplications on 16-bit lanes. Weights have 8 fractional bits: a position on a pixel returns that
pixel exactly. Rows are separate functions whose arrays are declared not to overlap: only then LLVM vectorises them
(measured for 512x512 samples: 0.44 ms instead of 1.20 ms; `cv2.remap` with a fixed map takes 0.76 ms on that core).
"""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numba.core.compiler import Compiler
from numpy.typing import NDArray

CELL = 32
"""Node columns of one cell: 128 pixels; it is one node row high: 4 pixels. Shorter ones cost more than they save."""
Float = NDArray[np.float32]
Word = NDArray[np.uint32]
Byte = NDArray[np.uint8]


class _Disjoint(Compiler):
    """Compiles a function whose array arguments never overlap, as C's ``restrict``."""

    def define_pipelines(self) -> Any:
        self.state.flags.noalias = True
        return super().define_pipelines()  # type: ignore[no-untyped-call]  # numba has no types


_row = nb.njit(nogil=True, cache=True, fastmath=True, error_model="numpy", pipeline_class=_Disjoint)
_njit = nb.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


@_row
def _add(out: Float, basis: Float, weight: float) -> None:
    for j in range(out.shape[0]):
        out[j] += weight * basis[j]


@_njit
def combine(weights: Float, bases: Float, out: Float, top: int, left: int) -> None:
    """Add ``sum_k weights[k] bases[k]`` (K, 2, h, w) to ``out`` (2, H, W) at node (top, left)."""
    height, width = bases.shape[2], bases.shape[3]
    for k in range(weights.shape[0]):
        if weights[k] != 0.0:
            for c in range(2):
                for i in range(height):
                    _add(out[c, top + i, left : left + width], bases[k, c, i], weights[k])


@_row
def _invert_row(
    field_x: Float, field_y: Float, back_x: Float, back_y: Float, row: int, height: int, width: int, first: int
) -> None:
    for j in range(back_x.shape[0]):
        x = np.float32(j + first) - np.float32(0.25) * back_x[j]
        y = np.float32(row) - np.float32(0.25) * back_y[j]
        x = min(max(x, np.float32(0.0)), np.float32(width - 1))
        y = min(max(y, np.float32(0.0)), np.float32(height - 1))
        left = min(np.int32(x), np.int32(width - 2))
        top = min(np.int32(y), np.int32(height - 2))
        fx = x - np.float32(left)
        fy = y - np.float32(top)
        k = np.uint32(top * width + left)
        below = np.uint32(k + np.uint32(width))
        w11 = fx * fy
        w10 = fy - w11
        w01 = fx - w11
        w00 = np.float32(1.0) - fx - w10
        one = np.uint32(1)
        back_x[j] = w00 * field_x[k] + w01 * field_x[k + one] + w10 * field_x[below] + w11 * field_x[below + one]
        back_y[j] = w00 * field_y[k] + w01 * field_y[k + one] + w10 * field_y[below] + w11 * field_y[below + one]


@_njit
def invert(field: Float, back: Float, spans: NDArray[np.int32], iterations: int) -> None:
    """Iterate ``back(q) <- field(q - back(q))`` in place on the nodes of each row's span.

    Args:
        field: (2, h, w) forward displacement in pixels.
        back: (2, h, w) its inverse, the previous frame's when called.
        spans: (h, 2) first and last node that can move, end exclusive.
        iterations: 2 for a running sequence, 5 from a cold start.
    """
    height, width = field.shape[1], field.shape[2]
    field_x, field_y = field[0].ravel(), field[1].ravel()
    for i in range(height):
        first, last = spans[i, 0], spans[i, 1]
        if last > first:
            for _ in range(iterations):
                _invert_row(field_x, field_y, back[0, i, first:last], back[1, i, first:last], i, height, width, first)


@_row
def _lerp(a: Float, b: Float, t: float, out: Float) -> None:
    for j in range(a.shape[0]):
        out[j] = a[j] + np.float32(t) * (b[j] - a[j])


@_row
def _quadruple(nodes: Float, out: Float) -> None:
    """Four samples between every two nodes, at 1/8, 3/8, 5/8 and 7/8."""
    for j in range(nodes.shape[0] - 1):
        step = (nodes[j + 1] - nodes[j]) * np.float32(0.25)
        start = nodes[j] + np.float32(0.5) * step
        out[4 * j] = start
        out[4 * j + 1] = start + step
        out[4 * j + 2] = start + np.float32(2.0) * step
        out[4 * j + 3] = start + np.float32(3.0) * step


@_row
def _double(nodes: Float, out: Float) -> None:
    """Two samples between every two nodes, at 1/4 and 3/4."""
    for j in range(nodes.shape[0] - 1):
        step = (nodes[j + 1] - nodes[j]) * np.float32(0.25)
        out[2 * j] = nodes[j] + step
        out[2 * j + 1] = nodes[j + 1] - step


@_row
def _blend(upper: Float, lower: Float, middle: Float, soft: Float, y: float) -> None:
    for e in range(upper.shape[0]):
        w = (np.float32(y) - middle[e]) * soft[e] + np.float32(0.5)
        w = min(max(w, np.float32(0.0)), np.float32(1.0))
        upper[e] += w * (lower[e] - upper[e])


@_row
def _place(
    columns: Float, y: float, unit: float, back_x: Float, back_y: Float, size: int, index: Word, weight: Word
) -> None:
    """Split positions (columns - unit back_x, y - unit back_y) into word indices and 8-bit fractions, y's above x's."""
    edge = np.float32(size - 1)
    for e in range(index.shape[0]):
        x = min(max(columns[e] - np.float32(unit) * back_x[e], np.float32(0.0)), edge)
        v = min(max(np.float32(y) - np.float32(unit) * back_y[e], np.float32(0.0)), edge)
        xi = np.int32(x * np.float32(256.0) + np.float32(0.5))
        vi = np.int32(v * np.float32(256.0) + np.float32(0.5))
        index[e] = np.uint32((vi >> np.int32(8)) * np.int32(size) + (xi >> np.int32(8)))
        weight[e] = np.uint32((xi & np.int32(255)) | ((vi & np.int32(255)) << np.int32(16)))


@_row
def _gather(texture: Word, index: Word, words: Word) -> None:
    for e in range(words.shape[0]):
        words[e] = texture[index[e]]


@_row
def _mix(words: Word, weight: Word, out: Byte) -> None:
    """Bilinear mean of the four bytes of each word."""
    for e in range(out.shape[0]):
        fx = weight[e] & np.uint32(0xFFFF)
        fy = weight[e] >> np.uint32(16)
        left = words[e] & np.uint32(0x00FF00FF)
        right = (words[e] >> np.uint32(8)) & np.uint32(0x00FF00FF)
        pair = left * (np.uint32(256) - fx) + right * fx
        top = pair & np.uint32(0xFFFF)
        bottom = pair >> np.uint32(16)
        out[e] = np.uint8((top * (np.uint32(256) - fy) + bottom * fy + np.uint32(32768)) >> np.uint32(16))


@_njit
def _expand(back: Float, i: int, t: float, first: int, last: int, luma: bool, rows: Float, out: Float) -> None:
    """Write the displacement between node rows i and i + 1 at fraction t, nodes [first, last), to ``out`` (2, n)."""
    for c in range(2):
        _lerp(back[c, i, first:last], back[c, i + 1, first:last], t, rows[c, : last - first])
        if luma:
            _quadruple(rows[c, : last - first], out[c])
        else:
            _double(rows[c, : last - first], out[c])


@_row
def _change(now: Float, shown: Float) -> float:
    """Return the largest difference."""
    largest = np.float32(0.0)
    for j in range(now.shape[0]):
        largest = max(largest, abs(now[j] - shown[j]))
    return float(largest)


@_row
def _keep(now: Float, shown: Float) -> None:
    for j in range(now.shape[0]):
        shown[j] = now[j]


@_njit
def find_stale(back: Float, shown: Float, spans: NDArray[np.int32], stale: NDArray[np.uint8], threshold: float) -> None:
    """Set ``stale`` (bands, chunks) where a node moved more than ``threshold`` px since its cell was drawn.

    Band i lies between the node rows i and i + 1, chunk c between the node columns `CELL` c and `CELL` (c + 1). A cell
    looks at the nodes on its upper edge alone: displacements are smooth. ``shown`` (2, h, w) becomes what is drawn.
    """
    for i in range(stale.shape[0]):
        for c in range(stale.shape[1]):
            a, b = max(CELL * c, spans[i, 0]), min(CELL * (c + 1), spans[i, 1])
            if b <= a:
                continue
            x, y, shown_x, shown_y = back[0, i, a:b], back[1, i, a:b], shown[0, i, a:b], shown[1, i, a:b]
            if stale[i, c] or _change(x, shown_x) > threshold or _change(y, shown_y) > threshold:
                stale[i, c] = 1
                _keep(x, shown_x)
                _keep(y, shown_y)


@_njit
def _draw_row(
    plane: int,
    y: int,
    first: int,
    last: int,
    back: Float,
    low: Float,
    origin: NDArray[np.int32],
    line: Float,
    texture: Word,
    second: Word,
    out: Byte,
    columns: Float,
    work: Float,
    cells: Word,
) -> None:
    """Draw one row of luma (plane 0) or of both chroma planes (1) between the nodes ``first`` and ``last`` - 1."""
    left, top, low_left, low_top = origin[0], origin[1], origin[2], origin[3]
    per = 4 if plane == 0 else 2
    size = 512 if plane == 0 else 256
    place = (y - 1.5) / 4.0 if plane == 0 else (2.0 * y - 1.0) / 4.0
    node = int(np.floor(place))
    t = place - node
    i = node - top
    move, other, rows = work[0:2], work[2:4], work[4:6]
    _expand(back, i, t, first, last, plane == 0, rows, move)
    x0 = per * (left + first) + per // 2
    count = per * (last - first - 1)
    k = node - low_top
    if 0 <= k < low.shape[1] - 1:
        _expand(low, k, t, 0, low.shape[2], plane == 0, rows, other)
        start = per * low_left + per // 2
        a, b = max(start, x0), min(start + per * (low.shape[2] - 1), x0 + count)
        if b > a:
            height = float(y) if plane == 0 else 2.0 * y + 0.5
            for c in range(2):
                _blend(move[c, a - x0 : b - x0], other[c, a - start : b - start], line[0, a:b], line[1, a:b], height)
    a, b = max(x0, 0), min(x0 + count, size)
    if b <= a:
        return
    n = b - a
    unit = 1.0 if plane == 0 else 0.5
    index, weight, words = cells[0, :n], cells[1, :n], cells[2, :n]
    _place(columns[a:b], y, unit, move[0, a - x0 : b - x0], move[1, a - x0 : b - x0], size, index, weight)
    _gather(texture, index, words)
    if plane == 0:
        _mix(words, weight, out[y * 512 + a : y * 512 + b])
    else:
        at = 512 * 512 + y * 256 + a
        _mix(words, weight, out[at : at + n])
        _gather(second, index, words)
        _mix(words, weight, out[at + 256 * 256 : at + 256 * 256 + n])


@_njit
def draw(
    back: Float,
    low: Float,
    spans: NDArray[np.int32],
    stale: NDArray[np.uint8],
    origin: NDArray[np.int32],
    luma_line: Float,
    chroma_line: Float,
    y_words: Word,
    u_words: Word,
    v_words: Word,
    out: Byte,
    columns: Float,
    work: Float,
    cells: Word,
) -> None:
    """Draw the moved texture into the I420 picture ``out`` (768 * 512,), where the spans say that it can move.

    Only stale cells are drawn; the others stay as they are in ``out``.

    Args:
        back: (2, h, w) inverse displacement above the lip line on nodes from ``origin[:2]`` (left, top), px.
        low: (2, lh, lw) the one below it, on nodes from ``origin[2:]``.
        spans: (h, 2) nodes that can move in each row.
        stale: (h - 1, chunks) see `find_stale`; 0 afterwards.
        origin: (4,) see ``back`` and ``low``.
        luma_line: (2, 512) height of the lip line and softness 1 / (2 h) per column.
        chroma_line: (2, 256) the same per chroma column.
        y_words: (512 * 512,) packed texture.
        u_words: (256 * 256,) packed texture.
        v_words: (256 * 256,) packed texture.
        out: flat I420, already holding the still source or what was drawn last.
        columns: (512,) 0, 1, 2, ...
        work: (6, 544) scratch.
        cells: (3, 544) scratch.
    """
    top, bands, chunks = origin[1], stale.shape[0], stale.shape[1]
    for i in range(bands):
        left, right = min(spans[i, 0], spans[i + 1, 0]), max(spans[i, 1], spans[i + 1, 1])
        c = 0
        while c < chunks:
            begin = c
            while c < chunks and stale[i, c]:
                stale[i, c] = 0
                c += 1
            first, last = max(CELL * begin, left), min(CELL * c + 1, right)
            if last - first >= 2:
                node = top + i
                for plane in range(2):  # a variable: constants would be compiled as two functions
                    per = 4 - 2 * plane
                    line = luma_line if plane == 0 else chroma_line
                    words = y_words if plane == 0 else u_words
                    begin_y, end_y = max(0, per * node + per // 2), min(128 * per, per * node + per // 2 + per)
                    for y in range(begin_y, end_y):
                        _draw_row(
                            plane, y, first, last, back, low, origin, line, words, v_words, out, columns, work, cells
                        )
            c += 1
