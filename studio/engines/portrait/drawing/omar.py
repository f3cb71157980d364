"""Omar: close-cropped hair, a short beard, warm brown eyes, a cream shirt under navy, a sand-coloured wall."""

from __future__ import annotations

import numpy as np

from studio.engines.portrait.drawing import hair, people
from studio.engines.portrait.drawing.curves import MIDDLE, Knots, Line, ellipse, mirrored, ribbon, smooth, tapered
from studio.engines.portrait.drawing.eyes import Brow, Eye, Iris
from studio.engines.portrait.drawing.files import Artwork
from studio.engines.portrait.drawing.lips import Lips, draw_lips
from studio.engines.portrait.drawing.raster import Backdrop
from studio.engines.portrait.drawing.skin import Build, Skin, draw_ear, draw_face, draw_neck, draw_nose
from studio.engines.portrait.drawing.svg import Drawing, mix

BACKDROP = Backdrop("#f2dcc0", "#c08a5c", (190, 140))
SKIN = Skin(
    light="#c98f63", base="#b57a50", shade="#854e2f", deep="#542c1a", blush="#c2694a", glow="#ecbd90", rim="#f6d9b4"
)
BUILD = Build(
    face=[(0, 98), (46, 105), (80, 134), (95, 184), (97, 238), (94, 284), (86, 322), (69, 354), (44, 376), (18, 385),
          (0, 386)],
    nose_base=299, nose_width=19.5, eye_line=245, mouth=334, chin=386, strength=1.1,
)  # fmt: skip
IRIS = Iris(rim="#22120b", body="#5a3419", glow="#a5692f", radius=11.6, pupil=5.0)
EYE = Eye(
    side=1, x=44, y=245,
    upper=[(-23, 4.6), (-19, 0.2), (-12, -6.2), (-2, -9.8), (9, -9.2), (18, -4.8), (24, 1.2)],
    lower=[(-23, 4.6), (-16, 7.0), (-6, 9.4), (5, 9.8), (15, 7.6), (24, 1.2)],
    iris=IRIS, lash="#1a0e0a", lash_width=2.5, lash_length=0.0, liner=0.92,
)  # fmt: skip
BROW = Brow(spine=[(19, 219), (32, 212.5), (50, 208.5), (66, 210), (79, 219)], width=11.5, colour="#231511", hairs=130)
LIPS = Lips(
    y=333, half_width=37, upper=7.4, lower=11.0, lift=6.4,
    top="#8f4a3c", bottom="#ab6350", dark="#3f1a16", glow="#e9b79c", gloss=0.3,
)  # fmt: skip
INK, SOOT, ASH, SILVER = "#17100e", "#2b1e19", "#4a372d", "#a3948a"

MIDDLE_OF_HEAD = np.array([MIDDLE, 176.0])
SKULL = [(0, 60), (38, 65), (74, 85), (98, 124), (105, 176), (102, 230), (98, 262)]
"""Right half of the hair's outer edge: offsets from the middle, y."""
HAIRLINE = [(0, 133), (24, 134), (46, 138), (62, 148), (73, 163), (81, 182), (86, 206), (90, 236), (94, 262)]
"""And of its inner edge."""
BEARD = [(95, 254), (91, 280), (82, 301), (66, 314), (52, 321), (45, 332), (40, 344), (27, 351), (12, 350), (0, 347)]
"""Right half of the beard's upper edge; the face's outline is its lower one."""
MOUSTACHE = [(0, 311), (18, 308), (34, 311), (48, 320), (49, 336), (42, 327), (29, 320.5), (11, 320), (0, 322)]


def artwork() -> Artwork:
    """Draw the picture and every tile."""
    return people.artwork(people.Sitter(under, Drawing, BACKDROP, SKIN, EYE, BROW, LIPS, "#3d0f14", seed=23))


def under() -> Drawing:
    """Draw what lies under the eyes."""
    art = Drawing()
    draw_neck(art, SKIN, BUILD, 53, 430)
    _draw_clothes(art)
    for side in (-1, 1):
        draw_ear(art, SKIN, side, MIDDLE + side * 97, 258)
    draw_face(art, SKIN, BUILD, _hair() + (0.0, 2.0))
    draw_nose(art, SKIN, BUILD)
    _draw_years(art)
    _draw_beard(art)
    draw_lips(art, LIPS, SKIN.shade, SKIN.glow)
    _draw_hair(art)
    return art


def _both(half: Knots) -> Line:
    """Return the open curve from the image's left to its right whose right half is ``half``, from the middle out."""
    right = smooth(np.array(half) + (MIDDLE, 0.0))
    return np.concatenate([mirrored(right)[::-1], right[1:]])


