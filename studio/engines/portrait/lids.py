"""Prepares the eyes of a photo: lids that close without smearing lashes, a window in which the iris may move.

Everything is measured in pixel columns: the upper and lower lid are heights over x (specification section 6).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.eyes import PhotoEye
from studio.engines.portrait.rig import SIZE, Box, Float

Byte = NDArray[np.uint8]
STAGES = 17
EYE_ROWS = (
    ((33, 246, 161, 160, 159, 158, 157, 173, 133), (33, 7, 163, 144, 145, 153, 154, 155, 133)),
    ((362, 398, 384, 385, 386, 387, 388, 466, 263), (362, 382, 381, 380, 374, 373, 390, 249, 263)),
)
BROWS = ((46, 53, 52, 65, 55), (285, 295, 282, 283, 276))
IRISES = (468, 473)


@dataclass(frozen=True, slots=True, eq=False)
class _Opening:
    """An eye's outline on the columns of its box; heights relative to the box, px."""

    tallest: float
    """H: the greatest opening."""
    upper: Float
    """(w,) upper lid's edge; beyond the corners their height."""
    lower: Float
    """(w,)."""
    top: Float
    """(w,) below the brow: where the lid's skin starts to move."""
    taper: Float
    """(w,) k: 1 over the eye, 0 at and beyond the corners."""
    reach: Float
    """(w,) where the skin around the eye may be changed: 1 over the eye, falling off beyond the corners."""
    beyond: Float
    """(w,) px beyond the nearer corner, 0 between them."""
    lash: Float
    """(w,) strength of the lash line: thin at the inner corner."""
    iris: Float
    """(3,) centre and radius."""


def photo_eyes(y: Byte, u: Byte, v: Byte, landmarks: Float, scale: float) -> tuple[PhotoEye, PhotoEye]:
    """Return the eyes at the image's left and right, prepared from the planes of a picture.

    Args:
        y: (512, 512); u, v: (256, 256).
        u: See ``y``.
        v: See ``y``.
        landmarks: (478, 3) px.
        scale: Pixels per millimetre.
    """
    left, right = (_photo_eye((y, u, v), landmarks, scale, side) for side in (0, 1))
    return left, right


def _photo_eye(planes: tuple[Byte, Byte, Byte], landmarks: Float, s: float, side: int) -> PhotoEye:
    box = _box(landmarks, s, side)
    x0, y0, x1, y1 = box
    opening = _outline(landmarks, s, side, box)
    y, u, v = planes
    patch = y[y0:y1, x0:x1]
    small = tuple(p[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] for p in (u, v))
    skin, *chroma = _skin([p.astype(np.float32) for p in (patch, *small)], opening, s)
    stages = [_stage(b, opening, patch.astype(np.float32), skin, chroma, s) for b in np.linspace(0, 1, STAGES)]
    kept, added, kept_chroma, added_u, added_v = (np.stack(parts) for parts in zip(*stages, strict=True))
    return PhotoEye(
        place=np.array(box, np.int32),
        y=patch.copy(),
        u=small[0].copy(),
        v=small[1].copy(),
        kept=kept,
        added=added,
        kept_chroma=kept_chroma,
        added_u=added_u,
        added_v=added_v,
        window=_window(opening, patch.shape, s),
    )


