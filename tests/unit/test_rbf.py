from __future__ import annotations

import numpy as np

from studio.engines.portrait.rbf import Interpolator, merge

POINTS = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [4, 6]])


def test_interpolator_without_smoothing_passes_through_every_value() -> None:
    values = np.random.default_rng(0).normal(size=(len(POINTS), 3))
    assert np.allclose(Interpolator(POINTS, 0).at(POINTS.astype(np.float32), values), values, atol=1e-4)


def test_interpolator_of_a_constant_is_constant() -> None:
    places = np.random.default_rng(1).uniform(-20, 40, (5000, 2)).astype(np.float32)
    field = Interpolator(POINTS, np.linspace(0, 2, len(POINTS))).at(places, np.full((len(POINTS), 1), 7.0))
    assert np.allclose(field, 7.0, atol=1e-3)


def test_interpolator_with_smoothing_lets_neighbours_agree() -> None:
    points, values = np.array([[0.0, 0], [1, 0], [50, 0]]), np.array([[0.0], [1], [0]])
    rough, smooth = (Interpolator(points, s).at(points[:2].astype(np.float32), values) for s in (0, 5))
    assert abs(smooth[1, 0] - smooth[0, 0]) < 0.3 * abs(rough[1, 0] - rough[0, 0])


def test_merge_melts_close_points_into_their_mean() -> None:
    points = np.array([[0.0, 0], [0.2, 0], [5, 5]])
    merged, values, owner = merge(points, np.array([[1.0], [3], [9]]), 0.6)
    assert np.allclose(merged, np.array([[0.1, 0.0], [5.0, 5.0]])) and np.allclose(values[:, 0], (2, 9))
    assert owner.tolist() == [0, 0, 1]
