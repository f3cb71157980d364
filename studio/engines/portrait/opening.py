"""A photo's own opening between parted lips: found, cut out, and filled for lips that close (specification section 5).

Landmarks put the lips' inner edges within a few pixels; where they run over lip, the picture itself says where the
teeth end (`refine`). Knows nothing of synthetic teeth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.rig import CONTOUR_POINTS, Float, Geometry, Source

PARTED_MM = 1.6
"""Above this gap the photo shows teeth of its own."""
_RETREAT = 1.0
"""Pixels that a refined contour keeps inside the lip, as the rig's contours do."""
_CORNER = 3
"""Radius in pixels in which the dark of the corners is filled as well: shut lips show no hooks there."""


@dataclass(frozen=True, slots=True, eq=False)
class Sprite:
    """A small picture with the point by which it is placed."""

    pixels: Float
    """(h, w, 4) premultiplied Y, U - 128, V - 128 in levels, alpha 0..1."""
    origin: Float
    """(2,) the sprite's pixel that lies on ``anchor``."""
    anchor: Float
    """(2,) where that is in the source picture, px."""


def yuv(rgb: NDArray[np.uint8]) -> Float:
    """(h, w, 3) Y, U - 128, V - 128 as float; BT.601 limited range, as `cv2` converts to I420."""
    matrix = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]]) / 255
    ycc: Float = (rgb.astype(np.float32) @ matrix.T.astype(np.float32)) + np.array([16, 0, 0], np.float32)
    return ycc


def refine(source: Source, geometry: Geometry) -> Geometry:
    """Return the rig with the lower contour of parted lips moved up to where the picture shows the lip's edge.

    What is redder than half-way between teeth and lip belongs to the lip. At most 40 % of the opening is given to it.
    """
    if geometry.gap <= PARTED_MM:
        return geometry
    ycc = np.asarray(cv2.GaussianBlur(yuv(source.rgb), (0, 0), 0.7), np.float32)
    opening = geometry.lower[:, 1] - geometry.upper[:, 1]
    middle = slice(CONTOUR_POINTS // 4, 3 * CONTOUR_POINTS // 4)
    lip = np.median([_at(ycc, p[0], p[1] + d) for p in geometry.lower[middle] for d in (2, 3, 4)], axis=0)
    bright = [ycc[int(u[1]) + 2 : int(lo[1]) - 1, round(float(u[0]))] for u, lo in _pairs(geometry)[middle]]
    teeth = np.concatenate(bright) if any(map(len, bright)) else lip[None]
    tooth = np.median(teeth[teeth[:, 0] >= np.percentile(teeth[:, 0], 60)], axis=0)
    threshold = 0.5 * (lip[2] + tooth[2])
    dark = 0.55 * lip[0]
    rise = np.zeros(CONTOUR_POINTS)
    if lip[2] - tooth[2] > 4:
        for i, (up, low) in enumerate(_pairs(geometry)):
            y = float(low[1])
            while y > up[1] + 0.6 * opening[i]:
                luma, _, red = _at(ycc, low[0], y)
                if red < threshold or luma < dark:
                    break
                y -= 0.5
            rise[i] = max(float(low[1]) - y - _RETREAT, 0.0)
    at = np.linspace(0, np.pi, CONTOUR_POINTS)
    rise = cv2.GaussianBlur(cv2.medianBlur(rise.astype(np.float32)[None], 5), (0, 0), 2.0)[0]
    lower = geometry.lower.copy()
    lower[:, 1] -= np.minimum(rise * np.clip(3 * np.sin(at), 0, 1), 0.4 * opening)
    gap = float(lower[CONTOUR_POINTS // 2, 1] - geometry.upper[CONTOUR_POINTS // 2, 1]) / geometry.scale
    return replace(geometry, lower=lower, gap=max(gap, PARTED_MM + 0.01))


def _pairs(geometry: Geometry) -> list[tuple[Float, Float]]:
    return list(zip(geometry.upper, geometry.lower, strict=True))


def _at(ycc: Float, x: float, y: float) -> Float:
    """Nearest pixel."""
    row, column = (min(max(round(float(v)), 0), 511) for v in (y, x))
    value: Float = ycc[row, column]
    return value


def opening_mask(geometry: Geometry, grow: int = 0, up: int = 0) -> Float:
    """(512, 512) coverage 0..1 of the opening at rest, grown by ``grow`` px (negative: shrunk), then ``up`` upwards."""
    outline = np.concatenate([geometry.upper, geometry.lower[::-1]])
    mask = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if grow:
        side = 2 * abs(grow) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        mask = np.asarray(cv2.dilate(mask, kernel) if grow > 0 else cv2.erode(mask, kernel), np.uint8)
    if up:
        mask = np.asarray(cv2.dilate(mask, np.ones((up + 1, 1), np.uint8), anchor=(0, 0)), np.uint8)
    return (mask / 255).astype(np.float32)


def sprite(source: Source, geometry: Geometry) -> Sprite:
    """Cut the photo's opening out: continued far under the upper lip, which may rise, and little beyond the lower."""
    inside = opening_mask(geometry, -1)
    around = opening_mask(geometry, 3, up=8)
    ys, xs = np.nonzero(around)
    x0, y0 = max(int(xs.min()) - 6, 0), max(int(ys.min()) - 6, 0)
    cut = np.s_[y0 : int(ys.max()) + 7, x0 : int(xs.max()) + 7]
    # Nothing but the opening may be continued: the lips beyond the ring would bleed in from outside.
    alone = source.rgb[cut].copy()
    alone[around[cut] == 0] = np.median(source.rgb[inside > 0.9], axis=0) if (inside > 0.9).any() else 128
    hole = ((around > 0) & (inside < 0.5)).astype(np.uint8)
    rgb = np.asarray(cv2.inpaint(alone, hole[cut], 4, cv2.INPAINT_TELEA), np.uint8)
    soft = cv2.GaussianBlur(opening_mask(geometry, 1, up=7)[cut], (0, 0), 0.7)
    pixels = np.concatenate([yuv(rgb) * soft[..., None], soft[..., None]], axis=2).astype(np.float32)
    return Sprite(pixels, np.zeros(2, np.float32), np.array([x0, y0], np.float32))


def without_opening(rgb: NDArray[np.uint8], geometry: Geometry) -> NDArray[np.uint8]:
    """Return the picture with its parted lips' opening filled with lip: no bright fringe when the lips meet."""
    if geometry.gap <= PARTED_MM:
        return rgb
    hole = (opening_mask(geometry, 1) > 0.5).astype(np.uint8)
    for x, y in (geometry.upper[0], geometry.upper[-1]):
        cv2.circle(hole, (round(float(x)), round(float(y))), _CORNER, 1, -1)
    return np.asarray(cv2.inpaint(rgb, hole, 3, cv2.INPAINT_TELEA), np.uint8)
