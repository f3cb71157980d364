"""What came of comparing one array, for every engine's conformance command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
        return f"{word} {self.name:<58} error {self.error:<10.3g} limit {self.limit:<9.3g} {self.note}".rstrip()


def difference(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, str]:
    """Return the largest absolute difference of two arrays, and a note where they cannot be compared."""
    if ours.shape != theirs.shape:
        return float("inf"), f"shape {ours.shape}, expected {theirs.shape}"
    if not ours.size:
        return 0.0, ""
    apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    worst = float(apart.max())
    return (worst, "") if np.isfinite(worst) else (float("inf"), "not finite")
