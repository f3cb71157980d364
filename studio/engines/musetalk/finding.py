"""One frame's face as the networks see it: DWPose's landmarks, both ways round, and S3FD's box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk import boxes, detector, landmarks
from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.types import Box, Bytes, Floats


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


def box_of(networks: Networks, picture: Bytes, extra_margin: int) -> Box | None:
    """Return the face box of a picture (H, W, 3) BGR with its margin, inside the picture; None if there is no face."""
    find = found(networks, picture)
    bare = boxes.face_box(find.points, find.detected)
    height, width = picture.shape[:2]
    return boxes.inside(bare and boxes.with_margin(bare, extra_margin, height), width, height)
