"""One frame's face: by upstream's networks (DWPose's landmarks, both ways round, and S3FD's box), or by our own mesh.

The mesh needs no weights besides those of the portrait engine. Its boxes are some pixels away from upstream's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.engines.facemesh import FaceFinder
from studio.engines.musetalk import boxes, detector, landmarks
from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.types import Box, Bytes, Floats

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Find:
    """What was found in a frame."""

    points: NDArray[np.float64]
    """(133, 2) in pixels."""
    scores: Floats
    """(133,)"""
    detected: Box | None
    """The detector's box."""


def found(networks: Networks, picture: Bytes) -> Find:
    """Look at a picture (H, W, 3) BGR.

    Raises:
        BadNetwork: A network that is needed is not there.
        EngineFault: One of them failed.
    """
    seen = landmarks.network_input(picture)
    ahead, back = networks.pose(seen), landmarks.unmirrored(*networks.pose(landmarks.mirrored(seen)))
    across, down = ((one[0] + other[0]) * np.float32(0.5) for one, other in zip(ahead, back, strict=True))
    points, scores = landmarks.decoded(across, down, landmarks.View.of(picture.shape[1], picture.shape[0]))
    detected = detector.first_face(networks.detect(detector.network_input(picture)))
    return Find(points, scores, detected)


class NetworkFinder:
    """Finds faces as upstream does."""

    is_upstream = True

    def __init__(self, networks: Networks) -> None:
        self._networks = networks

    def bare_box(self, picture: Bytes) -> Box | None:
        """Return the face box of a picture (H, W, 3) BGR without margin; None if there is no face."""
        find = found(self._networks, picture)
        return boxes.face_box(find.points, find.detected)


class MeshFinder:
    """Finds faces by the mesh that the portrait engine uses; the largest counts.

    Raises:
        AvatarNotReady: Its models are not installed.
    """

    is_upstream = False

    def __init__(self) -> None:
        self._finder = FaceFinder()

    def bare_box(self, picture: Bytes) -> Box | None:
        """Return the face box of a picture (H, W, 3) BGR without margin; None if there is no face."""
        faces = self._finder.find(np.ascontiguousarray(picture[..., ::-1]))
        return boxes.mesh_box(faces[0].landmarks) if faces else None


Finder = NetworkFinder | MeshFinder


def finder_of(networks: Networks) -> Finder:
    """Return upstream's way to find faces where its networks are there, else ours."""
    if networks.path("dwpose") and networks.path("s3fd"):
        return NetworkFinder(networks)
    log.warning("dwpose.onnx or s3fd.onnx is missing: faces are found by the studio's own mesh, not as upstream does")
    return MeshFinder()


def box_of(finder: Finder, picture: Bytes, extra_margin: int) -> Box | None:
    """Return the face box of a picture (H, W, 3) BGR with its margin, inside the picture; None if there is no face."""
    bare = finder.bare_box(picture)
    height, width = picture.shape[:2]
    return boxes.inside(bare and boxes.with_margin(bare, extra_margin, height), width, height)
