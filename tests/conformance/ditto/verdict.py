"""One line for each array that is compared: its error, its limit, and whether that is good enough."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.conformance.verdict import Verdict, difference

VECTOR = 3e-4
LOGITS = 3e-3
PLACE = 0.012
MATRIX = 0.021
SMALL = 6e-5
POINTS = 9e-5
FEATURES = 0.021
MEAN, MOST = 0.039, 0.39
PNG_MEAN, PNG_MOST = 0.18, 12.0
"""Three times what the change from OpenCV 4.10 to 5.0 does, as the folder's README measured it."""

LIMITS: Mapping[str, float] = {
    "det": PLACE, "lmk106": PLACE, "lmk203": PLACE, "lmk478": PLACE / 512, "M_c2o_224": MATRIX, "M_c2o": MATRIX,
    "crop224_mean": MOST, "rgb256_sample": FEATURES, "f_s_sample": FEATURES, "f_s_mean_std": FEATURES,
    "warp_sample": FEATURES, "x_s": POINTS, "x_d": POINTS, "sc": SMALL,
    **{f"{stage}_{key}": SMALL for stage in ("xs_raw", "xs") for key in ("t", "exp", "scale", "kp")},
    **{f"{stage}_{key}": LOGITS for stage in ("xs_raw", "xs") for key in ("pitch", "yaw", "roll")},
}  # fmt: skip
"""Largest absolute difference by array; `VECTOR` where nothing is said. Integers are exact."""
OF_IMAGES = frozenset(("kp_cond", "pred_kp_seq", "motion_seq", "xd_in", "d0"))
"""Motion: `LOGITS` where no reference person stands between the picture and it."""


def judge(scope: str, name: str, ours: NDArray[Any], theirs: NDArray[Any], limit: float | None = None) -> Verdict:
    """Compare one array; integers and truth values must be equal."""
    error, note = difference(ours, theirs)
    if limit is None:
        limit = 0.0 if theirs.dtype.kind in "iub" else LIMITS.get(name, VECTOR)
    return Verdict(f"{scope}/{name}", error, limit, note)


def judge_picture(
    scope: str, name: str, ours: NDArray[Any], theirs: NDArray[Any], mean: float, most: float
) -> list[Verdict]:
    """Compare pictures by their mean and their largest difference, in levels of 255."""
    error, note = difference(ours, theirs)
    if note:
        return [Verdict(f"{scope}/{name}", error, most, note)]
    apart = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).mean())
    return [Verdict(f"{scope}/{name}", error, most), Verdict(f"{scope}/{name} (mean)", apart, mean)]
