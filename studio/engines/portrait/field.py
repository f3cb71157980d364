"""The displacement field at run time: bases laid out for the kernels, lip contours, blend line (specification 4).

A field is (2, h, w) float32: x and y displacement in pixels on nodes. The *window* is the head box with one node more
on each side: a copy of the edge where the box ends at the picture's edge, else 0. The *low window* is the mouth and
chin, where two fields exist, one on each side of the lip line. Knows nothing of textures.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import EXPRESSION, HIGHEST, LOWEST
from studio.engines.portrait.rig import BASES, NODES, Box, Float, Geometry

SHAPES = len(EXPRESSION)
"""Parameters of a pose that move skin; the head's follow them up to ``len(BASES)``."""
LOW_MARGIN = 4
"""Nodes added around the low box, so that the inverse finds the field where the head carried it."""
LOW_RAMP = 3
"""Nodes at the rim of the low box over which it fades into the upper field: no seam, whatever the bases say."""
STILL_PX = 0.06
"""A node that no parameter moves farther than this, at its limit, is not drawn: a few levels on the hardest edge."""


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A `Geometry` laid out for rendering; shared by all takes."""

    left: int
    """First node column of the window; -1 where the head box touches the picture's edge."""
    top: int
    height: int
    width: int
    face_at: tuple[int, int]
    """Row and column of the face box within the window."""
    low_at: tuple[int, int]
    """Row and column of the low window within the window."""
    head: Float
    """(len(HEAD), 2, h, w)."""
    face: Float
    """(len(EXPRESSION), 2, fh, fw)."""
    low: Float
    """(len(EXPRESSION), 2, lh, lw) on the low window; equals ``face`` at its rim."""
    spans: NDArray[np.int32]
    """(h, 2) nodes of each row that can move, with one still node on each side; empty rows are 0, 0."""
    contour: Float
    """(2, 49, 2) inner contours at rest, upper then lower."""
    contour_bases: Float
    """(len(BASES), 2 * 49 * 2)."""

    @property
    def origin(self) -> NDArray[np.int32]:
        """(4,) first column and row of the window, then of the low window, in nodes."""
        row, column = self.low_at
        return np.array([self.left, self.top, self.left + column, self.top + row], np.int32)


def shape(geometry: Geometry) -> Shape:
    """Lay ``geometry`` out for rendering."""
    x0, y0 = geometry.head_box[:2]
    head = _pad(_planar(geometry.head), geometry.head_box)
    height, width = head.shape[2:]
    fx0, fy0, _, _ = geometry.face_box
    face = _planar(geometry.face)
    low, (lx, ly) = _low_window(geometry)
    return Shape(
        left=x0 - 1,
        top=y0 - 1,
        height=height,
        width=width,
        face_at=(fy0 - y0 + 1, fx0 - x0 + 1),
        low_at=(ly - y0 + 1, lx - x0 + 1),
        head=head,
        face=face,
        low=low,
        spans=_spans(head, face, (fy0 - y0 + 1, fx0 - x0 + 1)),
        contour=np.stack([geometry.upper, geometry.lower]).astype(np.float32),
        contour_bases=np.concatenate([geometry.upper_bases, geometry.lower_bases], axis=1)
        .reshape(len(BASES), -1)
        .astype(np.float32),
    )


def _planar(bases: Float) -> Float:
    return np.ascontiguousarray(np.moveaxis(bases, -1, 1), np.float32)


def _pad(bases: Float, box: Box) -> Float:
    edge = np.pad(bases, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    x0, y0, x1, y1 = box
    if x0 > 0:
        edge[..., 0] = 0
    if x1 < NODES:
        edge[..., -1] = 0
    if y0 > 0:
        edge[..., 0, :] = 0
    if y1 < NODES:
        edge[..., -1, :] = 0
    return edge


def _low_window(geometry: Geometry) -> tuple[Float, tuple[int, int]]:
    """Return the lower field on the low box plus `LOW_MARGIN`, and the window's left and top node."""
    fx0, fy0, fx1, fy1 = geometry.face_box
    lx0, ly0, lx1, ly1 = geometry.low_box
    wx0, wy0 = max(lx0 - LOW_MARGIN, fx0), max(ly0 - LOW_MARGIN, fy0)
    wx1, wy1 = min(lx1 + LOW_MARGIN, fx1), min(ly1 + LOW_MARGIN, fy1)
    window = _planar(geometry.face[:, wy0 - fy0 : wy1 - fy0, wx0 - fx0 : wx1 - fx0])
    low = _planar(geometry.low)
    height, width = low.shape[2:]
    if height and width:
        rows = np.minimum(np.arange(height), np.arange(height)[::-1])
        columns = np.minimum(np.arange(width), np.arange(width)[::-1])
        ramp = np.clip(np.minimum(rows[:, None], columns[None]) / LOW_RAMP, 0, 1).astype(np.float32)
        inside = window[..., ly0 - wy0 : ly1 - wy0, lx0 - wx0 : lx1 - wx0]
        inside += ramp * (low - inside)
    return window, (wx0, wy0)


def _spans(head: Float, face: Float, face_at: tuple[int, int]) -> NDArray[np.int32]:
    limit = np.maximum(np.abs(LOWEST), np.abs(HIGHEST))[: len(BASES), None, None, None]
    reach = (np.abs(head) * limit[SHAPES:]).max(axis=(0, 1))
    row, column = face_at
    if face.size:
        inside = reach[row : row + face.shape[2], column : column + face.shape[3]]
        np.maximum(inside, (np.abs(face) * limit[:SHAPES]).max(axis=(0, 1)), out=inside)
    moving = cv2.dilate((reach > STILL_PX).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    spans = np.zeros((len(moving), 2), np.int32)
    some = moving.any(axis=1)
    spans[some, 0] = moving[some].argmax(axis=1)
    spans[some, 1] = moving.shape[1] - moving[some][:, ::-1].argmax(axis=1)
    return spans


def contours(shape: Shape, weights: Float) -> Float:
    """Return the inner contours (2, 49, 2), upper then lower, in output pixels, for ``weights`` (len(BASES),)."""
    moved: Float = shape.contour + (weights @ shape.contour_bases).reshape(2, -1, 2)
    return moved


@dataclass(frozen=True, slots=True, eq=False)
class LipLine:
    """The lips at one moment, per pixel column of the picture."""

    first: int
    """First pixel column between the corners."""
    upper: Float
    """(n,) height of the upper lip's inner edge in columns ``first`` .. ``first + n - 1``, px."""
    lower: Float
    """(n,)."""
    luma: Float
    """(2, 512) height of the line on which the two fields meet, and 1 / (2 h), its steepness."""
    chroma: Float
    """(2, 256) the same for chroma columns."""
