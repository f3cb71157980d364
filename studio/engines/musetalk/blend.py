"""Putting a generated face back into its frame as upstream does, in BGR and whole numbers: the measure for `paste`."""

from __future__ import annotations

import cv2
import numpy as np

from studio.engines.musetalk.types import Box, Bytes


def fitted(face: Bytes, box: Box) -> Bytes:
    """Return the face (256, 256, 3) at the size of its box."""
    x0, y0, x1, y1 = box
    return np.asarray(cv2.resize(face, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR), np.uint8)


def mixed(below: Bytes, above: Bytes, mask: Bytes) -> Bytes:
    """Return ``above`` where the mask is 255 and ``below`` where it is 0; one shape, any.

    Formula: a / 255 rounded, without a division: (t + (t >> 8)) >> 8 of t = a + 128 (Blinn 1994).
    """
    weight = mask.astype(np.int32)
    t = below * (255 - weight) + above * weight + 128
    return np.asarray((t + (t >> 8)) >> 8, np.uint8)


def pasted(picture: Bytes, face: Bytes, box: Box, crop: Box, mask: Bytes) -> Bytes:
    """Return the frame with the face in its box; outside the box nothing changes.

    Args:
        picture: (H, W, 3) BGR; left untouched.
        face: (256, 256, 3) BGR.
        box: The face box; what leaves the picture is left out.
        crop: The crop box.
        mask: (h, w) of the crop box.
    """
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    result = picture.copy()
    if x0 >= x1 or y0 >= y1:
        return result
    above = fitted(face, box)[y0 - box[1] : y1 - box[1], x0 - box[0] : x1 - box[0]]
    weight = mask[y0 - crop[1] : y1 - crop[1], x0 - crop[0] : x1 - crop[0], None]
    result[y0:y1, x0:x1] = mixed(picture[y0:y1, x0:x1], above, weight)
    return result
