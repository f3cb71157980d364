from __future__ import annotations

import cv2
import numpy as np
import pytest

from studio import picture


def gradient(width: int, height: int) -> picture.Rgb:
    y, x = np.mgrid[:height, :width]
    return np.stack((x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)), -1).astype(np.uint8)


def test_size_and_planes() -> None:
    i420 = picture.from_rgb(gradient(64, 48))
    assert i420.shape == (72, 64) and picture.size(i420) == (64, 48)
    y, u, v = picture.planes(i420)
    assert (y.shape, u.shape, v.shape) == ((48, 64), (24, 32), (24, 32))
    assert np.shares_memory(u, i420) and np.shares_memory(v, i420)


def test_rgb_and_back_is_close() -> None:
    rgb = gradient(64, 48)
    error = np.abs(picture.to_rgb(picture.from_rgb(rgb)).astype(int) - rgb)
    assert np.percentile(error, 95) <= 6


def test_range_is_limited() -> None:
    white = picture.from_rgb(np.full((4, 4, 3), 255, np.uint8))
    black = picture.from_rgb(np.zeros((4, 4, 3), np.uint8))
    assert white[:4].max() == 235 and black[:4].min() == 16
    assert set(white[4:].ravel()) == {128}


@pytest.mark.parametrize("shape", [(3, 4, 3), (4, 3, 3)])
def test_odd_sides_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="even sides"):
        picture.from_rgb(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="even sides"):
        picture.scale(np.zeros((6, 4), np.uint8), shape[1], shape[0])


@pytest.mark.parametrize("side", [32, 64, 128])
def test_scale_keeps_the_picture(side: int) -> None:
    i420 = picture.from_rgb(gradient(64, 64))
    scaled = picture.scale(i420, side, side)
    assert picture.size(scaled) == (side, side)
    expected = cv2.resize(gradient(64, 64), (side, side), interpolation=cv2.INTER_AREA)
    assert np.abs(picture.to_rgb(scaled).astype(int) - expected).mean() < 4


def test_moving_thumbnail_holds_every_picture() -> None:
    pictures = [picture.from_rgb(np.roll(gradient(64, 48), shift, axis=1)) for shift in (0, 16, 32)]
    read, animation = cv2.imdecodeanimation(
        np.frombuffer(picture.moving_thumbnail(pictures, [120, 120, 40], 32), np.uint8)
    )
    assert read
    assert [frame.shape[:2] for frame in animation.frames] == [(32, 32)] * 3
    assert list(animation.durations) == [120, 120, 40]
    assert animation.loop_count == 0


def test_jpegs_are_jpegs() -> None:
    i420 = picture.from_rgb(gradient(64, 48))
    assert picture.jpeg(i420)[:2] == b"\xff\xd8"
    thumb = cv2.imdecode(np.frombuffer(picture.thumbnail(i420, 32), np.uint8), cv2.IMREAD_COLOR)
    assert thumb is not None and thumb.shape == (32, 32, 3)
    assert thumb[16, 28, 2] > thumb[16, 4, 2]  # red grows to the right: channels in order
