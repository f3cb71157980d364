"""Where the face is in a picture: a single-shot detector, then 106 and 203 landmarks.

Detector: SCRFD, Guo et al. 2021 (anchor-free boxes on strides 8, 16, 32, two per cell). All pictures are (H, W, 3)
RGB; the first two networks were trained on BGR and get it so. Specification: section 4, steps 1 to 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.crop import crop_matrix, cut, inverse, moved
from studio.engines.ditto.types import Bytes, Floats

DETECTOR_SIDE, POINTS106_SIDE, POINTS203_SIDE = 512, 192, 224
"""Pixels of the networks' square inputs."""
STRIDES, PER_CELL = (8, 16, 32), 2
LEAST_SCORE, OVERLAP = 0.5, 0.4
FACE_MARGIN = 1.5
"""Side of what the 106 landmarks are looked for in, over the longer side of the detector's box."""


class Network(Protocol):
    """What runs a network; `runtime.Model` is one."""

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """203 landmarks, and the crop in which they were found."""

    points: Floats
    """(203, 2) pixels of the picture."""
    crop: Bytes
    """(224, 224, 3) RGB."""
    crop_to_frame: Floats
    """(3, 3): pixels of the crop -> pixels of the picture."""


def letterbox(rgb: Bytes) -> tuple[Floats, float]:
    """Return the input (1, 3, 512, 512) of the detector and its scale, square over picture; the rest is black."""
    height, width = rgb.shape[:2]
    ratio = height / width
    if ratio > 1:
        h, w = DETECTOR_SIDE, max(int(DETECTOR_SIDE / ratio), 1)
    else:
        h, w = max(int(DETECTOR_SIDE * ratio), 1), DETECTOR_SIDE
    square = np.zeros((DETECTOR_SIDE, DETECTOR_SIDE, 3), np.uint8)
    square[:h, :w] = cv2.resize(rgb, (w, h), interpolation=cv2.INTER_LINEAR)
    blob = (square[:, :, ::-1].astype(np.float32) - np.float32(127.5)) / np.float32(128)
    return np.ascontiguousarray(blob.transpose(2, 0, 1)[None]), h / height


def boxes_of(outputs: Mapping[str, NDArray[Any]], scale: float) -> Floats:
    """Return the faces in the detector's outputs: (n, 5) x0, y0, x1, y1 in pixels of the picture and score, best first.

    Args:
        outputs: ``scores1..3`` (m, 1), ``boxes1..3`` (m, 4) distances to the left, top, right and bottom in strides.
        scale: Of `letterbox`.
    """
    found = []
    for level, stride in enumerate(STRIDES, 1):
        cells = np.arange(DETECTOR_SIDE // stride, dtype=np.float32) * stride
        y, x = np.meshgrid(cells, cells, indexing="ij")
        centres = np.repeat(np.stack([x.ravel(), y.ravel()], 1), PER_CELL, axis=0)
        scores = outputs[f"scores{level}"].reshape(-1)
        reach = outputs[f"boxes{level}"].reshape(-1, 4) * np.float32(stride)
        keep = scores >= LEAST_SCORE
        corners = np.hstack([centres - reach[:, :2], centres + reach[:, 2:]])[keep]
        found.append(np.hstack([corners / np.float32(scale), scores[keep, None]]))
    boxes = np.concatenate(found).astype(np.float32)
    boxes = boxes[np.argsort(boxes[:, 4])[::-1]]
    return boxes[suppress(boxes)]


def suppress(boxes: Floats) -> NDArray[np.int64]:
    """Return which of ``boxes`` (n, 5), best first, stay when each removes those that it covers too much of.

    Areas count a box's last pixel, as the networks were trained.
    """
    x0, y0, x1, y1 = boxes[:, :4].T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    left, keep = np.argsort(boxes[:, 4])[::-1], []
    while left.size:
        best, rest = left[0], left[1:]
        keep.append(int(best))
        w = np.maximum(0, np.minimum(x1[best], x1[rest]) - np.maximum(x0[best], x0[rest]) + 1)
        h = np.maximum(0, np.minimum(y1[best], y1[rest]) - np.maximum(y0[best], y0[rest]) + 1)
        common = w * h
        left = rest[common / (areas[best] + areas[rest] - common) <= OVERLAP]
    return np.array(keep, np.int64)


def faces(rgb: Bytes, detector: Network) -> Floats:
    """Return the faces of a picture as `boxes_of` does; (0, 5) where there is none."""
    blob, scale = letterbox(rgb)
    return boxes_of(detector.run({"image": blob}), scale)


def largest(boxes: Floats) -> Floats:
    """Return the box (5,) of largest area of at least one (n, 5)."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return np.asarray(boxes[int(np.argmax(areas))], np.float32)


def landmarks106(rgb: Bytes, box: Floats, network: Network) -> Floats:
    """Return 106 landmarks (106, 2), in pixels of ``rgb``, of the face in ``box`` (x0, y0, x1, y1, ...)."""
    x0, y0, x1, y1 = (float(n) for n in box[:4])
    zoom = POINTS106_SIDE / (max(x1 - x0, y1 - y0, 1e-3) * FACE_MARGIN)
    middle = POINTS106_SIDE / 2
    matrix = np.array(
        [[zoom, 0, middle - zoom * (x0 + x1) / 2], [0, zoom, middle - zoom * (y0 + y1) / 2], [0, 0, 1]], np.float64
    )
    crop = cut(rgb, matrix, POINTS106_SIDE)
    blob = np.ascontiguousarray(crop[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
    found = network.run({"data": blob})["fc1"].reshape(-1, 2)[-106:]
    return moved((found + 1) * np.float32(middle), np.linalg.inv(matrix))


def landmarks203(rgb: Bytes, points: Floats, network: Network) -> Landmarks:
    """Return 203 landmarks of the face whose rough ``points``, (106, 2) or (203, 2), are known."""
    matrix = crop_matrix(points, POINTS203_SIDE, 1.5, -0.1, rotate=True)
    crop, back = cut(rgb, matrix, POINTS203_SIDE), inverse(matrix)
    blob = np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    found = network.run({"input": blob})["landmarks"].reshape(203, 2)
    return Landmarks(moved(found * np.float32(POINTS203_SIDE), back), crop, back)
