"""Which beat is due at `now`: a slot leaves every 40 ms, whatever happens. Pure: looks at no clock and never sleeps.

Beats wait with the *position* at which they are to be seen: a count of slots that the idle loop shares, so that speech
starts exactly where the idle loop has arrived. A beat that is early waits; one that is late goes at once and the
idle loop follows it. Each slot that had to leave without an owed beat is a debt, paid back by skipping silent beats.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from studio.beat import BEAT_SECONDS, Beat

BURST = 3
"""Slots that are made up for at once after a stall of the caller; a longer stall is jumped over."""
MAX_DEBT = 10
"""400 ms: a backlog above it is no lateness, it is a queue."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """What leaves now."""

    index: int
    """Counts slots from 0; pts follow from it alone. Jumps after a stall."""
    beat: Beat | None
    """None: the idle picture of ``position``, and silence."""
    position: int
    """Place in the idle loop, not yet modulo its length."""
    lateness: float
    """Seconds after its time."""
    arrived: float = 0.0
    """Second in which the beat's sound came in; 0: unknown."""


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    beat: Beat
    position: int
    arrived: float


class Pacer:
    """One visitor's clock.

    Args:
        start: Time of slot 0 in seconds, on the caller's clock.
        position: Where the idle loop starts.
    """

    def __init__(self, start: float, position: int = 0) -> None:
        self._start = start
        self._index = 0
        self._ready: deque[_Ready] = deque()
        self._debt = 0
        self.position = position
        """Of the next slot."""
        self.late = 0
        """Slots that left idle although a beat was owed."""
        self.skipped = 0
        """Silent beats left out to catch up."""
        self.missed = 0
        """Slots that never left because the caller came too late."""

    @property
    def next_time(self) -> float:
        """When the next slot is due."""
        return self._start + self._index * BEAT_SECONDS

    def begin(self, now: float) -> None:
        """Make slot 0 due now; only before the first `take`."""
        assert self._index == 0
        self._start = now

    @property
    def depth(self) -> int:
        """Beats that wait."""
        return len(self._ready)

    @property
    def beats(self) -> Iterator[Beat]:
        """The beats that wait, in order."""
        return (ready.beat for ready in self._ready)

    @property
    def debt(self) -> int:
        """Slots that the sound is behind, 0..`MAX_DEBT`."""
        return self._debt

    def time_of(self, position: int) -> float:
        """Return when ``position`` will be seen if nothing is late."""
        return self.next_time + (position - self.position) * BEAT_SECONDS

    def put(self, beat: Beat, position: int, arrived: float = 0.0) -> None:
        """Add a beat behind those that wait; ``arrived`` is handed on in its slot."""
        self._ready.append(_Ready(beat, position, arrived))

    def owe(self) -> None:
        """Count one slot of lateness that the caller knows of."""
        self._debt = min(self._debt + 1, MAX_DEBT)

    def owe_at_least(self, slots: int) -> None:
        """The caller knows that the sound is ``slots`` behind."""
        self._debt = max(self._debt, min(slots, MAX_DEBT))

    def settle(self) -> None:
        """Forget the debt: the visitor is silent, so nothing is late any more."""
        self._debt = 0

    def clear(self) -> list[Beat]:
        """Drop and return every beat that waits."""
        beats = list(self.beats)
        self._ready.clear()
        return beats

    def take(self, now: float, owed: bool = False) -> Slot | None:
        """Return the slot that is due, or None before its time.

        Args:
            now: Seconds on the clock of ``start``.
            owed: A beat for this position was promised; if it is not here, the slot is late.
        """
        lateness = now - self.next_time
        if lateness < 0:
            return None
        behind = int(lateness / BEAT_SECONDS)
        if behind > BURST:
            self._jump(behind)
            lateness -= behind * BEAT_SECONDS
        ready = self._choose(owed)
        if ready is not None:
            slot = Slot(self._index, ready.beat, ready.position, lateness, ready.arrived)
        else:
            slot = Slot(self._index, None, self.position, lateness)
        self._index += 1
        self.position = slot.position + 1
        return slot

    def _jump(self, slots: int) -> None:
        self._index += slots
        self.missed += slots
        if self._ready:
            self._debt = min(self._debt + slots, MAX_DEBT)
        else:
            self.position += slots

    def _choose(self, owed: bool) -> _Ready | None:
        while self._debt and len(self._ready) > 1 and not self._ready[0].beat.speech:
            skipped = self._ready.popleft()
            self.position = max(self.position, skipped.position + 1)  # what follows is due that much earlier
            self._debt -= 1
            self.skipped += 1
        if self._ready and self._ready[0].position <= self.position:
            return self._ready.popleft()
        if not self._ready and owed:
            self.late += 1
            self.owe()
        return None
