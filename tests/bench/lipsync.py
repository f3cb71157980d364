"""How well the mouth follows real lips: ``python -m tests.bench.lipsync DIR [--json]``.

Runs the sound-to-mouth model, causally, over every clip of a folder (``studio_*.npz``, ``wild_*.npz``: measured lips
with their sound, 25 a second) and prints the scores that this field of the project agreed on: r of the opening at
lag 0, the lag of the best r, r of the width, the share of p/b/m that really close, the share of silence that is
shut. Two baselines run beside it: the loudness envelope and the hand-made first model.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.voice import MouthRow, Voice
from tests.bench.handmade import BandVoice

Array = NDArray[np.float64]

FPS = 25.0
LAGS_MS = np.arange(-320, 321, 20)
BILABIAL = frozenset("BPM")
SILENT = frozenset(("SIL", "PAU", ""))


@dataclass(frozen=True)
class Clip:
    """A real talker."""

    name: str
    sound: NDArray[np.int16]
    opening: Array
    width: Array
    valid: NDArray[np.bool_]
    phones: list[tuple[str, float, float]]
    """Symbol in capitals, start and length in seconds."""


@dataclass(frozen=True)
class Score:
    """One curve against one clip; `r` and `width_r` at lag 0."""

    seconds: float
    r: float
    r_by_lag: Array
    width_r: float
    closures: tuple[int, int]
    """p/b/m that closed, of how many."""
    silence: tuple[int, int]
    """Silent pictures with closed lips, of how many."""


def read_clip(path: Path) -> Clip:
    """Read a clip of the folder's format."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored}
    if "audio" in arrays:
        sound = arrays["audio"].astype(np.int16)
    else:
        y = arrays["audio_ulaw"] / 127.5 - 1.0
        sound = np.clip(np.sign(y) * (256.0 ** np.abs(y) - 1.0) / 255.0 * 32767, -32768, 32767).astype(np.int16)
    phones = zip(*(arrays.get(k, []) for k in ("phones", "phone_start", "phone_dur")), strict=True)
    opening = arrays["aperture"].astype(float)
    return Clip(
        path.stem, sound, opening, arrays["width"].astype(float),
        arrays.get("valid", np.ones(len(opening), bool)), [(str(p).upper(), float(s), float(d)) for p, s, d in phones],
    )  # fmt: skip


def correlation(a: Array, b: Array) -> float:
    """Return Pearson's r, nan for fewer than 8 values, 0 for a constant."""
    if len(a) < 8:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 1e-12 else 0.0


