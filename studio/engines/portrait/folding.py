"""Whether a pose folds the skin: the smallest Jacobian determinant of its forward map.

For judging a prepared rig, not for run time. Below 0 the skin overlaps itself and no inverse exists; the specification
asks for more than 0.2 (section 11, test 5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import EXPRESSION
from studio.engines.portrait.rig import BASES, NODE, NODES, Box, Geometry

Float = NDArray[np.float32]


def folding(geometry: Geometry, pose: Float) -> float:
    """Return the smallest determinant of the map q -> q + D(q), each field on its side of the lip line.

    Args:
        geometry: The rig.
        pose: (COUNT,) parameters.
    """
    skin, head = pose[: len(EXPRESSION)], pose[len(EXPRESSION) : len(BASES)]
    turned = _whole(np.tensordot(head, geometry.head, 1), geometry.head_box)
    high = _whole(np.tensordot(skin, geometry.face, 1), geometry.face_box)
    low = high.copy()
    x0, y0, x1, y1 = geometry.low_box
    low[y0:y1, x0:x1] = np.tensordot(skin, geometry.low, 1)
    edges = np.arange(NODES) * NODE + 1.5
    columns = edges[:-1] + NODE / 2
    above = edges[:-1, None] < np.interp(columns, geometry.upper[:, 0], geometry.upper[:, 1])
    below = edges[1:, None] > np.interp(columns, geometry.lower[:, 0], geometry.lower[:, 1])
    return float(min(determinants(turned + high)[:, above].min(), determinants(turned + low)[:, below].min()))


def determinants(field: Float) -> Float:
    """Return det(id + dD) at the corners of each cell (4, h - 1, w - 1) of the bilinear ``field`` (h, w, 2) px."""
    across, down = np.diff(field, axis=1) / NODE, np.diff(field, axis=0) / NODE
    corners = [
        (1 + x[..., 0]) * (1 + y[..., 1]) - x[..., 1] * y[..., 0]
        for x in (across[:-1], across[1:])
        for y in (down[:, :-1], down[:, 1:])
    ]
    return np.stack(corners).astype(np.float32)


def _whole(field: Float, box: Box) -> Float:
    x0, y0, x1, y1 = box
    grid = np.zeros((NODES, NODES, 2), np.float32)
    grid[y0:y1, x0:x1] = field
    return grid
