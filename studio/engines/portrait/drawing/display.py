"""A robot's face: lights behind dark glass, for any blink and mouth.

A light is its shape, blurred copies of it (the glow in the glass) and a core that is nearly white.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.engines.portrait.drawing.curves import MIDDLE, Line, ellipse, resample, smooth, tapered
from studio.engines.portrait.drawing.svg import Drawing, mix

GLASS, GLASS_DARK = "#1c2547", "#070a19"
LIGHT, CORE, GLOW = "#3fe0ff", "#e9fdff", "#18a8ff"
TONGUE, BLUSH = "#ff7f7a", "#ff6f9c"

EYE_X, EYE_Y = 50.0, 222.0
"""Of the right eye: from the middle, and down; px."""
EYE_HALF = (18.5, 25.0)
SHUT_HALF = (20.0, 2.7)
MOUTH = (MIDDLE, 283.0)
STROKE = 5.6
"""Width of the mouth's line."""
HIGHEST = 17.0
"""How far above its middle a mouth opens at most: its box ends there, below the eyes."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the display shows."""

    blink: float = 0.0
    """0 open .. 1 shut."""
    opening: float = 0.0
    """0 shut .. 1."""
    rounding: float = 0.0
    """-1 wide .. 1 round."""


def moved(line: Line, x: float, y: float) -> Line:
    """Return ``line`` shifted by ``x`` and ``y`` px."""
    shifted: Line = line + np.array([x, y])
    return shifted


def draw_cheeks(art: Drawing) -> None:
    """Draw what never changes."""
    for side in (-1, 1):
        art.fill(ellipse(MIDDLE + side * 76, 266, 13, 7.5), paint=BLUSH, opacity=0.55, blur=5)


def _glow(art: Drawing, *lines: Line) -> None:
    art.fill(*lines, paint=GLOW, opacity=0.55, blur=9)
    art.fill(*lines, paint=LIGHT, opacity=0.55, blur=3.2)


def _bent(line: Line, middle: float, half: float, bend: float) -> Line:
    """Return ``line`` with its ends lifted by ``bend`` px."""
    t = (line[:, 0] - middle) / half
    return np.stack([line[:, 0], line[:, 1] - bend * (t * t - 0.35)], 1)


def draw_eye(art: Drawing, side: int, look: Look) -> None:
    """Draw the image's left (-1) or right (1) eye."""
    shut = look.blink**0.9
    rx, ry = (a + (b - a) * shut for a, b in zip(EYE_HALF, SHUT_HALF, strict=True))
    x, y = MIDDLE + side * EYE_X, EYE_Y + 5 * shut
    shape = _bent(moved(_pill(rx, ry, ry, 0.08), x, y), x, rx, -4.5 * shut**3)
    _glow(art, shape)
    top, bottom = y - ry, y + ry
    art.fill(shape, paint=art.linear((x, top), (x, bottom), (0, CORE), (0.38, mix(CORE, LIGHT, 0.55)), (1, LIGHT)))
    with art.inside(shape):
        art.fill(ellipse(x, y + 0.95 * ry, 0.95 * rx, 0.5 * ry), paint=GLOW, opacity=0.55 * (1 - shut), blur=4)
        spark = (1 - shut) ** 0.5
        at = x - 0.32 * rx, y - 0.42 * ry
        art.fill(ellipse(*at, 5.2, 6.4 * spark + 0.1, 18), paint="#ffffff", opacity=0.95 * spark, blur=0.5)


def draw_mouth(art: Drawing, look: Look) -> None:
    """Draw the mouth."""
    outer, inner = lips(look.opening, look.rounding)
    ring = [outer] if inner is None else [outer, inner]
    if inner is not None:
        art.fill(outer, paint="#06121f", opacity=0.9)
        with art.inside(inner):
            low, half = float(inner[:, 1].max()), float(np.ptp(inner[:, 0])) / 2
            depth = min(1.0, float(np.ptp(inner[:, 1])) / 26)
            tongue = ellipse(MOUTH[0], low + 3, 0.66 * half, 15 * depth)
            art.fill(tongue, paint=TONGUE, opacity=0.9 * depth, blur=0.6)
            art.fill(moved(tongue, 0, -4 * depth), paint="#ffc0b4", opacity=0.35 * depth, blur=2.5)
    _glow(art, *ring)
    top, bottom = float(outer[:, 1].min()), float(outer[:, 1].max())
    paint = art.linear((MOUTH[0], top), (MOUTH[0], bottom), (0, CORE), (0.55, mix(CORE, LIGHT, 0.6)), (1, LIGHT))
    art.fill(*ring, paint=paint)


def lips(opening: float, rounding: float) -> tuple[Line, Line | None]:
    """Return outer and inner edge of the mouth's line; the inner is None while it is shut (specification section 8)."""
    wide, tight = max(-rounding, 0.0), max(rounding, 0.0)
    width = 58 * (1 + 0.28 * wide - 0.48 * tight)
    height = 6 + 44 * opening * (1 - 0.25 * tight) + 8 * tight
    smile = 7.5 * (1 - opening) ** 1.6 * (1 - 0.8 * tight) * (1 + 0.2 * wide)
    # an open mouth drops its lower edge farther than it lifts the upper one
    above = min(height * (0.5 - 0.15 * (1 - tight) * min(1.0, 3 * opening)), HIGHEST)
    pills = (_pill(width / 2 - d, above - d, height - above - d, tight) for d in (0.0, STROKE))
    edges = [_bent(moved(pill, *MOUTH), MOUTH[0], width / 2, smile) for pill in pills]
    hollow = height - 2 * STROKE > 1.2
    return edges[0], edges[1] if hollow else None


def _pill(half: float, above: float, below: float, oval: float) -> Line:
    """Return a closed curve round 0, 0: ``oval`` 0 a box with round ends, 1 an ellipse."""
    half, above, below = max(half, 0.1), max(above, 0.05), max(below, 0.05)
    at = np.linspace(0, 2 * np.pi, 240)
    cos, sin = np.cos(at), np.sin(at)
    high = (above + below) / 2
    radius = min(half, high) + oval * (np.array([half, high]) - min(half, high))
    x = radius[0] * cos + (half - radius[0]) * np.sign(cos)
    y = radius[1] * sin + (high - radius[1]) * np.sign(sin)
    y *= np.where(y < 0, above, below) / high
    return resample(np.stack([x, y], 1), 241)[:-1]


def draw_reflections(art: Drawing, glass: Line) -> None:
    """Draw a window's light on the glass."""
    with art.inside(glass):
        pane = smooth([(150, 262), (146, 200), (158, 168), (190, 154), (232, 150)])
        back = smooth([(232, 150), (196, 178), (170, 214), (150, 262)])
        art.fill(
            np.concatenate([pane, back]),
            paint=art.linear((140, 150), (220, 240), (0, "#dbe4ff", 0.34), (1, "#dbe4ff", 0.03)),
            blur=1.2,
        )
        art.fill(
            tapered(smooth([(300, 325), (344, 314), (362, 286), (365, 246)]), 3.2),
            paint="#b7a8ff",
            opacity=0.5,
            blur=1.3,
        )
        crown = smooth([(166, 160), (206, 151.5), (256, 149.5), (306, 151.5), (346, 160)])
        art.fill(tapered(crown, 2.2), paint="#ffffff", opacity=0.38, blur=0.8)