def by_lag(curve: Array, truth: Array, valid: NDArray[np.bool_]) -> Array:
    """Return r of ``curve`` shifted by each of `LAGS_MS`; positive lags belong to a mouth that is late."""
    n = len(truth)
    t = np.arange(n) / FPS
    edge = min(int(np.ceil(LAGS_MS[-1] / 1000 * FPS)), max(0, (n - 30) // 2))
    core = np.zeros(n, bool)
    core[edge : n - edge] = True
    core &= valid
    scores = []
    for lag in LAGS_MS:
        moved = t + lag / 1000
        inside = core & (moved >= 0) & (moved <= t[-1])
        scores.append(correlation(np.interp(moved, t, curve)[inside], truth[inside]))
    return np.array(scores)


def best_lag(r_by_lag: Array) -> float:
    """Return the lag in ms of the peak, by a parabola through three points."""
    i = int(np.nanargmax(r_by_lag))
    if not 0 < i < len(r_by_lag) - 1:
        return float(LAGS_MS[i])
    a, b, c = r_by_lag[i - 1 : i + 2]
    bend = a - 2 * b + c
    return float(LAGS_MS[i] + (0.5 * (a - c) / bend * 20 if bend < -1e-9 else 0.0))


def closed_below(curve: Array) -> float:
    """Return the opening under which a curve counts as closed: a quarter of its own range."""
    low, high = np.percentile(curve, (2, 95))
    return float(low + 0.25 * (high - low))


def closures(curve: Array, phones: Sequence[tuple[str, float, float]], margin: float = 0.04) -> tuple[int, int]:
    """Return how many of p/b/m see the curve closed within 40 ms of the sound, and how many there are."""
    limit = closed_below(curve)
    fine = np.arange(0, (len(curve) - 1) / FPS, 0.005)
    values = np.interp(fine, np.arange(len(curve)) / FPS, curve)
    inside = [(fine >= s - margin) & (fine <= s + d + margin) for p, s, d in phones if p in BILABIAL]
    hits = [bool(values[mask].min() <= limit) for mask in inside if mask.any()]
    return sum(hits), len(hits)


def silent(clip: Clip) -> NDArray[np.bool_]:
    """Return which pictures lie at least 120 ms inside a pause of at least 280 ms."""
    n = len(clip.opening)
    x = np.pad(clip.sound / 32768.0, (0, max(0, n * SAMPLES_PER_BEAT - len(clip.sound))))[: n * SAMPLES_PER_BEAT]
    level = 20 * np.log10(np.sqrt((x.reshape(n, SAMPLES_PER_BEAT) ** 2).mean(1)) + 1e-5)
    floor, top = np.percentile(level, (5, 95))
    quiet = level < max(top - 30, floor + 0.25 * (top - floor)) if top - floor > 20 else np.zeros(n, bool)
    if clip.phones:
        t = np.arange(n) / FPS
        pause = t >= max(s + d for _, s, d in clip.phones)
        for symbol, start, length in clip.phones:
            if symbol in SILENT:
                pause |= (t >= start) & (t < start + length)
        quiet &= pause
    edges = np.flatnonzero(np.diff(np.concatenate([[0], quiet.astype(np.int8), [0]])))
    result = np.zeros(n, bool)
    for start, end in edges.reshape(-1, 2):
        if end - start >= 7:
            result[start + 3 : end - 3] = True
    return result


def score(opening: Array, width: Array | None, clip: Clip) -> Score:
    """Compare one predicted curve with the real one."""
    lags = by_lag(opening, clip.opening, clip.valid)
    shut = opening[silent(clip)] <= closed_below(opening)
    zero = int(np.flatnonzero(LAGS_MS == 0)[0])
    return Score(
        len(clip.opening) / FPS, float(lags[zero]), lags,
        float(by_lag(width, clip.width, clip.valid)[zero]) if width is not None else float("nan"),
        closures(opening, clip.phones), (int(shut.sum()), len(shut)),
    )  # fmt: skip


def speak(voice: Voice, clip: Clip) -> list[MouthRow]:
    """Run a model over a clip beat by beat, as a visit does; one row for each picture."""
    rows: list[MouthRow] = []
    for start in range(0, len(clip.sound), SAMPLES_PER_BEAT):
        rows += voice.feed(clip.sound[start : start + SAMPLES_PER_BEAT])
    rows += voice.feed(np.zeros(3 * SAMPLES_PER_BEAT, np.int16))
    return rows[: len(clip.opening)] + [MouthRow()] * (len(clip.opening) - len(rows))


def envelope(clip: Clip) -> Array:
    """Return the loudness baseline: RMS of each beat, attack 0.7, release 0.4."""
    n = len(clip.opening)
    x = np.pad(clip.sound / 32768.0, (0, max(0, n * SAMPLES_PER_BEAT - len(clip.sound))))[: n * SAMPLES_PER_BEAT]
    level = np.sqrt((x.reshape(n, SAMPLES_PER_BEAT) ** 2).mean(1))
    out = np.zeros(n)
    for i, value in enumerate(level):
        last = out[i - 1] if i else 0.0
        out[i] = last + (0.7 if value > last else 0.4) * (value - last)
    return out


def summary(scores: dict[str, Score]) -> dict[str, float]:
    """Return the totals by the names of the JSON line; r weighted by length."""

    def mean(kind: str, value: Callable[[Score], float]) -> float:
        chosen = [(value(s), s.seconds) for name, s in scores.items() if name.startswith(kind)]
        chosen = [(v, w) for v, w in chosen if np.isfinite(v)]
        return round(sum(v * w for v, w in chosen) / sum(w for _, w in chosen), 4) if chosen else float("nan")

    def share(pairs: list[tuple[int, int]]) -> float:
        total = sum(n for _, n in pairs)
        return round(sum(k for k, _ in pairs) / total, 4) if total else float("nan")

    studio = [s for name, s in scores.items() if name.startswith("studio")]
    pooled = np.nansum([s.r_by_lag * s.seconds for s in studio], 0) if studio else None
    return {
        "studio_r": mean("studio", lambda s: s.r),
        "wild_r": mean("wild", lambda s: s.r),
        "studio_lag_ms": round(best_lag(pooled), 1) if pooled is not None else float("nan"),
        "width_r": mean("", lambda s: s.width_r),
        "bilabial_recall": share([s.closures for s in scores.values()]),
        "silence_rate": share([s.silence for s in scores.values()]),
    }


def model_scores(make: Callable[[], Voice], clips: Sequence[Clip]) -> dict[str, Score]:
    """Score a model on every clip, each time from its start."""
    result = {}
    for clip in clips:
        rows = speak(make(), clip)
        result[clip.name] = score(np.array([r.open for r in rows]), np.array([r.dwidth for r in rows]), clip)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table, or one line of JSON."""
    parser = argparse.ArgumentParser(prog="tests.bench.lipsync", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    clips = [
        read_clip(path) for path in sorted(options.folder.glob("*.npz")) if path.name.startswith(("studio_", "wild_"))
    ]
    if not clips:
        print(f"{options.folder} has no clips called studio_*.npz or wild_*.npz", file=sys.stderr)
        return 2
    systems: dict[str, dict[str, Score]] = {
        "model": model_scores(LearnedVoice, clips),
        "hand_made": model_scores(BandVoice, clips),
        "loudness": {clip.name: score(envelope(clip), None, clip) for clip in clips},
    }
    totals = {name: summary(scores) for name, scores in systems.items()}
    report: dict[str, Any] = {
        **totals["model"],
        "clips": len(clips),
        "baselines": {k: totals[k] for k in list(totals)[1:]},
    }
    if options.json:
        print(json.dumps(report))
        return 0
    names = list(totals["model"])
    print(f"{len(clips)} clips, {sum(len(c.opening) for c in clips) / FPS:.0f} s")
    print("".ljust(12) + "".join(name.rjust(17) for name in names))
    for system, values in totals.items():
        print(system.ljust(12) + "".join(f"{values[name]:17.3f}" for name in names))
    return 0


if __name__ == "__main__":
    sys.exit(main())
