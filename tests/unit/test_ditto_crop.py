"""The crop around a face: golden matrices, and what must hold for any face."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.ditto.crop import MARKS, crop_matrix, cut, inverse, moved
from studio.engines.ditto.types import Floats
from studio.errors import BadPortrait
from tests.unit.ditto_faces import landmarks


def test_crop_equals_the_golden_matrices(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    for padded, args, matrix, small in zip(
        units["crop_pts"], units["crop_args"], units["crop_M_o2c"], units["crop_out_area56"], strict=True
    ):
        count, size = int(args[0]), int(args[1])
        found = crop_matrix(padded[:count], size, float(args[2]), float(args[3]), bool(args[4]))
        assert np.abs(found - matrix).max() < 1e-4
        crop = cv2.resize(cut(units["crop_img"], found, size), (56, 56), interpolation=cv2.INTER_AREA)
        assert np.abs(crop.astype(int) - small).max() <= 1


@settings(max_examples=30, deadline=None)
@given(st.sampled_from((106, 203)), st.floats(-3, 3), st.floats(20, 400), st.floats(1, 3), st.floats(-0.3, 0.3))
def test_crop_turns_the_face_upright_and_holds_it(
    count: int, angle: float, size: float, scale: float, vy: float
) -> None:
    points = landmarks(count, angle, size, (300, 200))
    there = moved(points, crop_matrix(points, 512, scale, vy, rotate=True))
    low, high = there.min(axis=0), there.max(axis=0)
    assert float((high - low).max()) == pytest.approx(512 / scale, rel=1e-3)
    assert float((low[0] + high[0]) / 2) == pytest.approx(256, abs=0.5)
    assert float((low[1] + high[1]) / 2) == pytest.approx(256 - vy * 512, abs=0.5)
    marks = MARKS[count]
    eyes = there[list(marks.left_eye + marks.right_eye)].mean(axis=0)
    lips = there[list(marks.lips)].mean(axis=0)
    assert abs(float(lips[0] - eyes[0])) < 1
    assert lips[1] > eyes[1]


@settings(max_examples=20, deadline=None)
@given(st.floats(-3, 3), st.floats(20, 400), st.booleans())
def test_inverse_leads_back(angle: float, size: float, rotate: bool) -> None:
    points = landmarks(203, angle, size, (500, 600))
    matrix = crop_matrix(points, 224, 1.5, -0.1, rotate)
    assert np.abs(moved(moved(points, matrix), inverse(matrix)) - points).max() < 0.01


def test_crop_without_rotation_has_no_turn() -> None:
    matrix = crop_matrix(landmarks(203, 0.7, 100, (200, 200)), 512, 2.3, -0.125, rotate=False)
    assert matrix[0, 1] == matrix[1, 0] == 0
    assert matrix[0, 0] == matrix[1, 1] > 0


@pytest.mark.parametrize("points", [np.zeros((203, 2)), np.full((106, 2), np.nan), np.full((203, 2), np.inf)])
def test_crop_of_landmarks_without_area_is_refused(points: Floats) -> None:
    with pytest.raises(BadPortrait, match="cannot be measured"), np.errstate(invalid="ignore"):
        crop_matrix(points.astype(np.float32), 512, 2.3, -0.125, rotate=True)
