"""The diffusion sampler: DDIM with eta 1 over windows of 80 frames, for one take or several at once.

All arithmetic is float32: at the first step ``c`` is a difference of nearly equal numbers, and its rounding is part of
what the network was made to live with. Nothing is clipped and nothing guided here; guidance is inside the network.
Formula: Song, Meng and Ermon, "Denoising diffusion implicit models" 2020, eq. 12 and 16; the cosine schedule of Nichol
and Dhariwal 2021, eq. 17. Specification: section 8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.types import MOTION_DIM, Floats
from studio.engines.runtime import Model

FRAMES = 80
"""Frames in a window: 3.2 s."""
STEPS = 1000
"""Of the diffusion that the network was trained with."""
_OFFSET = 0.008

Denoise = Callable[[Floats, Floats, Floats, NDArray[np.int64]], tuple[Floats, Floats]]
"""x (b, 80, 265), start motion (b, 265), condition (b, 80, 1103), time (b,) -> predicted noise and x_start, as x."""


class Noise(Protocol):
    """A source of normal numbers: ``numpy.random.RandomState`` and ``Generator`` both are."""

    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        """Draw float64 numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """What T sampling steps do."""

    times: NDArray[np.int64]
    """(T, 2): from time, to time, falling; the last one's goal is -1."""
    coefficients: Floats
    """(T - 1, 3): sqrt(abar'), c and sigma of every step but the last."""


def betas() -> Floats:
    """Return the 1000 variances of the cosine schedule, rounded to float32."""
    angle = (np.arange(STEPS + 1) / STEPS + _OFFSET) / (1 + _OFFSET) * (np.pi / 2)
    kept = np.cos(angle) ** 2
    beta: Floats = np.clip(1 - kept[1:] / kept[:-1], 0, 0.999).astype(np.float32)
    return beta


def signal_kept() -> Floats:
    """Return how much of the signal's power is left after each of the 1000 steps: float32, multiplied up in float64."""
    kept: Floats = np.cumprod((np.float32(1) - betas()).astype(np.float64)).astype(np.float32)
    return kept


def sampling_times(steps: int) -> NDArray[np.int64]:
    """Return (steps, 2) pairs of times: trunc(linspace(-1, 999)), from the end.

    The points are float32, counted from the nearer end, as upstream's library makes them.
    """
    width = np.float32(STEPS) / np.float32(steps)
    places = np.arange(steps + 1, dtype=np.float32)
    points = np.where(
        places < (steps + 1) // 2, np.float32(-1) + width * places, np.float32(STEPS - 1) - width * places[::-1]
    )
    times = np.trunc(points).astype(np.int64)[::-1]
    return np.stack([times[:-1], times[1:]], axis=1)


@cache
def schedule(steps: int) -> Schedule:
    """Return the schedule of ``steps`` sampling steps, 1..1000."""
    kept = signal_kept()
    times = sampling_times(steps)
    now, then = kept[times[:-1, 0]], kept[times[:-1, 1]]
    one = np.float32(1)
    sigma = np.sqrt((one - now / then) * (one - then) / (one - now))
    rest = np.maximum(one - then - sigma**2, np.float32(0))  # upstream's is below zero, and NaN, for T = 3
    return Schedule(times, np.stack([np.sqrt(then), np.sqrt(rest), sigma], axis=1).astype(np.float32))


def denoiser(network: Model) -> Denoise:
    """Return the diffusion network as the sampler calls it."""

    def denoise(x: Floats, start: Floats, condition: Floats, time: NDArray[np.int64]) -> tuple[Floats, Floats]:
        answer = network.run({"x": x, "cond_frame": start, "cond": condition, "time_cond": time})
        return answer["pred_noise"], answer["x_start"]

    return denoise


def draw(noise: Noise, count: int) -> Floats:
    """Draw ``count`` noises one after another: (count, 80, 265) float32."""
    drawn = [noise.standard_normal((1, FRAMES, MOTION_DIM)).astype(np.float32) for _ in range(count)]
    return np.concatenate(drawn) if drawn else np.zeros((0, FRAMES, MOTION_DIM), np.float32)


def sample(denoise: Denoise, steps: int, x: Floats, start: Floats, condition: Floats, step_noise: Floats) -> Floats:
    """Sample one window for each of b takes, all with the same number of steps.

    Args:
        denoise: The network.
        steps: T.
        x: (b, 80, 265) start noise.
        start: (b, 265) the motion that came before.
        condition: (b, 80, 1103).
        step_noise: (b, T - 1, 80, 265), drawn once for each take.

    Returns:
        (b, 80, 265) motion vectors.
    """
    plan = schedule(steps)
    for i, (time, _) in enumerate(plan.times[:-1]):
        noise, clean = denoise(x, start, condition, np.full(len(x), time, np.int64))
        signal, direction, sigma = plan.coefficients[i]
        x = clean * signal + noise * direction + step_noise[:, i] * sigma
    return denoise(x, start, condition, np.full(len(x), plan.times[-1, 0], np.int64))[1]
