"""The compiled inner loops of the mouth; imported only where numba is installed. `portable` says what they compute."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]
Single = Any
"""np.float32, in one register."""

_njit = nb.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")


@_njit
def resample(contour: Float, luma: Float, chroma: Float, edges: Float) -> tuple[int, int]:
    """Resample contours (2, 49, 2) to columns; see `portable.lip_line`.

    Args:
        contour: Upper, then lower.
        luma: (2, 512) is written: the lip line and its steepness.
        chroma: (2, 256) is written.
        edges: (2, 512) is written from 0: upper and lower edge between the corners.

    Returns:
        The first column between the corners and how many there are.
    """
    points = contour.shape[1]
    left_x = 0.5 * (contour[0, 0, 0] + contour[1, 0, 0])
    left_y = 0.5 * (contour[0, 0, 1] + contour[1, 0, 1])
    right_x = 0.5 * (contour[0, points - 1, 0] + contour[1, points - 1, 0])
    right_y = 0.5 * (contour[0, points - 1, 1] + contour[1, points - 1, 1])
    first = max(int(np.ceil(left_x)), 0)
    count = max(min(int(np.floor(right_x)), 511) + 1 - first, 0)
    for side in range(2):
        at = 0
        for j in range(count):
            x = first + j
            while at < points - 2 and contour[side, at + 1, 0] < x:
                at += 1
            x0, x1 = contour[side, at, 0], contour[side, at + 1, 0]
            t = min(max((x - x0) / max(x1 - x0, 1e-6), 0.0), 1.0)
            edges[side, j] = contour[side, at, 1] + t * (contour[side, at + 1, 1] - contour[side, at, 1])
    for x in range(512):
        outside = max(max(left_x - x, x - right_x), 0.0)
        luma[0, x] = left_y if x < left_x else right_y
        if first <= x < first + count:
            luma[0, x] = 0.5 * (edges[0, x - first] + edges[1, x - first])
        luma[1, x] = 0.5 / (0.5 + 0.45 * outside)
    for x in range(256):
        chroma[0, x] = 0.5 * (luma[0, 2 * x] + luma[0, 2 * x + 1])
        chroma[1, x] = 0.5 * (luma[1, 2 * x] + luma[1, 2 * x + 1])
    return first, count


@_njit
def _clip(x: float, low: float, high: float) -> float:
    return min(max(x, low), high)


@_njit
def _lay(
    sprite: Float, place: Float, x: Single, y: Single, dim: Single, below: tuple[Single, Single, Single]
) -> tuple[Single, Single, Single]:
    """Return the sprite's colour at picture point (x, y), its light times ``dim``, over the colour ``below``."""
    dx, dy = x - place[2], y - place[3]
    sx = place[0] * dx - place[1] * dy
    sy = place[1] * dx + place[0] * dy
    if sx < 0.0 or sy < 0.0 or sx >= sprite.shape[1] - 1 or sy >= sprite.shape[0] - 1:
        return below
    left, top = np.uint32(sx), np.uint32(sy)
    right, bottom = left + np.uint32(1), top + np.uint32(1)
    fx, fy = np.float32(sx - left), np.float32(sy - top)
    w11 = fx * fy
    w10, w01 = fy - w11, fx - w11
    w00 = np.float32(1.0) - fx - w10
    s = place[4]
    alpha = s * (
        w00 * sprite[top, left, 3] + w01 * sprite[top, right, 3]
        + w10 * sprite[bottom, left, 3] + w11 * sprite[bottom, right, 3]
    )  # fmt: skip
    if alpha == 0.0:
        return below
    y0 = w00 * sprite[top, left, 0] + w01 * sprite[top, right, 0]
    y0 += w10 * sprite[bottom, left, 0] + w11 * sprite[bottom, right, 0]
    u = w00 * sprite[top, left, 1] + w01 * sprite[top, right, 1]
    u += w10 * sprite[bottom, left, 1] + w11 * sprite[bottom, right, 1]
    v = w00 * sprite[top, left, 2] + w01 * sprite[top, right, 2]
    v += w10 * sprite[bottom, left, 2] + w11 * sprite[bottom, right, 2]
    rest, black = np.float32(1.0) - alpha, np.float32(16.0) * alpha
    return below[0] * rest + black + (s * y0 - black) * dim, below[1] * rest + s * u, below[2] * rest + s * v


