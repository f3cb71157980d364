from __future__ import annotations

import numpy as np
import pytest

from studio.engines.portrait.eyes import Gaze, PhotoEye, between, load_eye, save_eye
from studio.engines.portrait.lids import photo_eyes
from studio.engines.portrait.renderer import i420, planes
from tests.unit.portrait_fixtures import SCALE, source


@pytest.fixture(scope="module")
def eyes() -> tuple[PhotoEye, PhotoEye]:
    there = source()
    return photo_eyes(*planes(i420(there.rgb)), there.landmarks, SCALE)


def test_open_eye_is_the_photo(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    y = planes(i420(source().rgb))[0]
    for eye in eyes:
        x0, y0, x1, y1 = eye.box
        assert np.array_equal(eye.tile(0, 0, 0)[0], y[y0:y1, x0:x1])


def test_lid_covers_the_iris(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    for eye, x in zip(eyes, (210, 302), strict=True):
        place = 246 - eye.box[1], x - eye.box[0]
        assert int(eye.tile(1, 0, 0)[0][place]) > int(eye.tile(0, 0, 0)[0][place]) + 40


def test_lid_leaves_the_border_alone(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    for eye in eyes:
        change = np.abs(eye.tile(1, 0, 0)[0].astype(int) - eye.y)
        assert max(change[[0, -1]].max(), change[:, [0, -1]].max()) <= 2


def test_gaze_moves_the_iris_and_not_the_lids(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    eye = eyes[0]
    change = np.abs(eye.tile(0, 1.2, 0)[0].astype(int) - eye.y)
    assert change.max() > 40 and change[0].max() == 0


def test_gaze_repaints_only_what_changed(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    gaze = Gaze(eyes)
    assert gaze.changed((0.0, 0.0), 0, 0) == []
    assert [box for box, _ in gaze.changed((0.5, 0.0), 0, 0)] == [eyes[0].box]
    assert len(gaze.changed((0.5, 0.0), 1.0, 0)) == 2
    assert gaze.changed((0.5, 0.001), 1.0, 0) == []


def test_atlas_between_tiles_is_their_mix() -> None:
    tiles = np.array([[[[0]], [[100]]], [[[200]], [[100]]]], np.uint8)
    assert (
        between(tiles, 0, 1)[0, 0] == 100 and between(tiles, 0.5, 0)[0, 0] == 100 and between(tiles, 0, 0.5)[0, 0] == 50
    )


def test_eye_comes_back_as_it_was_saved(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    back = load_eye(save_eye(eyes[1]))
    assert isinstance(back, PhotoEye) and np.array_equal(back.tile(0.6, 0.5, 0)[0], eyes[1].tile(0.6, 0.5, 0)[0])


def test_damaged_eye_is_refused(eyes: tuple[PhotoEye, PhotoEye]) -> None:
    arrays = save_eye(eyes[0])
    with pytest.raises(ValueError, match="eye"):
        load_eye({**arrays, "u": arrays["y"]})
    with pytest.raises(KeyError):
        load_eye({name: a for name, a in arrays.items() if name != "kept"})
    drawn = {"place": np.array([0, 0, 600, 2]), "y": np.zeros((3, 1, 2, 600), np.uint8)}
    with pytest.raises(ValueError, match="box"):
        load_eye({**drawn, "u": np.zeros((3, 1, 1, 300), np.uint8), "v": np.zeros((3, 1, 1, 300), np.uint8)})
