"""Mira: chestnut waves, hazel-green eyes, a mustard pullover, a teal wall."""

from __future__ import annotations

import numpy as np

from studio.engines.portrait.drawing import hair
from studio.engines.portrait.drawing.curves import MIDDLE, ellipse, mirrored, ribbon, smooth, tapered
from studio.engines.portrait.drawing.eyes import Brow, Eye, Iris, draw_brow, draw_eye
from studio.engines.portrait.drawing.lips import Lips, draw_lips
from studio.engines.portrait.drawing.raster import Backdrop
from studio.engines.portrait.drawing.skin import Build, Skin, draw_ear, draw_face, draw_neck, draw_nose
from studio.engines.portrait.drawing.svg import Drawing, mix

BACKDROP = Backdrop("#b5dbd4", "#4d8f90", (196, 150))
SKIN = Skin(
    light="#fbdcc5", base="#f3c3a5", shade="#d98f70", deep="#a85a45", blush="#ee8472", glow="#fff1e2", rim="#bfe6e0"
)
BUILD = Build(
    face=[(0, 104), (44, 112), (76, 142), (91, 190), (94, 236), (90, 276), (79, 312), (60, 343), (36, 364), (14, 372), (0, 373)],
    nose_base=297, nose_width=17, eye_line=246, mouth=327, chin=373,
)  # fmt: skip
IRIS = Iris(rim="#1f3b35", body="#4f7f63", glow="#a9bb74", radius=11.6, pupil=4.9)
EYE = Eye(
    side=1, x=44, y=246,
    upper=[(-22.5, 5.2), (-19, 0.5), (-12, -7.2), (-2, -11.8), (9, -10.8), (18, -5.6), (24, 0.2)],
    lower=[(-22.5, 5.2), (-16, 7.6), (-6, 10.6), (5, 11.2), (15, 8.4), (24, 0.2)],
    iris=IRIS, lash="#2a1612", lash_width=3.6, lash_length=7.0,
)  # fmt: skip
BROW = Brow(spine=[(23, 221), (34, 215.5), (50, 210.5), (64, 210.5), (76, 218)], width=7.6, colour="#5b3423", hairs=85)
LIPS = Lips(
    y=327, half_width=33, upper=8.4, lower=11.8, lift=4.2,
    top="#c4555a", bottom="#dd7472", dark="#7c2a33", glow="#ffd9cf", gloss=0.55,
)  # fmt: skip
TONES = hair.Tones(dark="#2a1410", base="#5e3122", mid="#82482f", light="#b8764c", shine="#e9b688")

BACK_RIGHT = hair.Lock(
    near=[(262, 90), (300, 150), (318, 250), (316, 330), (304, 392), (290, 420)],
    far=[(262, 62), (340, 84), (384, 160), (394, 260), (400, 350), (376, 436)],
    wave=4, turns=2.2,
)  # fmt: skip
BACK_LEFT = hair.Lock(
    near=[(250, 90), (212, 150), (194, 250), (196, 330), (208, 392), (222, 420)],
    far=[(250, 62), (172, 84), (128, 160), (118, 260), (112, 350), (136, 436)],
    wave=4, turns=2.2, phase=0.5,
)  # fmt: skip
FRONT_RIGHT = hair.Lock(
    near=[(236, 112), (272, 122), (312, 146), (340, 186), (350, 236), (344, 286), (350, 336), (340, 392), (346, 428)],
    far=[(236, 66), (292, 58), (348, 82), (382, 134), (394, 204), (398, 272), (404, 340), (392, 396), (372, 440)],
    wave=5, turns=2.0, phase=0.1,
)  # fmt: skip
FRONT_LEFT = hair.Lock(
    near=[(236, 112), (214, 124), (190, 148), (172, 186), (162, 236), (168, 286), (162, 336), (172, 392), (166, 428)],
    far=[(236, 66), (196, 64), (150, 94), (124, 146), (116, 210), (114, 276), (108, 340), (120, 396), (140, 440)],
    wave=5, turns=2.0, phase=0.6,
)  # fmt: skip


def draw(blink: float = 0.0, gaze: float = 0.0) -> Drawing:
    """Return the drawing; ``gaze`` in px to the image's right."""
    art = Drawing()
    for lock, seed in ((BACK_LEFT, 1), (BACK_RIGHT, 2)):
        hair.draw_lock(art, lock, TONES, seed, density=0.5, shine=0.25, shade=0.6)
    draw_neck(art, SKIN, BUILD, 39, 424)
    _draw_pullover(art)
    for side in (-1, 1):
        draw_ear(art, SKIN, side, MIDDLE + side * 92, 262)
    fringe = np.concatenate([FRONT_LEFT.outline, FRONT_RIGHT.outline])
    draw_face(art, SKIN, BUILD, fringe)
    draw_features(art, blink, gaze)
    _draw_front_hair(art)
    return art


def draw_features(art: Drawing, blink: float, gaze: float) -> None:
    """Draw what lies on the face."""
    draw_nose(art, SKIN, BUILD)
    draw_lips(art, LIPS, SKIN.shade, SKIN.glow)
    for side in (-1, 1):
        draw_eye(art, SKIN, eye(side, blink, gaze))
        draw_brow(art, BROW, side)


def eye(side: int, blink: float = 0.0, gaze: float = 0.0) -> Eye:
    """Return one eye."""
    return Eye(side, EYE.x, EYE.y, EYE.upper, EYE.lower, EYE.iris, EYE.lash, EYE.lash_width, EYE.lash_length, EYE.liner, blink, gaze)


def _draw_front_hair(art: Drawing) -> None:
    for lock, seed in ((FRONT_RIGHT, 3), (FRONT_LEFT, 4)):
        hair.draw_lock(art, lock, TONES, seed)
        hair.draw_flyaways(art, lock, TONES.mid, seed + 10, 16)
        hair.draw_flyaways(art, lock, TONES.base, seed + 20, 7, far=False)
    part = smooth([(236, 66), (236, 88), (236, 112)])
    art.fill(tapered(part, 5), paint=TONES.dark, opacity=0.7, blur=1.6)
    art.fill(tapered(part, 1.4), paint=mix(SKIN.shade, TONES.base, 0.3), opacity=0.8, blur=0.5)
    rim = FRONT_RIGHT.strand(0.985)[4:-4]
    with art.inside(FRONT_RIGHT.outline):
        art.fill(tapered(rim, 5), paint=SKIN.rim, opacity=0.42, blur=2)


def _draw_pullover(art: Drawing) -> None:
    wool, shade, light = "#e0a03c", "#9c5f1c", "#f7cd7c"
    collar = smooth([(196, 436), (216, 456), (256, 466), (296, 456), (316, 436)])
    right = smooth([(316, 434), (352, 440), (404, 452), (446, 478), (470, 530)])
    outline = np.concatenate([collar, right, mirrored(right)[::-1]])
    art.fill(outline, paint=art.linear((90, 430), (430, 530), (0, light), (0.4, wool), (1, mix(wool, shade, 0.75))))
    with art.inside(outline):
        for s in (-1, 1):
            fold = tapered(smooth([(MIDDLE + s * 118, 540), (MIDDLE + s * 112, 500), (MIDDLE + s * 88, 470)]), 14)
            art.fill(fold, paint=shade, opacity=0.5, blur=5)
            art.fill(fold + (-9, -2), paint=light, opacity=0.4, blur=5)
        art.fill(smooth([(200, 446), (256, 486), (312, 446), (330, 520), (190, 520)], closed=True), paint=shade, opacity=0.25, blur=12)
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