def _box(landmarks: Float, s: float, side: int) -> Box:
    upper, lower = (landmarks[list(row), :2] for row in EYE_ROWS[side])
    brow = landmarks[list(BROWS[side]), 1]
    x0, x1 = upper[:, 0].min() - 8 * s, upper[:, 0].max() + 8 * s
    y0, y1 = min(brow.min(), upper[:, 1].min() - 4 * s) - 2, lower[:, 1].max() + 7 * s
    low = [max(int(n) // 2 * 2, 0) for n in (x0, y0)]
    high = [min((int(n) + 2) // 2 * 2, SIZE) for n in (x1, y1)]
    return low[0], low[1], high[0], high[1]


def _outline(landmarks: Float, s: float, side: int, box: Box) -> _Opening:
    rows = [landmarks[list(row), :2] - (box[0], box[1]) for row in EYE_ROWS[side]]
    x = np.arange(box[2] - box[0], dtype=np.float64)
    left, right = rows[0][0], rows[0][-1]
    inside = np.clip(x, left[0], right[0])
    upper, lower = (np.polyval(np.polyfit(row[:, 0] - left[0], row[:, 1], 4), inside - left[0]) for row in rows)
    lower = np.maximum(lower, upper)
    corner = np.interp(x, [left[0], right[0]], [left[1], right[1]])
    shut = (x <= left[0]) | (x >= right[0])
    upper, lower = np.where(shut, corner, upper), np.where(shut, corner, lower)
    tallest = max(float((lower - upper).max()), 1.0)
    brow = landmarks[list(BROWS[side]), :2] - (box[0], box[1])
    order = np.argsort(brow[:, 0])
    edge = np.interp(x, brow[order, 0], brow[order, 1]) + 1.8 * s
    top = _smooth(np.minimum(edge, upper - 3.0 * s), 3.0)
    t = np.clip((lower - upper) / (0.45 * tallest), 0, 1)
    taper = _smooth(t * t * (3 - 2 * t), 1.0)
    beyond = np.maximum(np.maximum(left[0] - x, x - right[0]), 0)
    fade = np.clip((beyond / s - 3.5) / 5.0, 0, 1)
    reach = 1 - fade * fade * (3 - 2 * fade)
    outwards = (right[0] - x if side == 0 else x - left[0]) / max(right[0] - left[0], 1)
    lash = np.clip((lower - upper) / (0.6 * tallest), 0, 1) ** 0.7 * np.clip(0.55 + 0.8 * outwards, 0, 1)
    ring = landmarks[IRISES[side] : IRISES[side] + 5, :2] - (box[0], box[1])
    iris = [*ring[0], max(float(np.linalg.norm(ring[1:] - ring[0], axis=1).mean()), 1.0)]
    curves = (np.asarray(a, np.float32) for a in (upper, lower, np.maximum(top, 0), taper, reach, beyond, lash, iris))
    return _Opening(tallest, *curves)


def _smooth(row: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    smooth: NDArray[np.float64] = cv2.GaussianBlur(row[None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[0]
    return smooth


def _skin(planes: list[Float], o: _Opening, s: float) -> list[Float]:
    """Return Y (h, w), U, V (h / 2, w / 2) without lashes: each is replaced by the skin within a few millimetres.

    Lashes are dark and thin: a grey closing fills them, and leaves the broad shadow beside the nose as it is. The eye
    is filled as well. Method: normalised convolution, Knutsson and Westin 1993.
    """
    luma = planes[0]
    rows = np.arange(len(luma), dtype=np.float32)[:, None]
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(2.2 * s) + 1, 2 * round(2.0 * s) + 1))
    dark = cv2.morphologyEx(cv2.GaussianBlur(luma, (0, 0), 0.6), cv2.MORPH_CLOSE, kernel) - luma
    lash: Float = np.asarray(cv2.dilate(np.clip((dark - 5) / 10, 0, 1), np.ones((5, 5), np.uint8)), np.float32)
    lash *= np.clip((rows - o.top) / (1.2 * s), 0, 1) * o.reach
    eye = (rows > o.upper - 1.5) & (rows < o.lower + 1.5) & (o.taper > 0)
    gone = np.asarray(cv2.GaussianBlur(np.maximum(lash, eye.astype(np.float32)), (0, 0), 0.7), np.float32)
    brow = np.clip((rows - o.top) / (1.0 * s), 0, 1)
    filled = []
    for plane, sigma in zip(planes, (1.8 * s, 0.9 * s, 0.9 * s), strict=True):
        size = plane.shape[::-1]
        away, trusted = (_resized(a, size) for a in (gone, (1 - gone) * brow * np.ones_like(luma)))
        mean = np.zeros_like(plane)
        for wider in (4.0, 1.0):
            mass = cv2.GaussianBlur(trusted, (0, 0), wider * sigma) + np.float32(1e-4)
            near = cv2.GaussianBlur(trusted * plane, (0, 0), wider * sigma) / mass
            mean = mean + np.clip(mass / 0.1, 0, 1) * (near - mean) if wider == 1.0 else near
        filled.append(np.asarray(plane + away * (mean - plane), np.float32))
    return filled


def _resized(plane: Float, size: tuple[int, ...]) -> Float:
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.float32)


def _stage(blink: float, o: _Opening, patch: Float, skin: Float, chroma: list[Float], s: float) -> tuple[Byte, ...]:
    """Return kept, added, kept_chroma, added_u and added_v of one stage."""
    height, width = patch.shape
    rows = np.arange(height, dtype=np.float32)[:, None]
    opening = o.lower - o.upper
    e = 0.10 * o.tallest * o.taper
    lid = o.upper + e + np.float32(blink) * np.maximum(0.95 * opening - e, 0)
    source = _stretched(o, lid, rows)
    columns = np.broadcast_to(np.arange(width, dtype=np.float32), source.shape).copy()
    clean = float(np.clip(blink / 0.4, 0, 1))
    texture = (patch + clean * (skin - patch)).astype(np.float32)
    drawn = cv2.remap(texture, columns, source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    present = np.clip(blink / 0.12, 0, 1)
    # Beyond the corners the lid has no edge: it fades, ever more softly.
    edge = np.clip((lid - rows) / (1 + 0.7 * o.beyond) + 0.5, 0, 1)
    cover = edge * np.clip((rows - o.top) / (1.5 * s), 0, 1) * o.reach * present
    below = np.maximum(rows - lid, 0)
    lash = 0.66 * min(1.0, 2.2 * blink) * o.lash * _lash_line(rows - lid, o.tallest)
    contact = 0.22 * present * o.taper * np.exp(-below / (0.16 * o.tallest)) * ((rows >= lid) & (rows < o.lower))
    kept = (1 - cover) * (1 - lash) * (1 - contact * (1 - cover))
    # Limited range: black is 16, so dimming pulls towards it.
    added = cover * (16 + (drawn - 16) * (1 - lash)) + 16 * ((1 - cover) - kept)
    size = (width // 2, height // 2)
    half = _resized(cover.astype(np.float32), size)
    across, down = (_resized(m, size) * np.float32(0.5) - np.float32(0.25) for m in (columns, source))
    tints = [half * cv2.remap(p, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in chroma]
    arrays = [255 * kept, added, 255 * (1 - half), *tints]
    return tuple(np.clip(a + 0.5, 0, 255).astype(np.uint8) for a in arrays)


def _stretched(o: _Opening, lid: Float, rows: Float) -> Float:
    """Return the row (h, w) that each pixel of a lid lowered to ``lid`` (w,) shows: the skin above the lashes."""
    share = np.clip((rows - o.top) / np.maximum(lid - o.top, 1), 0, 1)
    origin = o.top + share ** (1 + 0.35 * o.taper) * (o.upper - 0.26 * o.tallest * o.taper - o.top)
    shift = cv2.GaussianBlur(np.where(rows < lid, origin - rows, 0).astype(np.float32), (0, 0), 1.8, sigmaY=0.01)
    return np.where(rows < o.top, rows, rows + shift).astype(np.float32)


def _lash_line(below: Float, tallest: float) -> Float:
    """Return the lash line's strength 0..1 at ``below`` px under the lid's edge: sharp above, hanging below."""
    thin = 0.055 * tallest + 0.45
    return np.asarray(np.exp(-((below / np.where(below < 0, thin, 1.6 * thin)) ** 2)), np.float32)


def _window(o: _Opening, shape: tuple[int, ...], s: float) -> Float:
    """(h, w) pixels that a point moves per millimetre of gaze: the iris wholly, the lids not at all."""
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)
    distance = np.hypot(columns - o.iris[0], rows - o.iris[1])
    inside = np.clip((rows - o.upper) / 2.0, 0, 1) * np.clip((o.lower - rows) / 2.0, 0, 1)
    near = np.exp(-((distance / (2 * o.iris[2])) ** 4))
    window: Float = (s * inside * near * np.clip((o.lower - o.upper) / 3, 0, 1)).astype(np.float32)
    return window
