"""Robot: a porcelain shell, a dark glass face with lights for eyes and mouth, a coral antenna, a violet wall.

Light comes from the upper left; the wall's violet comes back on the lower right.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from studio.engines.portrait.drawing.curves import MIDDLE, Line, ellipse, mirrored, ribbon, rounded, smooth, tapered
from studio.engines.portrait.drawing.display import (
    GLASS,
    GLASS_DARK,
    LIGHT,
    Look,
    draw_cheeks,
    draw_eye,
    draw_mouth,
    draw_reflections,
    moved,
)
from studio.engines.portrait.drawing.files import Artwork, Atlas
from studio.engines.portrait.drawing.raster import (
    SIZE,
    Backdrop,
    Byte,
    Float,
    cut,
    feather,
    grain,
    laid,
    quantise,
    render,
)
from studio.engines.portrait.drawing.svg import Drawing, mix
from studio.engines.portrait.rig import Box

BACKDROP = Backdrop("#a6a2f0", "#37307f", (226, 176))
WHITE, SHELL, SHADE, DEEP, BOUNCE = "#ffffff", "#eff0fa", "#b4b9de", "#6f73aa", "#cdbcff"
CORAL, CORAL_LIGHT, CORAL_DARK = "#ff7a5a", "#ffc7a8", "#b9433b"
METAL, METAL_LIGHT, METAL_DARK = "#8c92ba", "#d5d9f0", "#3f4470"

BOXES: tuple[Box, Box, Box] = ((158, 172, 254, 258), (258, 172, 354, 258), (194, 258, 318, 328))
"""Of the lights: left eye, right eye, mouth."""
EVERYWHERE: Box = (0, 0, SIZE, SIZE)
BLINKS, JAWS, ROUNDS = 11, 14, 11
"""Stages of the atlases: so many that an edge moves less than 3 px from one to the next."""
ZOOM = 2
FEATHER = 6
"""Pixels over which a tile grows into the picture at its border: what a light's glow reaches beyond it is faint."""


def artwork() -> Artwork:
    """Draw the picture and every tile."""
    stage = Stage()
    blinks = [[Look(blink=b)] for b in np.linspace(0, 1, BLINKS)]
    words = [[Look(opening=j, rounding=r) for r in np.linspace(-1, 1, ROUNDS)] for j in np.linspace(0, 1, JAWS)]
    left, right, mouth = (stage.atlas(light, looks) for light, looks in enumerate((blinks, blinks, words)))
    return Artwork(stage.picture(), stage.mask, (left, right), mouth)


