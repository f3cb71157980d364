"""What arrives and when, as bare numbers; bounded. Knows nothing of networks: whoever receives tells it, with a time.

All times are seconds of one clock (`time.monotonic`), stamps are seconds of the sender's.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from studio.client.order import Outcome

MAX_PICTURES = 250_000
"""Of one measurement: an hour at 60 a second, with room."""
MAX_SOUNDS = 500_000
MAX_REPORTS = 10_000
QUIET = 2.0
"""Seconds without a picture before the end of what was asked: the server had stalled."""
RECENT_SECONDS = 2.0
"""Over which the live line counts pictures and bytes."""


class Flood(Exception):
    """More arrives than any studio sends."""


@dataclass(slots=True)
class Arrival:
    """One picture or sound packet."""

    at: float
    """When its last byte came in."""
    stamp: float
    """The sender's time of it: seconds since 1970 (frames) or of the RTP clock (WebRTC)."""
    size_bytes: int
    number: int = 0
    """Of a picture, as the sender counts; its place in the recording at 25 a second."""


@dataclass(slots=True)
class Intake:
    """One measurement's raw material.

    Args:
        clock: Seconds.
    """

    clock: Callable[[], float] = time.monotonic
    asked_at: float = 0.0
    """When the request for the stream left."""
    ended_at: float = 0.0
    pictures: list[Arrival] = field(default_factory=list)
    sounds: list[Arrival] = field(default_factory=list)
    reports: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {"video": [], "audio": []})
    """Sender reports by kind: NTP seconds and the RTP clock's seconds of the same moment (RFC 3550 6.4.1)."""
    expected: int | None = None
    """Pictures that the server announced."""
    broken: int = 0
    """Messages or pictures that made no sense."""
    timings: dict[str, float] = field(default_factory=dict)
    """``upload``, ``prepare``, ``connect``: seconds before the request or within it."""
    remarks: list[str] = field(default_factory=list)
    """What the server changed or complained about, in its words."""
    packets: int = 0
    """RTP packets that carried pictures; 0 where there are none."""
    lost: int = 0
    """Of those, never seen."""
    codec: str = ""
    outcome: Outcome = Outcome.COMPLETED
    reason: str = ""
    """Why it ended early."""
    _recent: deque[tuple[float, int]] = field(default_factory=deque)

    def ask(self) -> None:
        """The request leaves now."""
        self.asked_at = self.ended_at = self.clock()

    def picture(self, stamp: float, size_bytes: int, number: int) -> int:
        """Note a whole picture and return its index.

        Raises:
            Flood: There are too many.
        """
        if len(self.pictures) >= MAX_PICTURES:
            raise Flood
        now = self.clock()
        self.pictures.append(Arrival(now, stamp, size_bytes, number))
        self._remember(now, size_bytes)
        return len(self.pictures) - 1

    def more(self, size_bytes: int) -> None:
        """Note a further packet of the newest picture."""
        now, newest = self.clock(), self.pictures[-1]
        newest.at, newest.size_bytes = now, newest.size_bytes + size_bytes
        self._recent.append((now, size_bytes))

    def sound(self, stamp: float, size_bytes: int) -> None:
        """Note a packet of sound.

        Raises:
            Flood: There are too many.
        """
        if len(self.sounds) >= MAX_SOUNDS:
            raise Flood
        self.sounds.append(Arrival(self.clock(), stamp, size_bytes))

    def report(self, kind: str, ntp: float, stamp: float) -> None:
        """Note a sender report; those past `MAX_REPORTS` tell nothing new."""
        if len(self.reports[kind]) < MAX_REPORTS:
            self.reports[kind].append((ntp, stamp))

    def remark(self, text: str) -> None:
        """Note the server's words; of many, the first few."""
        if text and text not in self.remarks and len(self.remarks) < 20:
            self.remarks.append(text)

    def end(self, outcome: Outcome, reason: str = "") -> None:
        """The stream is over; one that was silent when its time was up has stalled."""
        self.ended_at = self.clock()
        if outcome is Outcome.TIMEOUT and self.pictures and self.ended_at - self.pictures[-1].at > QUIET:
            outcome, reason = (
                Outcome.STALLED,
                f"nothing came any more {self.ended_at - self.pictures[-1].at:.1f} s before",
            )
        self.outcome, self.reason = outcome, reason

    def live(self) -> tuple[float, float]:
        """Return pictures a second and bits a second of the last `RECENT_SECONDS`."""
        now = self.clock()
        while self._recent and self._recent[0][0] < now - RECENT_SECONDS:
            self._recent.popleft()
        first = self.pictures[0].at if self.pictures else now
        span = max(0.2, min(RECENT_SECONDS, now - first))
        count = sum(one.at >= now - span for one in self.pictures[-200:])
        return count / span, 8 * sum(size for _, size in self._recent) / span

    def _remember(self, now: float, size_bytes: int) -> None:
        self._recent.append((now, size_bytes))
        if len(self._recent) > 5000:
            self._recent.popleft()
