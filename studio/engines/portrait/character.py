"""Drawn characters on disk: pictures and numbers in a folder, read as if a stranger had sent them.

A character's folder holds (boxes are x0, y0, x1, y1 in even pixels, end exclusive; left and right are the image's):

    character.json    {"format": 1, "kind": "drawn", "eyes": {"left": box, "right": box}, "mouth": "#5a1420"}
                      {"format": 1, "kind": "screen", "eyes": {"left": box, "right": box}, "mouth": box}
    base.png          512x512: the face at rest
    mask.png          512x512, grey: white on the figure, black on what stands still
    eye_left.png      atlas of that eye's box: rows (`BLINKS`) from open to shut, columns (`GAZES`) that look from the
    eye_right.png     image's left to its right by `eyes.GAZE_MM`, the middle one ahead; 7 x 5 is good. A single column
                      is shifted as a whole, as lights on a screen are
    landmarks.json    of a drawn one: MediaPipe's face mesh as 478 lists of x, y, z (px)
    mouth.png         of a screen: atlas of the mouth's box, rows (`JAWS`) from shut to open, columns (`ROUNDS`) from
                      wide to round, the middle one at rest; neighbours are mixed, so edges should move < 3 px

A *drawn* character has a human face: lips and skin are warped as a photo's are, "mouth" is the colour behind its teeth.
A *screen* shows its mouth as tiles (`screen`). What a tile at rest shows equals that part of ``base.png``.
`drawing.files` writes such folders; nothing in one is ever executed or unpickled.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.imagefile import probe, read_bytes
from studio.engines.portrait.eyes import DrawnEye, Tile
from studio.engines.portrait.interior import Style
from studio.engines.portrait.rig import SIZE, Box, Float, Source
from studio.engines.portrait.screen import ScreenMouth
from studio.errors import BadPortrait

FORMAT = 1
BLINKS, GAZES = range(3, 17), range(1, 10, 2)
"""How many rows and columns an eye's atlas may have."""
JAWS, ROUNDS = range(3, 25), range(1, 16, 2)
"""How many rows and columns a mouth's atlas may have."""
SIDES = ("left", "right")
NAMES = ("character.json", "base.png", "mask.png", "eye_left.png", "eye_right.png", "landmarks.json", "mouth.png")
"""Everything that is read; other files in the folder do not matter."""

_MAX_BYTES = 8_000_000
_MAX_JSON_BYTES = 200_000
_SMALLEST, _LARGEST = 8, 256
"""Sides of a box in pixels."""
_POINTS = 478
_DOWNWARDS = ((10, 159, 20.0), (159, 13, 30.0), (14, 152, 15.0))
_RIGHTWARDS = ((33, 133, 10.0), (133, 362, 10.0), (362, 263, 10.0), (61, 291, 20.0), (234, 454, 80.0))
"""Pairs of landmarks and how many pixels the second lies below or to the right of the first, at least."""
_MARGIN = 64
"""Pixels by which a landmark may lie outside the picture."""

Byte = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Character:
    """What a folder holds, ready to become a face."""

    source: Source
    eyes: tuple[DrawnEye, DrawnEye]
    """The image's left and right eye."""
    mouth: Style | ScreenMouth
    """`Style`: a human's, to be warped; `ScreenMouth`: a screen's."""


def files(folder: Path) -> list[Path]:
    """Return the files of the character in ``folder``, in a fixed order."""
    return [folder / name for name in NAMES if (folder / name).is_file()]


def load_character(folder: Path) -> Character:
    """Read the character in ``folder``.

    Raises:
        BadPortrait: A file is missing, too large, damaged or does not fit the others; the sentence says which and why.
    """
    told = _Told(_json(folder, "character.json"))
    boxes, cavity, screen = told.eyes, told.cavity, told.screen
    base = _picture(folder, "base.png", [SIZE], [SIZE])
    person = _picture(folder, "mask.png", [SIZE], [SIZE])[..., 1].astype(np.float32) / np.float32(255)
    landmarks = np.zeros((_POINTS, 3), np.float32) if screen else _landmarks(_json(folder, "landmarks.json"))
    left, right = (
        DrawnEye(np.array(box, np.int32), *_atlas(folder, f"eye_{side}.png", box, (BLINKS, GAZES), base))
        for side, box in zip(SIDES, boxes, strict=True)
    )
    source = Source(base, landmarks, person, drawn=True)
    if screen is None:
        return Character(source, (left, right), Style(cavity))
    mouth = ScreenMouth(np.array(screen, np.int32), *_atlas(folder, "mouth.png", screen, (JAWS, ROUNDS), base))
    return Character(source, (left, right), mouth)


class _Told:
    """What ``character.json`` says.

    Raises:
        BadPortrait: It does not say that.
    """

    def __init__(self, told: object) -> None:
        self.cavity, self.screen = (0, 0, 0), cast(Box | None, None)
        fields = _record(told, {"format", "kind", "eyes", "mouth"}, "character.json")
        if fields["format"] != FORMAT or isinstance(fields["format"], bool):
            raise BadPortrait(f"character.json is of another format than {FORMAT}, the one this studio reads.")
        sides = _record(fields["eyes"], set(SIDES), "character.json: eyes")
        left, right = (_box(sides[side], f"the {side} eye") for side in SIDES)
        self.eyes = left, right
        if left[2] > right[0]:
            raise BadPortrait("character.json: the left eye must lie to the left of the right eye and not touch it.")
        if fields["kind"] == "drawn":
            self.cavity = _colour(fields["mouth"])
        elif fields["kind"] == "screen":
            self.screen = _box(fields["mouth"], "the mouth")
            if any(_overlap(self.screen, eye) for eye in self.eyes):
                raise BadPortrait("character.json: the mouth must not cover an eye.")
        else:
            raise BadPortrait('character.json: the kind must be "drawn" or "screen".')


