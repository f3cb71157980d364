"""Eyes and brows, for any lid position and gaze."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from studio.engines.portrait.drawing.curves import (
    MIDDLE,
    Knots,
    Line,
    ellipse,
    mirrored,
    pointed,
    resample,
    ribbon,
    smooth,
    tapered,
)
from studio.engines.portrait.drawing.skin import Skin
from studio.engines.portrait.drawing.svg import Drawing, mix

POINTS = 61
"""Points of a lid's curve, from the inner corner to the outer one."""


@dataclass(frozen=True, slots=True)
class Iris:
    """Colours and sizes of an iris."""

    rim: str
    body: str
    glow: str
    """Lower part, where light collects."""
    radius: float
    pupil: float


@dataclass(frozen=True, slots=True)
class Eye:
    """One eye; ``side`` -1 is the image's left."""

    side: int
    x: float
    """Offset of the centre from the picture's middle, positive."""
    y: float
    upper: Knots
    """Offsets from the centre, x outwards, from the inner corner to the outer."""
    lower: Knots
    iris: Iris
    lash: str
    lash_width: float
    lash_length: float
    """0: no separate lashes."""
    liner: float = 1.0
    """Opacity of the lash line."""
    blink: float = 0.0
    gaze: float = 0.0
    """Offset of the iris in px, to the image's right."""

    @property
    def centre(self) -> tuple[float, float]:
        """Centre in px of the picture."""
        return MIDDLE + self.side * self.x, self.y

    @property
    def iris_centre(self) -> tuple[float, float]:
        """Centre of the iris in px of the picture."""
        return self.centre[0] + self.gaze - 0.6 * self.side, self.y - 1.2

    def place(self, points: Knots) -> Line:
        """Return offsets (x outwards) in px of the picture."""
        return np.asarray(np.asarray(points, np.float64) * (self.side, 1) + self.centre)

    def lids(self) -> tuple[Line, Line]:
        """Return the rims of the open upper and lower lid, (61, 2) each, inner corner to outer."""
        return tuple(resample(smooth(self.place(rim)), POINTS) for rim in (self.upper, self.lower))  # type: ignore[return-value]

    def rims(self) -> tuple[Line, Line]:
        """Return both rims at the present ``blink``."""
        upper, lower = self.lids()
        closing = lower + (0.0, -1.6)
        closing[[0, -1]] = lower[[0, -1]]
        lift = np.sin(np.linspace(0, np.pi, POINTS))[:, None] * (0.0, -1.6)
        return upper + (lower + lift - upper) * self.blink, lower + lift * self.blink


def draw_eye(art: Drawing, skin: Skin, eye: Eye) -> None:
    """Draw the eye over the bare skin."""
    upper, lower = eye.rims()
    opening = np.concatenate([upper, lower[::-1]])
    _shade_lid(art, skin, eye, upper)
    if eye.blink < 0.99:
        _draw_ball(art, skin, eye, opening, upper, lower)
    _draw_rims(art, skin, eye, upper, lower)


def _shade_lid(art: Drawing, skin: Skin, eye: Eye, upper: Line) -> None:
    open_upper, _ = eye.lids()
    rise = np.sin(np.linspace(0.12, np.pi - 0.06, POINTS))[:, None] ** 0.7
    crease = open_upper + rise * (0.0, -6.6) + (0.0, 0.8 * eye.blink)
    lid = np.concatenate([crease, upper[::-1]])
    tint = mix(skin.shade, skin.blush, 0.35)
    art.fill(lid, paint=tint, opacity=0.34 - 0.14 * eye.blink, blur=1.6)
    middle = (0.45 * crease + 0.55 * upper)[6:-8]
    art.fill(tapered(middle, 4.2 + 6 * eye.blink), paint=skin.glow, opacity=0.30 + 0.16 * eye.blink, blur=2.0)
    art.fill(tapered(crease[3:-1], 2.3), paint=skin.deep, opacity=0.78 - 0.52 * eye.blink, blur=0.75)
    art.fill(tapered(crease[3:-1] + (0, -2.4), 5), paint=skin.shade, opacity=0.38, blur=2.2)