class Stage:
    """The robot's pixels: figure and reflections are rendered once, the lights between them for every tile."""

    def __init__(self) -> None:
        figure = render(draw_figure(), EVERYWHERE, ZOOM)
        self._dark = laid(BACKDROP.paint(), figure)
        self._surface = render(draw_surface(), EVERYWHERE, ZOOM)
        self._lights = [render(_light(light, Look()), EVERYWHERE, ZOOM) for light in range(len(BOXES))]
        self._noise = grain(31)
        self.mask = np.clip(np.rint(figure[..., 3]), 0, 255).astype(np.uint8)
        """(512, 512) 255 on the figure."""
        self._rest = self._shown(EVERYWHERE, self._lights)

    def _shown(self, box: Box, lights: list[Float]) -> Float:
        """Return the levels in ``box`` (h, w, 3), not rounded."""
        return reduce(laid, [*lights, cut(self._surface, box)], cut(self._dark, box))

    def atlas(self, light: int, looks: list[list[Look]]) -> Atlas:
        """Return the tiles of one of `BOXES`; the picture takes over the one at rest."""
        box = BOXES[light]
        share = feather(box[3] - box[1], box[2] - box[0], FEATHER)
        around, noise = cut(self._rest, box), cut(self._noise, box)
        lights = [cut(layer, box) for layer in self._lights]

        def tile(look: Look) -> Float:
            lights[light] = render(_light(light, look), box, ZOOM)
            return np.asarray(around + share * (self._shown(box, lights) - around), np.float32)

        tiles = [[tile(look) for look in row] for row in looks]
        around[:] = tiles[0][len(tiles[0]) // 2]
        return Atlas(box, np.concatenate([np.concatenate([quantise(tile, noise) for tile in row], 1) for row in tiles]))

    def picture(self) -> Byte:
        """Return the picture at rest (512, 512, 3); call it after all `atlas`."""
        return quantise(self._rest, self._noise)


def _light(light: int, look: Look) -> Drawing:
    """Return the drawing of one light alone, in the order of `BOXES`."""
    art = Drawing()
    if light < 2:
        draw_eye(art, (-1, 1)[light], look)
    else:
        draw_mouth(art, look)
    return art


def draw_figure() -> Drawing:
    """Return everything behind the lights."""
    art = Drawing()
    _draw_body(art)
    _draw_neck(art)
    _draw_antenna(art)
    for side in (-1, 1):
        _draw_ear(art, side)
    _draw_shell(art)
    _draw_glass(art)
    return art


def draw_surface() -> Drawing:
    """Return what lies on the glass, before the lights."""
    art = Drawing()
    glass = _glass()
    _edge(art, glass, (-1.4, -1.4), "#8e86e8", 0.55, 1.4)
    draw_reflections(art, glass)
    return art


def _glass() -> Line:
    return _head(112, 89.5, 239, 3.2)


def _head(rx: float, ry: float, y: float, power: float) -> Line:
    """Return a rounded box that is a little wider at the cheeks than at the crown."""
    line = rounded(0, 0, rx, ry, power)
    line[:, 0] *= 1 + 0.035 * line[:, 1] / ry
    return moved(line, MIDDLE, y)


def _edge(art: Drawing, shape: Line, shift: tuple[float, float], paint: str, opacity: float, blur: float) -> None:
    """Shade the inside of ``shape`` along the border that ``shift`` leads away from."""
    margin = blur + 2 * max(abs(s) for s in shift)
    (x0, y0), (x1, y1) = shape.min(0) - margin, shape.max(0) + margin
    frame = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    with art.inside(shape):
        art.fill(frame, moved(shape, *shift), paint=paint, opacity=opacity, blur=blur)


def _groove(art: Drawing, line: Line, opacity: float = 0.7) -> None:
    """Cut a seam into a shell: a dark line with a lit lower edge."""
    art.fill(ribbon(moved(line, 0.4, 1.1), 1.3), paint=WHITE, opacity=0.8 * opacity, blur=0.4)
    art.fill(ribbon(line, 1.5), paint=DEEP, opacity=opacity, blur=0.3)


def _draw_shell(art: Drawing) -> None:
    shell = _head(146, 122, 232, 3.4)
    art.fill(moved(shell, 0, 7), paint="#241d5e", opacity=0.35, blur=9)
    art.fill(shell, paint=art.radial((196, 142), 300, (0, "#f7f8fe"), (0.34, "#eaecf8"), (0.66, "#d0d3ec"), (1, SHADE)))
    _edge(art, shell, (-16, -22), DEEP, 0.55, 16)
    _edge(art, shell, (-5, -7), mix(DEEP, "#3b3576", 0.4), 0.45, 6)
    _edge(art, shell, (-2.2, -1.6), BOUNCE, 0.95, 1.6)
    _edge(art, shell, (4, 5), WHITE, 0.9, 3)
    with art.inside(shell):
        art.fill(ellipse(182, 132, 46, 11, -19), paint=WHITE, opacity=0.95, blur=5)
        _groove(art, smooth([(196, 104), (203, 128), (206, 150)]), 0.55)
        _groove(art, smooth([(316, 104), (309, 128), (306, 150)]), 0.55)
        art.fill(ellipse(256, 108, 34, 12), paint=DEEP, opacity=0.5, blur=6)
    for x in (-11.0, 0.0, 11.0):
        hole = rounded(MIDDLE + x, 343.5, 3.4, 2.1, 2.6)
        art.fill(moved(hole, 0, 1), paint=WHITE, opacity=0.9, blur=0.4)
        art.fill(hole, paint=METAL_DARK, opacity=0.9)


def _draw_glass(art: Drawing) -> None:
    rim, bezel, glass = _head(121, 98.5, 239, 3.3), _head(117, 94.5, 239, 3.3), _glass()
    art.fill(moved(rim, 1.2, 1.8), paint=WHITE, opacity=0.9, blur=1.4)
    art.fill(rim, paint=art.linear((150, 150), (360, 330), (0, "#8186b4"), (0.5, "#c3c7e4"), (1, "#f4f2ff")))
    art.fill(bezel, paint=art.linear((150, 146), (350, 334), (0, "#4b5280"), (0.45, "#262b52"), (1, "#171a38")))
    art.fill(glass, paint=art.radial((226, 190), 190, (0, "#26335f"), (0.45, GLASS), (1, GLASS_DARK)))
    _edge(art, glass, (0, 9), "#000208", 0.75, 9)
    with art.inside(glass):
        art.fill(ellipse(256, 330, 110, 40), paint="#3a2f8f", opacity=0.30, blur=20)
        draw_cheeks(art)


def _draw_antenna(art: Drawing) -> None:
    stem = smooth([(256, 116), (256, 92), (256, 64)])
    width = np.linspace(10, 6, len(stem))
    art.fill(
        ribbon(stem, width),
        paint=art.linear((250, 0), (262, 0), (0, METAL_LIGHT), (0.35, WHITE), (0.7, METAL), (1, METAL_DARK)),
    )
    for y, rx, ry in ((114.0, 27.0, 13.0), (101.0, 9.5, 4.5)):
        art.fill(
            rounded(256, y, rx, ry, 2.3),
            paint=art.linear(
                (256 - rx, 0), (256 + rx, 0), (0, METAL), (0.28, METAL_LIGHT), (0.6, METAL), (1, METAL_DARK)
            ),
        )
        art.fill(
            tapered(smooth([(256 - 0.8 * rx, y - 0.55 * ry), (256, y - 0.9 * ry), (256 + 0.5 * rx, y - 0.75 * ry)]), 2),
            paint=WHITE,
            opacity=0.8,
            blur=0.6,
        )
    ball = ellipse(256, 55, 14.5, 14.5)
    art.fill(ball, paint=CORAL, opacity=0.5, blur=11)
    art.fill(ball, paint=art.radial((251, 49), 22, (0, "#ffe6d6"), (0.25, CORAL_LIGHT), (0.6, CORAL), (1, CORAL_DARK)))
    _edge(art, ball, (-1.6, -1.4), "#ffb3c8", 0.7, 1.4)
    art.fill(ellipse(250.5, 48.5, 4.2, 3, -30), paint=WHITE, opacity=0.95, blur=0.7)


def _draw_ear(art: Drawing, side: int) -> None:
    x = MIDDLE + side * 150
    lit = 1.0 if side < 0 else 0.0
    pod = rounded(x, 238, 23, 47, 2.9)
    ramp = art.linear(
        (x - 23, 0), (x + 23, 0), (0, mix(METAL, METAL_LIGHT, 0.55 + 0.3 * lit)), (0.5, METAL), (1, METAL_DARK)
    )
    art.fill(moved(pod, 0, 4), paint="#241d5e", opacity=0.35, blur=6)
    art.fill(pod, paint=ramp)
    _edge(art, pod, (-3, -4), METAL_DARK, 0.8, 4)
    _edge(art, pod, (1.5, 2.5), WHITE, 0.75, 1.6)
    pad = rounded(x + side * 13, 238, 9.5, 32, 2.6)
    art.fill(moved(pad, 1, 1.5), paint=METAL_LIGHT, opacity=0.7, blur=1)
    art.fill(pad, paint=art.linear((x, 206), (x, 270), (0, CORAL_LIGHT), (0.35, CORAL), (1, CORAL_DARK)))
    _edge(art, pad, (2, 4), CORAL_DARK, 0.5, 3)


def _draw_neck(art: Drawing) -> None:
    collar, hollow = rounded(256, 396, 56, 17, 2.3), rounded(256, 393, 46, 12.5, 2.3)
    art.fill(moved(collar, 0, 4), paint="#2b2763", opacity=0.55, blur=4)
    art.fill(
        collar, paint=art.linear((200, 0), (312, 0), (0, CORAL), (0.3, CORAL_LIGHT), (0.6, CORAL), (1, CORAL_DARK))
    )
    art.fill(
        tapered(smooth([(206, 400), (226, 409), (256, 411.5), (286, 409)]), 2.2), paint=WHITE, opacity=0.6, blur=0.8
    )
    art.fill(hollow, paint="#1b1a42")
    low = smooth([(294, 391), (280, 399), (256, 402), (232, 399), (218, 391)])
    neck = np.concatenate([[(222.0, 340.0), (290.0, 340.0)], low])
    art.fill(neck, paint=art.linear((218, 0), (294, 0), (0, "#5a5f8c"), (0.3, METAL), (0.6, "#4a4f7c"), (1, "#262a50")))
    with art.inside(neck):
        for y in (360.0, 369.5, 379.0, 388.5):
            ring = smooth([(212, y - 4), (256, y + 5), (300, y - 4)])
            art.fill(ribbon(ring, 3.4), paint="#1f2248", opacity=0.8, blur=0.5)
            art.fill(ribbon(moved(ring, 0, 2.8), 1.5), paint=METAL_LIGHT, opacity=0.4, blur=0.5)
        art.fill(ellipse(256, 348, 60, 18), paint="#120f38", opacity=0.85, blur=7)
        art.fill(ribbon(low, 5), paint="#120f38", opacity=0.7, blur=2)


def _draw_body(art: Drawing) -> None:
    right = smooth([(256, 386), (300, 389), (352, 402), (402, 430), (436, 474), (452, 540)])
    torso = np.concatenate([right, mirrored(right)[::-1]])
    art.fill(
        torso,
        paint=art.radial((180, 396), 330, (0, WHITE), (0.3, SHELL), (0.65, "#cdd0ea"), (1, mix(SHADE, DEEP, 0.35))),
    )
    _edge(art, torso, (-14, -6), DEEP, 0.55, 14)
    _edge(art, torso, (-3, 1), BOUNCE, 0.8, 2)
    _edge(art, torso, (4, 5), WHITE, 0.85, 3)
    with art.inside(torso):
        art.fill(ellipse(262, 398, 112, 24), paint="#4d4a8c", opacity=0.62, blur=13)
        for side in (-1, 1):
            arm = smooth([(MIDDLE + side * 116, 400), (MIDDLE + side * 128, 450), (MIDDLE + side * 124, 530)])
            art.fill(ribbon(moved(arm, -side * 5, 0), 14), paint=DEEP, opacity=0.45, blur=7)
            _groove(art, arm)
        _groove(art, smooth([(190, 398), (204, 444), (232, 508), (236, 530)]), 0.5)
        _groove(art, smooth([(322, 398), (308, 444), (280, 508), (276, 530)]), 0.5)
    _draw_lamp(art, 256, 452)


def _draw_lamp(art: Drawing, x: float, y: float) -> None:
    art.fill(ellipse(x + 0.6, y + 1.2, 21, 21), paint=WHITE, opacity=0.9, blur=1)
    art.fill(
        ellipse(x, y, 20, 20), paint=art.linear((x - 14, y - 16), (x + 14, y + 16), (0, "#3a3f6b"), (1, "#15183a"))
    )
    art.fill(ellipse(x, y, 12, 12), paint=LIGHT, opacity=0.75, blur=5)
    art.fill(
        ellipse(x, y, 10.5, 10.5), paint=art.radial((x - 3, y - 3.5), 15, (0, "#f2feff"), (0.5, "#7fecff"), (1, LIGHT))
    )
    art.fill(ellipse(x - 3.4, y - 4, 3, 2.2, -30), paint=WHITE, opacity=0.9, blur=0.4)
