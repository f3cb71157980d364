"""How many visits fit: the engine's own limit, and the processor time that all parts of a visit share.

Counts nobody; `host` knows who is there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from studio.beat import BEAT_SECONDS, FPS
from studio.scheduler import HEADROOM, Scheduler
from studio.stats import Stats

LOOP_MS = 2.2
"""CPU time of one visit per beat on the event loop: hearing, pacing, sending (`tests/bench/RESULTS.md`)."""
VIEWER_MS = 0.75
"""CPU time of one viewer of a broadcast per beat, all of it on the event loop: sending. 0.47 measured (`RESULTS.md`);
but near a full core all viewers fall together: 40 held there, 48 did not."""
ENCODE_MS = 2.0
"""CPU time of encoding one beat, until this machine has encoded `ENOUGH_BEATS`."""
ENOUGH_BEATS = 500
USUAL_PIXELS = 512 * 512
"""Of a picture whose visit takes one seat."""
FURTHER_SEATS = 0.7
"""For as many pixels again: 1280 x 720 costs 2.6 times what a usual visit does, drawing aside (`RESULTS.md`)."""
CONNECT_PATIENCE = 4.0
"""Seconds for which a peer without a media path keeps its seat from others; else `IceSpec.connect_limit`."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How many visits fit."""

    seats: int
    taken: int
    """By visits; a large picture takes more than one."""


def seats_for(width: int, height: int, fps: int) -> int:
    """Return the seats of a visit whose pictures have another size, or another rate, than usual; at least one."""
    return max(1, round(1 + FURTHER_SEATS * (width * height * fps / (USUAL_PIXELS * FPS) - 1)))


def measured_seats(scheduler: Scheduler, stats: Stats) -> int:
    """Return the visits that keep 25 fps with `HEADROOM`, at least one.

    Args:
        scheduler: The engine's that most visits use.
        stats: What visits have cost so far.
    """
    is_on_cpu = scheduler.engine.lanes > 1
    budget_ms = (os.cpu_count() or 1) * BEAT_SECONDS * 1000 * (1 - HEADROOM)
    budget_ms -= stats.value("studio_viewers") * VIEWER_MS
    seats = int(budget_ms / (LOOP_MS + encode_ms(stats) + (scheduler.step_ms() if is_on_cpu else 0.0)))
    return max(1, min(seats, scheduler.capacity()))


def measured_viewers(visits: int) -> int:
    """Return how many viewers of broadcasts the event loop has time for beside so many visits, at least one."""
    budget_ms = BEAT_SECONDS * 1000 * (1 - HEADROOM) - visits * LOOP_MS
    return max(1, int(budget_ms / VIEWER_MS))


def encode_ms(stats: Stats) -> float:
    """Return what encoding a beat costs here, in CPU milliseconds; `ENCODE_MS` before `ENOUGH_BEATS`."""
    beats = sum(stats.value("studio_beats_total", kind=kind) for kind in ("speech", "idle"))
    if beats < ENOUGH_BEATS:
        return ENCODE_MS
    return stats.spent_ms("convert", "encode_video", "encode_audio", "encode_images") / beats
