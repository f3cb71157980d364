"""Skin: face, nose, ears and neck, lit from the upper left. Knows nothing of eyes, lips and hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from studio.engines.portrait.drawing.curves import (
    MIDDLE,
    Knots,
    Line,
    ellipse,
    mirrored,
    ribbon,
    smooth,
    symmetric,
    tapered,
)
from studio.engines.portrait.drawing.svg import Drawing, mix


@dataclass(frozen=True, slots=True)
class Skin:
    """Colours of one skin, #rrggbb."""

    light: str
    base: str
    shade: str
    deep: str
    """Creases and nostrils."""
    blush: str
    glow: str
    """Highlights."""
    rim: str
    """Light of the background on the far edge."""


@dataclass(frozen=True, slots=True)
class Build:
    """Shape of one head."""

    face: Knots
    """Right half of the outline from the top down: offsets from the middle, y."""
    nose_base: float
    nose_width: float
    """Half, at the wings."""
    eye_line: float
    mouth: float
    chin: float
    strength: float = 1.0
    """How strongly the face is modelled."""

    @property
    def outline(self) -> Line:
        """The closed outline of the face."""
        return symmetric(self.face)


def draw_face(art: Drawing, skin: Skin, build: Build, hair_shadow: Line | None) -> None:
    """Draw the face without its features."""
    outline = build.outline
    paint = art.radial(
        (MIDDLE - 20, build.eye_line + 4),
        165,
        (0, skin.light),
        (0.42, mix(skin.light, skin.base, 0.6)),
        (0.75, skin.base),
        (1, mix(skin.base, skin.shade, 0.5)),
        squash=1.15,
    )
    art.fill(outline, paint=paint)
    with art.inside(outline):
        _model(art, skin, build)
        if hair_shadow is not None:
            art.fill(hair_shadow + (3, 9), paint=skin.shade, opacity=0.55, blur=8)
            art.fill(hair_shadow + (1, 3), paint=skin.deep, opacity=0.40, blur=3)


def _model(art: Drawing, skin: Skin, build: Build) -> None:
    eye, chin, k = build.eye_line, build.chin, build.strength
    right = smooth(
        [(366, 120), (366, chin), (300, chin + 6), (318, chin - 38), (336, eye + 62), (342, eye), (334, 150)]
    )
    art.fill(right, paint=skin.shade, opacity=0.62 * k, blur=13)
    left = smooth(
        [(146, 130), (146, chin - 30), (206, chin + 6), (190, chin - 34), (172, eye + 58), (166, eye), (172, 150)]
    )
    art.fill(left, paint=skin.shade, opacity=0.34 * k, blur=10)
    jaw = smooth(
        [
            (178, chin - 26),
            (220, chin - 4),
            (256, chin + 2),
            (296, chin - 6),
            (338, chin - 34),
            (330, chin + 30),
            (180, chin + 30),
        ]
    )
    art.fill(jaw, paint=skin.shade, opacity=0.55 * k, blur=8)
    for side in (-1, 1):
        _model_side(art, skin, build, side)
    art.fill(ellipse(MIDDLE - 12, 172, 46, 24), paint=skin.glow, opacity=0.34, blur=14)
    art.fill(ellipse(MIDDLE - 3, chin - 22, 17, 9), paint=skin.glow, opacity=0.34, blur=6)
    under = ellipse(MIDDLE + 1, build.mouth + 19, 21, 4.5)
    art.fill(under, paint=skin.shade, opacity=0.8 * k, blur=4)


def _model_side(art: Drawing, skin: Skin, build: Build, side: int) -> None:
    eye, k = build.eye_line, build.strength
    # hollow of the cheek, blush on its apple, light on the bone
    hollow = tapered(
        smooth([(MIDDLE + side * 92, eye + 48), (MIDDLE + side * 70, eye + 72), (MIDDLE + side * 50, eye + 92)]), 26
    )
    art.fill(hollow, paint=skin.shade, opacity=(0.30 if side > 0 else 0.22) * k, blur=9)
    cheek = ellipse(MIDDLE + side * 58, eye + 45, 32, 20, side * -14)
    art.fill(cheek, paint=skin.blush, opacity=0.36, blur=11)
    bone = ellipse(MIDDLE + side * 62 - 3, eye + 29, 19, 7, side * -16)
    art.fill(bone, paint=skin.glow, opacity=0.42 if side < 0 else 0.26, blur=6)
    temple = ellipse(MIDDLE + side * 92, eye - 22, 14, 40, side * -4)
    art.fill(temple, paint=skin.shade, opacity=0.34 * k, blur=9)
    socket = ellipse(MIDDLE + side * 42, eye - 8, 31, 15, side * 6)
    art.fill(socket, paint=skin.shade, opacity=0.36 * k, blur=6)
    corner = ellipse(MIDDLE + side * 21, eye - 4, 7, 13, side * 12)
    art.fill(corner, paint=skin.deep, opacity=0.24 * k, blur=5)


