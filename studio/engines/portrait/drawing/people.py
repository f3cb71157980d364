"""From a person's drawing to artwork: picture, mask, the eyes' tiles, and landmarks.

The detector finds the face; where the drawing knows better, on lips, lids and brows, its own curves replace what was
found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.engines.facemesh import FaceFinder
from studio.engines.portrait.anatomy import (
    BROW_LOWER,
    BROW_UPPER,
    LEFT_LID_LOWER,
    LEFT_LID_UPPER,
    LOWER_LIP,
    RIGHT_LID_LOWER,
    RIGHT_LID_UPPER,
    UPPER_LIP,
)
from studio.engines.portrait.drawing.curves import Line, resample
from studio.engines.portrait.drawing.eyes import Brow, Eye, brow_edges, draw_brow, draw_eye
from studio.engines.portrait.drawing.files import Artwork, Atlas
from studio.engines.portrait.drawing.lips import Lips
from studio.engines.portrait.drawing.raster import (
    SIZE,
    Backdrop,
    Box,
    Byte,
    Float,
    cut,
    feather,
    grain,
    laid,
    quantise,
    render,
)
from studio.engines.portrait.drawing.skin import Skin
from studio.engines.portrait.drawing.svg import Drawing
from studio.engines.portrait.eyes import GAZE_MM

BLINKS, GAZES = 7, 5
"""Rows and columns of an eye's tiles."""
ZOOM = 2
HALF_WIDTH, ABOVE, BELOW = 40, 32, 36
"""What a tile shows around an eye's centre, px."""
FEATHER = 4
"""Pixels over which a tile grows into the picture at its border."""
EYE_DISTANCE_MM = 63.0
_EVERYWHERE = (0, 0, SIZE, SIZE)


@dataclass(frozen=True, slots=True)
class Sitter:
    """A person: what lies under the eyes, the eyes, and what lies over them."""

    under: Callable[[], Drawing]
    over: Callable[[], Drawing]
    backdrop: Backdrop
    skin: Skin
    eye: Eye
    """The image's right eye; the left one is its mirror image."""
    brow: Brow
    lips: Lips
    cavity: str
    """#rrggbb behind the teeth."""
    seed: int

    def eyes(self, *sides: int, blink: float = 0.0, gaze: float = 0.0) -> Drawing:
        """Return one or both eyes with their brows; ``gaze`` in px to the image's right."""
        art = Drawing()
        for side in sides:
            draw_eye(art, self.skin, replace(self.eye, side=side, blink=blink, gaze=gaze))
            draw_brow(art, self.brow, side)
        return art


def artwork(sitter: Sitter) -> Artwork:
    """Draw everything that a character's folder holds.

    Raises:
        ValueError: The detector sees no face in the drawing.
    """
    under, over = (render(layer(), _EVERYWHERE, ZOOM) for layer in (sitter.under, sitter.over))
    backdrop, noise = sitter.backdrop.paint(), grain(sitter.seed)
    bare = laid(backdrop, under)
    picture = laid(laid(bare, render(sitter.eyes(-1, 1), _EVERYWHERE, ZOOM)), over)
    atlases = tuple(_atlas(sitter, side, bare, over, picture, noise) for side in (-1, 1))
    base = quantise(picture, noise)
    figure = 1 - (1 - under[..., 3] / 255) * (1 - over[..., 3] / 255)
    mask = np.rint(255 * np.clip(figure, 0, 1)).astype(np.uint8)
    return Artwork(base, mask, (atlases[0], atlases[1]), sitter.cavity, landmarks(sitter, base))


def _atlas(sitter: Sitter, side: int, bare: Float, over: Float, picture: Float, noise: Float) -> Atlas:
    """Return the tiles of one eye; ``picture`` takes over the one at rest."""
    box = _box(sitter.eye, side)
    reach = GAZE_MM * 2 * sitter.eye.x / EYE_DISTANCE_MM
    around, grains = cut(picture, box), cut(noise, box)
    share = feather(around.shape[0], around.shape[1], FEATHER)

    def tile(blink: float, gaze: float) -> Float:
        eye = render(sitter.eyes(side, blink=blink, gaze=gaze), box, ZOOM)
        shown = laid(laid(cut(bare, box), eye), cut(over, box))
        return np.asarray(around + share * (shown - around), np.float32)

    tiles = [
        [tile(float(blink), float(gaze)) for gaze in np.linspace(-reach, reach, GAZES)]
        for blink in np.linspace(0.0, 1.0, BLINKS)
    ]
    around[:] = tiles[0][GAZES // 2]
    return Atlas(box, np.concatenate([np.concatenate([quantise(t, grains) for t in row], 1) for row in tiles]))


def landmarks(sitter: Sitter, base: Byte) -> NDArray[np.float64]:
    """Return (478, 3) px: found in ``base``, then corrected by the drawing's own curves."""
    faces = FaceFinder().find(base)
    if not faces:
        raise ValueError("the detector sees no face in this drawing")
    points = faces[0].landmarks.astype(np.float64)
    for rows, numbers in zip(sitter.lips.rows(), (UPPER_LIP, LOWER_LIP), strict=True):
        points[numbers, :2] = rows
    lids = ((-1, LEFT_LID_UPPER, LEFT_LID_LOWER), (1, RIGHT_LID_UPPER, RIGHT_LID_LOWER))
    for side, upper, lower in lids:
        for rim, numbers in zip(replace(sitter.eye, side=side).lids(), (upper, lower), strict=True):
            points[numbers, :2] = _rightwards(resample(rim, len(numbers)))
    edges = [brow_edges(sitter.brow, side, len(BROW_UPPER) // 2) for side in (-1, 1)]
    for which, numbers in ((0, BROW_UPPER), (1, BROW_LOWER)):
        points[numbers, :2] = np.concatenate([_rightwards(edge[which]) for edge in edges])
    return points


def _rightwards(line: Line) -> Line:
    """Return ``line`` from the image's left to its right, as the mesh numbers it."""
    return line if line[0, 0] < line[-1, 0] else line[::-1]


def _box(eye: Eye, side: int) -> Box:
    """Return a tile's place, even and inside the picture."""
    x, y = round((SIZE / 2 + side * eye.x) / 2) * 2, round(eye.y / 2) * 2
    return x - HALF_WIDTH, y - ABOVE, x + HALF_WIDTH, y + BELOW
