"""How the acceptance tests see: the landmark models on rendered pictures, fields without kernels, regions in pixels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.facedetector import infer, load_model
from studio.engines.facemesh import (
    IRIS_LEFT,
    IRIS_RIGHT,
    LIDS_LEFT,
    LIDS_RIGHT,
    MESH_SHIFT,
    MESH_SIDE,
    Square,
    refine_eye,
    upright_box,
)
from studio.engines.portrait import lips
from studio.engines.portrait.field import SHAPES, Shape, contours
from studio.engines.portrait.parameters import HIGHEST, INDEX, LOWEST, pose
from studio.engines.portrait.renderer import Face
from studio.engines.portrait.rig import BASES, NODE, NODES, SIZE, Float, Geometry
from studio.engines.portrait.screen import ScreenMouth
from studio.engines.portrait.warp import tools

Byte = NDArray[np.uint8]
OPEN_MM = 5.0
"""Above this opening the lips are looked for in the picture as well."""
VIEWS = ((1.35, 0.0), (1.5, -0.1), (1.5, 0.1), (1.65, 0.0))
"""Margin and turn of the squares whose meshes are averaged."""
DROP = 0.08
"""How far below the face at rest the squares lie, as a share of its size: an open jaw makes it longer."""


class Eyewitness:
    """The shipped landmark models, looking where the face is known to be: `FaceFinder` without its first glance."""

    def __init__(self) -> None:
        self._mesh: Any = load_model("face_landmark")
        self._iris: Any = load_model("iris_landmark")

    def landmarks(self, face: Face, picture: Byte, eyes: bool = False) -> Float:
        """Return (478, 3) landmarks of a picture (768, 512) I420 of ``face``; lids and irises only if asked for."""
        rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420), np.uint8)
        centre, side, angle = upright_box(face.source.landmarks)
        centre = centre + np.array([0.0, DROP * side])
        seen = np.zeros((478, 3), np.float32)
        for margin, turn in VIEWS:
            square = Square(centre, side * margin, angle + turn, MESH_SIDE)
            mesh, _ = infer(self._mesh, square.cut(rgb), ("conv2d_20", "conv2d_30"))
            seen[:468] += square.restore(mesh.reshape(468, 3) + MESH_SHIFT) / len(VIEWS)
        if eyes:
            for lids, iris, flip in ((LIDS_LEFT, IRIS_LEFT, False), (LIDS_RIGHT, IRIS_RIGHT, True)):
                refine_eye(self._iris, rgb, seen, lids, iris, flip)
        return seen


def distance(landmarks: Float, a: int, b: int) -> float:
    """Return the distance of two landmarks in the picture, px."""
    return float(np.linalg.norm(landmarks[a, :2] - landmarks[b, :2]))


def aperture(face: Face, row: Float) -> float:
    """Return the distance in mm of the inner lips' middles that a pose asks for."""
    upper, lower = contours(face.shape, row[: len(BASES)])
    return float(np.linalg.norm(lower[len(lower) // 2] - upper[len(upper) // 2])) / face.geometry.scale


def fit(x: list[float], y: list[float]) -> tuple[float, float]:
    """Return correlation and slope of ``y`` over ``x``."""
    r = float(np.corrcoef(x, y)[0, 1])
    return r, r * float(np.std(y) / np.std(x))


def spread(mask: NDArray[np.bool_], axis: int) -> int:
    """Return how many rows (axis 0) or columns (axis 1) of ``mask`` hold something."""
    return int(mask.any(axis=1 - axis).sum())


def lit(face: Face, picture: Byte, box: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which pixels of ``box`` shine: brighter than half-way from its median to its brightest at rest."""
    x0, y0, x1, y1 = box
    rest = face.texture[y0:y1, x0:x1]
    threshold = 0.5 * (float(np.median(rest)) + float(rest.max()))
    return np.asarray(picture[y0:y1, x0:x1] > threshold)


def speech(beats: int) -> list[Float]:
    """Return the poses of a face that talks and sways: four syllables a second, near the speed limits."""
    t = np.arange(beats)
    jaw = 0.33 - 0.33 * np.cos(t * 2 * np.pi / 6.5)
    rows = []
    for i in t:
        turn = 0.08 * np.sin(i / np.array([9.0, 7.0, 11.0]))
        rows.append(
            pose(
                close=1,
                jaw=jaw[i],
                wide=max(0.5 * np.sin(i / 5), 0),
                pucker=max(-0.6 * np.sin(i / 5), 0),
                upraise=0.3 * jaw[i],
                lodep=0.3 * jaw[i],
                yaw=turn[0],
                pitch=turn[1],
                roll=turn[2],
                tx=10 * turn[1],
            )
        )
    return rows


def extremes() -> list[Float]:
    """Return poses with the head at its limits and the mouth open."""
    rows = []
    for sign in (-1, 1):
        for name in ("yaw", "pitch", "roll"):
            row = pose(close=1, jaw=0.85, lodep=0.25, upraise=0.15)
            row[INDEX[name]] = HIGHEST[INDEX[name]] if sign > 0 else LOWEST[INDEX[name]]
            row[INDEX["breathe"]] = 1.0
            rows.append(row)
    return rows


def drawn_pixels(shape: Shape) -> NDArray[np.bool_]:
    """Return (512, 512) which pixels the warp draws."""
    mask = np.zeros((SIZE, SIZE), bool)
    for i in range(shape.height - 1):
        spans = shape.spans[i : i + 2]
        filled = spans[spans[:, 1] > spans[:, 0]]
        if len(filled) == 0:
            continue
        y0 = NODE * (shape.top + i) + NODE // 2
        x0, x1 = (NODE * (shape.left + n) + NODE // 2 for n in (filled[:, 0].min(), filled[:, 1].max() - 1))
        mask[max(y0, 0) : y0 + NODE, max(x0, 0) : max(x1, 0)] = True
    return mask


def rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the outermost pixels of ``mask``, without the picture's own edge."""
    inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=1)
    return np.asarray(mask & (inner == 0))


def triangle(length: int) -> NDArray[np.float64]:
    """Return (length,) a wave of 2 levels a pixel between 20 and 220, with blunt tops."""
    wave = 20 + np.abs((2 * np.arange(length)) % 400 - 200)
    return np.asarray(np.clip(wave, 24, 216), np.float64)


def with_texture(face: Face, y: NDArray[np.float64]) -> Face:
    """Return the face with another luma (512, 512): what happens to it is the warp's doing alone."""
    texture = face.texture.copy()
    texture[:SIZE] = y
    return replace(face, texture=texture)


def opening_pixels(face: Face, row: Float) -> NDArray[np.bool_]:
    """Return (512, 512) the opening between the lips and 4 px around it: a cut, where no smoothness is asked for."""
    outline = np.round(contours(face.shape, row[: len(BASES)])).astype(np.int32)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.concatenate([outline[0], outline[1][::-1]])], 1)
    cv2.polylines(mask, [outline[0], outline[1]], False, 1, 2)
    return np.asarray(cv2.dilate(mask, np.ones((9, 9), np.uint8)) > 0)


def whole_field(geometry: Geometry, row: Float, low: bool) -> Float:
    """Return the forward displacement (NODES, NODES, 2) above the lip line, or below it."""
    field = np.zeros((NODES, NODES, 2), np.float32)
    x0, y0, x1, y1 = geometry.head_box
    field[y0:y1, x0:x1] = np.tensordot(row[SHAPES : len(BASES)], geometry.head, 1)
    x0, y0, x1, y1 = geometry.face_box
    skin = np.zeros_like(field)
    skin[y0:y1, x0:x1] = np.tensordot(row[:SHAPES], geometry.face, 1)
    if low:
        x0, y0, x1, y1 = geometry.low_box
        skin[y0:y1, x0:x1] = np.tensordot(row[:SHAPES], geometry.low, 1)
    return field + skin


def inside_weight(face: Face, row: Float) -> float:
    """Return how many pixels of the mouth's inside a pose uncovers, as the painters count them."""
    if isinstance(face.mouth, ScreenMouth):
        return 0.0
    line = tools().lip_line(contours(face.shape, row[: len(BASES)]))
    return float(np.clip(line.lower - line.upper - 0.7, 0, None).sum())


def lip_line_luma(face: Face, row: Float, picture: Byte) -> Byte:
    """Return the luma of the pixels on the line where the lips meet, from corner to corner."""
    line = tools().lip_line(contours(face.shape, row[: len(BASES)]))
    columns = line.first + np.arange(len(line.upper))
    return np.asarray(picture[np.round(0.5 * (line.upper + line.lower)).astype(int), columns], np.uint8)


def longest_run(mask: NDArray[np.bool_]) -> int:
    """Return the length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def lips_seen(face: Face, picture: Byte, landmarks: Float) -> Float:
    """Return ``landmarks`` with the lips of an open mouth corrected by the picture, as preparation does.

    The plain mesh does not follow a jaw to its end: it reads 12 mm of 16 (measured on the astronaut).
    """
    rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420), np.uint8)
    for _ in range(2):  # one pass moves a lip by a sixth of the mouth at most
        if distance(landmarks, 13, 14) > OPEN_MM * face.geometry.scale:
            landmarks = lips.refine(rgb, landmarks)
    return landmarks


def with_mouth(face: Face, cavity: float | None, tongue: bool = True) -> Face:
    """Return the face with another inside: without a tongue, or nothing but a cavity of one luma."""
    mouth = {name.removeprefix("mouth_"): array for name, array in face.parts.items() if name.startswith("mouth_")}
    for name in ("upper", "lower", "photo", "tongue"):
        if (name == "tongue" and not tongue) or (cavity is not None and f"{name}_pixels" in mouth):
            mouth[f"{name}_pixels"] = np.zeros_like(mouth[f"{name}_pixels"])
    if cavity is not None:
        mouth["colours"] = np.array([[cavity, 0, 0]] * 2, np.float32)
        mouth["relief"] = np.zeros(1, np.float32)
    return Face.assemble(face.source, face.geometry, face.texture, face.eyes, mouth)


def hole(face: Face, bright: Byte, dark: Byte) -> float:
    """Return the height in mm of what differs between two pictures at the middle of the mouth."""
    columns = slice(round(float(face.geometry.centre[0])) - 6, round(float(face.geometry.centre[0])) + 7)
    differs = np.abs(bright[:SIZE, columns].astype(int) - dark[:SIZE, columns]) / 200.0
    return float(np.median(differs.sum(axis=0))) / face.geometry.scale