@_njit
def seam(out: Byte, box: NDArray[np.int64], upper: Float, lower: Float, act: float, mm: float) -> None:
    """Darken the line on which parted lips meet; see `portable`."""
    width = box[2] - box[0]
    for j in range(width):
        shut = act * _clip(1.5 - (lower[j] - upper[j]), 0.0, 1.0)
        shut *= max(np.sin(np.pi * j / (width - 1)), 0.0) ** 0.5
        if shut > 0.0:
            middle = 0.5 * (upper[j] + lower[j])
            for y in range(box[1], box[3]):
                near = (y - middle) / (0.42 * mm)
                if near * near < 12.0:
                    at = y * 512 + box[0] + j
                    out[at] = np.uint8(16.5 + (out[at] - 16.0) * (1.0 - 0.42 * shut * np.exp(-near * near)))


@_njit
def inside(
    out: Byte,
    box: NDArray[np.int64],
    upper: Float,
    lower: Float,
    keen: Float,
    sprites: tuple[Float, ...],
    places: Float,
    colours: Float,
    numbers: Float,
    half: Float,
) -> None:
    """Paint what is between the lips into flat I420 ``out``; see `portable.paint_inside`.

    Args:
        out: (768 * 512,).
        box: Even x0, y0, x1, y1.
        upper: (w,) upper edge per column of the box.
        lower: (w,).
        keen: (2, w) their keenness, see `portable.columns`.
        sprites: (h, w, 4) each, back to front, with a border of nothing.
        places: (n, 6) inverse turn (re, im), place (x, y), strength and whether it is the photo's own, of each sprite.
        colours: (2, 3) cavity and wet lip.
        numbers: mm, relief, act.
        half: (>= h / 2, >= w / 2, 3) scratch.
    """
    mm, relief, act = numbers[0], numbers[1], numbers[2]
    x0, y0 = box[0], box[1]
    width, height = box[2] - x0, box[3] - y0
    half[: height // 2, : width // 2] = 0.0
    for i in range(height):
        y = y0 + i
        for j in range(width):
            opening = lower[j] - upper[j]
            top, bottom = y - upper[j], lower[j] - y
            near, far = top * keen[0, j], bottom * keen[1, j]
            if opening <= 0.7 or near <= -0.5 or far <= -0.5:
                continue
            mask = _clip(near + 0.5, 0.0, 1.0) * _clip(far + 0.5, 0.0, 1.0) * _clip((opening - 0.7) / 1.2, 0.0, 1.0)
            u, v, t = max(top, 0.0) / (1.7 * mm), max(bottom, 0.0) / (1.4 * mm), 2.0 * j / (width - 1) - 1.0
            shade = (1.0 - 0.50 / (1.0 + u + u * u)) * (1.0 - 0.30 / (1.0 + v + v * v)) * (1.0 - 0.45 * t * t * t * t)
            shade = 1.0 - relief * (1.0 - shade)
            colour = (np.float32(16.0 + (colours[0, 0] - 16.0) * shade), colours[0, 1], colours[0, 2])
            for k in range(len(sprites)):
                dim = shade if places[k, 5] == 0.0 else 1.0 - act * (1.0 - min(1.0, 1.25 * shade))
                colour = _lay(sprites[k], places[k], np.float32(x0 + j), np.float32(y), np.float32(dim), colour)
            wet = 0.62 * act * _clip(1.2 - opening / (4.0 * mm), 0.2, 1.0)
            wet *= _clip(1.0 - min(top, bottom) / (0.55 * mm), 0.0, 1.0)
            luma = colour[0] + wet * (colours[1, 0] - colour[0])
            at = y * 512 + x0 + j
            out[at] = np.uint8(_clip(out[at] * (1.0 - mask) + mask * luma + 0.5, 0.0, 255.0))
            half[i // 2, j // 2, 0] += 0.25 * mask
            half[i // 2, j // 2, 1] += 0.25 * mask * (colour[1] + wet * (colours[1, 1] - colour[1]))
            half[i // 2, j // 2, 2] += 0.25 * mask * (colour[2] + wet * (colours[1, 2] - colour[2]))
    for c in range(2):
        for i in range(height // 2):
            for j in range(width // 2):
                if half[i, j, 0] > 0.0:
                    at = (4 + c) * 65536 + (y0 // 2 + i) * 256 + x0 // 2 + j
                    value = (out[at] - 128.0) * (1.0 - half[i, j, 0]) + half[i, j, c + 1] + 128.5
                    out[at] = np.uint8(_clip(value, 0.0, 255.0))