def _draw_ball(art: Drawing, skin: Skin, eye: Eye, opening: Line, upper: Line, lower: Line) -> None:
    x, y = eye.centre
    white = art.radial((x - 2, y + 1), 26, (0, "#fdfbf9"), (0.55, "#f3edea"), (1, mix("#d9c6c4", skin.shade, 0.25)))
    art.fill(opening, paint=white)
    with art.inside(opening):
        art.fill(
            ellipse(x - 21.5 * eye.side, y + 4.6, 4.6, 3.4),
            paint=mix("#e59a92", skin.blush, 0.4),
            opacity=0.9,
            blur=1.1,
        )
        _draw_iris(art, eye)
        # the lid's shadow on the ball, and the wet edge of the lower lid
        art.fill(ribbon(upper + (0, 1.6), 7.5), paint="#3a2230", opacity=0.40, blur=2.2)
        art.fill(ribbon(lower + (0, 0.4), 2.6), paint=mix("#f2b5a6", skin.blush, 0.45), opacity=0.75, blur=0.5)
        _draw_catchlights(art, eye)


def _draw_iris(art: Drawing, eye: Eye) -> None:
    x, y = eye.iris_centre
    iris, r = eye.iris, eye.iris.radius
    art.fill(ellipse(x, y, r + 0.6, r + 0.6), paint=iris.rim, opacity=0.45, blur=0.8)
    paint = art.radial(
        (x, y + 1.2),
        r,
        (0, iris.glow),
        (0.45, mix(iris.glow, iris.body, 0.55)),
        (0.80, iris.body),
        (0.93, mix(iris.body, iris.rim, 0.75)),
        (1, iris.rim),
    )
    disc = ellipse(x, y, r, r)
    art.fill(disc, paint=paint)
    with art.inside(disc):
        rng = np.random.default_rng(11)
        for angle in np.linspace(0, 2 * np.pi, 44, endpoint=False) + rng.uniform(-0.05, 0.05, 44):
            way = np.array([np.cos(angle), np.sin(angle)])
            reach = rng.uniform(0.66, 0.92) * r
            fibre = np.linspace((x, y) + way * iris.pupil * 0.8, (x, y) + way * reach, 6)
            bright = mix(iris.glow, "#ffffff", 0.25) if np.sin(angle) > -0.1 else iris.rim
            art.fill(tapered(fibre, 0.75), paint=bright, opacity=float(rng.uniform(0.15, 0.5)))
        art.fill(
            ellipse(x, y + 0.62 * r, 0.62 * r, 0.34 * r), paint=mix(iris.glow, "#ffffff", 0.35), opacity=0.42, blur=1.6
        )
        art.fill(ellipse(x, y - 0.85 * r, 1.1 * r, 0.7 * r), paint=iris.rim, opacity=0.55, blur=2)
    art.fill(ellipse(x, y, iris.pupil, iris.pupil), paint="#140c10", opacity=0.96, blur=0.35)


def _draw_catchlights(art: Drawing, eye: Eye) -> None:
    x, y = eye.iris_centre
    r = eye.iris.radius
    art.fill(ellipse(x - 0.36 * r, y - 0.36 * r, 0.27 * r, 0.31 * r, 20), paint="#ffffff", opacity=0.97, blur=0.25)
    art.fill(ellipse(x + 0.40 * r, y + 0.40 * r, 0.13 * r, 0.13 * r), paint="#ffffff", opacity=0.65, blur=0.35)


def _draw_rims(art: Drawing, skin: Skin, eye: Eye, upper: Line, lower: Line) -> None:
    at = np.linspace(0, 1, POINTS)
    art.fill(
        ribbon(lower + (0, 0.5), 1.3 * np.sin(np.pi * at**1.3).clip(0) ** 0.7 + 0.25),
        paint=mix(skin.deep, eye.lash, 0.45),
        opacity=0.62,
        blur=0.4,
    )
    art.fill(tapered((lower + (0, 5.5))[6:-6], 4), paint=skin.shade, opacity=0.34, blur=2.2)
    art.fill(tapered((lower + (0, 2.6))[8:-8], 2.4), paint=skin.glow, opacity=0.30, blur=1.2)
    # the lash line grows towards the outer corner and ends in a small wing beyond it
    wing = upper[-1] + np.array([[eye.side * 2.2, -1.4], [eye.side * 4.2, -3.2]]) * (1 - 0.6 * eye.blink) * min(
        1.0, eye.lash_length / 4
    )
    line = resample(np.concatenate([upper, wing]), POINTS + 8)
    along = np.linspace(0, 1, len(line))
    thick = eye.lash_width * (0.22 + 0.78 * np.sin(np.pi * np.minimum(along, 0.985) ** 1.45).clip(0) ** 0.75)
    art.fill(ribbon(line + (0, -0.25 * eye.lash_width), thick), paint=eye.lash, opacity=eye.liner, blur=0.25)
    if eye.lash_length:
        _draw_lashes(art, eye, line)


