"""Drawings become pixels: rendered large, area-filtered, laid over a smooth background, dithered.

The background is computed in floating point and everything gets half a level of high-frequency noise before it is
rounded, so that gradients show no bands. The noise is a fixed pattern: the same place always gets the same noise.
"""

from __future__ import annotations

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
    decoded = cv2.imdecode(np.frombuffer(bytes(png), np.uint8), cv2.IMREAD_UNCHANGED)
    assert decoded is not None, "resvg writes PNG"
    bgra = decoded.astype(np.float32)
    alpha = bgra[..., 3:] / 255
    rgba = np.concatenate([bgra[..., 2::-1] * alpha, bgra[..., 3:]], 2)
    return np.asarray(cv2.resize(rgba, size, interpolation=cv2.INTER_AREA), np.float32)


def quantise(levels: Float, noise: Float) -> Byte:
    """Return ``levels`` with ``noise`` as bytes."""
    return np.asarray(np.clip(np.rint(levels + noise), 0, 255), np.uint8)


def feather(height: int, width: int, margin: int) -> Float:
    """Return (h, w, 1) weights: 0 on the border, 1 from ``margin`` px on."""
    y, x = (np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32) for n in (height, width))
    edge = np.clip(np.minimum(y[:, None], x[None, :]) / margin, 0, 1)
    return np.asarray(edge * edge * (3 - 2 * edge), np.float32)[..., None]


def laid(below: Float, layer: Float) -> Float:
    """Return levels (h, w, 3) with a premultiplied layer (h, w, 4) on top."""
    return np.asarray(layer[..., :3] + below * (1 - layer[..., 3:] / 255), np.float32)


def cut(picture: Float, box: Box) -> Float:
    """Return a view of ``picture`` inside ``box``."""
    return picture[box[1] : box[3], box[0] : box[2]]
