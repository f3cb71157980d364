from __future__ import annotations

import numpy as np
import pytest

from studio.engines.musetalk import blend, masks
from studio.engines.musetalk.resample import resize
from studio.engines.musetalk.types import ParsingMode, Rules


def labelled(*areas: tuple[int, slice, slice]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    logits = np.zeros((19, 512, 512), np.float32)
    logits[0] = 0.5
    for label, rows, columns in areas:
        logits[label, rows, columns] = 1 + label
    return logits


def test_resizing_keeps_flat_pictures_flat() -> None:
    flat = np.full((31, 47, 3), 77, np.uint8)
    for width, height in ((10, 90), (100, 12), (47, 31)):
        made = resize(flat, width, height, "bicubic")
        assert made.shape == (height, width, 3) and np.all(made == 77)


def test_shrinking_averages_everything() -> None:
    stripes = np.zeros((8, 8), np.uint8)
    stripes[:, ::2] = 200
    assert np.all(np.abs(resize(stripes, 2, 2, "bilinear").astype(int) - 100) <= 15)


def test_crop_box_is_a_square_around_the_face() -> None:
    assert masks.crop_box((105, 86, 244, 296)) == (17, 34, 331, 348)


def test_cut_is_black_outside() -> None:
    part = masks.cut(np.full((10, 10, 3), 9, np.uint8), (-2, 5, 4, 13))
    assert part.shape == (8, 6, 3)
    assert not part[:, :2].any() and not part[5:].any() and np.all(part[:5, 2:] == 9)
    assert not masks.cut(np.ones((4, 4), np.uint8), (9, 9, 12, 12)).any()


@pytest.mark.parametrize(("mode", "sees_neck"), [("raw", False), ("neck", True), ("jaw", False)])
def test_modes_choose_labels(mode: ParsingMode, sees_neck: bool) -> None:
    neck, mouth, nose = slice(460, 500), slice(300, 320), slice(240, 260)
    middle = slice(200, 312)
    logits = labelled((1, slice(100, 400), middle), (14, neck, middle), (11, mouth, middle), (10, nose, middle))
    area = masks.talking_area(logits, Rules(parsing_mode=mode))
    assert area[310, 256] == 255
    assert bool(area[490, 256]) is sees_neck
    assert not area[250, 256], "the nose stays"


def test_jaw_mode_grows_the_skin() -> None:
    area = masks.talking_area(labelled((1, slice(100, 400), slice(100, 400))), Rules())
    assert area[404, 256] and area[86, 256] and not area[410, 256] and not area[80, 256]


def test_mask_is_zero_above_the_boundary_and_soft_at_its_edge() -> None:
    full = np.full((512, 512), 255, np.uint8)
    face = (100, 100, 200, 220)
    crop = masks.crop_box(face)
    mask = masks.soft_mask(full, face, crop, 0.5)
    assert mask.shape == (crop[3] - crop[1], crop[2] - crop[0])
    assert not mask[: mask.shape[0] // 2 - 10].any()
    middle = mask[face[3] - crop[1] - 30, mask.shape[1] // 2]
    assert middle > 200 and len(np.unique(mask)) > 20
    sharper = masks.soft_mask(full, face, crop, 0.5, masks.OFFLINE_BLUR)
    assert np.abs(np.diff(sharper.astype(int), axis=0)).max() > np.abs(np.diff(mask.astype(int), axis=0)).max()


def test_mixing_rounds_the_true_average() -> None:
    below, above, mask = (grid.astype(np.uint8) for grid in np.meshgrid([0, 7, 255], [0, 100, 255], np.arange(256)))
    true = (below * (255.0 - mask) + above * (mask * 1.0)) / 255
    assert np.abs(blend.mixed(below, above, mask) - true).max() <= 0.5


@pytest.mark.parametrize("box", [(5, 6, 45, 56), (-9, -7, 30, 40), (40, 30, 75, 80), (200, 200, 240, 240)])
def test_nothing_changes_outside_the_face_box(box: tuple[int, int, int, int]) -> None:
    picture = np.full((60, 64, 3), 50, np.uint8)
    crop = masks.crop_box(box)
    mask = np.full((crop[3] - crop[1], crop[2] - crop[0]), 255, np.uint8)
    made = blend.pasted(picture, np.full((256, 256, 3), 200, np.uint8), box, crop, mask)
    expected = picture.copy()
    expected[max(box[1], 0) : max(box[3], 0), max(box[0], 0) : max(box[2], 0)] = 200
    assert np.array_equal(made, expected)
    assert np.all(picture == 50)
