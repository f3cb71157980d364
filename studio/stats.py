"""Counters, gauges and latency histograms by name, and their Prometheus text.

Thread-safe; knows nothing of who counts what. Names follow Prometheus: `studio_<what>_<unit>`; labels are keywords.
`HELP` lists what the studio counts. Each histogram `x_ms` comes with a gauge `x_recent_ms{quantile=...}`:
median, 95th and 99th percentile of its newest `WINDOW` observations.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping

LATENCY_BUCKETS_MS = (1.0, 2.0, 4.0, 8.0, 16.0, 24.0, 32.0, 40.0, 60.0, 80.0, 120.0, 200.0, 400.0, 1000.0)
"""Upper bounds of the histograms, in milliseconds."""
WINDOW = 2048
"""Newest observations of a histogram that percentiles look at."""
QUANTILES = (0.5, 0.95, 0.99)
HELP: Mapping[str, str] = {
    "studio_beat_lateness_ms": "How much later than its time a beat left the pacer.",
    "studio_sound_to_beat_ms": "From the arrival of a beat's first sound packet to the sending of that beat.",
    "studio_engine_step_ms": "Wall time of one engine step, by engine.",
    "studio_beats_total": "Beats that were sent, by kind: speech or idle.",
    "studio_cpu_ms_total": "CPU time by stage: hear, step, convert, encode_video, encode_audio, send.",
    "studio_loop_cpu_ms": "CPU time of the event loop's thread since it began, hear and send included.",
    "studio_late_beats_total": "Slots that left idle although a beat was owed, and slots that never left.",
    "studio_dropped_total": "Pictures and sounds given up, by what: picture, beat, stale_sound, backlog.",
    "studio_refused_total": "Visitors for whom there was no seat.",
    "studio_viewers": "Who watch broadcasts, or are about to.",
    "studio_engine_faults_total": "Steps that failed, by engine.",
    "studio_sessions": "Visits that go on.",
    "studio_seats": "Visits that fit, as configured or as this machine was measured to hold.",
    "studio_seats_taken": "Seats in use, or kept for whose avatar is being prepared.",
    "studio_tasks": "Tasks of the event loop.",
    "studio_threads": "Threads of Python in this process.",
    "studio_memory_bytes": "Resident memory of this process; where the system does not tell, the most it ever was.",
}
"""Name -> the help line that Prometheus shows."""

Labels = tuple[tuple[str, str], ...]


def percentile(values: Iterable[float], fraction: float) -> float:
    """Return the nearest-rank percentile, 0 of nothing.

    Args:
        values: Observations in any order.
        fraction: 0..1.
    """
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0


class Histogram:
    """Observations in milliseconds: Prometheus buckets for ever, and the newest `WINDOW` for percentiles."""

    def __init__(self) -> None:
        self.counts = [0] * (len(LATENCY_BUCKETS_MS) + 1)
        self.total_ms = 0.0
        self.recent: deque[float] = deque(maxlen=WINDOW)

    def observe(self, ms: float) -> None:
        """Add one observation."""
        self.counts[bisect_left(LATENCY_BUCKETS_MS, ms)] += 1
        self.total_ms += ms
        self.recent.append(ms)


class Stage:
    """A block whose CPU time is counted; about 2 µs."""

    __slots__ = ("_began", "_name", "_stats")

    def __init__(self, stats: Stats, name: str) -> None:
        self._stats, self._name = stats, name

    def __enter__(self) -> None:
        self._began = time.thread_time()

    def __exit__(self, *_: object) -> None:
        self._stats.spend(self._name, (time.thread_time() - self._began) * 1000)


class Stats:
    """One registry per process, handed to whoever counts."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._help: dict[str, str] = dict(HELP)
        self._values: dict[str, dict[Labels, float]] = {}
        self._spent: dict[str, float] = {}
        self._gauges: set[str] = set()
        self._histograms: dict[str, dict[Labels, Histogram]] = {}

    def describe(self, name: str, text: str) -> None:
        """Attach the help line that Prometheus shows."""
        with self._lock:
            self._help[name] = text

    def count(self, name: str, amount: float = 1, **labels: str) -> None:
        """Increase a counter; its name ends in ``_total``."""
        key = _labels(labels)
        with self._lock:
            family = self._values.setdefault(name, {})
            family[key] = family.get(key, 0) + amount

    def gauge(self, name: str, value: float, **labels: str) -> None:
        """Set a gauge."""
        with self._lock:
            self._gauges.add(name)
            self._values.setdefault(name, {})[_labels(labels)] = value

    def observe(self, name: str, ms: float, **labels: str) -> None:
        """Add to a histogram of milliseconds; its name ends in ``_ms``."""
        with self._lock:
            self._histograms.setdefault(name, {}).setdefault(_labels(labels), Histogram()).observe(ms)

    def spend(self, stage: str, ms: float) -> None:
        """Add CPU time to a stage of ``studio_cpu_ms_total``."""
        with self._lock:
            self._spent[stage] = self._spent.get(stage, 0.0) + ms

    def spent_ms(self, *stages: str) -> float:
        """Return the CPU time that these stages have cost so far."""
        with self._lock:
            return sum(self._spent.get(stage, 0.0) for stage in stages)

    def stage(self, stage: str) -> Stage:
        """Return a context that adds the CPU time its thread spends in it; it must not wait for the event loop."""
        return Stage(self, stage)

    def value(self, name: str, **labels: str) -> float:
        """Return a counter or gauge, 0 if never touched."""
        with self._lock:
            return self._values.get(name, {}).get(_labels(labels), 0)

    def percentile_ms(self, name: str, fraction: float, **labels: str) -> float:
        """Return a percentile of the newest observations, 0 if there are none."""
        with self._lock:
            histogram = self._histograms.get(name, {}).get(_labels(labels))
            recent = list(histogram.recent) if histogram else []
        return percentile(recent, fraction)

    def prometheus(self) -> str:
        """Return the exposition text, version 0.0.4."""
        with self._lock:
            lines: list[str] = []
            if self._spent:
                self._values["studio_cpu_ms_total"] = {(("stage", name),): ms for name, ms in self._spent.items()}
            for name, family in sorted(self._values.items()):
                lines += self._head(name, "gauge" if name in self._gauges else "counter")
                lines += [f"{name}{_braces(key)} {value:g}" for key, value in sorted(family.items())]
            for name, histograms in sorted(self._histograms.items()):
                lines += self._head(name, "histogram")
                for key, histogram in sorted(histograms.items()):
                    lines += _histogram_lines(name, key, histogram)
                lines += _recent_lines(name.removesuffix("_ms") + "_recent_ms", histograms)
        return "\n".join(lines) + "\n"

    def _head(self, name: str, kind: str) -> list[str]:
        text = self._help.get(name)
        return ([f"# HELP {name} {text}"] if text else []) + [f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _braces(labels: Labels) -> str:
    escaped = (
        '{}="{}"'.format(name, value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n"))
        for name, value in labels
    )
    return f"{{{','.join(escaped)}}}" if labels else ""


def _histogram_lines(name: str, key: Labels, histogram: Histogram) -> list[str]:
    lines, running = [], 0
    for bound, count in zip((*LATENCY_BUCKETS_MS, None), histogram.counts, strict=True):
        running += count
        le = "+Inf" if bound is None else f"{bound:g}"
        lines.append(f"{name}_bucket{_braces((*key, ('le', le)))} {running}")
    return [*lines, f"{name}_sum{_braces(key)} {histogram.total_ms:g}", f"{name}_count{_braces(key)} {running}"]


def _recent_lines(name: str, histograms: Mapping[Labels, Histogram]) -> list[str]:
    lines = [f"# HELP {name} Of the newest {WINDOW} observations, by quantile.", f"# TYPE {name} gauge"]
    for key, histogram in sorted(histograms.items()):
        for quantile in QUANTILES:
            labels = _braces((*key, ("quantile", f"{quantile:g}")))
            lines.append(f"{name}{labels} {percentile(histogram.recent, quantile):g}")
    return lines
