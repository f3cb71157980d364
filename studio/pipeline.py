"""One visit's way from sound to beats: chunk n in, beat n out, always in order, an idle picture where nobody speaks.

`feed` hears, the timeline keeps a window of beats in the engine, `next` returns what leaves: paced, at its slot;
unpaced (for files), as fast as the engine, every beat of the sound. All of it runs on the event loop; knows nothing of
peers.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.audio import HANGOVER_BEATS, SILENCE, Listener
from studio.beat import FPS, SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Avatar, Engine, Options
from studio.errors import StudioError
from studio.pacer import Pacer, Slot
from studio.scheduler import Scheduler, Seat
from studio.spec import AvatarSpec
from studio.timeline import Timeline

CLOSING = 4
"""Beats that are asked for after an interruption: the mouth closes within three."""
HOLD = 2
"""Slots after an interruption that repeat the last picture until the closing mouth is drawn."""
LIVE_BEATS = 25
"""One second: what a live source may have waiting; older sound is dropped."""
LIVE_SLACK = 2
"""Beats that a live source normally has underway besides the engine's look-ahead; with more it is behind."""


class LoadedAvatar(Protocol):
    """An avatar that can be played now; `library` has them."""

    @property
    def spec(self) -> AvatarSpec:
        """As configured."""

    @property
    def engine(self) -> Engine:
        """Its engine."""

    @property
    def scheduler(self) -> Scheduler:
        """The engine's lanes."""

    @property
    def avatar(self) -> Avatar:
        """On the device."""


@dataclass(frozen=True, slots=True)
class Cut:
    """What an interruption did."""

    spoken_ms: int
    """Of the current utterance, what had left."""
    discarded_ms: int


