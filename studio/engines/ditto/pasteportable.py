"""The kernels of `paste` without numba: where it is not installed, and what the compiled ones are tested against."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.types import Bytes, Floats

SIDE = 512
REACH = 2
"""Pixels by which a bounding box is larger than the face's corners ask for."""


def room() -> Floats:
    """Return room for the three planes of a face, in the form in which `spread` writes and `draw` reads them."""
    return np.empty((3, SIDE, SIDE), np.float32)


def weights(mask: Floats) -> Floats:
    """Return a mask (512, 512) 0..1 in the form in which `draw` reads it."""
    return mask


def spread(face: Floats, factors: Floats, out: Floats) -> None:
    """Write a face (3, 512, 512) 0..1, clipped, as planes 0..255 of another kind of colour.

    Args:
        face: What the decoder gave.
        factors: (3, 4): of red, green and blue as 0..255, and a constant, for each plane.
        out: See `room`.
    """
    colours = np.clip(face * np.float32(255), 0, 255).reshape(3, -1)
    np.matmul(factors[:, :3], colours, out=out.reshape(3, -1))
    out += factors[:, 3, None, None]


def draw(plane: Floats, mask: Floats, back: NDArray[np.float64], bias: float, out: Bytes) -> None:
    """Make a plane of a frame weight * face + (1 - weight) * plane + bias without its fraction, where the face lies.

    Args:
        plane: One plane of a face, see `spread`.
        mask: See `weights`; 0 at its edges and, but for them, 1.
        back: (2, 3): pixels of the frame's plane -> pixels of the face.
        bias: 0..1.
        out: (H, W) without gaps in memory, changed where the mask is not 0.
    """
    rows, columns = box(back, *out.shape)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return
    target = out[rows, columns]
    shifted = back + np.outer(back[:, 0], [0, 0, columns.start]) + np.outer(back[:, 1], [0, 0, rows.start])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    colour, weight = (cv2.warpAffine(one, shifted, target.shape[::-1], flags=flags) for one in (plane, mask))
    mixed = blend(np.asarray(weight), np.asarray(colour), target, bias)
    np.copyto(target, mixed, where=np.asarray(weight) > 0)


def blend(weight: Floats, colour: Floats, plane: Bytes, bias: float = 0.0) -> Bytes:
    """Return weight * colour + (1 - weight) * plane + bias, saturated, without its fraction; all (h, w)."""
    mixed = weight * colour + (np.float32(1) - weight) * plane + np.float32(bias)
    return np.asarray(np.clip(mixed, 0, 255).astype(np.uint8))


def box(back: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice]:
    """Return the rows and columns that a face can touch; one is empty where it lies outside."""
    corners = np.array([[0, 0], [SIDE, 0], [0, SIDE], [SIDE, SIDE]]) - back[:, 2]
    places = np.linalg.solve(back[:, :2], corners.T)
    low = np.clip(np.floor(places.min(axis=1)) - REACH, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(places.max(axis=1)) + REACH, 0, (width, height)).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
