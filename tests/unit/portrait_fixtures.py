"""A face made of ellipses with bases made of Gaussians: fast, exact, and nobody's."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import EXPRESSION, HEAD
from studio.engines.portrait.rig import CONTOUR_POINTS, Box, Float, Geometry, Source

SCALE = 1.5
MOUTH = (256.0, 340.0)
HALF_MOUTH = 37.0
EYES = ((210.0, 246.0), (302.0, 246.0))

ROWS = (
    ([61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291], [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291], 9.0, 12.0),
    ([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308], 0.0, 0.0),
)
EYE_ROWS = (
    ([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133], 468),
    ([362, 398, 384, 385, 386, 387, 388, 466, 263], [362, 382, 381, 380, 374, 373, 390, 249, 263], 473),
)
BROWS = ([46, 53, 52, 65, 55], [285, 295, 282, 283, 276])


def landmarks(gap: float = 0.0) -> Float:
    """(478, 3) landmarks with lips, eyes, brows, chin and forehead in place; ``gap`` px between the lips."""
    points = np.zeros((478, 3), np.float32)
    points[:, :2] = (256, 260)
    for upper, lower, up, down in ROWS:
        t = np.linspace(-1, 1, len(upper))
        half = HALF_MOUTH if up else HALF_MOUTH - 3
        bow = np.sqrt(1 - t**2)
        points[upper, 0] = points[lower, 0] = MOUTH[0] + half * t
        points[upper, 1] = MOUTH[1] - (up + gap / 2) * bow
        points[lower, 1] = MOUTH[1] + (down + gap / 2) * bow
    for (upper, lower, iris), (x, y) in zip(EYE_ROWS, EYES, strict=True):
        t = np.linspace(-1, 1, len(upper))
        points[upper, 0] = points[lower, 0] = x + 21 * t
        points[upper, 1] = y - 9 * (1 - t**2)
        points[lower, 1] = y + 7 * (1 - t**2)
        points[iris : iris + 5, :2] = np.array([[x, y], [x + 8, y], [x, y - 8], [x - 8, y], [x, y + 8]])
    for row, (x, y) in zip(BROWS, EYES, strict=True):
        points[row, 0] = x + np.linspace(-24, 24, 5)
        points[row, 1] = y - 24
    for index, place in {10: (256, 120), 152: (256, 410), 234: (155, 270), 454: (357, 270), 4: (256, 290)}.items():
        points[index, :2] = place
    return points


def picture(gap: float = 0.0) -> NDArray[np.uint8]:
    """(512, 512, 3) RGB: a face in front of a textured ground."""
    rng = np.random.default_rng(1)
    noise = rng.integers(60, 190, (512, 512, 3)).astype(np.uint8)
    rgb = np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), np.uint8)
    points = landmarks(gap)
    cv2.ellipse(rgb, (256, 265), (100, 145), 0, 0, 360, (205, 160, 140), -1, cv2.LINE_AA)
    for upper, lower, up, _ in ROWS:
        outline = np.concatenate([points[upper, :2], points[lower, :2][::-1]]).astype(np.int32)
        if up or gap:
            cv2.fillPoly(rgb, [outline], (190, 90, 90) if up else (235, 230, 220), cv2.LINE_AA)
    cv2.line(rgb, (221, 340), (291, 340), (120, 50, 50), 1, cv2.LINE_AA)
    for upper, lower, iris in EYE_ROWS:
        outline = np.concatenate([points[upper, :2], points[lower, :2][::-1]]).astype(np.int32)
        cv2.fillPoly(rgb, [outline], (235, 235, 235), cv2.LINE_AA)
        x, y = points[iris, :2].astype(int)
        cv2.circle(rgb, (int(x), int(y)), 8, (70, 50, 40), -1, cv2.LINE_AA)
        cv2.polylines(rgb, [points[upper, :2].astype(np.int32)], False, (50, 30, 30), 2, cv2.LINE_AA)
    for row in BROWS:
        cv2.polylines(rgb, [points[row, :2].astype(np.int32)], False, (80, 50, 40), 5, cv2.LINE_AA)
    return np.asarray(np.clip(rgb + rng.normal(0, 2, rgb.shape), 0, 255), np.uint8)


def source(gap: float = 0.0) -> Source:
    """Return the synthetic face."""
    person = np.zeros((512, 512), np.float32)
    cv2.ellipse(person, (256, 265), (110, 150), 0, 0, 360, 1.0, -1)
    return Source(picture(gap), landmarks(gap), person)


def _nodes(box: Box) -> tuple[Float, Float]:
    x0, y0, x1, y1 = box
    x, y = np.meshgrid(np.arange(x0, x1) * 4 + 1.5, np.arange(y0, y1) * 4 + 1.5)
    return x.astype(np.float32), y.astype(np.float32)


def _bell(x: Float, y: Float, cx: float, cy: float, rx: float, ry: float) -> Float:
    r = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2
    return np.where(r < 6, np.exp(-r) - np.exp(-6), 0).astype(np.float32)


def _expression(name: str, x: Float, y: Float, side: str) -> Float:
    """Displacement (..., 2) at points; ``side`` is "upper" or "lower" of the lip line."""
    mx, my = MOUTH
    lips = _bell(x, y, mx, my, 30, 30)
    d = np.zeros((*x.shape, 2), np.float32)
    if name == "jaw":
        d[..., 1] = 20 * SCALE * _bell(x, y, mx, my + 25, 34, 45) * (side == "lower")
    elif name in ("wide", "pucker", "smile"):
        reach = {"wide": 6.5, "pucker": -9.5, "smile": 4.5}[name] * SCALE
        d[..., 0] = reach * np.clip((x - mx) / HALF_MOUTH, -1, 1) * _bell(x, y, mx, my, 50, 30)
    elif name in ("upraise", "ff"):
        d[..., 1] = -4 * SCALE * lips * (side == "upper")
    elif name == "lodep":
        d[..., 1] = 5 * SCALE * lips * (side == "lower")
    elif name == "browup":
        d[..., 1] = -5 * SCALE * sum(_bell(x, y, ex, ey - 24, 30, 12) for ex, ey in EYES)
    return d


def _head(name: str, x: Float, y: Float) -> Float:
    weight = np.clip(_bell(x, y, 256, 255, 90, 130) * 3, 0, 1)
    d = np.zeros((*x.shape, 2), np.float32)
    if name == "yaw":
        d[..., 0] = 60 * SCALE
    elif name == "pitch":
        d[..., 1] = 60 * SCALE
    elif name == "roll":
        d[..., 0], d[..., 1] = -(y - 420), x - 256
    elif name in ("tx", "ty"):
        d[..., int(name == "ty")] = SCALE
    elif name == "zoom":
        d[..., 0], d[..., 1] = x - 256, y - 300
    return d * weight[..., None]


def geometry(gap: float = 0.0) -> Geometry:
    """Return bases for `source`; ``gap`` in px as there."""
    head_box, face_box, low_box = (16, 8, 112, 124), (36, 40, 92, 116), (46, 72, 84, 112)
    points = landmarks(gap)
    t = np.linspace(-1, 1, CONTOUR_POINTS)
    x = MOUTH[0] + (HALF_MOUTH - 3) * t
    rows = []
    for upper, lower, up, _ in ROWS:
        if not up:
            rows = [np.stack([x, np.interp(x, points[r, 0], points[r, 1])], axis=1) for r in (upper, lower)]
    contours = [row.astype(np.float32) for row in rows]
    bases = []
    for side, row in zip(("upper", "lower"), contours, strict=True):
        px, py = row[:, 0].copy(), row[:, 1].copy()
        parts = [_expression(n, px, py, side) for n in EXPRESSION] + [_head(n, px, py) for n in HEAD]
        bases.append(np.stack(parts))
    for k in range(len(EXPRESSION)):
        mean = 0.5 * (bases[0][k] + bases[1][k])
        fade = np.clip((1 - np.abs(t)) * 5, 0, 1)[:, None]
        for b in bases:
            b[k] = mean + fade * (b[k] - mean)
    return Geometry(
        scale=SCALE,
        half_width=HALF_MOUTH / SCALE,
        roll=0.0,
        gap=gap / SCALE,
        centre=np.array(MOUTH, np.float32),
        head_box=head_box,
        face_box=face_box,
        low_box=low_box,
        head=np.stack([_head(n, *_nodes(head_box)) for n in HEAD]),
        face=np.stack([_expression(n, *_nodes(face_box), "upper") for n in EXPRESSION]),
        low=np.stack([_expression(n, *_nodes(low_box), "lower") for n in EXPRESSION]),
        upper=contours[0],
        lower=contours[1],
        upper_bases=bases[0].astype(np.float32),
        lower_bases=bases[1].astype(np.float32),
    )
