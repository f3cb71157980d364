"""Landmarks of a whole body, of which the face's 68 are used, as upstream gets them from DWPose.

The whole picture is the person's box: there is one person. Specification 5.2; decoding of the two coordinate vectors:
SimCC, Li et al. 2022.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk.types import Bytes, Floats

WIDE, HIGH = 288, 384
"""The network's picture in pixels."""
POINTS = 133
FACE = slice(23, 91)
"""Of the points: the usual 68 of a face."""
_ROOM = 1.25
"""The box is enlarged by this before it is cut out."""
_SPLIT = 2
"""Steps of the coordinate vectors per pixel."""
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)


@dataclass(frozen=True, slots=True)
class View:
    """What part of a frame the network sees, in pixels of the frame."""

    centre: tuple[float, float]
    size: tuple[float, float]
    """Width and height, in the network's proportions."""

    @classmethod
    def of(cls, width: int, height: int) -> View:
        """Return the view of a whole picture."""
        wide, high = width * _ROOM, height * _ROOM
        if wide > high * WIDE / HIGH:
            high = wide * HIGH / WIDE
        else:
            wide = high * WIDE / HIGH
        return cls((width / 2, height / 2), (wide, high))


def network_input(picture: Bytes) -> Floats:
    """Return what the network sees of a picture (H, W, 3) BGR: (1, 3, 384, 288) RGB, normalised."""
    view = View.of(picture.shape[1], picture.shape[0])
    (x, y), wide = view.centre, view.size[0]
    here = np.array([[x, y], [x, y - wide / 2], [x - wide / 2, y - wide / 2]], np.float32)
    there = np.array([[WIDE / 2, HIGH / 2], [WIDE / 2, (HIGH - WIDE) / 2], [0, (HIGH - WIDE) / 2]], np.float32)
    seen = cv2.warpAffine(picture, cv2.getAffineTransform(here, there), (WIDE, HIGH), flags=cv2.INTER_LINEAR)
    normal = (seen[..., ::-1].astype(np.float32) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def mirrored(seen: Floats) -> Floats:
    """Return the network's picture (1, 3, 384, 288) flipped left to right."""
    return np.ascontiguousarray(seen[..., ::-1])


def unmirrored(across: Floats, down: Floats) -> tuple[Floats, Floats]:
    """Return what the network said of a mirrored picture as if it had not been: (n, 133, 576) and (n, 133, 768)."""
    partners = _partners()
    return across[:, partners, ::-1], down[:, partners]


def decoded(across: Floats, down: Floats, view: View) -> tuple[NDArray[np.float64], Floats]:
    """Return points (133, 2) in pixels of the frame, and scores (133,).

    Args:
        across: (133, 576), a value for every half pixel.
        down: (133, 768), likewise.
        view: What the network saw.
    """
    scores = np.minimum(across.max(axis=1), down.max(axis=1))
    place = np.stack([across.argmax(axis=1), down.argmax(axis=1)], axis=1).astype(np.float32) / _SPLIT
    place[scores <= 0] = -1
    size = np.array(view.size)
    points = place / np.array([WIDE, HIGH]) * size + np.array(view.centre) - size / 2
    return points, scores


@cache
def _partners() -> NDArray[np.int64]:
    """Return for each point the one that it becomes in a mirror."""
    pairs = [(i, i + 1) for i in range(1, 16, 2)] + [(17, 20), (18, 21), (19, 22)]
    pairs += [(91 + k, 112 + k) for k in range(21)]
    face = [(i, 16 - i) for i in range(8)] + [(17 + i, 26 - i) for i in range(5)] + [(31, 35), (32, 34)]
    face += [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]
    face += [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58), (60, 64), (61, 63), (65, 67)]
    pairs += [(23 + a, 23 + b) for a, b in face]
    partners = np.arange(POINTS)
    for a, b in pairs:
        partners[a], partners[b] = b, a
    return partners
