"""Where the network's picture replaces the film's: from the labels of a face parser to a soft mask.

Pictures are BGR. Specification 5.6; labels are those of CelebAMask-HQ.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from studio.engines.musetalk.resample import resize
from studio.engines.musetalk.types import Box, Bytes, Floats, ParsingMode, Rules

SIDE = 512
"""Of the parser's picture in pixels."""
REALTIME_BLUR = 0.1
"""Kernel over the crop's width, in upstream's real-time script."""
OFFLINE_BLUR = 0.05
"""The same in its offline script."""
SKIN, NOSE, NECK = 1, 10, 14
MOUTH = (11, 12, 13)
"""Inside of the mouth, upper lip, lower lip."""
_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def crop_box(face: Box, expand: float = 1.5) -> Box:
    """Return the square around a face box; it may leave the picture."""
    x0, y0, x1, y1 = face
    x, y = (x0 + x1) // 2, (y0 + y1) // 2
    half = int(max(x1 - x0, y1 - y0) // 2 * expand)
    return x - half, y - half, x + half, y + half


def cut(picture: Bytes, box: Box) -> Bytes:
    """Return the part of a picture (H, W, ...) that lies in ``box``, black where the box leaves it."""
    x0, y0, x1, y1 = box
    height, width = picture.shape[:2]
    part = np.zeros((y1 - y0, x1 - x0, *picture.shape[2:]), np.uint8)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left < right and top < bottom:
        part[top - y0 : bottom - y0, left - x0 : right - x0] = picture[top:bottom, left:right]
    return part


def parser_input(crop: Bytes) -> Floats:
    """Return what the face parser sees of a crop (h, w, 3) BGR: (1, 3, 512, 512) RGB, ImageNet's mean and deviation."""
    rgb = resize(np.ascontiguousarray(crop[..., ::-1]), SIDE, SIDE, "bilinear").astype(np.float32) / np.float32(255)
    normal = (rgb - _MEAN) / _DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None])


def talking_area(logits: Floats, rules: Rules) -> Bytes:
    """Return what may move, 0 or 255, (512, 512).

    Args:
        logits: (19, 512, 512), the parser's output.
        rules: Mode and cheeks.
    """
    labels = logits.argmax(axis=0)
    if rules.parsing_mode == "jaw":
        skin = _jaw((labels == SKIN).astype(np.uint8), rules.left_cheek_width, rules.right_cheek_width)
        area = ((skin > 0) & (labels != NOSE)) | np.isin(labels, MOUTH)
    else:
        area = np.isin(labels, _LABELS[rules.parsing_mode])
    return np.asarray(area * 255, np.uint8)


def soft_mask(area: Bytes, face: Box, crop: Box, upper_boundary_ratio: float, blur: float = REALTIME_BLUR) -> Bytes:
    """Return the mask (h, w) of a crop box: cut to the lower part of the face box, then blurred.

    Args:
        area: (512, 512) as of `talking_area`.
        face: The face box.
        crop: The crop box.
        upper_boundary_ratio: 0..1, part of the crop from its top that is left out.
        blur: `REALTIME_BLUR` or `OFFLINE_BLUR`.
    """
    width, height = crop[2] - crop[0], crop[3] - crop[1]
    x0, y0, x1, y1 = face[0] - crop[0], face[1] - crop[1], face[2] - crop[0], face[3] - crop[1]
    top = max(y0, int(height * upper_boundary_ratio), 0)
    mask = np.zeros((height, width), np.uint8)
    inside = slice(top, max(y1, 0)), slice(max(x0, 0), max(x1, 0))
    mask[inside] = resize(area, width, height, "bicubic")[inside]
    side = int(blur * width // 2 * 2) + 1
    return np.asarray(cv2.GaussianBlur(mask, (side, side), 0), np.uint8)


def _jaw(skin: Bytes, left: int, right: int) -> Bytes:
    """Grow the skin over gaps and edges, but take it back at the cheeks, where hair and background are."""
    grown = cv2.dilate(skin, jaw_kernel())
    eroded = cv2.erode(grown, cheek_kernel(), iterations=2)
    return np.where(cheek_columns(left, right), eroded, grown).astype(np.uint8)


@cache
def jaw_kernel() -> Bytes:
    """Return the dilation kernel (33, 33): a triangle over a block; skin grows 16 pixels upwards and 6 downwards."""
    kernel = np.zeros((33, 33), np.uint8)
    for row in range(10, 21):
        kernel[row, 16 - (row - 10) : 16 + (row - 10) + 1] = 1
    kernel[21:, 6:27] = 1
    return kernel


@cache
def cheek_kernel() -> Bytes:
    """Return the erosion kernel (3, 35)."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (35, 3)), np.uint8)


def cheek_columns(left: int, right: int) -> Bytes:
    """Return 1 in the columns (512,) that count as cheeks, 0 elsewhere."""
    column = np.arange(SIDE)
    return ((column <= SIDE // 2 - left) | (column >= SIDE // 2 + right)).astype(np.uint8)


_LABELS: dict[ParsingMode, tuple[int, ...]] = {"raw": (SKIN, *MOUTH), "neck": (SKIN, *MOUTH, NECK)}
