"""How many visits fit: the engine's own limit, and the processor time that all parts of a visit share.

Counts nobody; `host` knows who is there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from studio.beat import BEAT_SECONDS
from studio.scheduler import HEADROOM, Scheduler
from studio.stats import Stats

LOOP_MS = 2.2
"""CPU time of one visit per beat on the event loop: hearing, pacing, sending (`tests/bench/RESULTS.md`)."""
ENCODE_MS = 2.0
"""CPU time of encoding one beat, until this machine has encoded `ENOUGH_BEATS`."""
ENOUGH_BEATS = 500


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many visits fit."""

    seats: int
    taken: int


def measured_seats(scheduler: Scheduler, stats: Stats) -> int:
    """Return the visits that keep 25 fps with `HEADROOM`, at least one.

    Args:
        scheduler: The engine's that most visits use.
        stats: What visits have cost so far.
    """
    is_on_cpu = scheduler.engine.lanes > 1
    budget_ms = (os.cpu_count() or 1) * BEAT_SECONDS * 1000 * (1 - HEADROOM)
    seats = int(budget_ms / (LOOP_MS + encode_ms(stats) + (scheduler.step_ms() if is_on_cpu else 0.0)))
    return max(1, min(seats, scheduler.capacity()))


def encode_ms(stats: Stats) -> float:
    """Return what encoding a beat costs here, in CPU milliseconds; `ENCODE_MS` before `ENOUGH_BEATS`."""
    beats = sum(stats.value("studio_beats_total", kind=kind) for kind in ("speech", "idle"))
    if beats < ENOUGH_BEATS:
        return ENCODE_MS
    return stats.spent_ms("convert", "encode_video", "encode_audio", "encode_images") / beats
