"""One line for each array that is compared: its error, its limit, and whether that is good enough."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conformance.verdict import Verdict, difference

FLOATS = 1e-4
KEYPOINTS = 0.5
POSE_INPUT = 0.06
HALF_INPUT = 5e-3
RESAMPLED = 5e-3
EXACT = 0.0
MASK = 1.0
PICTURE, PICTURE_MEAN = 2.0, 0.05
"""The tolerances of the folder's README; pictures in levels of 255."""


def judge(name: str, ours: NDArray[Any], theirs: NDArray[Any], limit: float) -> Verdict:
    """Compare one array by its largest difference."""
    error, note = difference(ours, theirs)
    return Verdict(name, error, limit, note)


def judge_picture(name: str, ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> list[Verdict]:
    """Compare an output frame by its largest and its mean difference."""
    worst = judge(name, ours, theirs, PICTURE)
    if worst.note:
        return [worst]
    mean = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).mean())
    return [worst, Verdict(f"{name} (mean)", mean, PICTURE_MEAN)]
