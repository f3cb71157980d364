"""The parameters of a face: their names, order and legal ranges (specification section 1).

A pose is one float32 vector (COUNT,), in the order of `PARAMETERS`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

EXPRESSION = (
    "jaw", "close", "upraise", "lodep", "wide", "pucker", "press", "ff", "smile", "jawside",
    "browup", "browin", "squint",
)  # fmt: skip
"""Parameters that move skin and lips: each has a displacement basis in both fields."""
HEAD = ("yaw", "pitch", "roll", "tx", "ty", "zoom", "breathe")
"""Parameters that move the head or the shoulders: each has a basis over the head window."""
PAINTED = ("tongue", "blink_left", "blink_right", "gx", "gy")
"""Parameters that are painted, not warped; left and right are the image's."""

PARAMETERS = EXPRESSION + HEAD + PAINTED
COUNT = len(PARAMETERS)
INDEX: Mapping[str, int] = {name: i for i, name in enumerate(PARAMETERS)}

_RANGES: Mapping[str, tuple[float, float]] = {
    "wide": (-0.3, 1.0),
    "smile": (-0.5, 1.0),
    "jawside": (-0.15, 0.15),
    "browin": (-1.0, 1.0),
    "yaw": (-0.09, 0.09),
    "pitch": (-0.09, 0.09),
    "roll": (-0.09, 0.09),
    "tx": (-4.0, 4.0),
    "ty": (-4.0, 4.0),
    "zoom": (-0.02, 0.02),
    "gx": (-2.5, 2.5),
    "gy": (-2.5, 2.5),
}
LOWEST = np.array([_RANGES.get(name, (0.0, 1.0))[0] for name in PARAMETERS], np.float32)
HIGHEST = np.array([_RANGES.get(name, (0.0, 1.0))[1] for name in PARAMETERS], np.float32)


def pose(**values: float) -> NDArray[np.float32]:
    """Return a pose (COUNT,) with the named parameters set, the others 0, clipped to their ranges."""
    row = np.zeros(COUNT, np.float32)
    for name, value in values.items():
        row[INDEX[name]] = value
    return np.clip(row, LOWEST, HIGHEST)
