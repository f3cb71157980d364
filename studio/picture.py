"""I420 planes: from and to RGB, resize, thumbnail. BT.601 limited range; (H * 3 // 2, W) uint8, H and W even.

Knows OpenCV, nothing of av, engines or time.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Rgb = NDArray[np.uint8]


def size(picture: Picture) -> tuple[int, int]:
    """Return width and height in pixels of an I420 picture."""
    return picture.shape[1], picture.shape[0] * 2 // 3


def from_rgb(rgb: Rgb) -> Picture:
    """Convert (H, W, 3) RGB to I420.

    Raises:
        ValueError: Odd width or height.
    """
    if rgb.shape[0] % 2 or rgb.shape[1] % 2:
        raise ValueError(f"I420 needs even sides, not {rgb.shape[1]} x {rgb.shape[0]}")
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)


def to_rgb(picture: Picture) -> Rgb:
    """Convert I420 to (H, W, 3) RGB."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_YUV2RGB_I420), np.uint8)


def scaled(picture: Picture, factor: float) -> tuple[int, int]:
    """Return even width and height of the picture made ``factor`` times as large."""
    width, height = (max(2, round(side * factor / 2) * 2) for side in size(picture))
    return width, height


def planes(picture: Picture) -> tuple[Picture, Picture, Picture]:
    """Return views of Y (H, W), U and V (H // 2, W // 2)."""
    width, height = size(picture)
    chroma = picture[height:].reshape(2, height // 2, width // 2)
    return picture[:height], chroma[0], chroma[1]


def scale(picture: Picture, width: int, height: int) -> Picture:
    """Return the picture resized plane by plane (area averaging when it shrinks).

    Raises:
        ValueError: Odd width or height.
    """
    if width % 2 or height % 2:
        raise ValueError(f"I420 needs even sides, not {width} x {height}")
    if size(picture) == (width, height):
        return picture
    shrinks = width < picture.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    result = np.empty((height * 3 // 2, width), np.uint8)
    for source, target in zip(planes(picture), planes(result), strict=True):
        target[:] = cv2.resize(source, (target.shape[1], target.shape[0]), interpolation=how)
    return result


def blend(below: Picture, above: Picture, weight: float) -> Picture:
    """Return ``above`` laid over ``below``; ``weight`` 0..1 of ``above``."""
    return np.asarray(cv2.addWeighted(above, weight, below, 1 - weight, 0), np.uint8)


def jpeg(picture: Picture, quality: int = 85) -> bytes:
    """Return the picture as JPEG; quality 1..100."""
    return _jpeg(cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420), quality)


def thumbnail(picture: Picture, side: int = 256) -> bytes:
    """Return the centre square as a JPEG of ``side`` pixels."""
    return _jpeg(_square(picture, side), 85)


def moving_thumbnail(pictures: Iterable[Picture], durations_ms: Iterable[int], side: int = 160) -> bytes:
    """Return the centre squares as an endless animated WebP of ``side`` pixels, each shown for its milliseconds."""
    animation = cv2.Animation()
    animation.frames = [_square(picture, side) for picture in pictures]
    animation.durations = list(durations_ms)
    done, data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, 70])
    assert done
    return bytes(data)


def _square(picture: Picture, side: int) -> NDArray[np.integer | np.floating]:
    """Return the centre square, (side, side, 3) BGR."""
    bgr = cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420)
    edge = min(bgr.shape[:2])
    top, left = (bgr.shape[0] - edge) // 2, (bgr.shape[1] - edge) // 2
    return cv2.resize(bgr[top : top + edge, left : left + edge], (side, side), interpolation=cv2.INTER_AREA)


def _jpeg(bgr: NDArray[np.integer | np.floating], quality: int) -> bytes:
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)
