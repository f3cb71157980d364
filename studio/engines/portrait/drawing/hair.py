"""Hair: locks between two guide curves, filled with strands; short hair and beards, hair by hair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from studio.engines.portrait.drawing.curves import Knots, Line, normals, resample, smooth, tapered
from studio.engines.portrait.drawing.svg import Drawing, mix

GRAIN = 40
"""Points along a strand."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Hair that flows from its roots along two guides; ``wave`` px of curl grow towards the tips."""

    near: Knots
    far: Knots
    wave: float = 0.0
    turns: float = 2.0
    phase: float = 0.0

    def strand(self, share: float) -> Line:
        """Return the strand (40, 2) at ``share`` (0 near .. 1 far; a little beyond is allowed)."""
        near, far = (resample(smooth(guide), GRAIN) for guide in (self.near, self.far))
        line = near + (far - near) * share
        along = np.linspace(0, 1, GRAIN)
        swing = (
            self.wave
            * np.clip((along - 0.25) / 0.5, 0, 1)
            * np.sin(2 * np.pi * (self.turns * along + self.phase + 0.10 * share))
        )
        return np.asarray(line + normals(line) * swing[:, None])

    @property
    def outline(self) -> Line:
        """The closed outline."""
        return np.concatenate([self.strand(0.0), self.strand(1.0)[::-1]])


@dataclass(frozen=True, slots=True)
class Tones:
    """Colours of hair."""

    dark: str
    base: str
    mid: str
    light: str
    shine: str


def draw_lock(
    art: Drawing, lock: Lock, tones: Tones, seed: int, density: float = 1.0, shine: float = 1.0, shade: float = 0.0
) -> None:
    """Draw one lock: its body, dark depths, strands and the band where it shines.

    Args:
        art: Drawn on.
        lock: Where it flows.
        tones: Its colours.
        seed: Of every strand.
        density: Strands, relative to a full front lock.
        shine: Strength of the highlights.
        shade: 0..1, how far the lock lies in shadow.
    """
    rng = np.random.default_rng(seed)
    body = lock.outline
    low, high = body[:, 1].min(), body[:, 1].max()
    paint = art.linear(
        (0, low),
        (0, high),
        (0, mix(tones.base, tones.dark, 0.35 + 0.4 * shade)),
        (0.35, mix(tones.base, tones.dark, shade)),
        (1, mix(tones.base, tones.dark, 0.55 + 0.3 * shade)),
    )
    art.fill(body, paint=paint)

    for strands in _strands(tones, shine):
        _draw_strands(art, lock, strands, rng, density, (tones.dark, shade))


class _Strands(NamedTuple):
    """Strands of one kind in a lock."""

    number: int
    colour: str
    width: float
    opacity: float
    start: tuple[float, float]
    """Where along the lock they begin: least, most."""
    length: tuple[float, float]
    blur: float = 0.0


def _strands(tones: Tones, shine: float) -> list[_Strands]:
    """Return a lock's layers, bottom to top."""
    return [
        _Strands(26, tones.dark, 5.0, 0.50, (0.0, 0.5), (0.3, 0.7), 1.0),
        _Strands(30, tones.mid, 4.6, 0.42, (0.0, 0.5), (0.3, 0.6), 0.9),
        _Strands(90, tones.mid, 1.5, 0.55, (0.0, 0.6), (0.3, 0.7)),
        _Strands(60, tones.dark, 1.3, 0.55, (0.0, 0.6), (0.3, 0.7)),
        _Strands(int(26 * shine), tones.light, 5.0, 0.30 * shine, (0.10, 0.22), (0.16, 0.30), 1.6),
        _Strands(int(80 * shine), tones.light, 1.3, 0.60, (0.06, 0.28), (0.18, 0.36)),
        _Strands(int(34 * shine), tones.shine, 1.0, 0.60, (0.12, 0.26), (0.12, 0.24)),
        _Strands(int(40 * shine), tones.light, 1.3, 0.45, (0.50, 0.66), (0.16, 0.30)),
        _Strands(int(12 * shine), tones.shine, 1.0, 0.45, (0.54, 0.66), (0.12, 0.22)),
    ]


