"""How the head and the shoulders move: displacement fields out of the face's depth.

Knows the landmarks' z and the person's outline; knows nothing of expressions (specification section 7).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from studio.engines.portrait.anatomy import OVAL, SKIN, Face
from studio.engines.portrait.designs import smoothstep
from studio.engines.portrait.parameters import HEAD
from studio.engines.portrait.rbf import Interpolator, merge
from studio.engines.portrait.rig import NODE, NODES, SIZE
from studio.engines.portrait.skin import blurred, node_places

Float = NDArray[np.float32]
Double = NDArray[np.float64]

RINGS = ((25.0, 12.0), (60.0, 30.0), (120.0, 40.0))
"""Rings around the oval: how far out, and how far behind the oval the head is there, mm."""
NARROWEST, WIDEST = 75.0, 110.0
"""Pixels at the left and right edges of the picture over which motion fades to none: as wide as the face leaves room.

In 40 px the hair of a head that fills the picture folds when it rolls by 5 degrees (determinant -0.4)."""
EAR_TO_NECK = 20.0
"""The head turns about an axis this many mm behind the ears."""


def depth(face: Face) -> Float:
    """Return z in mm (NODES, NODES) in the camera's direction, away positive, relative to the lip line."""
    z = (face.points @ face.axes.T)[:, 2]
    oval = face.pixels[OVAL]
    outward = oval - oval.mean(0)
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    points = [face.pixels[:SKIN], *(oval + outward * out * face.scale for out, _ in RINGS)]
    values = [z[:SKIN], *(z[OVAL] + behind for _, behind in RINGS)]
    place, value, _ = merge(np.concatenate(points), np.concatenate(values)[:, None], 1.0)
    grid = Interpolator(place, 1.0).at(node_places().reshape(-1, 2).astype(np.float32), value)
    return blurred(grid.reshape(NODES, NODES, 1), 2.0)[..., 0]


def below_chin(face: Face) -> Double:
    """Return how far each node (NODES, NODES) lies below the chin, in face lengths."""
    place = (node_places() - face.pixels[152]) @ (_down(face) / _length(face))
    return np.asarray(place)


def _down(face: Face) -> Double:
    down = face.axes[:2, 1]
    return np.asarray(down / np.linalg.norm(down))


def _length(face: Face) -> float:
    """Return the face's length from hair line to chin, px."""
    return float(np.linalg.norm(face.pixels[152] - face.pixels[10]))


def ramp(low: float, high: float, x: ArrayLike) -> Double:
    """Return 0 below ``low``, 1 above ``high``, between them a line with rounded ends.

    Its steepest slope is 1.18 of the line's, a smoothstep's 1.5: what is stretched beside the head must not fold.
    """
    end = 0.15
    u = np.clip((np.asarray(x, float) - low) / (high - low), 0.0, 1.0)
    rounded = np.minimum(u, 1 - u) ** 2 / (2 * end * (1 - end))
    line = (u - end / 2) / (1 - end)
    return np.where(u < end, rounded, np.where(u > 1 - end, 1 - rounded, line))


def _weights(face: Face, person: Float) -> tuple[Double, Double]:
    """Return how far each node (NODES, NODES) follows the head, and how far the shoulders' breath."""
    outside = cv2.distanceTransform((person < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    nodes = cv2.resize(outside, (NODES, NODES), interpolation=cv2.INTER_AREA) / _length(face)
    along = np.arange(NODES) * NODE + 1.5
    oval = face.pixels[OVAL, 0]
    room = np.clip([oval.min(), SIZE - oval.max()], NARROWEST, WIDEST)
    frame = np.minimum(ramp(0.0, room[0], along), ramp(0.0, room[1], SIZE - 1 - along))[None, :]
    below = below_chin(face)
    head = (1 - smoothstep(-0.10, 0.70, below)) * np.minimum(1 - ramp(0.03, 0.34, nodes), frame)
    floor = smoothstep(0.0, 48.0, SIZE - 1 - along)[:, None]
    torso = smoothstep(0.12, 0.60, below) * np.minimum(1 - smoothstep(0.0, 0.12, nodes), frame) * floor
    return head, torso


def head_fields(face: Face, person: Float) -> Float:
    """Return the displacement fields of `HEAD` on all nodes: (len(HEAD), NODES, NODES, 2) px per unit.

    Args:
        face: The face.
        person: (512, 512) 0..1, 1 on the person: the background is stretched near it and stands still farther off.
    """
    ears = float((face.points[[234, 454]] @ face.axes.T)[:, 2].mean())
    nearer = (ears + EAR_TO_NECK - depth(face)) * face.scale
    pivot = face.pixels[152] + _down(face) * 0.10 * _length(face)
    x, y = np.moveaxis(node_places() - pivot, 2, 0)
    none, one = np.zeros_like(x), np.full_like(x, face.scale)
    head, torso = _weights(face, person)
    motions = {
        "yaw": (nearer, none), "pitch": (none, nearer), "roll": (-y, x),
        "tx": (one, none), "ty": (none, one), "zoom": (x, y),
    }  # fmt: skip
    fields = {name: np.stack(motion, 2) * head[..., None] for name, motion in motions.items()}
    fields["breathe"] = np.stack([none, -one * torso], 2)
    return np.stack([fields[name] for name in HEAD]).astype(np.float32)
