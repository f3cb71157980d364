"""From landmarks to skin: the two dense displacement fields of every expression.

The upper field carries everything above the lip line, the lower field everything below; they differ only around the
mouth, so that the lips can part. Knows the designs as numbers, not what they mean (specification section 3).

Radial basis functions with smoothing and a blur move the lips less than asked: a pressed mouth would show a dashed
line. Instead of repeated corrections the inputs at the lips are solved for, by regularised least squares, such that the
finished field, sampled where it matters, meets the design.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait import contours
from studio.engines.portrait.anatomy import CORNERS, LOWER_LIP, OVAL, SKIN, UPPER_LIP, Face
from studio.engines.portrait.designs import smoothstep
from studio.engines.portrait.parameters import EXPRESSION
from studio.engines.portrait.rbf import Interpolator, merge
from studio.engines.portrait.rig import CONTOUR_POINTS, NODE, NODES, SIZE

Float = NDArray[np.float32]
Double = NDArray[np.float64]

LIP_SMOOTHING, SKIN_SMOOTHING = 0.2, 5.0
"""Pixels of ease for the interpolation; at a turned face's outline, points of different depth lie side by side."""
BLUR = 0.7
"""Standard deviation in nodes of the blur over each field."""
COINCIDENT = 0.6
"""Points closer than this many px are one."""
OVERLAP = 0.4
"""Pixels by which the inner contours overlap when `close` is 1."""
STIFFNESS = 0.05
"""Price of a changed input in the least squares, relative to a missed target."""
WEIGHTS = (0.6, 0.3, 0.3, 1.0)
"""Importance of the lip rows from the outer edge to the contour: the edge that shows the opening counts most."""


def node_places() -> Double:
    """Return the nodes' positions (NODES, NODES, 2) in px."""
    along = np.arange(NODES) * NODE + 1.5
    return np.stack(np.meshgrid(along, along), 2)


def blurred(grid: Float, deviation: float) -> Float:
    """Return ``grid`` (h, w, k) blurred by ``deviation`` nodes; borders repeat."""
    layers = np.ascontiguousarray(np.moveaxis(grid, 2, 0))
    edge = cv2.BORDER_REPLICATE
    return np.stack([cv2.GaussianBlur(layer, (0, 0), deviation, borderType=edge) for layer in layers], 2)


def sample(grid: Float, places: Double) -> Double:
    """Return the bilinear values (n, k) of ``grid`` (NODES, NODES, k) at ``places`` (n, 2) px."""
    at = np.clip((places - 1.5) / NODE, 0, NODES - 1)
    corner = np.minimum(at.astype(int), NODES - 2)
    (j, i), (u, v) = corner.T, (at - corner).T[:, :, None]
    top = grid[i, j] * (1 - u) + grid[i, j + 1] * u
    bottom = grid[i + 1, j] * (1 - u) + grid[i + 1, j + 1] * u
    return np.asarray(top * (1 - v) + bottom * v, np.float64)