class Pipeline:
    """One visit's beats.

    Args:
        loaded: Whom to play.
        options: The visit's; judged by the engine's `admit`.
        paced: Follow the clock; False: as fast as the engine, every beat of the sound, until `is_finished`.
        queue_seconds: Sound that may wait.
        clock: Seconds; `time.monotonic`.

    Raises:
        BadMessage: The engine does not take the options; no seat was taken.
    """

    def __init__(
        self,
        loaded: LoadedAvatar,
        options: Options,
        *,
        paced: bool = True,
        queue_seconds: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._queue_beats = int(queue_seconds * FPS)
        self._pacer = Pacer(clock())
        self._paced = paced
        self._timeline = Timeline(self._ask, self._pacer if paced else None)
        self._listener = Listener()
        self._news = asyncio.Event()
        self._left = asyncio.Event()
        self._fault: StudioError | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._is_live = self._is_complete = False
        self._hold = self._spoken = 0
        self.slot = -1
        """Index of the slot that `next` returned last; pts follow from it."""
        self.lateness = 0.0
        """Seconds by which that slot left late."""
        self.arrived = 0.0
        """Second in which that slot's sound came in, on ``clock``; 0: unknown, or none."""
        self.dropped = 0
        """Beats of a live source that waited too long."""
        self._seat = self._take(loaded, options)

    @property
    def loaded(self) -> LoadedAvatar:
        """Who is played."""
        return self._loaded

    @property
    def depth(self) -> int:
        """Beats that wait: in the queue, in the engine or for their slot."""
        return self._timeline.waiting + self._timeline.underway

    @property
    def late(self) -> int:
        """Slots that left idle although a beat was owed, and slots that never left, since the start."""
        return self._pacer.late + self._pacer.missed

    @property
    def is_finished(self) -> bool:
        """`end` was called and every beat of the sound has left."""
        return self._is_complete and not self._timeline.sound

    def feed(self, pcm: NDArray[np.int16], live: bool = False, arrived: float = 0.0) -> int:
        """Add sound.

        Args:
            pcm: (n,) mono 16 kHz, any n.
            live: It comes as it is spoken: more than a second of backlog is worthless, and the oldest is dropped.
            arrived: Second in which it came in; 0: unknown.

        Returns:
            Samples accepted; fewer than n when ``queue_seconds`` already wait: offer the rest later.
        """
        self._is_live, self._is_complete = live, False
        self._timeline.drop_fillers()
        room = max(0, self._queue_beats - self._timeline.waiting) * SAMPLES_PER_BEAT
        for heard in self._listener.hear(pcm[:room], arrived):
            self._timeline.add(heard)
        if live:
            self.dropped += self._timeline.drop_oldest(keep=LIVE_BEATS)
            self._catch_up()
        self._timeline.pump()
        self._news.set()
        return min(len(pcm), room)

    async def room(self, beats: int) -> None:
        """Return when fewer than ``beats`` wait besides the engine's look-ahead, and the queue has room for one."""
        while self.depth >= beats + self._lookahead or self._timeline.waiting >= self._queue_beats:
            self._left.clear()
            await self._left.wait()

    async def spoken(self) -> None:
        """Return when everything up to the last `end` has left, or was forgotten."""
        while not self.is_finished:
            self._left.clear()
            await self._left.wait()

    def end(self) -> None:
        """An utterance is complete: speak it to its last sample without waiting for more. Feeding may go on."""
        if self._is_complete:
            return
        for _ in range(self._listener.hangover + 1):
            self._rest()
        self._is_complete = True
        self._timeline.pump()
        self._news.set()

    def interrupt(self) -> Cut:
        """Forget speech that has not left yet, and close the mouth. A live speaker is heard again after a pause."""
        cut = Cut(self._spoken * 1000 // FPS, self._timeline.speech * 1000 // FPS)
        recalled = self._loaded.scheduler.recall(self._seat)
        self._hold = 0 if self._timeline.is_resting else HOLD
        self._timeline.cut(recalled, CLOSING)
        self._listener.clear(hush=self._is_live)
        self._spoken = 0
        self._left.set()
        return cut

    def switch(self, loaded: LoadedAvatar, options: Options) -> None:
        """Go on with another avatar; what has not left yet is spoken by the new one.

        Raises:
            BadMessage: Its engine does not take the options; the old one plays on.
        """
        before, seat = self._loaded.scheduler, self._seat
        self._seat = self._take(loaded, options)
        self._picture = None
        before.leave(seat)

    async def next(self) -> Beat:
        """Return the beat that leaves now; `slot` and `lateness` say when. Cancelling loses nothing.

        Raises:
            EngineFault: The take has failed; again at every call.
            StopAsyncIteration: Unpaced, and `is_finished`.
        """
        if not self._paced:
            return await self._next_made()
        if self.slot < 0:
            self._pacer.begin(self._clock())
        while True:
            self._check()
            is_owed = self._timeline.is_owed()
            if slot := self._pacer.take(self._clock(), is_owed):
                return self._leave(slot, is_owed)
            await asyncio.sleep(max(0.0, self._pacer.next_time - self._clock()))

    async def aclose(self) -> None:
        """Leave the scheduler and forget everything; idempotent."""
        self._loaded.scheduler.leave(self._seat)
        self._timeline.clear()
        self._picture = None

    async def _next_made(self) -> Beat:
        while not self._timeline.ready:
            self._check()
            if self.is_finished:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        beat = self._timeline.ready.popleft()
        self.slot += 1
        self._timeline.pump()
        self._left.set()
        return beat

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _take(self, loaded: LoadedAvatar, options: Options) -> Seat:
        self._lookahead = loaded.engine.admit(loaded.avatar, options)
        seat = loaded.scheduler.seat(loaded.avatar, options, self._on_beats, self._on_fault)
        self._loaded, self._seat = loaded, seat
        self._listener.hangover = max(HANGOVER_BEATS, self._lookahead + 2)
        self._timeline.play(loaded.avatar, self._lookahead, entire=options.sound is not None)
        return seat

    def _ask(self, chunk: AudioChunk, position: int) -> None:
        self._loaded.scheduler.submit(self._seat, chunk, self._pacer.time_of(position))

    def _on_beats(self, beats: list[Beat]) -> None:
        self._timeline.made(beats)
        self._news.set()

    def _on_fault(self, error: StudioError) -> None:
        self._fault = error
        self._news.set()

    def _leave(self, slot: Slot, was_owed: bool) -> Beat:
        self.slot, self.lateness, self.arrived = slot.index, slot.lateness, slot.arrived
        if slot.beat is not None:
            beat, self._hold = slot.beat, 0
            self._spoken += beat.speech
        elif self._hold and self._picture is not None:
            self._hold -= 1
            beat = Beat(-1, self._picture, SILENCE, False)
        else:
            beat = self._timeline.idle_beat(slot.position)
        self._picture = beat.picture
        if self._timeline.is_resting and not self._timeline.speech:
            self._spoken = 0
        self._fill(starves=slot.beat is None and was_owed)
        self._left.set()
        return beat

    def _catch_up(self) -> None:
        """Leave out silence where a live source is behind; a restless avatar shows every beat that it was asked for."""
        if self._loaded.avatar.restless:
            self._timeline.skip_silence(keep=LIVE_SLACK)
        else:
            self._pacer.owe_at_least(self.depth - self._lookahead - LIVE_SLACK)

    def _fill(self, starves: bool) -> None:
        """Make up silence where the source is late or has stopped without a word, and for the restless."""
        if self._loaded.avatar.restless:
            self._pacer.settle()
            self._timeline.fill(LIVE_SLACK)
        elif starves and self._timeline.waiting == 0 and self._timeline.is_starving:
            self._rest()
            self._pacer.owe()
        self._timeline.pump()

    def _rest(self) -> None:
        for heard in self._listener.rest():
            self._timeline.add(heard)
