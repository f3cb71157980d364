"""Closed lips, and the curves along which the rig cuts them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.drawing.curves import MIDDLE, ellipse, ribbon, tapered
from studio.engines.portrait.drawing.svg import Drawing, mix

COLUMNS = np.array([-1, -0.84, -0.63, -0.41, -0.2, 0, 0.2, 0.41, 0.63, 0.84, 1])
"""Where the eleven landmarks of a lip row lie, -1..1 of the mouth's half width."""
INSET = 1.2
"""Pixels by which the innermost corner lies inside the outermost."""


@dataclass(frozen=True, slots=True)
class Lips:
    """Shape and colours of a closed mouth."""

    y: float
    half_width: float
    upper: float
    """Height at the peaks of the bow, px."""
    lower: float
    lift: float
    """How much higher the corners lie than the middle, px."""
    top: str
    bottom: str
    dark: str
    glow: str
    gloss: float = 0.5

    def line(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return y where the lips meet, at ``t`` -1..1."""
        return np.asarray(self.y - self.lift * np.abs(t) ** 2.6 + _wave(t))

    def above(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the upper lip's height at ``t``: Cupid's bow."""
        a = np.abs(t)
        body = (1 - a**1.45).clip(0) ** 0.92
        return np.asarray(
            self.upper * body * (1.06 - 0.26 * np.exp(-((a / 0.15) ** 2)) - 0.10 * np.exp(-(((a - 0.62) / 0.2) ** 2)))
        )

    def below(self, t: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the lower lip's height at ``t``: its lower edge is round, whatever the line above does."""
        return np.asarray((self.lower - _wave(t)) * (1 - np.abs(t) ** 2.8).clip(0) ** 0.8)

    def rows(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the landmark rows of the upper and the lower lip, (4, 11, 2) px each, outer to inner.

        The innermost rows coincide.
        """
        line = self.line(COLUMNS)
        sides = []
        for height in (-self.above(COLUMNS), self.below(COLUMNS)):
            share = 1 - np.arange(4) / 3
            x = MIDDLE + COLUMNS * (self.half_width - INSET * (1 - share))[:, None]
            y = line + height * share[:, None]
            sides.append(np.stack([x, y], 2))
        return sides[0], sides[1]


def _wave(t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how many px the bow's middle and its sides bend the line."""
    return np.asarray(1.3 * np.exp(-((t / 0.16) ** 2)) - 1.0 * np.exp(-(((np.abs(t) - 0.36) / 0.2) ** 2)))


def draw_lips(art: Drawing, lips: Lips, skin_shade: str, skin_glow: str) -> None:
    """Draw the lips on the face."""
    t = np.linspace(-1, 1, 121)
    x = MIDDLE + t * lips.half_width
    line, top, bottom = (
        np.stack([x, y], 1) for y in (lips.line(t), lips.line(t) - lips.above(t), lips.line(t) + lips.below(t))
    )
    for side in (0, -1):
        x, y = line[side]
        art.fill(ellipse(x + (-1.5 if side == 0 else 1.5), y + 0.5, 5, 4), paint=skin_shade, opacity=0.55, blur=2.4)
    art.fill(ribbon(top[8:-8] + (0, -1.6), 1.8), paint=skin_glow, opacity=0.35, blur=1.0)
    upper, lower = np.concatenate([top, line[::-1]]), np.concatenate([line, bottom[::-1]])
    art.fill(np.concatenate([top, bottom[::-1]]), paint=mix(lips.top, lips.bottom, 0.5), opacity=0.55, blur=0.9)
    y = lips.y
    art.fill(
        upper,
        paint=art.linear(
            (0, y - lips.upper),
            (0, y + 1),
            (0, mix(lips.top, lips.bottom, 0.35)),
            (0.6, lips.top),
            (1, mix(lips.top, lips.dark, 0.45)),
        ),
    )
    art.fill(
        lower,
        paint=art.linear(
            (0, y),
            (0, y + lips.lower),
            (0, mix(lips.bottom, lips.dark, 0.28)),
            (0.3, lips.bottom),
            (0.7, lips.bottom),
            (1, mix(lips.bottom, lips.top, 0.75)),
        ),
    )
    with art.inside(upper, lower):
        _draw_gloss(art, lips)
    width = (0.5 + 1.5 * (1 - np.abs(t) ** 3)) * 1.0
    art.fill(ribbon(line, width + 1.6), paint=lips.dark, opacity=0.35, blur=1.1)
    art.fill(ribbon(line, width), paint=lips.dark, opacity=0.85, blur=0.35)


def _draw_gloss(art: Drawing, lips: Lips) -> None:
    y, w = lips.y, lips.half_width
    for side in (-1, 1):
        art.fill(ellipse(MIDDLE + side * 0.8 * w, y + 1, 0.34 * w, 9), paint=lips.dark, opacity=0.34, blur=3.4)
    art.fill(
        ellipse(MIDDLE - 0.10 * w, y + 0.46 * lips.lower, 0.40 * w, 0.17 * lips.lower),
        paint=lips.glow,
        opacity=lips.gloss,
        blur=1.7,
    )
    art.fill(
        ellipse(MIDDLE - 0.16 * w, y + 0.40 * lips.lower, 0.17 * w, 0.09 * lips.lower),
        paint="#ffffff",
        opacity=lips.gloss * 0.75,
        blur=0.8,
    )
    at = np.linspace(-0.34, 0.30, 30)
    bow = np.stack([MIDDLE + at * w, lips.line(at) - 0.66 * lips.above(at)], 1)
    art.fill(tapered(bow, 1.9), paint=lips.glow, opacity=lips.gloss * 0.65, blur=0.8)
    rng = np.random.default_rng(3)
    for place in np.linspace(-0.7, 0.7, 19):
        start = np.array([MIDDLE + place * w, lips.line(np.array(place)) + 1.5])
        end = start + (place * 3.5, lips.below(np.array(place)) * rng.uniform(0.45, 0.75))
        art.fill(tapered(np.linspace(start, end, 6), 0.8), paint=lips.dark, opacity=0.14)
