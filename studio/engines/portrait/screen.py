"""Characters with a screen for a face: a mouth of drawn tiles, a head that moves in one piece.

Their eyes are `eyes.DrawnEye`. The head is warped as a dome that turns on its neck; within the boxes of eyes and mouth
the screen itself is warped a little: brows, squint, smile and pressed lips.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.anatomy import EYE_DISTANCE
from studio.engines.portrait.eyes import Atlas, Tile
from studio.engines.portrait.parameters import EXPRESSION, HEAD, INDEX
from studio.engines.portrait.rig import BASES, CONTOUR_POINTS, NODE, NODES, SIZE, Box, Float, Geometry

Byte = NDArray[np.uint8]
Place = NDArray[np.float64]
"""x, y in px."""
_STEPS = 64
"""Steps from shut to open and from wide to round: finer changes do not repaint the mouth."""
_DEPTH_MM = 45.0
"""How far the face's middle lies before the axis on which it turns."""
_SIDES = 0.5
"""Depth of the head's sides, as a share of its middle's."""


@dataclass(frozen=True, slots=True, eq=False)
class ScreenMouth(Atlas):
    """Tiles (jaw stages, round stages, h, w): shut to open, wide to round."""

    def tile(self, opening: float, rounding: float) -> Tile:
        """Return the mouth at ``opening`` 0..1 and ``rounding`` -1 (wide) .. 1 (round)."""
        row = opening * (self.y.shape[0] - 1)
        column = (rounding + 1) / 2 * (self.y.shape[1] - 1)
        return self.mixed(row, column)


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
    """Return the rig of a head that turns in one piece and of what a screen may bend.

    Args:
        eyes: Boxes of the image's left and right eye, px.
        mouth: Box of the mouth, px.
        person: (512, 512) 1 on the figure, 0 on the background.
    """
    left, right, middle = (np.array([(b[0] + b[2]) / 2, (b[1] + b[3]) / 2]) for b in (*eyes, mouth))
    scale = max(float(np.hypot(*(right - left))) / EYE_DISTANCE, 0.5)
    x, y = np.meshgrid(*[np.arange(NODES, dtype=np.float32) * NODE + (NODE - 1) / 2] * 2)
    face_box = _around(*eyes, mouth)
    points = np.tile(middle.astype(np.float32), (CONTOUR_POINTS, 1))
    points[:, 0] += np.linspace(-1, 1, CONTOUR_POINTS)
    bases = np.zeros((len(BASES), CONTOUR_POINTS, 2), np.float32)
    return Geometry(
        scale=scale,
        half_width=0.5 * (mouth[2] - mouth[0]) / scale,
        roll=0.0,
        gap=0.0,
        centre=points[CONTOUR_POINTS // 2],
        head_box=(0, 0, NODES, NODES),
        face_box=face_box,
        low_box=(*face_box[:2], *face_box[:2]),
        head=_head(x, y, 0.5 * (left + right), middle, scale, person),
        face=_screen(x, y, eyes, mouth, scale)[:, face_box[1] : face_box[3], face_box[0] : face_box[2]].copy(),
        low=np.zeros((len(EXPRESSION), 0, 0, 2), np.float32),
        upper=points,
        lower=points.copy(),
        upper_bases=bases,
        lower_bases=bases.copy(),
    )


def _around(*boxes: Box) -> Box:
    """Return the nodes that cover ``boxes`` (px)."""
    x0, y0 = (min(box[i] for box in boxes) // NODE for i in (0, 1))
    x1, y1 = (-(-max(box[i] for box in boxes) // NODE) for i in (2, 3))
    return x0, y0, x1, y1


def _head(x: Float, y: Float, brow: Place, mouth: Place, scale: float, person: Float) -> Float:
    """Return the head's fields (len(HEAD), 128, 128, 2)."""
    length = max(float(mouth[1] - brow[1]), 20.0)
    chin = np.array([mouth[0], mouth[1] + 0.72 * length])
    weight = _head_weight(x, y, chin, 2.6 * length, person)
    across, down = x - chin[0], y - chin[1]
    zero = np.zeros_like(x)
    away = np.hypot(x - brow[0], y - brow[1] - 0.2 * length) / (1.5 * EYE_DISTANCE * scale)
    depth = _DEPTH_MM * scale * (1 - (1 - _SIDES) * _smoothstep(0, 1.1, away))
    moves = {
        "yaw": (depth, zero),
        "pitch": (zero, depth),
        "roll": (-down, across),
        "tx": (zero + scale, zero),
        "ty": (zero, zero + scale),
        "zoom": (across, down),
        "breathe": (zero, zero - scale),
    }
    torso = np.clip((y - chin[1]) / (0.5 * length), 0, 1) * _sample(person)
    fields = [np.stack(moves[n], axis=-1) * (torso if n == "breathe" else weight)[..., None] for n in HEAD]
    return np.stack(fields).astype(np.float32)


def _screen(x: Float, y: Float, eyes: tuple[Box, Box], mouth: Box, scale: float) -> Float:
    """Return what bends within the boxes of eyes and mouth: (len(EXPRESSION), 128, 128, 2)."""
    fields = np.zeros((len(EXPRESSION), NODES, NODES, 2), np.float32)
    for box, inner in zip(eyes, (1, -1), strict=True):
        t, v, near = _within(x, y, box)
        above, below = _smoothstep(0, 0.55, -v) * near, _smoothstep(0, 0.55, v) * near
        fields[INDEX["browup"], ..., 1] -= 4.5 * scale * above
        fields[INDEX["browin"], ..., 1] += 3.5 * scale * above * (0.35 + inner * t)
        fields[INDEX["squint"], ..., 1] -= 4.0 * scale * below
    t, _, near = _within(x, y, mouth)
    curve = near * (0.45 - 4 * np.minimum(t * t, 0.4))
    fields[INDEX["smile"], ..., 0] = 3.0 * scale * near * np.clip(2 * t, -1, 1)
    fields[INDEX["smile"], ..., 1] = 2.6 * scale * curve
    fields[INDEX["press"], ..., 1] = -3.2 * scale * curve
    return fields


def _within(x: Float, y: Float, box: Box) -> tuple[Float, Float, Float]:
    """Return each node's place in ``box``, -1..1 across and down, and 0..1 how far it is from the border."""
    x0, y0, x1, y1 = box
    t, v = 2 * (x - x0) / (x1 - x0) - 1, 2 * (y - y0) / (y1 - y0) - 1
    near = _smoothstep(0, 0.4, 1 - np.abs(t)) * _smoothstep(0, 0.4, 1 - np.abs(v))
    return np.asarray(t, np.float32), np.asarray(v, np.float32), near


def _smoothstep(a: float, b: float, x: Float) -> Float:
    t = np.clip((x - a) / (b - a), 0, 1)
    step: Float = t * t * (3 - 2 * t)
    return step


def _sample(picture: Float) -> Float:
    """Mean of each node's 4 x 4 pixels."""
    means: Float = picture.reshape(NODES, NODE, NODES, NODE).mean(axis=(1, 3))
    return means


def _head_weight(x: Float, y: Float, chin: Place, length: float, person: Float) -> Float:
    """1 on the head, falling off below the chin, away from the figure and at the picture's sides."""
    outside = (person < 0.5).astype(np.uint8)
    distance = _sample(np.asarray(cv2.distanceTransform(outside, cv2.DIST_L2, 5), np.float32))
    axis = 1 - _smoothstep(-0.05 * length, 0.45 * length, y - chin[1])
    figure = 1 - _smoothstep(0.02 * length, 0.30 * length, distance)
    border = _smoothstep(0, 40, np.minimum(x, SIZE - 1 - x)) * _smoothstep(0, 24, y)
    weight: Float = axis * figure * border
    return weight
