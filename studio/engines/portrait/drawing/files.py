"""Writes a character's folder, as `character` reads it; the same artwork gives the same bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait import character
from studio.engines.portrait.rig import Box

Byte = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Atlas:
    """Tiles of one place of the picture."""

    box: Box
    """Even pixels, end exclusive."""
    tiles: Byte
    """(rows * h, columns * w, 3) RGB: see `character` for their order and number."""


@dataclass(frozen=True, slots=True, eq=False)
class Artwork:
    """A finished character."""

    base: Byte
    """(512, 512, 3) RGB, at rest; equals the tile at rest of each atlas."""
    mask: Byte
    """(512, 512) 255 on the figure."""
    eyes: tuple[Atlas, Atlas]
    """The image's left and right."""
    mouth: str | Atlas
    """A human's: the colour #rrggbb behind the teeth; a screen's: its tiles."""
    landmarks: NDArray[np.floating] | None = None
    """(478, 3) px, a human's only."""


def write_character(folder: Path, artwork: Artwork) -> None:
    """Write ``artwork`` into ``folder``, which is made if needed; files of other names there are left alone.

    Raises:
        BadPortrait: What was written cannot be read again: the artwork is not what `Artwork` says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    left, right = artwork.eyes
    pictures = {"base": artwork.base, "mask": artwork.mask, "eye_left": left.tiles, "eye_right": right.tiles}
    if isinstance(artwork.mouth, Atlas):
        pictures["mouth"] = artwork.mouth.tiles
    for name, picture in pictures.items():
        (folder / f"{name}.png").write_bytes(_png(picture))
    told = {
        "format": character.FORMAT,
        "kind": "screen" if isinstance(artwork.mouth, Atlas) else "drawn",
        "eyes": {"left": list(left.box), "right": list(right.box)},
        "mouth": list(artwork.mouth.box) if isinstance(artwork.mouth, Atlas) else artwork.mouth,
    }
    _write(folder / "character.json", json.dumps(told))
    if artwork.landmarks is not None:
        points = [json.dumps([round(float(n), 1) for n in point]) for point in artwork.landmarks]
        _write(folder / "landmarks.json", "[\n" + ",\n".join(points) + "\n]")
    character.load_character(folder)


def _png(picture: Byte) -> bytes:
    bgr = picture[..., ::-1] if picture.ndim == 3 else picture
    done, png = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done, "OpenCV encodes every picture as PNG"
    return png.tobytes()


def _write(path: Path, text: str) -> None:
    path.write_bytes(f"{text}\n".encode())