def _draw_strands(
    art: Drawing, lock: Lock, strands: _Strands, rng: np.random.Generator, density: float, shadow: tuple[str, float]
) -> None:
    dark, shade = shadow
    for share in rng.beta(0.95, 0.95, int(strands.number * density)):
        begin = rng.uniform(*strands.start)
        end = min(1.0, begin + rng.uniform(*strands.length))
        line = resample(lock.strand(float(share)), 24, begin, end)
        line += normals(line) * rng.normal(0, 0.5)
        paint = mix(strands.colour, dark, float(rng.uniform(0, 0.25)) + 0.45 * shade)
        body = tapered(line, strands.width * rng.uniform(0.6, 1.3))
        art.fill(body, paint=paint, opacity=strands.opacity * float(rng.uniform(0.5, 1.0)), blur=strands.blur)


def draw_flyaways(art: Drawing, lock: Lock, colour: str, seed: int, count: int, far: bool = True) -> None:
    """Draw single hairs that leave the lock's edge, so that the outline is not cut out of paper."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        begin = rng.uniform(0.02, 0.75)
        line = resample(lock.strand(1.0 if far else 0.0), 24, begin, min(1.0, begin + rng.uniform(0.12, 0.3)))
        away = np.linspace(-0.6, rng.uniform(0.8, 2.6), 24)[:, None] * (1 if far else -1)
        side = normals(line)
        inside = lock.strand(0.5).mean(0)
        side *= np.sign(((line - inside) * side).sum(1, keepdims=True)) * (1 if far else -1)
        art.fill(tapered(line + side * away, 0.8), paint=colour, opacity=float(rng.uniform(0.4, 0.8)))


def draw_stubble(
    art: Drawing,
    places: Line,
    direction: Callable[[float, float], tuple[float, float]],
    colours: tuple[str, ...],
    seed: int,
    length: float,
    width: float = 0.9,
    opacity: float = 0.7,
) -> None:
    """Draw one short hair at each of ``places`` (n, 2), along ``direction(x, y)``."""
    rng = np.random.default_rng(seed)
    for x, y in places:
        way = np.asarray(direction(x, y)) * length * rng.uniform(0.7, 1.3)
        across = np.array([-way[1], way[0]]) * rng.normal(0, 0.22)
        line = smooth([(x, y), tuple((x, y) + way * 0.5 + across * 0.6), tuple((x, y) + way + across)], steps=4)
        paint = colours[int(rng.integers(len(colours)))]
        art.fill(tapered(line, width), paint=paint, opacity=opacity * float(rng.uniform(0.5, 1.0)))


def scatter(outline: Line, spacing: float, seed: int) -> Line:
    """Return points spread evenly but irregularly inside ``outline``, about ``spacing`` px apart."""
    rng = np.random.default_rng(seed)
    low, high = outline.min(0), outline.max(0)
    grid = np.stack(np.meshgrid(*(np.arange(a, b, spacing) for a, b in zip(low, high, strict=True))), -1).reshape(-1, 2)
    grid += rng.uniform(-0.5, 0.5, grid.shape) * spacing
    return grid[inside(outline, grid)]


def inside(outline: Line, points: Line) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return which of ``points`` (n, 2) lie inside the closed ``outline`` (even-odd rule)."""
    x, y = points[:, :1], points[:, 1:]
    (x0, y0), (x1, y1) = outline.T, np.roll(outline, -1, 0).T
    crosses = (y0 > y) != (y1 > y)
    rise = np.where(y1 == y0, 1.0, y1 - y0)
    return np.asarray((crosses & (x < x0 + (y - y0) * (x1 - x0) / rise)).sum(1) % 2 == 1)
