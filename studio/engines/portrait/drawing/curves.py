"""Curves as polylines: every shape of a drawing is an (n, 2) array of points.

Knows nothing of colours or SVG.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]
"""(n, 2) points x, y; dense enough to look round."""
Knots = Sequence[tuple[float, float]] | Line

MIDDLE = 256.0
"""x of the picture's axis of symmetry."""


def smooth(knots: Knots, closed: bool = False, steps: int = 16) -> Line:
    """Return a smooth curve through ``knots`` (cubic Hermite, tangents weighted by chord length).

    Args:
        knots: (n, 2) points, n >= 2.
        closed: Whether the last knot joins the first.
        steps: Points per piece.
    """
    points = np.asarray(knots, np.float64)
    if closed:
        points = np.concatenate([points[-1:], points, points[:2]])
    step = np.diff(points, axis=0)
    length = np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-6)
    slope = step / length
    inner = (slope[:-1] * length[1:] + slope[1:] * length[:-1]) / (length[:-1] + length[1:])
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    u = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    a, b = points[:-1], points[1:]
    curve = (
        (2 * u**3 - 3 * u**2 + 1) * a + (3 * u**2 - 2 * u**3) * b
        + (u**3 - 2 * u**2 + u) * length * tangent[:-1] + (u**3 - u**2) * length * tangent[1:]
    )  # fmt: skip
    pieces = curve.transpose(1, 0, 2)
    if closed:
        return np.asarray(pieces[1:-1].reshape(-1, 2))
    return np.concatenate([pieces.reshape(-1, 2), points[-1:]])


def resample(line: Line, count: int, start: float = 0.0, end: float = 1.0) -> Line:
    """Return ``count`` points at equal distances along the part ``start``..``end`` (0..1) of ``line``."""
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    at = np.linspace(start, end, count) * way[-1]
    return np.stack([np.interp(at, way, line[:, 0]), np.interp(at, way, line[:, 1])], 1)


def mirrored(line: Knots) -> Line:
    """Return ``line`` on the other side of the picture, in the same order."""
    points = np.array(line, np.float64)
    points[:, 0] = 2 * MIDDLE - points[:, 0]
    return points


def symmetric(half: Knots) -> Line:
    """Return the closed outline whose right half is ``half`` (from the top down; offsets from the middle, y)."""
    right = np.asarray(half, np.float64) + (MIDDLE, 0.0)
    inner = right[(right[:, 0] > MIDDLE + 0.5)]
    return smooth(np.concatenate([right, mirrored(inner)[::-1]]), closed=True)


def normals(line: Line) -> Line:
    """Return unit normals (n, 2) to the left of the way along ``line`` (y down)."""
    way = np.gradient(line, axis=0)
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-9)
    return np.stack([way[:, 1], -way[:, 0]], 1)


def ribbon(line: Line, width: NDArray[np.float64] | float) -> Line:
    """Return the outline of a stroke along ``line`` whose full width is ``width`` (scalar or (n,))."""
    across = normals(line) * (np.broadcast_to(width, len(line))[:, None] / 2)
    return np.concatenate([line + across, (line - across)[::-1]])


def tapered(line: Line, width: float, power: float = 0.7) -> Line:
    """Return a stroke that is ``width`` wide in its middle and pointed at both ends."""
    return ribbon(line, width * np.sin(np.linspace(0, np.pi, len(line))).clip(0) ** power)


def pointed(line: Line, width: float, power: float = 0.8) -> Line:
    """Return a stroke that is ``width`` wide at its start and pointed at its end, like a hair."""
    return ribbon(line, width * np.linspace(1, 0, len(line)) ** power)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0) -> Line:
    """Return an ellipse turned clockwise by ``angle`` degrees."""
    at = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    flat = np.stack([rx * np.cos(at), ry * np.sin(at)], 1)
    return np.asarray(flat @ np.array([[cos, sin], [-sin, cos]]) + (x, y))


def rounded(x: float, y: float, rx: float, ry: float, power: float = 4.0) -> Line:
    """Return a superellipse: ``power`` 2 is an ellipse, more is squarer."""
    at = np.linspace(0, 2 * np.pi, 160, endpoint=False)
    cos, sin = np.cos(at), np.sin(at)
    unit = np.stack([np.sign(cos) * abs(cos) ** (2 / power), np.sign(sin) * abs(sin) ** (2 / power)], 1)
    return np.asarray(unit * (rx, ry) + (x, y))
