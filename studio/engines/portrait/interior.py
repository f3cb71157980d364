"""Prepares what is seen between the lips: teeth, tongue, cavity, and the photo's own teeth (specification section 5).

Sprites are premultiplied (Y, U - 128, V - 128, alpha), drawn upright at four times their size and area-reduced. Sizes
are millimetres of an average mouth, 25 mm from its middle to a corner. Knows nothing of time; `mouth` places them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait import opening
from studio.engines.portrait.opening import PARTED_MM, Sprite, yuv
from studio.engines.portrait.rig import Float, Geometry, Source

_FINE = 4
_UPPER_WIDTHS = (8.4, 6.6, 6.4, 4.9, 4.2, 4.0)
_UPPER_HEIGHTS = (10.2, 8.8, 9.8, 8.4, 7.8, 7.0)
_UPPER_EDGES = (0.0, -0.75, -0.15, -0.9, -1.3, -1.9)
_LOWER_WIDTHS = (5.2, 5.7, 6.2, 5.0, 4.5, 4.2)
_LOWER_HEIGHTS = (8.0, 8.2, 8.8, 7.6, 6.8, 6.2)
_LOWER_EDGES = (0.0, 0.1, -0.2, 0.4, 0.7, 1.0)
_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
_EYES = ((33, 160, 158, 133, 153, 144), (362, 385, 387, 263, 373, 380))
_CHEEKS = (50, 280, 205, 425, 101, 330)


@dataclass(frozen=True, slots=True, eq=False)
class Interior:
    """Everything that `mouth` paints."""

    upper: Sprite
    """Upper teeth; the anchor is the middle of their incisal edge."""
    lower: Sprite
    tongue: Sprite
    """The anchor is the tip's upper edge when the tongue rests."""
    photo: Sprite | None
    """The photo's own opening, upright in the picture (not turned by ``roll``)."""
    rest: Sprite | None
    """What turns a parted source's neutral picture back into the source, in levels; the alpha means nothing."""
    colours: Float
    """(2, 3) Y, U - 128, V - 128 of the cavity and of the wet lip."""
    relief: float
    """How strongly the lips shade what is behind them: 1 in photos, less in drawings."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a drawn character wants its mouth."""

    cavity: tuple[int, int, int]
    """RGB."""
    flat_teeth: bool = True


@dataclass(frozen=True, slots=True)
class _Palette:
    """Colours (Y, U - 128, V - 128) taken from the picture."""

    skin: Float
    lip: Float
    teeth: Float
    cavity: Float


def prepare_interior(source: Source, geometry: Geometry, style: Style | None = None) -> Interior:
    """Build the sprites for one face.

    Args:
        source: The framed picture with landmarks.
        geometry: Its rig.
        style: Given for drawn characters only.
    """
    ycc = yuv(source.rgb)
    palette = _palette(ycc, source.landmarks, style)
    flat = style is not None and style.flat_teeth
    k = 0.5 * (geometry.scale + geometry.half_width / 25.0 * geometry.scale)
    blur = _softness(ycc[..., 0], geometry)
    down = np.array([-np.sin(geometry.roll), np.cos(geometry.roll)], np.float32)
    gap = geometry.gap * geometry.scale if geometry.gap > PARTED_MM else 0.0
    middle = len(geometry.upper) // 2
    lip_line = geometry.upper[middle] + 0.42 * gap * down
    incisal = geometry.upper[middle] + (2.6 * k if not gap else max(2.6 * k, min(gap, 8.0 * k))) * down
    upper, upper_at = _teeth(_UPPER_WIDTHS, _UPPER_HEIGHTS, _UPPER_EDGES, -1, palette, k, blur, flat)
    lower, lower_at = _teeth(_LOWER_WIDTHS, _LOWER_HEIGHTS, _LOWER_EDGES, 1, palette, k, blur, flat)
    tongue, tongue_at = _tongue(palette, k, blur)
    return Interior(
        upper=Sprite(upper, upper_at, incisal.astype(np.float32)),
        lower=Sprite(lower, lower_at, (lip_line - 0.2 * k * down).astype(np.float32)),
        tongue=Sprite(tongue, tongue_at, (lip_line + 3.4 * k * down).astype(np.float32)),
        photo=opening.sprite(source, geometry) if gap else None,
        rest=None,
        colours=np.stack([palette.cavity, palette.lip * (0.70, 1.0, 1.0)]).astype(np.float32),
        relief=0.45 if flat else 0.7,
    )


def _median(ycc: Float, mask: NDArray[np.uint8]) -> Float:
    inside = ycc[mask > 0]
    return np.median(inside, axis=0).astype(np.float32) if len(inside) else ycc.mean(axis=(0, 1))


def _polygon(points: Float) -> NDArray[np.uint8]:
    mask = np.zeros((512, 512), np.uint8)
    cv2.fillPoly(mask, [np.round(points[:, :2]).astype(np.int32)], 1)
    return mask