def draw_nose(art: Drawing, skin: Skin, build: Build) -> None:
    """Draw the nose by its planes: no outline."""
    base, wide, eye, k, m = build.nose_base, build.nose_width, build.eye_line, build.strength, MIDDLE
    side = smooth([
        (m + 13, eye - 20), (m + 8, eye), (m + 9, base - 28), (m + wide - 4, base - 13), (m + wide + 1, base - 5),
        (m + 9, base - 4), (m + 6, base - 24), (m + 5, eye + 4),
    ])  # fmt: skip
    art.fill(side, paint=skin.shade, opacity=0.75 * k, blur=3.6)
    art.fill(mirrored(side), paint=skin.shade, opacity=0.24 * k, blur=4)
    bridge = tapered(smooth([(m - 2, eye - 14), (m - 2, base - 40), (m - 2, base - 12)]), 11)
    art.fill(bridge, paint=skin.glow, opacity=0.62, blur=3.4)
    ball = ellipse(m, base - 8, 13, 9)
    art.fill(ball, paint=skin.blush, opacity=0.30, blur=5)
    art.fill(ellipse(m - 2.5, base - 12, 5.5, 4.2, -20), paint=skin.glow, opacity=0.85, blur=2.4)
    bottom = smooth([
        (m - wide + 3, base - 3), (m - 7, base - 2.5), (m, base - 1), (m + 7, base - 2.5), (m + wide - 3, base - 3),
        (m + 9, base + 3.5), (m, base + 5.5), (m - 9, base + 3.5),
    ], closed=True)  # fmt: skip
    art.fill(bottom, paint=skin.deep, opacity=0.50 * k, blur=1.8)
    for s in (-1, 1):
        _draw_wing(art, skin, build, s)
    _draw_below_nose(art, skin, build)


def _draw_wing(art: Drawing, skin: Skin, build: Build, s: int) -> None:
    """Draw one nostril and the wing around it."""
    base, wide, m = build.nose_base, build.nose_width, MIDDLE
    hole = [(m + s * 4.0, base + 0.8), (m + s * 7.5, base - 2.2), (m + s * 11.5, base - 0.8), (m + s * 8, base + 1.6)]
    art.fill(smooth(hole, closed=True), paint=mix(skin.deep, "#2a0c0c", 0.45), opacity=0.85, blur=0.7)
    rim = [(m + s * (wide - 3.5), base - 14), (m + s * (wide + 0.5), base - 7), (m + s * (wide - 2.5), base - 0.5)]
    art.fill(tapered(smooth(rim), 2.4), paint=skin.deep, opacity=0.55 if s > 0 else 0.40, blur=1.0)
    light = ellipse(m + s * (wide - 5), base - 7.5, 3.4, 4)
    art.fill(light, paint=skin.glow, opacity=0.30 if s < 0 else 0.14, blur=1.8)


def _draw_below_nose(art: Drawing, skin: Skin, build: Build) -> None:
    """Draw the nose's shadow, the folds beside it and the groove above the lip."""
    base, wide, k, m = build.nose_base, build.nose_width, build.strength, MIDDLE
    cast = [(m - wide + 4, base + 2), (m, base + 4), (m + wide, base + 2), (m + 9, base + 13), (m - 2, base + 12)]
    art.fill(smooth(cast, closed=True), paint=skin.shade, opacity=0.42 * k, blur=4)
    for s in (-1, 1):
        way = [(m + s * (wide + 3), base - 6), (m + s * (wide + 13), base + 8), (m + s * (wide + 19), base + 22)]
        art.fill(tapered(smooth(way), 5), paint=skin.shade, opacity=0.26 * k if s > 0 else 0.18 * k, blur=3)
    groove = ribbon(smooth([(m, base + 6), (m, build.mouth - 11)]), 5.5)
    art.fill(groove, paint=skin.shade, opacity=0.42 * k, blur=1.8)
    art.fill(groove + (-4.5, 0), paint=skin.glow, opacity=0.25, blur=1.6)