def _hair() -> Line:
    return np.concatenate([_both(SKULL), _both(HAIRLINE)[::-1]])


def _draw_hair(art: Drawing) -> None:
    outline = _hair()
    art.fill(outline, paint=SOOT, opacity=0.55, blur=3.0)
    art.fill(
        outline, paint=art.linear((150, 60), (370, 230), (0, mix(SOOT, ASH, 0.45)), (0.45, SOOT), (1, INK)), blur=1.0
    )
    with art.inside(outline):
        art.fill(ellipse(222, 84, 62, 20, -14), paint=ASH, opacity=0.75, blur=11)
        # clipped short at the sides: the skin shows through towards the ears
        for side in (-1, 1):
            fade = ellipse(MIDDLE + side * 101, 244, 15, 44)
            art.fill(fade, paint=mix(SKIN.shade, SOOT, 0.35), opacity=0.62, blur=9)

    def away(x: float, y: float) -> tuple[float, float]:
        way = np.array([(x - MIDDLE) * 0.55 + 34, (y - 190.0) * 0.55])
        way /= np.linalg.norm(way)
        return float(way[0]), float(way[1])

    def back(x: float, y: float) -> tuple[float, float]:
        return (0.35 if x > MIDDLE else -0.35), 0.94

    places = hair.scatter(outline, 2.6, 41)
    # hairs at the rim lie closer, so that the outline is soft and not a brush
    deep = hair.inside(smooth(MIDDLE_OF_HEAD + (outline[::8] - MIDDLE_OF_HEAD) * 0.965, closed=True), places)
    crown, rim = places[(places[:, 1] < 178) & deep], places[(places[:, 1] < 178) & ~deep]
    sides = places[places[:, 1] >= 178]
    hair.draw_stubble(art, rim, away, (INK, SOOT), 45, 3.2, 0.8, 0.5)
    hair.draw_stubble(art, crown, away, (INK, SOOT, SOOT, ASH), 42, 5.4, 0.95, 0.75)
    hair.draw_stubble(art, sides, back, (INK, SOOT), 43, 3.2, 0.8, 0.6)
    hair.draw_stubble(art, crown[::6] + (0.0, -1.5), away, ("#6a5242", "#584437"), 44, 5.0, 0.8, 0.5)
    hair.draw_stubble(art, sides[::7], back, (SILVER,), 46, 3.6, 0.7, 0.55)


def _draw_years(art: Drawing) -> None:
    """Draw what forty years of smiling leave: folds beside the nose, lines at the eyes and on the forehead."""
    for side in (-1, 1):
        fold = np.array([(23, 292), (34, 301), (43, 314)]) * (side, 1) + (MIDDLE, 0)
        art.fill(tapered(smooth(fold), 2.6), paint=SKIN.deep, opacity=0.34, blur=1.3)
        for rise, reach in ((-3, 7), (4, 7)):
            line = np.array(
                [(73, 245 + 0.5 * rise), (73 + 0.6 * reach, 245 + 0.9 * rise), (73 + reach, 245 + 1.5 * rise)]
            )
            art.fill(tapered(smooth(line * (side, 1) + (MIDDLE, 0)), 1.3), paint=SKIN.deep, opacity=0.24, blur=0.8)
        bag = np.array([(30, 262), (40, 266), (52, 265)]) * (side, 1) + (MIDDLE, 0)
        art.fill(tapered(smooth(bag), 2.2), paint=SKIN.deep, opacity=0.20, blur=1.2)
        frown = np.array([(7, 222), (6, 214), (7.5, 207)]) * (side, 1) + (MIDDLE, 0)
        art.fill(tapered(smooth(frown), 1.6), paint=SKIN.deep, opacity=0.20, blur=0.8)
    for y, half in ((164, 40), (179, 46)):
        line = smooth(
            [
                (MIDDLE - half, y + 2),
                (MIDDLE - half / 2, y - 1),
                (MIDDLE, y),
                (MIDDLE + half / 2, y - 1),
                (MIDDLE + half, y + 2),
            ]
        )
        art.fill(tapered(line, 1.9), paint=SKIN.shade, opacity=0.38, blur=1.1)


