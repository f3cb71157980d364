"""How far the eyes are open and where they look: a face detector, a face mesh with irises, and what follows from it.

Works on the 512 crop of a registered face. Methods: BlazeFace, Bazarevsky et al. 2019 (anchors, weighted
non-maximum suppression); face mesh, Kartynnik et al. 2019. Specification: section 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.crop import sampled
from studio.engines.ditto.detect import Network
from studio.engines.ditto.types import Bytes, Floats

FACE_SIDE, MESH_SIDE = 128, 256
"""Pixels of the networks' square inputs."""
GRIDS = ((16, 2), (8, 6))
"""Cells along a side, and anchors in each, in the order of the detector's output."""
LEAST_SCORE, OVERLAP = 0.5, 0.3
MARGIN = 1.5
"""Side of the mesh's square over the longer side of the face's box."""
TINY = 1e-8


@dataclass(frozen=True, slots=True)
class Eye:
    """Mesh points of one eye."""

    outer: int
    inner: int
    lids: tuple[tuple[int, int], ...]
    """Upper, lower."""
    iris: int


EYES = (
    Eye(33, 133, ((145, 159), (144, 160), (153, 158)), 468),
    Eye(263, 362, ((374, 386), (373, 387), (380, 385)), 473),
)
"""Left, right."""


@dataclass(frozen=True, slots=True)
class Square:
    """The turned square in which the mesh lies, as shares of a crop with equal sides."""

    x: float
    y: float
    side: float
    angle: float
    """Radians."""


def anchors() -> Floats:
    """Return the detector's anchor centres (896, 2), 0..1."""
    rows = []
    for n, count in GRIDS:
        cells = (np.arange(n, dtype=np.float32) + np.float32(0.5)) / n
        y, x = np.meshgrid(cells, cells, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    return np.concatenate(rows)


def faces(outputs: Mapping[str, NDArray[Any]]) -> Floats:
    """Return the faces that the detector saw, best first: (n, 17).

    A row is x0, y0, x1, y1 in pixels of 128, six points x, y in 0..1, and the score.
    """
    raw = outputs["regressors"].reshape(-1, 8, 2) / np.float32(FACE_SIDE)
    logits = np.clip(outputs["classificators"].reshape(-1), -50, 100)
    scores = (1 / (1 + np.exp(-logits))).astype(np.float32)
    keep = scores >= LEAST_SCORE
    centres, raw, scores = anchors()[keep], raw[keep], scores[keep]
    middle, half = raw[:, 0] + centres, raw[:, 1] / 2
    points = (raw[:, 2:] + centres[:, None]).reshape(-1, 12)
    corners = np.hstack([middle - half, middle + half]) * np.float32(FACE_SIDE)
    return melted(np.hstack([corners, points, scores[:, None]]).astype(np.float32))


def melted(rows: Floats) -> Floats:
    """Return detections (n, 17) with those that overlap averaged by score, best first; the score is their mean."""
    order, found = np.argsort(-rows[:, 16], kind="stable"), []
    while order.size:
        same = overlap(rows[order[0], :4], rows[order, :4]) > OVERLAP
        same[0] = True
        group = rows[order[same]]
        weights = group[:, 16:]
        total = weights.sum()
        found.append(np.append((group[:, :16] * weights).sum(axis=0) / total, total / len(group)))
        order = order[~same]
    return np.array(found, np.float32).reshape(-1, 17)


def overlap(box: Floats, boxes: Floats) -> Floats:
    """Return intersection over union of ``box`` (4,) with each of ``boxes`` (n, 4)."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod()
    return np.asarray(common / np.maximum(areas - common, TINY), np.float32)


def square_of(face: Floats) -> Square:
    """Return where the mesh is looked for, from a row of `faces`."""
    x0, y0, x1, y1 = (float(n) / FACE_SIDE for n in face[:4])
    right, left = face[4:6].astype(np.float64), face[6:8].astype(np.float64)
    angle = -np.arctan2(right[1] - left[1], left[0] - right[0])
    wrapped = angle - 2 * np.pi * np.floor((angle + np.pi) / (2 * np.pi))
    return Square((x0 + x1) / 2, (y0 + y1) / 2, MARGIN * max(x1 - x0, y1 - y0), float(wrapped))


def cut_square(rgb: Bytes, square: Square) -> Floats:
    """Return what the mesh network sees, (1, 256, 256, 3) in 0..1."""
    size = rgb.shape[0]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float64) * (square.side * size / 2)
    source = corners @ _turn(square.angle) + np.array([square.x, square.y]) * size
    target = np.array([[0, 0], [MESH_SIDE, 0], [MESH_SIDE, MESH_SIDE], [0, MESH_SIDE]], np.float32)
    matrix = cv2.getPerspectiveTransform(source.astype(np.float32), target)
    back = np.linalg.inv(np.asarray(matrix, np.float64))
    n = np.arange(MESH_SIDE)
    points = np.stack([*np.meshgrid(n, n), np.ones((MESH_SIDE, MESH_SIDE))], axis=2) @ back.T
    places = np.rint(np.clip(points[:, :, :2] / points[:, :, 2:] * 32, -1e9, 1e9)).astype(np.int64)
    return (sampled(rgb, places[:, :, 0], places[:, :, 1]).astype(np.float32) / np.float32(255))[None]


def restored(mesh: Floats, square: Square) -> Floats:
    """Return mesh points (n, 3), in pixels of 256, as shares of the crop, (n, 3)."""
    points = mesh.astype(np.float32) / np.float32(MESH_SIDE)
    flat = (points[:, :2] - np.float32(0.5)) @ _turn(square.angle) * square.side + [square.x, square.y]
    return np.hstack([flat, points[:, 2:] * square.side]).astype(np.float32)


def mesh_of(rgb: Bytes, detector: Network, mesh: Network) -> Floats | None:
    """Return the mesh (478, 3) of the face in a square crop, in shares of its side; None where no face is seen."""
    small = cv2.resize(rgb, (FACE_SIDE, FACE_SIDE), interpolation=cv2.INTER_LINEAR)
    blob = (np.asarray(small, np.float32) / np.float32(127.5) - np.float32(1))[None]
    found = faces(detector.run({"input": blob}))
    if not len(found):
        return None
    square = square_of(found[0])
    return restored(mesh.run({"input": cut_square(rgb, square)})["Identity"].reshape(478, 3), square)


def features(points: Floats) -> tuple[Floats, Floats]:
    """Return how open the eyes are, (2,) left and right, and where they look, (6,): x left, x right, y, y, z, z.

    Args:
        points: (478, 3) mesh.
    """
    opened, balls = [], []
    for eye in EYES:
        outer, inner, iris = points[eye.outer], points[eye.inner], points[eye.iris]
        height = sum(np.linalg.norm(points[upper] - points[lower]) for upper, lower in eye.lids)
        opened.append(height / (np.linalg.norm(outer - inner) + TINY))
        gaze = iris - (outer + inner) / 2
        balls.append((_unit(gaze) - _unit(outer - inner)) * np.linalg.norm(gaze))
    return np.array(opened, np.float32), np.stack(balls, axis=1).reshape(-1).astype(np.float32)


def _turn(angle: float) -> NDArray[np.float64]:
    """Return the matrix (2, 2) with which rows of offsets are turned."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, s], [-s, c]])


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / (np.linalg.norm(vector) + TINY), np.float32)
