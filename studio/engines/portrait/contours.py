"""The inner contours of the lips: where the picture is cut between the two fields.

Knows landmarks at rest only; how contours move is sampled from the fields by `bases`.

Methods: cubic interpolation, de Boor 1978, "A Practical Guide to Splines"; monotone cubics, Fritsch and Butland 1984.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.anatomy import LOWER_LIP, UPPER_LIP, Face
from studio.engines.portrait.rig import CONTOUR_POINTS

Double = NDArray[np.float64]

RETREAT = 1.0
"""Pixels by which contours of parted lips withdraw into the lips, so that no bright fringe of teeth stays on them."""
JOINED = 8
"""Points at either end over which the two contours grow together."""
JOINED_CLOSING = 3
"""The same for `close`, which has to bring them together from apart."""


def spline_matrix(knots: int, samples: int) -> Double:
    """Return the operator (samples, knots) of the natural cubic through values at equal distances."""
    bend = np.eye(knots)
    force = np.zeros((knots, knots))
    for i in range(1, knots - 1):
        bend[i, i - 1 : i + 2] = 1.0, 4.0, 1.0
        force[i, i - 1 : i + 2] = 6.0, -12.0, 6.0
    curvature = np.linalg.solve(bend, force)
    at = np.linspace(0, knots - 1, samples)
    left = np.minimum(at.astype(int), knots - 2)
    b = (at - left)[:, None]
    a = 1 - b
    identity = np.eye(knots)
    straight = a * identity[left] + b * identity[left + 1]
    return np.asarray(straight + ((a**3 - a) * curvature[left] + (b**3 - b) * curvature[left + 1]) / 6)


def monotone(values: Double, samples: int) -> Double:
    """Return the monotone cubic (samples,) through ``values`` (knots,) at equal distances."""
    step = np.diff(values)
    same = step[:-1] * step[1:] > 0
    total = np.where(same, step[:-1] + step[1:], 1.0)
    inner = np.where(same, 2 * step[:-1] * step[1:] / total, 0.0)
    slope = np.concatenate([step[:1], inner, step[-1:]])
    at = np.linspace(0, len(values) - 1, samples)
    i = np.minimum(at.astype(int), len(values) - 2)
    u = at - i
    rise = u * u * (3 - 2 * u)
    tangents = slope[i] * u * (1 - u) ** 2 - slope[i + 1] * u * u * (1 - u)
    return np.asarray(values[i] + step[i] * rise + tangents)


def at_rest(face: Face) -> tuple[Double, Double]:
    """Return the inner contours of the upper and the lower lip, each (49, 2) px, left to right, with common ends.

    They coincide where the lips touch, and lie `RETREAT` px inside the lips if the source's lips are parted.
    """
    curves = [_curve(face.pixels[row[3]]) for row in (UPPER_LIP, LOWER_LIP)]
    upper, lower = curves
    upper[[0, -1]] = lower[[0, -1]] = (upper[[0, -1]] + lower[[0, -1]]) / 2
    crossed = lower[:, 1] < upper[:, 1]
    upper[crossed] = lower[crossed] = (upper[crossed] + lower[crossed]) / 2
    if face.parted:
        down = face.axes[:2, 1] / np.linalg.norm(face.axes[:2, 1])
        retreat = RETREAT * np.sqrt(np.sin(np.linspace(0, np.pi, CONTOUR_POINTS)).clip(0))[:, None] * down
        upper -= retreat
        lower += retreat
    return upper, lower


def _curve(knots: Double) -> Double:
    x = monotone(knots[:, 0], CONTOUR_POINTS)
    return np.stack([x, spline_matrix(len(knots), CONTOUR_POINTS) @ knots[:, 1]], 1)


def join_ends(upper: Double, lower: Double, joined: int = JOINED) -> tuple[Double, Double]:
    """Return the displacements (..., 49, 2) of both contours grown together over ``joined`` points at either end.

    The two fields differ a little at the corners; unjoined, a corner opens as a vertical step.
    """
    distance = np.minimum(np.arange(CONTOUR_POINTS), np.arange(CONTOUR_POINTS)[::-1])
    u = np.minimum(distance / joined, 1.0)
    half = (0.5 * (1 - u * u * (3 - 2 * u)))[:, None]
    return upper + half * (lower - upper), lower + half * (upper - lower)
