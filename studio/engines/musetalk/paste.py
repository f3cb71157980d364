"""A generated face into an I420 frame, on the face box alone, and there only where the mask lets anything through.

Up to rounding this is `blend.pasted` and a conversion, at a fraction of the work: whole frames are only ever copied.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.engines.musetalk.blend import fitted
from studio.engines.musetalk.types import Box, Bytes

Weights = NDArray[np.uint16]


def paste(base: Bytes, face: Bytes, box: Box, mask: Bytes, share: float = 1.0) -> Bytes:
    """Return a new frame with the face in it.

    Args:
        base: (H * 3 // 2, W) I420; left untouched.
        face: (256, 256, 3) BGR.
        box: The face box, inside the frame.
        mask: (h, w) of the box; 255 is the face.
        share: 0..1, how much of the face is seen; 0 gives the frame as it is.
    """
    result = np.array(base)
    rows, columns = _reach(mask)
    if share <= 0 or rows.start >= rows.stop:
        return result
    x0, y0 = box[0] + columns.start, box[1] + rows.start
    x1, y1 = box[0] + columns.stop, box[1] + rows.stop
    # Chroma has one value for four pixels: the patch begins and ends at even places, and its surplus edge is masked.
    surplus = (y0 & 1, y1 & 1, x0 & 1, x1 & 1)
    above = _i420(_bordered(fitted(face, box)[rows, columns], surplus, cv2.BORDER_REPLICATE))
    weight = _weights(_bordered(mask[rows, columns], surplus, cv2.BORDER_CONSTANT), share)
    coarse = weight[::2, ::2]  # OpenCV takes the chroma of four pixels from the first
    left, top = x0 - surplus[2], y0 - surplus[0]
    planes = zip(picture.planes(result), picture.planes(above), (weight, coarse, coarse), (1, 2, 2), strict=True)
    for below, new, share_of, size in planes:
        part = below[top // size :, left // size :][: new.shape[0], : new.shape[1]]
        _mix(part, new, np.asarray(share_of, np.uint16))
    return result


def _reach(mask: Bytes) -> tuple[slice, slice]:
    """Return the rows and columns of a mask between the first and the last that are not zero."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _bordered(patch: Bytes, surplus: tuple[int, int, int, int], kind: int) -> Bytes:
    return np.asarray(cv2.copyMakeBorder(patch, *surplus, kind), np.uint8) if any(surplus) else patch


def _i420(bgr: Bytes) -> Bytes:
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420), np.uint8)


def _weights(mask: Bytes, share: float) -> Bytes:
    return mask if share >= 1 else np.asarray(cv2.convertScaleAbs(mask, alpha=share), np.uint8)


def _mix(below: Bytes, above: Bytes, weight: Weights) -> None:
    """Do `blend.mixed` in place; no step leaves 16 bits."""
    t = below * (np.uint16(255) - weight)
    t += above * weight
    t += np.uint16(128)
    t += t >> np.uint16(8)
    np.copyto(below, t >> np.uint16(8), casting="unsafe")
