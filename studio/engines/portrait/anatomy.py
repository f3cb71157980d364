"""A face in its own frame: millimetres along its axes, and where its parts are.

Knows the landmark numbers of MediaPipe's face mesh (image left to right) and nothing of pictures or displacements.
Frame: x to the image's right along the face, y down along it, z away from the camera; the origin is the middle of the
lip line (specification section 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Double = NDArray[np.float64]

UPPER_LIP = np.array([
    [61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291],
    [76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306],
    [62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292],
    [78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308],
])  # fmt: skip
"""Rows from the outer to the inner edge; the first and last column are the mouth's corners."""
LOWER_LIP = np.array([
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291],
    [76, 77, 90, 180, 85, 16, 315, 404, 320, 307, 306],
    [62, 96, 89, 179, 86, 15, 316, 403, 319, 325, 292],
    [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308],
])  # fmt: skip
CORNERS = np.concatenate([UPPER_LIP[:, 0], UPPER_LIP[:, -1]])
OVAL = np.array([
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
])  # fmt: skip
BROW_LOWER = np.array([46, 53, 52, 65, 55, 285, 295, 282, 283, 276])
BROW_UPPER = np.array([70, 63, 105, 66, 107, 336, 296, 334, 293, 300])
LEFT_LID_UPPER = np.array([33, 246, 161, 160, 159, 158, 157, 173, 133])
LEFT_LID_LOWER = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133])
RIGHT_LID_UPPER = np.array([362, 398, 384, 385, 386, 387, 388, 466, 263])
RIGHT_LID_LOWER = np.array([362, 382, 381, 380, 374, 373, 390, 249, 263])
SKIN = 468
"""Landmarks from here on are irises: they do not move with the skin."""

EYE_DISTANCE = 63.0
"""Millimetres between the centres of two adult eyes."""
PARTED = 1.6
"""Inner gap in mm from which a source's lips count as parted; below, the detector's noise is larger."""
STEEPEST = 0.9
"""How fast the opening of parted lips may grow away from a corner."""


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Landmarks measured in the face's own frame."""

    scale: float
    """Pixels per millimetre."""
    axes: Double
    """(3, 3) columns: the unit vectors x, y, z of the face in picture coordinates."""
    origin: Double
    """(3,) px."""
    points: Double
    """(478, 3) mm; closed lips meet in one line, the rows of a lip are evenly spread."""
    pixels: Double
    """(478, 2) px, of the same points."""
    half_width: float
    """Half the mouth's width, mm."""
    middle: float
    """x of the mouth's middle, mm."""
    gap: float
    """Opening between the inner lips at rest, mm, along the face; > `PARTED`: the source shows the mouth's inside."""

    @property
    def parted(self) -> bool:
        """Whether the source's lips are parted."""
        return self.gap > PARTED

    def project(self, displacement: Double) -> Double:
        """Return a displacement (..., 3) in mm as pixels (..., 2)."""
        return self.scale * (displacement @ self.axes.T)[..., :2]

    def frontal(self, places: Double) -> Double:
        """Return pixels (..., 2) as x, y in mm (..., 2) of the plane through the origin that faces the viewer."""
        return (places - self.origin[:2]) / self.scale @ np.linalg.inv(self.axes[:2, :2]).T

    def row(self, indices: NDArray[np.int_], x: Double) -> Double:
        """Return y in mm at ``x`` on the polyline through the landmarks ``indices``, flat beyond its ends."""
        return polyline(self.points[indices], x)

    def lip_line(self, x: Double) -> Double:
        """Return y in mm of the middle between the inner lips at ``x`` in mm."""
        return (self.row(UPPER_LIP[3], x) + self.row(LOWER_LIP[3], x)) / 2

    def opening(self, x: Double) -> Double:
        """Return the gap in mm between the inner lips at ``x`` in mm."""
        return np.maximum(self.row(LOWER_LIP[3], x) - self.row(UPPER_LIP[3], x), 0.0)


def polyline(points: Double, x: Double) -> Double:
    """Return y at ``x`` on the polyline through ``points`` (n, >= 2), which may fold back in a turned face."""
    order = np.argsort(points[:, 0], kind="stable")
    return np.asarray(np.interp(x, points[order, 0], points[order, 1]))


def measure(landmarks: Float) -> Face:
    """Find the frame of a face.

    Args:
        landmarks: (478, 3) px, z in the scale of x, away from the camera positive.
    """
    raw = landmarks.astype(np.float64)
    eyes = raw[[33, 133]].mean(0), raw[[362, 263]].mean(0)
    scale = float(np.linalg.norm(eyes[1] - eyes[0])) / EYE_DISTANCE
    axes = _axes(raw)
    inner = np.concatenate([UPPER_LIP[3], LOWER_LIP[3, 1:-1]])
    origin = raw[inner].mean(0)
    points = (raw - origin) / scale @ axes
    gap = max(0.0, float(points[14, 1] - points[13, 1]))
    if gap <= PARTED:
        line = (points[UPPER_LIP[3]] + points[LOWER_LIP[3]]) / 2
        points[UPPER_LIP[3]] = points[LOWER_LIP[3]] = line
    else:
        _sharpen(points)
    for lip in (UPPER_LIP, LOWER_LIP):
        # The mesh's middle rows cross the others by noise; evenly spread, neighbours never contradict each other.
        outer, inner = points[lip[0]], points[lip[3]]
        points[lip[1]], points[lip[2]] = (2 * outer + inner) / 3, (outer + 2 * inner) / 3
    left, right = points[61, 0], points[291, 0]
    return Face(
        scale=scale,
        axes=axes,
        origin=origin,
        points=points,
        pixels=(points @ axes.T * scale + origin)[:, :2],
        half_width=float(right - left) / 2,
        middle=float(right + left) / 2,
        gap=gap,
    )


def _sharpen(points: Double) -> None:
    """Let the inner rows meet at acute angles: at a blunt corner, lips cannot close without folding the skin."""
    upper, lower = points[UPPER_LIP[3]], points[LOWER_LIP[3]]
    x = (upper[:, 0] + lower[:, 0]) / 2
    room = STEEPEST * np.maximum(np.minimum(x - x[0], x[-1] - x), 0.0)
    surplus = np.maximum(lower[:, 1] - upper[:, 1] - room, 0.0) / 2
    points[UPPER_LIP[3, 1:-1], 1] += surplus[1:-1]
    points[LOWER_LIP[3, 1:-1], 1] -= surplus[1:-1]


def _axes(raw: Double) -> Double:
    across = raw[[263, 454, 291, 361]].mean(0) - raw[[33, 234, 61, 132]].mean(0)
    across /= np.linalg.norm(across)
    down = raw[152] - raw[10]
    down -= across * (down @ across)
    down /= np.linalg.norm(down)
    return np.stack([across, down, np.cross(across, down)], 1)
