"""What one visit counts: the beats that left, how late, and what was lost; said to the visitor once a second."""

from __future__ import annotations

import time

from studio import messages
from studio.beat import Beat
from studio.output import Output
from studio.pipeline import Pipeline
from studio.stats import Stats, percentile


class Tally:
    """Counts one visit, for itself and for the house.

    Args:
        stats: The house's counts.
    """

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._lateness: list[float] = []
        self._counted: dict[str, int] = {}
        self._before = time.monotonic()

    def count(self, beat: Beat, lateness: float) -> None:
        """Count a beat that has left, ``lateness`` seconds after it was due."""
        self._stats.count("studio_beats_total", kind="speech" if beat.speech else "idle")
        self._lateness.append(lateness * 1000)
        self._stats.observe("studio_beat_lateness_ms", self._lateness[-1])

    def report(self, pipeline: Pipeline, output: Output, stale: int) -> messages.Stats:
        """Return what happened since the last report, and count it for the house; see `count_losses`."""
        self.count_losses(pipeline, stale)
        self._stats.gauge("studio_loop_cpu_ms", time.thread_time() * 1000)
        lateness, self._lateness = self._lateness, []
        before, self._before = self._before, time.monotonic()
        return messages.Stats(
            fps=round(len(lateness) / (self._before - before), 1),
            queue_depth=pipeline.depth,
            beat_lateness_ms=round(percentile(lateness, 0.95), 1),
            engine_ms=round(pipeline.loaded.scheduler.step_ms(), 2),
            dropped=pipeline.dropped + pipeline.late + output.dropped,
        )

    def count_losses(self, pipeline: Pipeline, stale: int) -> None:
        """Count for the house what was lost since the last time.

        Args:
            pipeline: The visit's.
            stale: Frames of the microphone that came too late, since the start.
        """
        losses = (
            ("studio_late_beats_total", "", pipeline.late),
            ("studio_dropped_total", "backlog", pipeline.dropped),
            ("studio_dropped_total", "stale_sound", stale),
        )
        for name, what, total in losses:
            if more := total - self._counted.get(name + what, 0):
                self._counted[name + what] = total
                self._stats.count(name, more, **({"what": what} if what else {}))
