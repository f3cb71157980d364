"""The kernels of `paste` without numba: where it is not installed, and what the compiled ones are tested against."""

from __future__ import annotations

import cv2
import numpy as np

from studio import picture
from studio.engines.ditto.types import Bytes, Floats


def fill(face: Floats, out: Floats) -> None:
    """Write a face (3, n, n) 0..1 as colours 0..255, clipped, into ``out`` of the same shape."""
    np.clip(face * np.float32(255), 0, 255, out=out)


def blend(weight: Floats, colour: Floats, plane: Bytes) -> None:
    """Make one colour plane of a frame weight * colour + (1 - weight) * plane, saturated, without its fraction.

    Args:
        weight: (h, w) 0..1; like the others without gaps in memory.
        colour: (h, w) 0..255.
        plane: (h, w), overwritten.
    """
    plane[:] = np.clip(weight * colour + (np.float32(1) - weight) * plane, 0, 255)


def convert(red: Bytes, green: Bytes, blue: Bytes, y: Bytes, u: Bytes, v: Bytes) -> None:
    """Write colour planes (h, w), even sides, as I420 into ``y`` (h, w), ``u`` and ``v`` (h // 2, w // 2)."""
    made = picture.planes(picture.from_rgb(np.asarray(cv2.merge([red, green, blue]), np.uint8)))
    for plane, new in zip((y, u, v), made, strict=True):
        plane[:] = new
