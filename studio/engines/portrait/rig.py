"""A rig: one portrait with everything that moves it, as it lies on disk and in memory.

Coordinates are pixels of the 512x512 source picture, pixel centres on integers. Fields live on nodes 4 px apart: node
(i, j) sits at pixel (4 j + 1.5, 4 i + 1.5), so that doubling or quadrupling the grid is the half-pixel convention of
picture resizers (specification section 3). A displacement is (dx, dy) in pixels per unit of its parameter, forward:
the skin at q goes to q + D(q).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import EXPRESSION, HEAD

SIZE = 512
"""Side of source and output in pixels."""
NODE = 4
"""Pixels between nodes."""
NODES = SIZE // NODE
CONTOUR_POINTS = 49

Float = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1; end exclusive."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a photo or a drawing gives to the rig: the framed picture and where everything is in it."""

    rgb: NDArray[np.uint8]
    """(512, 512, 3) RGB."""
    landmarks: Float
    """(478, 3): MediaPipe face mesh in pixels, z in the scale of x, away from the camera positive; 468..477 iris."""
    person: Float
    """(512, 512) 0..1, 1 on the person."""
    drawn: bool = False
    """A drawn character: flat teeth, own eye patches."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """How the skin moves: output of `bases`, input of `field` and `mouth`."""

    scale: float
    """s: pixels per millimetre."""
    half_width: float
    """hw: half the mouth's width in mm."""
    roll: float
    """Roll of the mouth's corner line at rest, radians."""
    gap: float
    """Opening between the inner lips at rest, mm; > 1.6: the source's lips are parted."""
    centre: Float
    """(2,) mean of the inner lips, px."""
    head_box: Box
    """Head window in nodes; everything outside stays as in the source."""
    face_box: Box
    """Nodes that `face` covers; inside ``head_box``."""
    low_box: Box
    """Nodes that `low` covers (the mouth and chin); inside ``face_box``."""
    head: Float
    """(len(HEAD), h, w, 2) on head_box: yaw, pitch, roll per radian; tx, ty per mm; zoom and breathe per unit."""
    face: Float
    """(len(EXPRESSION), h, w, 2) on face_box: the field of everything above the lip line (U)."""
    low: Float
    """(len(EXPRESSION), h, w, 2) on low_box: the field below the lip line (L)."""
    upper: Float
    """(49, 2) inner contour of the upper lip at rest, left to right, px."""
    lower: Float
    """(49, 2) inner contour of the lower lip at rest; shares its ends with ``upper``."""
    upper_bases: Float
    """(len(EXPRESSION) + len(HEAD), 49, 2) displacement of ``upper`` per unit, expression first."""
    lower_bases: Float
    """(len(EXPRESSION) + len(HEAD), 49, 2) displacement of ``lower`` per unit."""


BASES = EXPRESSION + HEAD
"""Order of the contour bases; equals the first parameters of a pose."""
