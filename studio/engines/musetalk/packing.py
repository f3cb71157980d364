"""How a frame's picture and masks lie in a prepared avatar: as they are, or compressed where memory demands it.

A compressed picture is a grey JPEG of its I420 planes, one below the other as they lie in memory: no colours are
converted on the way, and what comes back differs by one level on average (`tests/unit/test_musetalk_store.py`).
A compressed mask is zlib's. Knows nothing of files.
"""

from __future__ import annotations

import math
import zlib
from typing import Protocol

import cv2
import numpy as np

from studio.engines.musetalk.types import Bytes
from studio.errors import AvatarNotReady

QUALITY = 90
"""Of the JPEGs, 1..100; what they cost: `tests/bench/RESULTS.md`."""
LEVEL = 1
"""Of zlib: a mask of 150 kB becomes 10."""


class Packing(Protocol):
    """One way; shapes are (H * 3 // 2, W) of a picture, (h, w) of a mask."""

    def pack_picture(self, picture: Bytes) -> bytes:
        """Return what is stored."""

    def pack_mask(self, mask: Bytes) -> bytes:
        """Return what is stored."""

    def picture(self, stored: Bytes, shape: tuple[int, int]) -> Bytes:
        """Return a picture from what was stored, (n,) uint8.

        Raises:
            AvatarNotReady: It is damaged.
        """

    def mask(self, stored: Bytes, shape: tuple[int, int]) -> Bytes:
        """Return a mask from what was stored, (n,) uint8.

        Raises:
            AvatarNotReady: It is damaged.
        """


class Plain:
    """As they are: nothing is computed, and what is read is a view."""

    def pack_picture(self, picture: Bytes) -> bytes:
        """Return the bytes."""
        return picture.tobytes()

    pack_mask = pack_picture

    def picture(self, stored: Bytes, shape: tuple[int, int]) -> Bytes:
        """Return a view; raises `AvatarNotReady` where there are too many bytes or too few."""
        if stored.size != math.prod(shape):
            raise damaged(f"{stored.size} bytes for {shape}")
        return stored.reshape(shape)

    mask = picture


class Compressed:
    """JPEG and zlib."""

    def pack_picture(self, picture: Bytes) -> bytes:
        """Return a JPEG."""
        done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        assert done
        return bytes(data)

    def pack_mask(self, mask: Bytes) -> bytes:
        """Return zlib's stream."""
        return zlib.compress(mask.tobytes(), LEVEL)

    def picture(self, stored: Bytes, shape: tuple[int, int]) -> Bytes:
        """Return the picture of a JPEG; raises `AvatarNotReady` where it is none of that size."""
        try:
            found = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)
        except cv2.error as error:
            raise damaged(str(error)) from error
        if found is None or found.shape != shape:
            raise damaged(f"no JPEG of {shape}")
        made = np.asarray(found, np.uint8)
        made.flags.writeable = False
        return made

    def mask(self, stored: Bytes, shape: tuple[int, int]) -> Bytes:
        """Return the mask of zlib's stream; raises `AvatarNotReady` where it is none of that size."""
        size = math.prod(shape)
        try:
            found = zlib.decompressobj().decompress(stored.tobytes(), size + 1)
        except zlib.error as error:
            raise damaged(str(error)) from error
        if len(found) != size:
            raise damaged(f"{len(found)} bytes for {shape}")
        return np.frombuffer(found, np.uint8).reshape(shape)


PACKINGS: dict[str, Packing] = {"plain": Plain(), "compressed": Compressed()}


def damaged(detail: str) -> AvatarNotReady:
    """Return the error for a prepared folder that cannot be used."""
    return AvatarNotReady("This avatar's prepared files are damaged or old. Prepare it again.", detail)
