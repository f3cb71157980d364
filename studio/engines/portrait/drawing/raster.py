"""Drawings become pixels: rendered large, area-filtered, laid over a smooth background, dithered.

The background is computed in floating point and everything gets half a level of high-frequency noise before it is
rounded, so that gradients show no bands. The noise is a fixed pattern: the same place always gets the same noise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import resvg_py
from numpy.typing import NDArray

from studio.engines.portrait.drawing.svg import Drawing

SIZE = 512
Float = NDArray[np.float32]
Byte = NDArray[np.uint8]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 px, end exclusive."""


@dataclass(frozen=True, slots=True)
class Backdrop:
    """A plain wall with light on it."""

    light: str
    dark: str
    glow: tuple[float, float]
    """Where the light is, px."""

    def paint(self) -> Float:
        """Return (512, 512, 3) levels, 0..255, not rounded."""
        y, x = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
        away = np.hypot(x - self.glow[0], (y - self.glow[1]) * 0.92) / 430
        share = np.clip(away, 0, 1.25)[..., None]
        share = share * share * (3 - 2 * share) * (share < 1) + (share >= 1) * 1.0
        light, dark = (_levels(colour) for colour in (self.light, self.dark))
        return np.asarray(light + (dark - light) * share, np.float32)


def _levels(colour: str) -> Float:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], np.float32)


def grain(seed: int) -> Float:
    """Return (512, 512, 3) noise of high frequencies, about +-0.6 levels."""
    noise = np.random.default_rng(seed).uniform(-1, 1, (SIZE, SIZE, 3)).astype(np.float32)
    return np.asarray(0.6 * (noise - cv2.GaussianBlur(noise, (0, 0), 1.0)), np.float32)


def render(art: Drawing, box: Box, zoom: int) -> Float:
    """Return the drawing inside ``box`` as premultiplied RGBA (h, w, 4), 0..255, rendered ``zoom`` times larger."""
    x0, y0, x1, y1 = box
    size = (x1 - x0, y1 - y0)
    png = resvg_py.svg_to_bytes(
        svg_string=art.text((x0, y0, *size)), width=size[0] * zoom, height=size[1] * zoom, skip_system_fonts=True
    )
    bgra = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED).astype(np.float32)
    alpha = bgra[..., 3:] / 255
    rgba = np.concatenate([bgra[..., 2::-1] * alpha, bgra[..., 3:]], 2)
    return np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.float32)


def quantise(levels: Float, noise: Float) -> Byte:
    """Return ``levels`` with ``noise`` as bytes."""
    return np.clip(np.rint(levels + noise), 0, 255).astype(np.uint8)


def feather(height: int, width: int, margin: int) -> Float:
    """Return (h, w, 1) weights: 0 on the border, 1 from ``margin`` px on."""
    y, x = (np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32) for n in (height, width))
    edge = np.clip(np.minimum(y[:, None], x[None, :]) / margin, 0, 1)
    return np.asarray(edge * edge * (3 - 2 * edge), np.float32)[..., None]


class Canvas:
    """One character's pixels.

    Args:
        draw: Returns the drawing; its arguments are the tile's (row, column), None for the whole picture.
        backdrop: Behind it.
        zoom: Supersampling.
        seed: Of the grain.
    """

    def __init__(self, backdrop: Backdrop, seed: int, zoom: int) -> None:
        self._backdrop = backdrop.paint()
        self._noise = grain(seed)
        self._zoom = zoom
        self._levels = np.zeros((SIZE, SIZE, 3), np.float32)
        self.mask = np.zeros((SIZE, SIZE), np.uint8)

    def draw(self, art: Drawing) -> None:
        """Render the whole picture."""
        rgba = render(art, (0, 0, SIZE, SIZE), self._zoom)
        alpha = rgba[..., 3:] / 255
        self._levels = rgba[..., :3] + self._backdrop * (1 - alpha)
        self.mask = np.clip(np.rint(rgba[..., 3]), 0, 255).astype(np.uint8)

    def tile(self, art: Drawing, box: Box, margin: int) -> Float:
        """Return ``box`` of another drawing grown into this picture over ``margin`` px at its border, levels."""
        x0, y0, x1, y1 = box
        rgba = render(art, box, self._zoom)
        behind = self._backdrop[y0:y1, x0:x1]
        new = rgba[..., :3] + behind * (1 - rgba[..., 3:] / 255)
        share = feather(y1 - y0, x1 - x0, margin)
        return np.asarray(self._levels[y0:y1, x0:x1] * (1 - share) + new * share, np.float32)

    def replace(self, box: Box, levels: Float) -> None:
        """Put a tile into the picture."""
        x0, y0, x1, y1 = box
        self._levels[y0:y1, x0:x1] = levels

    def bytes(self) -> Byte:
        """Return the picture (512, 512, 3)."""
        return quantise(self._levels, self._noise)

    def tile_bytes(self, box: Box, levels: Float) -> Byte:
        """Return a tile with the grain of its place."""
        x0, y0, x1, y1 = box
        return quantise(levels, self._noise[y0:y1, x0:x1])


Sheet = Callable[[int, int], Drawing]
"""Returns the drawing of an atlas tile at (row, column)."""


def atlas(canvas: Canvas, sheet: Sheet, box: Box, rows: int, columns: int, neutral: int, margin: int = 4) -> Byte:
    """Return an atlas (rows * h, columns * w, 3) whose tile (0, ``neutral``) is what the picture shows in ``box``.

    Puts that tile into the picture, so render atlases before taking the picture's bytes.
    """
    tiles = [[canvas.tile(sheet(row, column), box, margin) for column in range(columns)] for row in range(rows)]
    canvas.replace(box, tiles[0][neutral])
    return np.concatenate([np.concatenate([canvas.tile_bytes(box, tile) for tile in line], 1) for line in tiles])