def _palette(ycc: Float, landmarks: Float, style: Style | None) -> _Palette:
    cheeks = np.zeros((512, 512), np.uint8)
    for x, y in landmarks[list(_CHEEKS), :2]:
        cv2.circle(cheeks, (round(float(x)), round(float(y))), 6, 1, -1)
    skin = _median(ycc, cheeks)
    inner = _polygon(landmarks[[78, 81, 13, 311, 308, 402, 14, 178]])
    opened = np.asarray(cv2.dilate(inner, np.ones((5, 5), np.uint8)), np.uint8)
    lip = _median(ycc, _polygon(landmarks[list(_LIPS)]) & (1 - opened))
    eyes = sum((_polygon(landmarks[list(eye)]) for eye in _EYES), np.zeros((512, 512), np.uint8))
    sclera = float(np.percentile(ycc[eyes > 0, 0], 88)) if eyes.any() else skin[0]
    luma = min(max(0.45 * sclera + 0.55 * 1.13 * skin[0], 1.12 * skin[0]), 225.0)
    teeth = np.array([luma, 0.42 * skin[1], 0.42 * skin[2]], np.float32)
    cavity = np.array([np.clip(0.26 * skin[0], 26, 52), 0.4 * lip[1], min(1.1 * lip[2] + 4, 30.0)], np.float32)
    if style is not None:
        cavity = yuv(np.array([[style.cavity]], np.uint8))[0, 0]
        teeth = np.array([226.0, 0.2 * skin[1], 0.2 * skin[2]], np.float32)
    return _Palette(skin, lip, teeth, cavity)


