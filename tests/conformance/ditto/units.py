"""Single functions of the sound's side on the random input of ``units.npz``: sampler, windows, conditions.

Names pair up as the folder's README says; what a folder does not hold is not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto import sampler
from studio.engines.ditto.condition import Condition, Emotion, emotion_rows
from studio.engines.ditto.motion import Windows
from studio.engines.ditto.options import Setup
from studio.engines.ditto.types import WIDTHS, CheckpointInfo, Floats, Motion, Reference, vector_of
from studio.engines.loop import mirror
from tests.conformance.ditto.verdict import judge
from tests.conformance.verdict import Verdict

Arrays = Mapping[str, NDArray[Any]]
STORED = ("scale", "pitch", "yaw", "roll", "t", "exp", "kp")
"""Order of the keys in stored vectors of 328 numbers, and without ``kp`` of 265."""
WINDOWS: tuple[Setup, ...] = (
    Setup(overlap_v2=10),
    Setup(overlap_v2=10, fix_kp_cond=1, fix_kp_cond_dim=(0, 202)),
    Setup(overlap_v2=70, online_mode=True, fix_kp_cond=1, fix_kp_cond_dim=(0, 202)),
    Setup(overlap_v2=75, online_mode=True, fix_kp_cond=2, fix_kp_cond_dim=(0, 202), smo_k_d=5),
    Setup(overlap_v2=40, online_mode=True, smo_k_d=1),
    Setup(overlap_v2=20, fix_kp_cond=3, smo_k_d=4),
)
"""Of ``a2m_res_*``."""
PLACES = ((-70, 80), (0, 80), (35, 23))
"""First frame and count of ``cond_*``."""


def motion_units(units: Arrays) -> Iterator[Verdict]:
    """Compare the sampler, the windows and the conditions."""
    yield judge("units", "beta", sampler.betas(), units["beta"], 1e-7)
    yield judge("units", "alphas_cumprod", sampler.signal_kept(), units["alphas_cumprod"])
    yield judge("units", "mirror_out", mirrored(units["mirror_in"]), units["mirror_out"])
    for name in units:
        if name.startswith("ddim_") and name.endswith("_pairs"):
            plan = sampler.schedule(int(name.split("_")[1]))
            yield judge("units", name, plan.times, units[name])
            coefficients = name.replace("pairs", "coef")
            yield judge("units", coefficients, plan.coefficients, units[coefficients], 1e-6)
    yield from windows(units)
    yield from conditions(units)


def windows(units: Arrays) -> Iterator[Verdict]:
    """Compare blending, smoothing and start motions."""
    start = vector_of(stored_motion(units["tk_in"]))
    for i, setup in enumerate(WINDOWS):
        if f"a2m_res_{i}" in units:
            state, starts = Windows(start, setup), []
            for window in units["a2m_pred"]:
                starts.append(state.start)
                state.add(window)
            yield judge("units", f"a2m_res_{i}", state.result[:, ::8], units[f"a2m_res_{i}"])
            yield judge("units", f"a2m_kpcond_{i}", np.stack(starts), units[f"a2m_kpcond_{i}"])


def conditions(units: Arrays) -> Iterator[Verdict]:
    """Compare emotions and eyes."""
    person = Reference((), units["ch_eye_open"], units["ch_eye_ball"], units["ch_sc"])
    emotions: tuple[Emotion, ...] = (4, [3, 4], [[4], [3], [3, 6]], units["ch_emo_arr"])
    number = 0
    for emotion in emotions:
        for first_only in (False, True):
            condition = Condition(person, emotion_rows(emotion), first_only, CheckpointInfo({}, {}))
            for first, count in PLACES:
                name = f"cond_{number}"
                yield judge("units", name, condition.tail(first, count)[:, :16], units[name])
                number += 1


def mirrored(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the mirrored index of each (index, count)."""
    return np.array([mirror(int(index), int(count)) for index, count in pairs])


def stored_motion(numbers: Floats) -> Motion:
    """Return the motion of a stored vector of 328 numbers, or of 265 (without ``kp``)."""
    keys = STORED if numbers.size == sum(WIDTHS.values()) else STORED[:-1]
    ends = np.cumsum([WIDTHS[key] for key in keys])
    return {key: numbers[None, end - WIDTHS[key] : end].copy() for key, end in zip(keys, ends, strict=True)}
