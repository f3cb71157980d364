"""One line for each array that is compared: its error, its limit, and whether that is good enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FLOATS = 1e-4
KEYPOINTS = 0.5
POSE_INPUT = 0.06
HALF_INPUT = 5e-3
RESAMPLED = 5e-3
EXACT = 0.0
MASK = 1.0
PICTURE, PICTURE_MEAN = 2.0, 0.05
"""The tolerances of the folder's README; pictures in levels of 255."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one array."""

    name: str
    error: float
    """Largest absolute difference; infinite where shapes differ or something is not finite."""
    limit: float
    note: str = ""

    @property
    def passes(self) -> bool:
        """Within the limit."""
        return self.error <= self.limit

    def __str__(self) -> str:
        word = "ok  " if self.passes else "FAIL"
        return f"{word} {self.name:<48} error {self.error:<10.3g} limit {self.limit:<9.3g} {self.note}".rstrip()


def judge(name: str, ours: NDArray[Any], theirs: NDArray[Any], limit: float) -> Verdict:
    """Compare one array by its largest difference."""
    if ours.shape != theirs.shape:
        return Verdict(name, float("inf"), limit, f"shape {ours.shape}, expected {theirs.shape}")
    if not ours.size:
        return Verdict(name, 0.0, limit)
    worst = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
    return Verdict(name, worst, limit) if np.isfinite(worst) else Verdict(name, float("inf"), limit, "not finite")


def judge_picture(name: str, ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> list[Verdict]:
    """Compare an output frame by its largest and its mean difference."""
    worst = judge(name, ours, theirs, PICTURE)
    if worst.note:
        return [worst]
    mean = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).mean())
    return [worst, Verdict(f"{name} (mean)", mean, PICTURE_MEAN)]
