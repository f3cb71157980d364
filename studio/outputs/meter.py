"""How a stream does: where it stands, pictures and bits a second, of the last few seconds. Time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from studio.beat import FPS

MEASURED_SECONDS = 5.0
"""Of which frames and bits a second are told."""


class Stage(StrEnum):
    """Where a stream stands."""

    CONNECTING = "connecting"
    LIVE = "live"
    RECONNECTING = "reconnecting"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be told of a stream."""

    stage: Stage
    frames: int
    """Pictures that were sent, since the start."""
    fps: float
    bitrate_bps: float
    """Of the last `MEASURED_SECONDS`, as ``fps``."""
    reconnects: int
    """How often a lost server was found again."""
    dropped: int
    """Beats that a slow machine or network, or a missing server, cost."""
    uptime: float
    """Seconds since it was first live."""


@dataclass(frozen=True, slots=True)
class _Count:
    at: float
    pictures: int
    bytes: int


class Meter:
    """Counts what is sent."""

    def __init__(self) -> None:
        self._counts: deque[_Count] = deque(maxlen=int(2 * MEASURED_SECONDS * FPS))
        self.pictures = 0
        """Since the start."""

    def add(self, now: float, pictures: int, count_bytes: int) -> None:
        """Count what was sent at ``now``."""
        self._counts.append(_Count(now, pictures, count_bytes))
        self.pictures += pictures

    def pause(self) -> None:
        """Nothing is sent for a while: what was before says nothing of what comes after."""
        self._counts.clear()

    def rates(self, now: float) -> tuple[float, float]:
        """Return pictures and bits a second; 0 while nothing is known."""
        recent = [count for count in self._counts if now - count.at <= MEASURED_SECONDS]
        if len(recent) < 2:
            return 0.0, 0.0
        span = max(now, recent[-1].at) - recent[0].at  # what came first began the span, and is no part of it
        if span <= 0:
            return 0.0, 0.0
        later = recent[1:]
        return sum(count.pictures for count in later) / span, 8 * sum(count.bytes for count in later) / span
