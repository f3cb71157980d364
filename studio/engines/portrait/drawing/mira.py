"""Mira: chestnut waves, hazel-green eyes, a mustard pullover, a teal wall."""

from __future__ import annotations

import numpy as np

from studio.engines.portrait.drawing import hair, people
from studio.engines.portrait.drawing.curves import MIDDLE, ellipse, mirrored, ribbon, smooth, tapered
from studio.engines.portrait.drawing.eyes import Brow, Eye, Iris
from studio.engines.portrait.drawing.files import Artwork
from studio.engines.portrait.drawing.lips import Lips, draw_lips
from studio.engines.portrait.drawing.raster import Backdrop
from studio.engines.portrait.drawing.skin import Build, Skin, draw_ear, draw_face, draw_neck, draw_nose
from studio.engines.portrait.drawing.svg import Drawing, mix

BACKDROP = Backdrop("#b5dbd4", "#4d8f90", (196, 150))
SKIN = Skin(
    light="#fbdcc5", base="#f3c3a5", shade="#d98f70", deep="#a85a45", blush="#ee8472", glow="#fff1e2", rim="#bfe6e0"
)
BUILD = Build(
    face=[(0, 104), (44, 112), (76, 142), (91, 190), (94, 236), (90, 276), (79, 312), (60, 343), (36, 364), (14, 372),
          (0, 373)],
    nose_base=297, nose_width=17, eye_line=246, mouth=327, chin=373,
)  # fmt: skip
IRIS = Iris(rim="#1f3b35", body="#4f7f63", glow="#a9bb74", radius=13.2, pupil=5.6)
EYE = Eye(
    side=1, x=44, y=246,
    upper=[(-24.5, 5.8), (-20.5, 0.2), (-13, -7.8), (-2, -12.2), (10, -11.4), (20, -5.8), (26.5, 0.0)],
    lower=[(-24.5, 5.8), (-17, 8.6), (-6, 11.8), (6, 12.4), (17, 9.2), (26.5, 0.0)],
    iris=IRIS, lash="#2a1612", lash_width=3.6, lash_length=7.0,
)  # fmt: skip
BROW = Brow(spine=[(23, 221), (34, 215.5), (50, 210.5), (64, 210.5), (76, 218)], width=8.6, colour="#5b3423", hairs=85)
LIPS = Lips(
    y=326, half_width=35, upper=8.4, lower=12.0, lift=6.0,
    top="#c4555a", bottom="#dd7472", dark="#7c2a33", glow="#ffd9cf", gloss=0.55,
)  # fmt: skip
TONES = hair.Tones(dark="#2a1410", base="#5e3122", mid="#82482f", light="#b8764c", shine="#e9b688")

BACK_RIGHT = hair.Lock(
    near=[(262, 90), (300, 150), (318, 250), (316, 330), (308, 400), (306, 470)],
    far=[(262, 62), (340, 84), (384, 160), (392, 260), (394, 340), (382, 400), (344, 446)],
    wave=4, turns=2.2,
)  # fmt: skip
BACK_LEFT = hair.Lock(
    near=[(250, 90), (212, 150), (194, 250), (196, 330), (204, 400), (206, 470)],
    far=[(250, 62), (172, 84), (128, 160), (120, 260), (118, 340), (130, 400), (168, 446)],
    wave=4, turns=2.2, phase=0.5,
)  # fmt: skip
FRONT_RIGHT = hair.Lock(
    near=[(226, 104), (252, 136), (288, 160), (322, 186), (342, 226), (345, 272), (347, 322),
        (343, 366), (331, 408), (329, 437)],
    far=[(226, 52), (290, 46), (350, 74), (386, 132), (398, 204), (402, 272), (408, 336),
        (401, 392), (379, 425), (334, 443)],
    wave=7, turns=1.7, phase=0.1,
)  # fmt: skip
FRONT_LEFT = hair.Lock(
    near=[(226, 104), (208, 132), (188, 158), (173, 192), (167, 236), (168, 282), (163, 330),
        (168, 366), (181, 408), (183, 437)],
    far=[(226, 52), (184, 56), (142, 90), (120, 146), (111, 210), (109, 276), (103, 336),
        (111, 392), (133, 425), (178, 443)],
    wave=7, turns=1.7, phase=0.6,
)  # fmt: skip


def artwork() -> Artwork:
    """Draw the picture and every tile."""
    return people.artwork(people.Sitter(under, over, BACKDROP, SKIN, EYE, BROW, LIPS, "#5a1826", seed=17))