def _draw_lashes(art: Drawing, eye: Eye, line: Line) -> None:
    rng = np.random.default_rng(5)
    for place in np.linspace(0.34, 0.97, 15):
        root = line[int(place * (len(line) - 1))]
        length = eye.lash_length * (0.45 + 0.75 * place) * rng.uniform(0.85, 1.1)
        lean = 0.15 + 1.05 * place
        # lashes point up and outwards, and down when the lid is shut
        lift = np.cos(np.pi * 0.62 * eye.blink) * 0.85
        tip = root + (eye.side * length * np.sin(lean), -length * np.cos(lean) * lift + (1 - place) * eye.blink)
        bend = (root + tip) / 2 + (eye.side * 0.4 * length * 0.4, 0.22 * length * np.sign(lift))
        art.fill(pointed(smooth([tuple(root), tuple(bend), tuple(tip)], steps=5), 1.25), paint=eye.lash, opacity=0.92)


def at(eye: Eye, blink: float, gaze: float) -> Eye:
    """Return ``eye`` with another lid position (0..1) and gaze (px)."""
    return replace(eye, blink=blink, gaze=gaze)


@dataclass(frozen=True, slots=True)
class Brow:
    """One brow, drawn hair by hair; the other is its mirror image."""

    spine: Knots
    """Offsets from the picture's middle, x outwards; y in px; from the inner end to the outer."""
    width: float
    colour: str
    hairs: int


def brow_edges(brow: Brow, side: int, count: int) -> tuple[Line, Line]:
    """Return upper and lower edge of a brow, (count, 2) each, from the inner end to the outer."""
    spine = smooth(np.asarray(brow.spine) * (1, 1) + (MIDDLE, 0))
    spine = resample(spine if side > 0 else mirrored(spine), count)
    along = np.linspace(0, 1, count)
    half = brow.width / 2 * (0.72 + 0.9 * along * (1 - along) * 1.2) * (1 - along**3.2) ** 0.8
    return spine - np.stack([0 * half, half], 1), spine + np.stack([0 * half, half], 1)


def draw_brow(art: Drawing, brow: Brow, side: int) -> None:
    """Draw one brow."""
    top, bottom = brow_edges(brow, side, 40)
    body = np.concatenate([top, bottom[::-1]])
    art.fill(body, paint=brow.colour, opacity=0.55, blur=1.5)
    art.fill(np.concatenate([top[6:], bottom[6:][::-1]]), paint=brow.colour, opacity=0.40, blur=0.8)
    rng = np.random.default_rng(23)
    for place in np.sort(rng.uniform(0.0, 0.97, brow.hairs)):
        i = place * 39
        across = rng.uniform(0.05, 1.0)
        root = _between(top, bottom, i, across)
        length = brow.width * rng.uniform(0.75, 1.15) * (1.05 - 0.35 * place)
        # hairs rise at the nose, lie along the brow further out and come down from above at its end
        angle = np.radians(72 - 78 * min(1.0, place * 1.7)) - (0.5 - across) * 0.9
        tip = root + length * np.array([side * np.cos(angle), -np.sin(angle)]) + (0, 0.35 * place * length)
        bend = (root + tip) / 2 + np.array([side * 0.1, -0.08]) * length
        art.fill(
            pointed(smooth([tuple(root), tuple(bend), tuple(tip)], steps=4), 1.05),
            paint=brow.colour,
            opacity=float(rng.uniform(0.35, 0.8)),
        )


def _between(top: Line, bottom: Line, index: float, across: float) -> Line:
    low = int(index)
    share = index - low
    high = min(low + 1, len(top) - 1)
    a = top[low] + (top[high] - top[low]) * share
    b = bottom[low] + (bottom[high] - bottom[low]) * share
    return np.asarray(a + (b - a) * across)