def anchors(face: Face) -> Double:
    """Return where the skin stands still (n, 2) px: two rings around the face, wider below the chin, and the border."""
    oval = face.points[OVAL, :2]
    outward = oval - oval.mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    low = np.maximum(outward[:, 1:], 0.0)
    near, far = oval + outward * (8 + 34 * low), oval + outward * (45 + 30 * low)
    rings = np.concatenate([near, far]) * face.scale @ face.axes[:2, :2].T + face.origin[:2]
    edge = np.linspace(0.0, SIZE - 1.0, 17)
    frame = np.stack(np.meshgrid(edge, edge), 2).reshape(-1, 2)
    return np.concatenate([rings, frame[np.isin(frame, edge[[0, -1]]).any(1)]])


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One of the two fields, before its inputs are final."""

    plain: Float
    """(NODES, NODES, 2 * parameters): the field of the design itself, parameter by parameter, dx before dy."""
    response: Float
    """(NODES, NODES, inputs): the field of each adjustable input alone."""
    targets: Double
    """(49 + 33, 2 * parameters): how the contour and the other three rows shall move, px."""
    missing: Double
    """(49 + 33, 2 * parameters): what ``plain`` does there."""
    reach: Double
    """(49 + 33, inputs): what ``response`` does there."""

    def inputs(self, targets: Double) -> Double:
        """Return the inputs (inputs, 2 * parameters) that come closest to ``targets``."""
        weight = np.concatenate([np.full(CONTOUR_POINTS, WEIGHTS[3]), np.repeat(WEIGHTS[:3], 11)])[:, None]
        normal = self.reach.T @ (weight * self.reach) + STIFFNESS * np.eye(self.reach.shape[1])
        return np.asarray(np.linalg.solve(normal, self.reach.T @ (weight * (targets - self.missing))))

    def contour(self, targets: Double) -> Double:
        """Return how the contour moves (parameters, 49, 2) when ``targets`` are asked for."""
        moved = (self.missing + self.reach @ self.inputs(targets))[:CONTOUR_POINTS]
        return moved.reshape(CONTOUR_POINTS, -1, 2).swapaxes(0, 1)

    def field(self, targets: Double) -> Float:
        """Return the finished field (NODES, NODES, 2 * parameters)."""
        return np.asarray(self.plain + self.response @ self.inputs(targets).astype(np.float32))


def make_side(face: Face, moves: Double, contour: Double, upper: bool) -> Side:
    """Interpolate one side's landmarks.

    Args:
        face: The face.
        moves: (parameters, 468, 2) px.
        contour: (49, 2) px, this side's inner contour at rest.
        upper: Which side.
    """
    own, other = (UPPER_LIP, LOWER_LIP) if upper else (LOWER_LIP, UPPER_LIP)
    flat = moves.transpose(1, 0, 2).reshape(SKIN, -1)
    kept = _kept(face, own, other, upper)
    ghosts = other[[2, 3], 1:-1].ravel()
    still = anchors(face)
    points = np.concatenate([face.pixels[kept], face.pixels[ghosts], still])
    values = np.concatenate([flat[kept], np.tile(flat[own[3, 1:-1]], (2, 1)), np.zeros((len(still), flat.shape[1]))])
    points, values, owner = merge(points, values, COINCIDENT)
    lips = np.isin(kept, np.union1d(own, CORNERS))
    free = np.unique(owner[np.concatenate([np.flatnonzero(lips), len(kept) + np.arange(len(ghosts))])])
    columns = np.concatenate([values, np.eye(len(points))[:, free]], 1)
    smoothing = np.full(len(points), SKIN_SMOOTHING)
    smoothing[free] = LIP_SMOOTHING
    dense = Interpolator(points, smoothing).at(node_places().reshape(-1, 2).astype(np.float32), columns)
    dense = blurred(dense.reshape(NODES, NODES, -1), BLUR)
    plain, response = np.split(dense, [values.shape[1]], axis=2)
    rows = own[:3].ravel()
    places = np.concatenate([contour, face.pixels[rows]])
    targets = np.concatenate([contours.spline_matrix(own.shape[1], CONTOUR_POINTS) @ flat[own[3]], flat[rows]])
    return Side(plain, response, targets, sample(plain, places), sample(response, places))


def _kept(face: Face, own: NDArray[np.int_], other: NDArray[np.int_], upper: bool) -> NDArray[np.intp]:
    """Return the landmarks that shape a side: all but the other lip and the skin behind it."""
    x, y = face.points[:SKIN, 0], face.points[:SKIN, 1]
    columns = np.abs(x - face.middle) < 0.98 * face.half_width
    below = y - face.lip_line(x)
    behind = below > 0 if upper else (below < 0) & (y > face.points[2, 1])
    keep = ~(columns & behind)
    keep[other[:, 1:-1]] = False
    keep[own] = True
    return np.flatnonzero(keep)


def close_tightly(above: Side, below: Side, upper: Double, lower: Double) -> None:
    """Move the targets of `close` until the contours overlap by `OVERLAP` px in every column.

    Args:
        above: The upper side; its targets are changed.
        below: The lower side; its targets are changed.
        upper: (49, 2) px, the upper inner contour at rest.
        lower: (49, 2) px, the lower inner contour at rest.
    """
    k = EXPRESSION.index("close")
    wanted = OVERLAP * np.sqrt(np.sin(np.linspace(0, np.pi, CONTOUR_POINTS)).clip(0))
    for _ in range(12):
        up, low = contours.join_ends(
            above.contour(above.targets)[k], below.contour(below.targets)[k], contours.JOINED_CLOSING
        )
        shut, floor = upper + up, lower + low
        short_above = wanted - (shut[:, 1] - np.interp(shut[:, 0], floor[:, 0], floor[:, 1]))
        short_below = wanted - (np.interp(floor[:, 0], shut[:, 0], shut[:, 1]) - floor[:, 1])
        above.targets[:CONTOUR_POINTS, 2 * k + 1] += short_above / 2
        below.targets[:CONTOUR_POINTS, 2 * k + 1] -= short_below / 2


def fields(face: Face, moves: Double, upper: Double, lower: Double) -> tuple[Float, Float]:
    """Return the upper and the lower field, each (parameters, NODES, NODES, 2) px per unit.

    Args:
        face: The face.
        moves: (parameters, 468, 2) px, the landmarks' displacements.
        upper: (49, 2) px, the upper inner contour at rest.
        lower: (49, 2) px, the lower inner contour at rest.
    """
    above, below = make_side(face, moves, upper, True), make_side(face, moves, lower, False)
    if face.parted:
        close_tightly(above, below, upper, lower)
    high, low = above.field(above.targets), below.field(below.targets)
    place = face.frontal(node_places())
    x, y = place[..., 0], place[..., 1] - face.lip_line(place[..., 0])
    swap = smoothstep(-6.0, 6.0, y)[..., None]
    alike = high + swap * (low - high)
    # Beyond the lips each side takes over what the other does there: it is never seen, and the fields end up equal.
    reach = 1 - smoothstep(12.0, 24.0, np.abs(y))
    apart = (reach * (1 - smoothstep(2.0, 14.0, np.abs(x - face.middle) - face.half_width)))[..., None]
    return _by_parameter(alike + apart * (high - alike)), _by_parameter(alike + apart * (low - alike))


def _by_parameter(grid: Float) -> Float:
    return np.moveaxis(grid.astype(np.float32).reshape(NODES, NODES, -1, 2), 2, 0)
