"""Who finds the first face: the checkpoint's detector, or our own.

The checkpoint's detector and 106 landmarks come from InsightFace, whose weights are for non-commercial use only. Our
own (`facemesh`, Apache-2.0) takes their place where they are absent or not wanted. It only says roughly where the face
is: the checkpoint's 203 landmarks measure it afterwards, so the avatar differs by fractions of a pixel, but it is not
numerically upstream's.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from studio.engines.ditto.checkpoint import Networks
from studio.engines.ditto.crop import MARKS
from studio.engines.ditto.registration import Finder, found_by
from studio.engines.ditto.types import Bytes, Floats
from studio.engines.facemesh import FaceFinder

DETECTORS: Final = ("auto", "insightface", "own")
"""``auto``: InsightFace's where both of its files are there."""
INSIGHTFACE: Final = ("insightface_det", "landmark106")
OUTLINE: Final = (
    234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
)  # fmt: skip
"""Mesh points of jaw and brows: what 106 landmarks enclose."""
PLACES: Final = (
    (MARKS[106].left_eye, (33, 133, 145, 159)),
    (MARKS[106].right_eye, (362, 263, 374, 386)),
    (MARKS[106].lips, (61, 291)),
)
"""Which of the 106 are which of the mesh, as far as `crop` asks."""


def finder_of(detector: str, networks: Networks) -> Finder:
    """Return what finds the first face.

    Args:
        detector: One of `DETECTORS`.
        networks: Of the checkpoint.

    Raises:
        BadPortrait: Our own detector's small package is not installed; the sentence says what to run.
    """
    theirs = all(networks.paths[role].is_file() for role in INSIGHTFACE)
    if detector == "insightface" or (detector == "auto" and theirs):
        return found_by(networks)
    return OwnFinder()


class OwnFinder:
    """Our own detector and mesh; belongs to one thread.

    Raises:
        BadPortrait: The model carrier is not installed.
    """

    def __init__(self) -> None:
        self._finder = FaceFinder()

    def __call__(self, rgb: Bytes) -> Floats | None:
        """Return the largest face of a picture (H, W, 3) as 106 landmarks, None where there is none."""
        faces = self._finder.find(rgb)
        return rough106(faces[0].landmarks[:, :2]) if faces else None


def rough106(mesh: Floats) -> Floats:
    """Return points (106, 2) that enclose what 106 landmarks would, with eyes and lips where they belong.

    Args:
        mesh: (468 or more, 2) in MediaPipe's order.
    """
    points: Floats = mesh[np.resize(OUTLINE, 106)].astype(np.float32)
    for places, sources in PLACES:
        points[list(places)] = mesh[list(sources)]
    return points
