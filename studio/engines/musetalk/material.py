"""What an avatar can be made of, as frames in their order: a video, a folder of pictures, one picture.

A video is seen at 25 pictures a second, whatever it was filmed at; a folder's pictures are frames of that rate, by
name. Nobody vouches for the files. Knows nothing of faces.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from studio.beat import FPS
from studio.engines.imagefile import decode, read_bytes
from studio.engines.musetalk.types import Bytes
from studio.errors import BadPortrait
from studio.footage import is_footage, read_footage
from studio.spec import LimitsSpec

SUFFIXES = (".png", ".jpg", ".jpeg")
"""Of pictures in a folder."""


def frames(source: Path, seconds: float, limits: LimitsSpec) -> Iterator[Bytes]:
    """Yield the frames of a source, (H, W, 3) BGR; one is in memory at a time.

    Args:
        source: A video, a folder of pictures, or a picture.
        seconds: What is used, from the beginning.
        limits: Of a picture's pixels and bytes.

    Raises:
        BadPortrait: It cannot be read, or its pictures differ in size.
    """
    shots: Iterator[Bytes]
    if source.is_dir():
        shots = (
            decode(read_bytes(path, limits.picture_bytes), path.name, limits.picture_pixels)
            for path in _pictures(source)
        )
    elif is_footage(source):
        shots = read_footage(source, limits.picture_pixels, FPS)
    else:
        shots = iter((decode(read_bytes(source, limits.picture_bytes), source.name, limits.picture_pixels),))
    size: tuple[int, ...] = ()
    for rgb in itertools.islice(shots, max(1, int(seconds * FPS))):
        if size and rgb.shape != size:
            raise BadPortrait(f"The pictures of {source.name[:100]} do not all have the same size.")
        size = rgb.shape
        yield np.ascontiguousarray(rgb[..., ::-1])


def _pictures(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not found:
        raise BadPortrait(f"The folder {folder.name[:100]} holds no pictures (PNG or JPEG).")
    return found