def _softness(luma: Float, geometry: Geometry) -> float:
    """Blur in pixels that makes the sprites as soft as the picture around the mouth."""
    x, y = np.round(geometry.centre).astype(int)
    reach = int(1.6 * geometry.half_width * geometry.scale)
    part = luma[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
    spread = float(cv2.Laplacian(part, cv2.CV_32F).std())
    return float(np.interp(spread, [3.0, 8.0], [1.0, 0.55]))


def _teeth(
    widths: tuple[float, ...],
    heights: tuple[float, ...],
    edges: tuple[float, ...],
    up: int,
    palette: _Palette,
    k: float,
    blur: float,
    flat: bool,
) -> tuple[Float, Float]:
    """Draw a row of teeth; ``up`` is -1 when they hang from above. Returns pixels (h, w, 4) and the origin (2,)."""
    reach, tall = 36.0, 15.0
    fine = _FINE * k
    width, height = int(2 * reach * fine) // 8 * 8, int((tall + 3) * fine) // 8 * 8
    x = ((np.arange(width) + 0.5) / fine - reach)[None].astype(np.float32)
    # v grows from the biting edge towards the gum.
    v = (((np.arange(height) + 0.5) / fine - (tall if up < 0 else 3.0)) * up)[:, None].astype(np.float32)
    v = v + 0.0022 * x * x * up
    cover = np.zeros((height, width), np.float32)
    light = np.zeros_like(cover)
    neck = np.full((height, width), -99.0, np.float32)
    noise = np.random.default_rng(7).uniform(-0.15, 0.15, (2, len(widths)))
    for side in (-1, 1):
        left = 0.0
        for i, (w, h, edge) in enumerate(zip(widths, heights, edges, strict=True)):
            across = (side * x - left - w / 2) / (w / 2)
            rise = v + up * (edge + (noise[max(side, 0), i] if i else 0.0))
            _tooth(cover, light, neck, across, rise, w, h, flat)
            left += w
    return _finish(cover, light, neck, x, palette, fine, blur, flat, (reach, tall if up < 0 else 3.0))


def _tooth(cover: Float, light: Float, neck: Float, across: Float, rise: Float, w: float, h: float, flat: bool) -> None:
    """Add one tooth: ``across`` -1..1 from side to side, ``rise`` mm from its edge towards the gum."""
    inside = np.abs(across) <= 1.0
    corner = 1.1 if not flat else 0.8
    side = np.maximum(np.abs(across) * w / 2 - (w / 2 - corner), 0)
    bottom = corner - np.sqrt(np.maximum(corner**2 - side**2, 0))
    inked = np.clip((rise - bottom) / 0.25 + 0.5, 0, 1) * inside
    gap = 0.90 if flat else 0.82
    seam = gap + (1 - gap) * (1 - np.exp(-(((1 - np.abs(across)) * w / 2 / 0.42) ** 2)))
    round_ = 1.0 if flat else 1 - 0.07 * across**2
    # The edge of a tooth is thin and lets the dark through; towards the gum it grows duller.
    depth = 1.0 if flat else (0.93 + 0.07 * np.clip(rise / 1.6, 0, 1)) * (1 - 0.10 * np.clip(rise / h - 0.3, 0, 1))
    np.maximum(cover, inked, out=cover)
    np.copyto(light, seam * round_ * depth, where=inside & np.ones_like(inked, bool))
    np.copyto(neck, rise - h * (1 - 0.16 * across**2), where=inside & np.ones_like(inked, bool))


def _finish(
    cover: Float,
    light: Float,
    neck: Float,
    x: Float,
    palette: _Palette,
    fine: float,
    blur: float,
    flat: bool,
    origin: tuple[float, float],
) -> tuple[Float, Float]:
    sides = 1 - (0.2 if flat else 0.42) * np.clip(np.abs(x) / 29, 0, 1.2) ** 1.8
    gum = np.clip(neck / 0.5 + 0.5, 0, 1)[..., None]
    gum_colour = np.array([0.62 * palette.skin[0], 0.8 * palette.lip[1], 0.8 * palette.lip[2]], np.float32)
    colour = palette.teeth * (1 - gum) + gum_colour * gum
    colour[..., 0] = 16 + (colour[..., 0] - 16) * light * sides
    pixels = np.concatenate([colour * cover[..., None], cover[..., None]], axis=2).astype(np.float32)
    return _reduce(pixels, blur), np.array(origin, np.float32) * (fine / _FINE) - 0.5


def _reduce(fine: Float, blur: float) -> Float:
    height, width = fine.shape[:2]
    small = cv2.resize(fine, (width // _FINE, height // _FINE), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(small, (0, 0), blur), np.float32)


def _tongue(palette: _Palette, k: float, blur: float) -> tuple[Float, Float]:
    """An ellipse of 44 x 26 mm, lit in the middle, with a faint groove; the origin is its upper edge's middle."""
    fine = _FINE * k
    width, height = int(50 * fine) // 8 * 8, int(32 * fine) // 8 * 8
    x = ((np.arange(width) + 0.5) / fine - 25.0)[None]
    y = ((np.arange(height) + 0.5) / fine - 3.0)[:, None]
    r = np.sqrt((x / 22) ** 2 + ((y - 13) / 13) ** 2)
    cover = np.clip((1 - r) * 13 / 0.5 + 0.5, 0, 1)
    lit = 0.80 + 0.24 * np.exp(-(((y - 4.5) / 4.5) ** 2) - (x / 13) ** 2)
    lit = lit * (1 - 0.10 * np.exp(-((x / 1.0) ** 2)) * np.clip((y - 2) / 4, 0, 1)) * (1 - 0.3 * r**4)
    luma = 0.45 * palette.skin[0] + 0.40 * palette.lip[0]
    colour = np.stack(np.broadcast_arrays(16 + (luma - 16) * lit, 0.95 * palette.lip[1], 1.05 * palette.lip[2]), axis=2)
    pixels = np.concatenate([colour * cover[..., None], cover[..., None]], axis=2).astype(np.float32)
    return _reduce(pixels, max(blur, 0.8)), np.array([25.0, 3.0], np.float32) * k - 0.5


def save_interior(interior: Interior) -> dict[str, NDArray[np.generic]]:
    """Return the arrays by which `load_interior` restores ``interior``."""
    arrays: dict[str, NDArray[np.generic]] = {
        "colours": interior.colours,
        "relief": np.array([interior.relief], np.float32),
    }
    for name in ("upper", "lower", "tongue", "photo", "rest"):
        sprite: Sprite | None = getattr(interior, name)
        if sprite is not None:
            arrays[f"{name}_pixels"] = sprite.pixels.astype(np.float16)
            arrays[f"{name}_place"] = np.stack([sprite.origin, sprite.anchor])
    return arrays


def load_interior(arrays: Mapping[str, NDArray[np.generic]]) -> Interior:
    """Restore what `save_interior` returned.

    Raises:
        KeyError: If an array is missing.
        ValueError: If one has the wrong shape.
    """

    def sprite(name: str) -> Sprite:
        pixels = np.asarray(arrays[f"{name}_pixels"], np.float32)
        place = np.asarray(arrays[f"{name}_place"], np.float32)
        if pixels.ndim != 3 or pixels.shape[2] != 4 or place.shape != (2, 2):
            raise ValueError(f"sprite {name}: {pixels.shape}, {place.shape}")
        return Sprite(np.ascontiguousarray(pixels), place[0], place[1])

    colours = np.asarray(arrays["colours"], np.float32)
    relief = np.asarray(arrays["relief"], np.float32)
    if colours.shape != (2, 3) or relief.shape != (1,):
        raise ValueError(f"colours {colours.shape}, relief {relief.shape}")
    photo, rest = (sprite(n) if f"{n}_pixels" in arrays else None for n in ("photo", "rest"))
    return Interior(sprite("upper"), sprite("lower"), sprite("tongue"), photo, rest, colours, float(relief[0]))