def _draw_beard(art: Drawing) -> None:
    edge = _both(BEARD[::-1])
    face = BUILD.outline
    low = face[face[:, 1] > 256]
    low = low[np.argsort(np.arctan2(low[:, 1] - 250, low[:, 0] - MIDDLE))]  # right ear, chin, left ear
    outline = np.concatenate([edge, low])
    moustache = _closed(MOUSTACHE)
    chin = smooth([(246, 347), (256, 345), (266, 347), (270, 368), (256, 374), (242, 368)], closed=True)
    with art.inside(face):
        art.fill(outline, paint=SOOT, opacity=0.42, blur=5)
        art.fill(outline, paint=SOOT, opacity=0.55, blur=1.8)
        art.fill(moustache, paint=SOOT, opacity=0.68, blur=1.4)
        art.fill(chin, paint=SOOT, opacity=0.35, blur=3)
        art.fill(ellipse(214, 366, 30, 8, 24), paint=ASH, opacity=0.45, blur=6)

    def down(x: float, y: float) -> tuple[float, float]:
        way = np.array([(MIDDLE - x) * -0.25, 60.0 - 0.1 * abs(x - MIDDLE)])
        way /= np.linalg.norm(way)
        return float(way[0]), float(way[1])

    def apart(x: float, y: float) -> tuple[float, float]:
        return (0.92 if x > MIDDLE else -0.92), 0.4

    with art.inside(smooth(face[:: max(1, len(face) // 60)], closed=True)):
        hair.draw_stubble(art, hair.scatter(outline, 2.1, 51), down, (INK, SOOT, ASH), 52, 4.4, 0.72, 0.62)
        hair.draw_stubble(art, hair.scatter(outline, 7.5, 55), down, (SILVER,), 56, 4.4, 0.65, 0.5)
    hair.draw_stubble(art, hair.scatter(moustache, 1.8, 53), apart, (INK, SOOT, ASH), 54, 4.4, 0.75, 0.7)


LAPEL = [(54, 418), (62, 418.5), (70, 422), (93, 444), (94, 447), (82, 457), (84, 459), (110, 463), (111, 467),
         (84, 492), (44, 532), (28, 532), (38, 500), (47, 462), (54, 418)]  # fmt: skip
"""The right one's outline: offsets from the middle, y."""


def _closed(half: Knots) -> Line:
    right = np.array(half) + (MIDDLE, 0.0)
    return smooth(np.concatenate([right, mirrored(right)[::-1][1:-1]]), closed=True)


def _draw_clothes(art: Drawing) -> None:
    cream, fold, navy, night, sky = "#f4eadb", "#c9b193", "#2c4260", "#172538", "#4d6a8f"
    neck = smooth([(196, 430), (212, 456), (256, 474), (300, 456), (316, 430)])
    right = smooth([(316, 430), (368, 440), (424, 456), (466, 484), (490, 530)])
    outline = np.concatenate([neck, right, mirrored(right)[::-1]])
    art.fill(outline, paint=art.linear((100, 430), (430, 530), (0, cream), (0.5, cream), (1, fold)))
    with art.inside(outline):
        art.fill(ribbon(neck + (0.0, 9.0), 10), paint=fold, opacity=0.4, blur=4)
        art.fill(ribbon(neck + (0.0, 10.5), 1.4), paint=fold, opacity=0.7, blur=0.5)
    for side in (-1, 1):
        half = smooth(
            [(60, 424), (112, 438), (170, 456), (212, 484), (236, 540), (28, 540), (38, 498), (49, 462)], closed=True
        )
        jacket = half * (side, 1.0) + (MIDDLE, 0.0)
        light = side < 0
        paint = art.linear(
            (MIDDLE + side * 40, 430),
            (MIDDLE + side * 220, 530),
            (0, navy),
            (0.5, mix(navy, sky, 0.4 if light else 0.1)),
            (1, night),
        )
        art.fill(jacket + (0.0, 3.0), paint=night, opacity=0.5, blur=5)
        art.fill(jacket, paint=paint)
        with art.inside(jacket):
            arm = tapered(
                smooth([(MIDDLE + side * 150, 540), (MIDDLE + side * 146, 500), (MIDDLE + side * 122, 466)]), 15
            )
            art.fill(arm, paint=night, opacity=0.6, blur=5)
            art.fill(
                ellipse(MIDDLE + side * 132, 452, 50, 12, side * 18), paint=sky, opacity=0.5 if light else 0.22, blur=8
            )
        _draw_lapel(art, side, sky, mix(navy, sky, 0.55 if light else 0.3), navy, night)


def _draw_lapel(art: Drawing, side: int, edge: str, top: str, bottom: str, shadow: str) -> None:
    lapel = np.array(LAPEL) * (side, 1.0) + (MIDDLE, 0.0)
    art.fill(lapel + (side * 2.0, 4.0), paint=shadow, opacity=0.6, blur=4)
    art.fill(lapel, paint=art.linear((MIDDLE, 424), (MIDDLE, 508), (0, top), (1, bottom)))
    with art.inside(lapel):
        art.fill(ribbon(lapel, 2.6), paint=edge, opacity=0.45, blur=0.8)
