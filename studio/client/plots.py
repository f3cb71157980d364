"""Where the bars and lines of a plot lie, in units of its SVG; the page draws them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 640, 210
"""Of the whole drawing."""
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 14, 30
"""Margins for the labels."""
MOST_BARS = 120
_SIZES = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_STEPS = (1.0, 2.0, 2.5, 5.0)
"""Of which powers of ten the levels may be apart."""
WIDEST_MS = 240.0
"""Intervals beyond share the last bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar."""

    x: float
    y: float
    width: float
    height: float
    title: str
    """What it says when one points at it."""
    is_bad: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Plot:
    """One drawing."""

    bars: Sequence[Bar]
    across: Sequence[Tick]
    """Labels below."""
    up: Sequence[Tick]
    """Labels at the left, with a line each."""
    marks_across: Sequence[Tick] = ()
    """Upright lines that mean something."""
    marks_up: Sequence[Tick] = ()
    """Level lines that mean something."""


def histogram(intervals_ms: Sequence[float], limits: Mapping[str, float]) -> Plot | None:
    """Return how often which interval came; None without any.

    Args:
        intervals_ms: Any order.
        limits: Upright lines: name and milliseconds; what lies beyond the last one is bad.
    """
    if not len(intervals_ms):
        return None
    values = np.asarray(intervals_ms, np.float64)
    top = min(WIDEST_MS, max(1.25 * max(limits.values()), float(values.max())))
    step = next(size for size in (2.0, 4.0, 5.0, 10.0) if top / size <= 50)
    count = math.ceil(top / step)
    edges = np.arange(count + 1) * step
    counts, _ = np.histogram(np.clip(values, 0.0, edges[-1] - 1e-9), edges)
    highest = nice(float(counts.max()))
    width = (WIDTH - LEFT - RIGHT) / count
    bars = []
    for i, number in enumerate(counts):
        end = "and more" if i == count - 1 and values.max() > edges[-1] else f"to {edges[i + 1]:g}"
        title = f"{number} intervals of {edges[i]:g} {end} ms"
        bars.append(_bar(LEFT + i * width, width, number / highest, title, edges[i] >= max(limits.values())))
    scale = (WIDTH - LEFT - RIGHT) / edges[-1]
    labels = 20.0 if edges[-1] <= 160 else 40.0
    across = [Tick(LEFT + ms * scale, f"{ms:g}") for ms in np.arange(0, edges[-1] + 1, labels)]
    marks = [Tick(LEFT + ms * scale, f"{name} {ms:g} ms") for name, ms in limits.items()]
    return Plot([bar for bar in bars if bar.height], across, _levels(highest), marks_across=marks)


def bars(values: Sequence[float], wanted: float | None, least: float | None = None) -> Plot | None:
    """Return one bar for each second; None without any. Of a long stream several seconds share a bar.

    Args:
        values: Per second.
        wanted: A level line; None: none.
        least: Bars below it are bad.
    """
    if not len(values):
        return None
    group = math.ceil(len(values) / MOST_BARS)
    means = [float(np.mean(values[i : i + group])) for i in range(0, len(values), group)]
    highest = nice(max(max(means), wanted or 0.0) * 1.05)
    width = (WIDTH - LEFT - RIGHT) / len(means)
    drawn = []
    for i, value in enumerate(means):
        title = f"second {i * group + 1}: {value:.1f}"
        drawn.append(_bar(LEFT + i * width, width, value / highest, title, least is not None and value < least))
    every = max(1, round(nice(len(means) / 10)))
    across = [Tick(LEFT + i * width, f"{i * group}") for i in range(0, len(means) + 1, every)]
    marks = [Tick(_height(wanted / highest), f"{wanted:g}")] if wanted else []
    return Plot(drawn, across, _levels(highest), marks_up=marks)


def nice(value: float) -> float:
    """Return the next number, from 1, that is one of `_SIZES` times a power of ten: easy to read and to divide."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(size * power for size in _SIZES if size * power >= value * (1 - 1e-9))


def _bar(x: float, width: float, share: float, title: str, is_bad: bool) -> Bar:
    top = _height(share)
    gap = min(1.5, width / 4)
    return Bar(round(x + gap / 2, 2), top, round(width - gap, 2), round(HEIGHT - BOTTOM - top, 2), title, is_bad)


def _height(share: float) -> float:
    return round(TOP + (HEIGHT - TOP - BOTTOM) * (1 - share), 2)


def _levels(highest: float) -> list[Tick]:
    """Return labels from zero to the highest, a round number apart."""
    parts = next((n for n in (4, 5, 3, 6) if _is_round(highest / n)), 2)
    return [Tick(_height(i / parts), f"{highest * i / parts:g}") for i in range(parts + 1)]


def _is_round(step: float) -> bool:
    return step >= 1 and any(math.isclose(step, size * 10 ** math.floor(math.log10(step))) for size in _STEPS)
