"""The studio's features over a whole recording at once, with a vocal tract that can be stretched.

With ``warp`` 1 the result is that of `studio.engines.portrait.features.Features` (tests/unit/test_training.py).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.engines.portrait import features
from studio.engines.portrait.features import BANDS, FEATURES, FRAME, HOP, LEVEL, OVER_FLOOR

Float = NDArray[np.float32]


def warped_filters(warp: float) -> Float:
    """Return (257, 40) mel bands with all edges multiplied by ``warp``: a shorter tract for warp > 1."""
    ends = 2595.0 * np.log10(1.0 + np.array([80.0, 7600.0]) / 700.0)
    edges = np.minimum(
        features.hertz_of_mel(np.linspace(ends[0], ends[1], BANDS + 2)) * warp, 7990.0 + np.arange(42) * 0.2
    )
    bins = np.arange(257)[:, None] * (SAMPLE_RATE / 512)
    rise = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.clip(np.minimum(rise, fall), 0.0, None)
    return np.asarray(filters / np.maximum(filters.sum(0), 1e-6), np.float32)


def hear(sound: Float, warp: float = 1.0) -> Float:
    """Return (n // 160, 42) features of ``sound`` (n,) float32 in -1..1."""
    hops = len(sound) // HOP
    padded = np.concatenate([np.zeros(FRAME - HOP, np.float32), sound])
    frames = np.lib.stride_tricks.sliding_window_view(padded, FRAME)[::HOP][:hops]
    levels = 10.0 * np.log10(np.einsum("ij,ij->i", frames, frames) / FRAME + 1e-9)
    windowed = (frames - frames.mean(1, keepdims=True)) * np.hanning(FRAME + 1)[:-1].astype(np.float32)
    spectrum = np.fft.rfft(windowed, 512)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) / (FRAME * 0.375)
    out = np.empty((hops, FEATURES), np.float32)
    out[:, :BANDS] = 10.0 * np.log10(power @ warped_filters(warp) + 1e-9)
    reference, floor = np.empty(hops), np.empty(hops)
    now_reference, now_floor = -38.0, -60.0
    for i, level in enumerate(levels.tolist()):
        now_reference = (
            now_reference + 0.3 * (level - now_reference) if level > now_reference else max(now_reference - 0.03, -62.0)
        )
        now_floor += 0.2 * (level - now_floor) if level < now_floor else 0.02
        reference[i], floor[i] = now_reference, now_floor
    out[:, :BANDS] = np.clip((out[:, :BANDS] - reference[:, None] + 10.0) / 20.0, -3.0, 2.0)
    out[:, OVER_FLOOR] = np.clip((levels - floor) / 20.0, 0.0, 3.0)
    out[:, LEVEL] = np.clip((levels - reference) / 20.0, -3.0, 1.0)
    return out
