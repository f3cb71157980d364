"""The eyes' features: golden arrays, turned squares, blinking meshes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.ditto import eyes
from studio.engines.ditto.types import Floats
from tests.unit.test_ditto_detect import Saying


def test_detection_equals_the_golden_one(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    assert np.abs(eyes.anchors() - units["blaze_anchors"]).max() < 1e-6
    found = eyes.faces({"regressors": units["blaze_reg"], "classificators": units["blaze_cls"]})
    assert np.abs(found - units["blaze_out"]).max() < 3e-4


def test_mesh_and_features_equal_the_golden_ones(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    for (x, y, side, _, angle), expected in zip(units["roi"], units["mesh_out"], strict=True):
        square = eyes.Square(float(x), float(y), float(side), float(angle))
        assert np.abs(eyes.restored(units["mesh_in"], square) - expected).max() < 1e-4
    for mesh, opened, ball in zip(units["eye_lmk"], units["eye_open"], units["eye_ball"], strict=True):
        found = eyes.features(mesh)
        assert np.abs(found[0] - opened).max() < 1e-5
        assert np.abs(found[1] - ball).max() < 1e-5


def test_overlapping_detections_melt_by_score() -> None:
    rows = np.zeros((3, 17), np.float32)
    rows[:, :4] = [[0, 0, 40, 40], [4, 0, 44, 40], [90, 90, 120, 120]]
    rows[:, 16] = (0.5, 1.0, 0.7)
    found = eyes.melted(rows)
    assert found.shape == (2, 17)
    assert np.allclose(found[0, :4], np.array([4 * 2 / 3, 0, 40 + 4 * 2 / 3, 40]), atol=1e-5)
    assert found[0, 16] == pytest.approx(0.75)


def test_no_face_gives_no_mesh() -> None:
    outputs = {
        "regressors": np.zeros((1, 896, 16), np.float32), "classificators": np.full((1, 896, 1), -9, np.float32),
    }  # fmt: skip
    assert eyes.mesh_of(np.zeros((512, 512, 3), np.uint8), Saying(**outputs), Saying()) is None


@settings(max_examples=30, deadline=None)
@given(st.floats(0.2, 0.8), st.floats(0.2, 0.8), st.floats(0.2, 1.5), st.floats(-3.1, 3.1))
def test_square_is_cut_where_points_come_back_from(x: float, y: float, side: float, angle: float) -> None:
    """A bright spot lies in the mesh's picture where the way back says that it does."""
    square = eyes.Square(x, y, side, angle)
    spot = eyes.restored(np.array([[128, 128, 0], [170, 100, 0]], np.float32), square)[1]
    rgb = np.zeros((512, 512, 3), np.uint8)
    column, row = (round(float(n) * 512) for n in spot[:2])
    if not (3 <= column < 509 and 3 <= row < 509):
        return
    rgb[row - 2 : row + 3, column - 2 : column + 3] = 255
    seen = eyes.cut_square(rgb, square)[0, :, :, 0]
    at = np.unravel_index(int(seen.argmax()), seen.shape)
    assert abs(int(at[1]) - 170) <= 4 / side + 2
    assert abs(int(at[0]) - 100) <= 4 / side + 2


def mesh(open_by: float, look: float) -> Floats:
    """Return a mesh with two eyes of width 0.1, lids ``open_by`` apart, irises moved by ``look`` to the right."""
    points = np.zeros((478, 3), np.float32)
    for eye, middle, direction in zip(eyes.EYES, (0.3, 0.7), (-1, 1), strict=True):
        points[eye.outer] = (middle + 0.05 * direction, 0.4, 0)
        points[eye.inner] = (middle - 0.05 * direction, 0.4, 0)
        for upper, lower in eye.lids:
            points[upper], points[lower] = (middle, 0.4 - open_by / 2, 0), (middle, 0.4 + open_by / 2, 0)
        points[eye.iris] = (middle + look, 0.4, 0)
    return points


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.05))
def test_openness_is_three_lids_over_width(open_by: float) -> None:
    opened, _ = eyes.features(mesh(open_by, 0.0))
    assert opened == pytest.approx([30 * open_by] * 2, abs=1e-4)


def test_gaze_is_told_by_eye_and_axis() -> None:
    _, ball = eyes.features(mesh(0.02, 0.02))
    assert ball.shape == (6,)
    # Left: looking away from the outer corner doubles the direction; right: towards it cancels.
    assert ball == pytest.approx([0.04, 0, 0, 0, 0, 0], abs=1e-6)
