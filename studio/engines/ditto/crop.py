"""Where a face is cut out: the square around its landmarks, turned upright, and the affine warps into and out of it.

Knows landmarks of 106 and of 203 points. Coordinates are pixels, centres on integers. Specification: section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.types import Bytes, Floats
from studio.errors import BadPortrait

SHORTEST = 1e-3
"""Pixels between eyes and lips below which a face has no direction: it counts as upright."""


@dataclass(frozen=True, slots=True)
class Marks:
    """Which landmarks say where eyes and lips are."""

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    lips: tuple[int, ...]
    """The corners."""


MARKS: Mapping[int, Marks] = {
    106: Marks((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    203: Marks((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
}
"""By the number of landmarks."""


def crop_matrix(points: Floats, size: int, scale: float, vy: float, rotate: bool) -> Floats:
    """Return the affine map (3, 3) float32 from the picture to a square crop around a face.

    Args:
        points: (106, 2) or (203, 2) landmarks in pixels of the picture.
        size: Side of the crop in pixels.
        scale: Side of the square over the longer side of the landmarks' turned box.
        vy: How far the square lies below the face's middle, as a share of its side; negative: above.
        rotate: Turn the face upright.

    Raises:
        BadPortrait: The landmarks span no area, or are no numbers.
    """
    up, angle = _direction(points)
    across = np.array([up[1], -up[0]], np.float32)
    axes = np.stack([across, up])
    middle = points.mean(axis=0)
    flat = (points - middle) @ axes.T
    low, high = flat.min(axis=0), flat.max(axis=0)
    side = (high - low).max() * scale
    if not np.isfinite(side) or side < 1:
        raise BadPortrait("The face in this picture cannot be measured. Use a frontal, evenly lit one.")
    turned = (low + high) / 2
    centre = middle + across * turned[0] + up * turned[1] + up * (vy * side)
    k = size / side
    c, s = (np.cos(angle), np.sin(angle)) if rotate else (1.0, 0.0)
    half, (x, y) = size / 2, centre
    rows = [[k * c, k * s, half - k * (c * x + s * y)], [-k * s, k * c, half - k * (-s * x + c * y)], [0, 0, 1]]
    return np.array(rows, np.float32)


def inverse(matrix: Floats) -> Floats:
    """Return the way back (3, 3) float32 of an affine map (3, 3)."""
    return np.linalg.inv(matrix).astype(np.float32)


def cut(rgb: Bytes, matrix: NDArray[np.floating], size: int) -> Bytes:
    """Return the crop (size, size, 3) that ``matrix`` (2 or 3 rows, picture to crop) makes of ``rgb``; black around.

    Positions are rounded as upstream's OpenCV 4.10 rounds them: steps in 1/1024 pixel for columns and rows, then 1/32.
    """
    a, b, x0, c, d, y0 = (float(n) for n in cv2.invertAffineTransform(matrix[:2].astype(np.float64)).ravel())
    n = np.arange(size, dtype=np.float64)
    return sampled(rgb, _steps(a * n, b * n + x0), _steps(c * n, d * n + y0))


def _steps(along: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return positions in 1/32 pixel, (rows, columns), from those of a row and of a column."""
    thousandths = np.rint(along * 1024).astype(np.int64)[None] + np.rint(down * 1024).astype(np.int64)[:, None]
    return (thousandths + 16) >> 5


def sampled(rgb: Bytes, x: NDArray[np.int64], y: NDArray[np.int64]) -> Bytes:
    """Return bilinear samples (h, w, 3) of ``rgb`` at positions (h, w) in 1/32 pixel; black outside.

    Positions with five binary digits are what OpenCV's warps used up to version 4; the same on every version, they
    keep registration equal to upstream's.
    """
    whole = np.clip(np.stack([x >> 5, y >> 5], axis=2), -32768, 32767).astype(np.int16)
    part = ((y & 31) * 32 + (x & 31)).astype(np.uint16)
    return np.asarray(cv2.remap(rgb, whole, part, cv2.INTER_LINEAR), np.uint8)


def moved(points: Floats, matrix: NDArray[np.floating]) -> Floats:
    """Return ``points`` (n, 2) through an affine map (2 or 3 rows)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], np.float32)


def _direction(points: Floats) -> tuple[Floats, np.float32]:
    """Return the unit vector (2,) from eyes to lips, and the turn of the face in radians, clockwise on the screen."""
    marks = MARKS[len(points)]
    eyes = (points[list(marks.left_eye)].mean(axis=0) + points[list(marks.right_eye)].mean(axis=0)) / 2
    down = points[list(marks.lips)].mean(axis=0) - eyes
    length = np.linalg.norm(down)
    up = np.array([0, 1], np.float32) if not length > SHORTEST else (down / length).astype(np.float32)
    angle = np.arccos(np.clip(up[1], np.float32(-1), np.float32(1)))
    return up, -angle if up[0] > 0 else angle