def draw_neck(art: Drawing, skin: Skin, build: Build, half: float, shoulder: float) -> None:
    """Draw neck and the skin of the shoulders.

    Args:
        art: Drawn on.
        skin: Its colours.
        build: The head above, whose shadow falls on it.
        half: Half the neck's width, px.
        shoulder: y at which the neck meets the shoulders.
    """
    edge = smooth([
        (MIDDLE + half - 1, 300), (MIDDLE + half - 2, shoulder - 50), (MIDDLE + half + 2, shoulder - 22),
        (MIDDLE + half + 22, shoulder), (MIDDLE + half + 90, shoulder + 24), (MIDDLE + half + 150, 540),
    ])  # fmt: skip
    outline = np.concatenate([mirrored(edge)[::-1], edge])
    left, right = mix(skin.base, skin.shade, 0.25), mix(skin.base, skin.shade, 0.85)
    across = (MIDDLE - half, 0.0), (MIDDLE + half + 10, 0.0)
    art.fill(outline, paint=art.linear(*across, (0, left), (0.35, skin.base), (1, right)))
    with art.inside(outline):
        art.fill(build.outline + (5, 24), paint=skin.shade, opacity=0.75, blur=9)
        art.fill(build.outline + (3, 10), paint=skin.deep, opacity=0.55, blur=6)
        for s in (-1, 1):
            _draw_tendon(art, skin, half, shoulder, s)
        art.fill(ellipse(MIDDLE, shoulder + 19, 9, 9), paint=skin.shade, opacity=0.55, blur=5)
        art.fill(ribbon(edge, 16), paint=skin.shade, opacity=0.5, blur=5)


def _draw_tendon(art: Drawing, skin: Skin, half: float, shoulder: float, s: int) -> None:
    """Draw one tendon of the neck and the collar bone below it."""
    m = MIDDLE
    down = [(m + s * (half - 4), shoulder - 66), (m + s * 28, shoulder - 22), (m + s * 10, shoulder + 20)]
    tendon = tapered(smooth(down), 11)
    art.fill(tendon + (4, 0), paint=skin.shade, opacity=0.34, blur=4)
    art.fill(tendon + (-3, 0), paint=skin.glow, opacity=0.22, blur=4)
    outwards = [(m + s * 12, shoulder + 22), (m + s * 50, shoulder + 16), (m + s * 96, shoulder + 12)]
    bone = tapered(smooth(outwards), 7)
    art.fill(bone + (0, 4), paint=skin.shade, opacity=0.42, blur=3.4)
    art.fill(bone + (0, -3), paint=skin.glow, opacity=0.30, blur=3)


def draw_ear(art: Drawing, skin: Skin, side: int, x: float, y: float) -> None:
    """Draw an ear whose root is at ``x``, ``y`` (its middle height); ``side`` -1 left, 1 right."""

    def place(points: Knots) -> Line:
        return np.asarray(np.asarray(points) * (side, 1) + (x, y))

    shell = smooth(
        place([(-6, -27), (3, -34), (13, -30), (17, -17), (14, 0), (10, 14), (5, 27), (-3, 29), (-8, 18)]), closed=True
    )
    tone = mix(skin.base, skin.shade, 0.55 if side > 0 else 0.25)
    art.fill(shell, paint=art.linear((x, y - 34), (x, y + 29), (0, tone), (1, mix(tone, skin.blush, 0.5))))
    with art.inside(shell):
        bowl = smooth(place([(2, -18), (9, -16), (8, 0), (2, 12), (-4, 4)]), closed=True)
        art.fill(bowl, paint=skin.deep, opacity=0.55, blur=3)
        helix = tapered(smooth(place([(0, -28), (9, -27), (13, -16), (10, 0)])), 3.4)
        art.fill(helix, paint=skin.glow, opacity=0.45 if side < 0 else 0.25, blur=1.2)
        inner = tapered(smooth(place([(0, -22), (8, -21), (9, -10), (6, 4)])), 3.2)
        art.fill(inner, paint=skin.deep, opacity=0.5, blur=1.3)
        art.fill(ellipse(x + side, y + 22, 5, 5), paint=skin.glow, opacity=0.22, blur=2)
        root = ribbon(smooth(place([(-7, -30), (-6, 0), (-5, 30)])), 9)
        art.fill(root, paint=skin.deep, opacity=0.45, blur=3)
