"""Scattered data to smooth fields: the linear radial basis function with smoothing, in numpy alone.

Knows nothing of faces. The system is factored once; every further right-hand side costs one product.

Method: Wahba 1990, "Spline Models for Observational Data", with the kernel -r and a constant; unlike a thin plate it
hardly overshoots its neighbours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]
Double = NDArray[np.float64]

CHUNK = 2048
"""Places evaluated at once: their distances to a thousand points stay within the cache."""


class Interpolator:
    """The linear interpolation operator of a set of points.

    Args:
        points: (n, 2) distinct positions.
        smoothing: Added to the kernel's diagonal, one for all or (n,) in the unit of ``points``; 0 passes through every
            value, more lets close neighbours agree.
    """

    def __init__(self, points: Double, smoothing: float | Double) -> None:
        n = len(points)
        system = np.ones((n + 1, n + 1))
        system[:n, :n] = np.diag(np.broadcast_to(smoothing, n)) - np.linalg.norm(points[:, None] - points[None], axis=2)
        system[n, n] = 0.0
        self._points = points.astype(np.float32)
        self._inverse = np.linalg.inv(system)[:, :n]

    def at(self, places: Float, values: Double) -> Float:
        """Return the field at ``places``.

        Args:
            places: (m, 2) float32.
            values: (n, k) the value of each of k fields at the points.

        Returns:
            (m, k) float32.
        """
        weights = (self._inverse @ values).astype(np.float32)
        rows = []
        for start in range(0, len(places), CHUNK):
            part = places[start : start + CHUNK]
            dx = part[:, :1] - self._points[:, 0]
            dy = part[:, 1:] - self._points[:, 1]
            rows.append(weights[-1] - np.sqrt(dx * dx + dy * dy) @ weights[:-1])
        return np.concatenate(rows)


def merge(points: Double, values: Double, distance: float) -> tuple[Double, Double, NDArray[np.intp]]:
    """Melt points closer than ``distance`` into their mean, so that the system stays solvable.

    Args:
        points: (n, 2).
        values: (n, ...) averaged alike.
        distance: In the unit of ``points``.

    Returns:
        The points (m, 2), their values (m, ...), and for each old point the index (n,) of its new one.
    """
    owner = np.full(len(points), -1)
    count = 0
    for i, point in enumerate(points):
        if owner[i] < 0:
            near = (owner < 0) & (np.linalg.norm(points - point, axis=1) < distance)
            owner[near] = count
            count += 1
    share = np.zeros((count, len(points)))
    share[owner, np.arange(len(points))] = 1.0
    share /= share.sum(1, keepdims=True)
    return share @ points, np.tensordot(share, values, 1), owner