def under() -> Drawing:
    """Draw what lies under the eyes."""
    art = Drawing()
    for lock, seed in ((BACK_LEFT, 1), (BACK_RIGHT, 2)):
        hair.draw_lock(art, lock, TONES, seed, density=0.5, shine=0.25, shade=0.6)
    draw_neck(art, SKIN, BUILD, 39, 430)
    _draw_pullover(art)
    for side in (-1, 1):
        draw_ear(art, SKIN, side, MIDDLE + side * 92, 262)
    draw_face(art, SKIN, BUILD, np.concatenate([FRONT_LEFT.outline, FRONT_RIGHT.outline]))
    draw_nose(art, SKIN, BUILD)
    draw_lips(art, LIPS, SKIN.shade, SKIN.glow)
    return art


def over() -> Drawing:
    """Draw what lies over the eyes."""
    art = Drawing()
    _draw_front_hair(art)
    return art


def _draw_front_hair(art: Drawing) -> None:
    for lock, seed in ((FRONT_RIGHT, 3), (FRONT_LEFT, 4)):
        hair.draw_lock(art, lock, TONES, seed)
        hair.draw_flyaways(art, lock, TONES.mid, seed + 10, 16)
        hair.draw_flyaways(art, lock, TONES.base, seed + 20, 7, far=False)
    part = smooth([(226, 53), (225, 80), (226, 104)])
    art.fill(tapered(part, 5), paint=TONES.dark, opacity=0.5, blur=1.8)
    art.fill(tapered(part, 1.4), paint=mix(SKIN.shade, TONES.base, 0.35), opacity=0.6, blur=0.6)
    rim = FRONT_RIGHT.strand(0.985)[4:-4]
    with art.inside(FRONT_RIGHT.outline):
        art.fill(tapered(rim, 5), paint=SKIN.rim, opacity=0.42, blur=2)


def _draw_pullover(art: Drawing) -> None:
    wool, shade, light = "#e0a03c", "#9c5f1c", "#f7cd7c"
    collar = smooth([(196, 436), (216, 456), (256, 466), (296, 456), (316, 436)])
    right = smooth([(316, 434), (356, 434), (410, 446), (452, 474), (478, 530)])
    outline = np.concatenate([collar, right, mirrored(right)[::-1]])
    art.fill(outline, paint=art.linear((90, 430), (430, 530), (0, light), (0.4, wool), (1, mix(wool, shade, 0.75))))
    with art.inside(outline):
        for s in (-1, 1):
            fold = tapered(smooth([(MIDDLE + s * 118, 540), (MIDDLE + s * 112, 500), (MIDDLE + s * 88, 470)]), 14)
            art.fill(fold, paint=shade, opacity=0.5, blur=5)
            art.fill(fold + (-9, -2), paint=light, opacity=0.4, blur=5)
        art.fill(
            smooth([(200, 446), (256, 486), (312, 446), (330, 520), (190, 520)], closed=True),
            paint=shade,
            opacity=0.25,
            blur=12,
        )
        rng = np.random.default_rng(8)
        for x in np.arange(30, 490, 5.2):
            rib = smooth([(x, 425), (x + (x - 256) * 0.03, 470), (x + (x - 256) * 0.08, 520)])
            art.fill(ribbon(rib, 1.6), paint=shade, opacity=0.16 * rng.uniform(0.6, 1.2), blur=0.7)
            art.fill(ribbon(rib + (2.2, 0), 1.2), paint=light, opacity=0.14, blur=0.6)
        for s in (-1, 1):
            art.fill(ellipse(MIDDLE + s * 120, 452, 52, 14, s * 18), paint=shade, opacity=0.45, blur=9)
    band = ribbon(collar + (0, 4), 15)
    art.fill(band + (0, 4), paint=shade, opacity=0.55, blur=3)
    art.fill(band, paint=art.linear((196, 0), (316, 0), (0, light), (0.5, wool), (1, mix(wool, shade, 0.5))))
    with art.inside(band):
        for place in np.linspace(0, 1, 46):
            at = collar[int(place * (len(collar) - 1))] + (0, 4)
            out = at - (MIDDLE, 380)
            out /= np.linalg.norm(out)
            art.fill(tapered(np.linspace(at - out * 8, at + out * 8, 6), 1.7), paint=shade, opacity=0.34, blur=0.5)
    art.fill(ribbon(collar + (0, -3.5), 2), paint=light, opacity=0.6, blur=0.8)
