"""Characters with a screen for a face: a mouth of drawn tiles, a head that moves in one piece.

Their eyes are `eyes.DrawnEye`. Nothing is warped but the head, whose depth is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.eyes import Tile, between
from studio.engines.portrait.parameters import EXPRESSION, HEAD, INDEX
from studio.engines.portrait.rig import BASES, CONTOUR_POINTS, NODE, NODES, SIZE, Box, Float, Geometry

Byte = NDArray[np.uint8]
_STEPS = 64
"""Steps from shut to open and from wide to round: finer changes do not repaint the mouth."""
_DEPTH_MM = 45.0
"""How far the face lies before the axis on which it turns."""


@dataclass(frozen=True, slots=True, eq=False)
class ScreenMouth:
    """Tiles (jaw stages, round stages, h, w): shut to open, wide to round."""

    place: NDArray[np.int32]
    """(4,) x0, y0, x1, y1, even pixels."""
    y: Byte
    u: Byte
    """(jaw stages, round stages, h / 2, w / 2)."""
    v: Byte

    @property
    def box(self) -> Box:
        """Even pixels of the picture that a tile covers."""
        x0, y0, x1, y1 = (int(n) for n in self.place)
        return x0, y0, x1, y1

    def tile(self, opening: float, rounding: float) -> Tile:
        """Return the mouth at ``opening`` 0..1 and ``rounding`` -1 (wide) .. 1 (round)."""
        row = opening * (self.y.shape[0] - 1)
        column = (rounding + 1) / 2 * (self.y.shape[1] - 1)
        return between(self.y, row, column), between(self.u, row, column), between(self.v, row, column)


class ScreenLips:
    """One take's memory of what its screen mouth shows."""

    def __init__(self, mouth: ScreenMouth) -> None:
        self._mouth = mouth
        self._shown = (0, 0)

    def changed(self, pose: Float) -> list[tuple[Box, Tile]]:
        """Return box and tile if the mouth no longer shows ``pose`` (COUNT,)."""
        jaw, wide, pucker, press, ff = (float(pose[INDEX[n]]) for n in ("jaw", "wide", "pucker", "press", "ff"))
        lips = 0.12 * float(pose[INDEX["upraise"]] + pose[INDEX["lodep"]])
        opening = min(max(jaw + lips, 0.0), 1.0) * (1 - min(press + 0.7 * ff, 1.0))
        rounding = min(max(pucker - wide, -1.0), 1.0)
        wanted = (round(opening * _STEPS), round(rounding * _STEPS))
        if wanted == self._shown:
            return []
        self._shown = wanted
        return [(self._mouth.box, self._mouth.tile(wanted[0] / _STEPS, wanted[1] / _STEPS))]


def screen_geometry(eyes: tuple[Box, Box], mouth: Box, person: Float) -> Geometry:
    """Return the rig of a head that moves in one piece.

    Args:
        eyes: Boxes of the image's left and right eye, px.
        mouth: Box of the mouth, px.
        person: (512, 512) 1 on the figure, 0 on the background.
    """
    centres = [np.array([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]) for b in (*eyes, mouth)]
    brow = 0.5 * (centres[0] + centres[1])
    scale = max(float(np.hypot(*(centres[1] - centres[0]))) / 63.0, 0.5)
    length = max(float(centres[2][1] - brow[1]), 20.0)
    chin = np.array([centres[2][0], centres[2][1] + 0.72 * length])
    x, y = np.meshgrid(*[np.arange(NODES, dtype=np.float32) * NODE + (NODE - 1) / 2] * 2)
    weight = _head_weight(x, y, chin, 2.6 * length, person)
    across, down = x - chin[0], y - chin[1]
    zero = np.zeros_like(x)
    moves = {
        "yaw": (zero + _DEPTH_MM * scale, zero),
        "pitch": (zero, zero + _DEPTH_MM * scale),
        "roll": (-down, across),
        "tx": (zero + scale, zero),
        "ty": (zero, zero + scale),
        "zoom": (across, down),
        "breathe": (zero, zero - scale),
    }
    torso = np.clip((y - chin[1]) / (0.5 * length), 0, 1) * _sample(person)
    head = np.stack(
        [np.stack(moves[n], axis=-1) * (torso if n == "breathe" else weight)[..., None] for n in HEAD]
    ).astype(np.float32)
    middle = centres[2].astype(np.float32)
    points = np.tile(middle, (CONTOUR_POINTS, 1))
    points[:, 0] += np.linspace(-1, 1, CONTOUR_POINTS)
    still = np.zeros((len(EXPRESSION), 0, 0, 2), np.float32)
    bases = np.zeros((len(BASES), CONTOUR_POINTS, 2), np.float32)
    return Geometry(
        scale=scale,
        half_width=0.5 * (mouth[2] - mouth[0]) / scale,
        roll=0.0,
        gap=0.0,
        centre=middle,
        head_box=(0, 0, NODES, NODES),
        face_box=(0, 0, 0, 0),
        low_box=(0, 0, 0, 0),
        head=head,
        face=still,
        low=still,
        upper=points,
        lower=points.copy(),
        upper_bases=bases,
        lower_bases=bases.copy(),
    )


def _smoothstep(a: float, b: float, x: Float) -> Float:
    t = np.clip((x - a) / (b - a), 0, 1)
    step: Float = t * t * (3 - 2 * t)
    return step


def _sample(picture: Float) -> Float:
    """Mean of each node's 4 x 4 pixels."""
    means: Float = picture.reshape(NODES, NODE, NODES, NODE).mean(axis=(1, 3))
    return means


def _head_weight(x: Float, y: Float, chin: NDArray[np.float64], length: float, person: Float) -> Float:
    """1 on the head, falling off below the chin, away from the figure and at the picture's sides."""
    outside = (person < 0.5).astype(np.uint8)
    distance = _sample(cv2.distanceTransform(outside, cv2.DIST_L2, 5))
    axis = 1 - _smoothstep(-0.05 * length, 0.45 * length, y - chin[1])
    figure = 1 - _smoothstep(0.02 * length, 0.30 * length, distance)
    border = _smoothstep(0, 40, np.minimum(x, SIZE - 1 - x)) * _smoothstep(0, 24, y)
    weight: Float = axis * figure * border
    return weight