def _record(value: object, keys: set[str], where: str) -> dict[str, object]:
    if not isinstance(value, dict) or set(value) != keys:
        raise BadPortrait(f"{where} must have the keys {', '.join(sorted(keys))} and no others.")
    return value


def _box(value: object, what: str) -> Box:
    if isinstance(value, list) and len(value) == 4 and all(type(n) is int and 0 <= n <= SIZE for n in value):
        x0, y0, x1, y1 = value
        fits = all(_SMALLEST <= side <= _LARGEST for side in (x1 - x0, y1 - y0))
        if fits and all(n % 2 == 0 for n in value):
            return x0, y0, x1, y1
    raise BadPortrait(
        f"character.json: the box of {what} must be four even numbers x0, y0, x1, y1 inside the picture, "
        f"{_SMALLEST} to {_LARGEST} pixels wide and high."
    )


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _colour(value: object) -> tuple[int, int, int]:
    if not isinstance(value, str) or not re.fullmatch("#[0-9a-f]{6}", value, re.ASCII):
        raise BadPortrait("character.json: the mouth of a drawn character is a colour such as #5a1420.")
    red, green, blue = bytes.fromhex(value[1:])
    return red, green, blue


def _landmarks(told: object) -> Float:
    """Return (478, 3) float32 px."""
    rows = told if isinstance(told, list) and len(told) == _POINTS else []
    numbers = [n for row in rows if isinstance(row, list) and len(row) == 3 for n in row if type(n) in (int, float)]
    if len(numbers) != 3 * _POINTS or not all(-SIZE <= n <= 2 * SIZE for n in numbers):
        raise BadPortrait(f"landmarks.json must hold {_POINTS} points x, y, z in pixels.")
    points = np.array(numbers, np.float32).reshape(_POINTS, 3)
    x, y = points[:, 0], points[:, 1]
    ordered = all(x[b] - x[a] >= least for a, b, least in _RIGHTWARDS)
    ordered &= all(y[b] - y[a] >= least for a, b, least in _DOWNWARDS)
    if not ordered or points[:, :2].min() < -_MARGIN or points[:, :2].max() > SIZE + _MARGIN:
        raise BadPortrait("landmarks.json does not describe a face that looks out of the picture.")
    return points


def _read(folder: Path, name: str, limit: int) -> bytes:
    if not (folder / name).is_file() and name == "character.json":
        raise BadPortrait(
            f"{folder.name} is a folder, but not one of a drawn character: it has no file character.json. "
            "For a photo, give the picture itself."
        )
    if not (folder / name).is_file():
        raise BadPortrait(f"The character {folder.name} has no file {name}.")
    return read_bytes(folder / name, limit)


def _json(folder: Path, name: str) -> object:
    try:
        told: object = json.loads(_read(folder, name, _MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadPortrait(f"{name} of the character {folder.name} is not JSON.", repr(error)) from error
    return told


def _picture(folder: Path, name: str, heights: Sequence[int], widths: Sequence[int]) -> Byte:
    """Return a PNG of one of these sizes as (height, width, 3) RGB; any other is refused undecoded."""
    data = _read(folder, name, _MAX_BYTES)
    sizes = f"{' or '.join(map(str, widths))} pixels wide and {' or '.join(map(str, heights))} high"
    wanted = f"{name} of the character {folder.name} must be a PNG with 8 bits a colour, {sizes}."
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise BadPortrait(wanted)
    header = probe(data, name)
    if header.height not in heights or header.width not in widths or struct.unpack_from("B", data, 24) != (8,):
        raise BadPortrait(wanted)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if not header.whole or pixels is None:
        raise BadPortrait(f"{name} of the character {folder.name} is damaged.")
    return np.ascontiguousarray(pixels[..., ::-1], np.uint8)


def _atlas(folder: Path, name: str, box: Box, shape: tuple[range, range], base: Byte) -> Tile:
    """Return an atlas as planes (rows, columns, h, w); its first row's middle tile must show ``base``."""
    x0, y0, x1, y1 = box
    height, width = y1 - y0, x1 - x0
    sheet = _picture(folder, name, [n * height for n in shape[0]], [n * width for n in shape[1]])
    tiles = sheet.reshape(len(sheet) // height, height, -1, width, 3).swapaxes(1, 2)
    if not np.array_equal(tiles[0, tiles.shape[1] // 2], base[y0:y1, x0:x1]):
        raise BadPortrait(f"{name} of the character {folder.name}: the first row's middle tile must equal base.png.")
    planes = [_planes(tile) for tile in tiles.reshape(-1, height, width, 3)]
    y, u, v = (np.stack(plane).reshape(*tiles.shape[:2], *plane[0].shape) for plane in zip(*planes, strict=True))
    return y, u, v


def _planes(tile: Byte) -> Tile:
    """Return Y (h, w), U and V (h / 2, w / 2) of a tile (h, w, 3), as the whole picture has them at an even place."""
    height, width = tile.shape[:2]
    packed = cv2.cvtColor(tile, cv2.COLOR_RGB2YUV_I420)
    chroma = packed[height:].reshape(2, height // 2, width // 2)
    return np.asarray(packed[:height], np.uint8), np.asarray(chroma[0], np.uint8), np.asarray(chroma[1], np.uint8)
