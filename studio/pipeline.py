"""One visit's way from sound to beats: chunk n in, beat n out, always in order, and an idle picture where nobody speaks.

`feed` cuts sound into beats, the listener decides which of them the engine hears, a window of a few runs ahead of the
pacer, `next` returns what leaves. Paced, it follows the clock; unpaced (for files) it is as fast as the engine and
keeps the whole timeline, silence included. Everything runs on the event loop; knows nothing of peers.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.audio import HANGOVER_BEATS, SILENCE, Heard, Listener
from studio.beat import FPS, SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Avatar, Engine, Options
from studio.errors import StudioError
from studio.pacer import Pacer, Slot
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec

AHEAD = 3
"""Beats that may be made ahead of the pacer, besides the engine's look-ahead."""
CLOSING = 4
"""Beats that are asked for after an interruption: the mouth closes within three."""
HOLD = 2
"""Slots after an interruption that repeat the last picture until the closing mouth is drawn."""
LIVE_BEATS = 25
"""One second: what a live source may have waiting; older sound is dropped."""


class LoadedAvatar(Protocol):
    """An avatar that can be played now."""

    @property
    def spec(self) -> AvatarSpec:
        """As configured, ``engine`` resolved."""

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


@dataclass(slots=True, eq=False)
class Place:
    """One beat's place in the timeline, from being asked for until the pacer has it."""

    heard: Heard
    position: int
    beat: Beat | None = None


class Pipeline:
    """One visit's beats.

    Args:
        loaded: Whom to play.
        options: For the engine's `begin`.
        paced: Follow the clock; False: as fast as the engine, every beat of the sound, until `end`.
        queue_seconds: Sound that may wait.
        clock: Seconds; `time.monotonic`.
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
        self._options, self._paced, self._clock = options, paced, clock
        self._queue_beats = int(queue_seconds * FPS)
        self._waiting: deque[Heard] = deque()
        self._timeline: deque[Place] = deque()
        self._ready: deque[Beat] = deque()  # unpaced only: what the pacer holds otherwise
        self._pacer = Pacer(clock())
        self._news = asyncio.Event()
        self._fault: StudioError | None = None
        self._picture: NDArray[np.uint8] | None = None
        self._preroll: Heard | None = None
        self._resting, self._live, self._ended = True, False, False
        self._awake_waiting = self._position = self._hold = self._spoken = 0
        self.slot = -1
        """Index of the slot that `next` returned last; pts follow from it."""
        self.lateness = 0.0
        """Seconds by which that slot left late."""
        self.dropped = 0
        """Beats of sound that were refused or dropped because they came too fast."""
        self._listener = Listener()
        self._take(loaded)

    @property
    def loaded(self) -> LoadedAvatar:
        """Who is played."""
        return self._loaded

    @property
    def depth(self) -> int:
        """Beats that wait, in the queue, in the engine or for their slot."""
        return len(self._waiting) + self._underway

    @property
    def late(self) -> int:
        """Slots that left idle although a beat was owed, since the start."""
        return self._pacer.late + self._pacer.missed

    @property
    def is_finished(self) -> bool:
        """Unpaced: the sound has ended and every beat of it was returned."""
        return self._ended and not self._ready and not any(not p.heard.filler for p in self._timeline) and all(
            heard.filler for heard in self._waiting
        )

    def feed(self, pcm: NDArray[np.int16], live: bool = False) -> int:
        """Add sound.

        Args:
            pcm: (n,) mono 16 kHz, any n.
            live: It comes as it is spoken: more than a second of backlog is worthless, and the oldest is dropped.

        Returns:
            Samples accepted; fewer than n when ``queue_seconds`` already wait: offer the rest later.
        """
        self._live = live
        while self._waiting and self._waiting[-1].filler:
            self._forget(self._waiting.pop())
        room = max(0, self._queue_beats - len(self._waiting)) * SAMPLES_PER_BEAT
        for heard in self._listener.hear(pcm[:room]):
            self._queue(heard)
        while live and len(self._waiting) > LIVE_BEATS:
            self._forget(self._waiting.popleft())
            self.dropped += 1
        self._pump()
        return min(len(pcm), room)

    def end(self) -> None:
        """Say that an utterance is complete: it is spoken to its last sample without waiting for more. Feeding may go on."""
        for _ in range(self._listener.hangover + 1):
            for heard in self._listener.rest():
                self._queue(heard)
        self._ended = True
        self._pump()
        self._news.set()

    def interrupt(self) -> Cut:
        """Forget speech that has not left yet, and close the mouth."""
        beats = [*self._pacer.clear(), *self._ready]
        discarded = sum(beat.speech for beat in beats) + sum(place.heard.speech for place in self._timeline)
        discarded += sum(heard.speech for heard in self._waiting)
        cut = Cut(self._spoken * 1000 // FPS, discarded * 1000 // FPS)
        self._index -= self._loaded.scheduler.recall(self._seat)
        self._listener.clear(hush=self._live)
        for queue in (self._waiting, self._timeline, self._ready, self._asked):
            queue.clear()
        self._awake_waiting, self._preroll = 0, None
        if not self._resting:
            self._hold = HOLD
            self._position = self._pacer.position
            for i in range(CLOSING + self._loaded.engine.lookahead):
                self._ask(Heard(SILENCE, False, True, filler=True), cut=i == 0)
            self._rest()
        return cut

    def switch(self, loaded: LoadedAvatar, options: Options) -> None:
        """Go on with another avatar; what was not yet spoken is spoken by the new one."""
        again = [Heard(beat.pcm, beat.speech, beat.index >= 0) for beat in self._pacer.clear()]
        again += [place.heard for place in self._timeline] + list(self._waiting)
        self._loaded.scheduler.leave(self._seat)
        self._options = options
        self._timeline.clear()
        self._waiting = deque(again)
        self._awake_waiting = sum(heard.awake for heard in again)
        self._picture = None
        self._take(loaded)
        self._pump()

    async def next(self) -> Beat:
        """Return the beat that leaves now; `slot` and `lateness` say when. Cancelling loses nothing.

        Raises:
            EngineFault: The take has failed, again at every call.
        """
        if not self._paced:
            return await self._next_made()
        if self.slot < 0:
            self._pacer.begin(self._clock())
        while True:
            self._check()
            if slot := self._pacer.take(self._clock(), self._is_owed()):
                return self._leave(slot)
            await asyncio.sleep(max(0.0, self._pacer.next_time - self._clock()))

    async def aclose(self) -> None:
        """Leave the scheduler and forget everything; idempotent."""
        self._loaded.scheduler.leave(self._seat)
        for queue in (self._waiting, self._timeline, self._ready, self._asked):
            queue.clear()
        self._pacer.clear()

    async def _next_made(self) -> Beat:
        while not self._ready:
            self._check()
            self._news.clear()
            await self._news.wait()
        beat = self._ready.popleft()
        self.slot += 1
        self._pump()
        return beat

    def _check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def _take(self, loaded: LoadedAvatar) -> None:
        self._loaded = loaded
        self._index = 0
        self._asked: dict[int, Place] = {}
        self._listener.hangover = max(HANGOVER_BEATS, loaded.engine.lookahead + 2)
        self._seat = loaded.scheduler.seat(loaded.avatar, self._options, self._on_beats, self._on_fault)

    @property
    def _underway(self) -> int:
        return len(self._timeline) + self._pacer.depth + len(self._ready)

    def _is_owed(self) -> bool:
        if self._timeline:
            return self._timeline[0].position <= self._pacer.position
        return not self._resting and not self._pacer.depth

    def _queue(self, heard: Heard) -> None:
        if self._loaded.avatar.restless and not heard.awake:
            heard = replace(heard, awake=True)
        if heard.awake and not heard.filler:
            self._open()
        self._waiting.append(heard)
        self._awake_waiting += heard.awake

    def _open(self) -> None:
        """Let the engine hear one beat before the first awake one: consonants start below the gate."""
        if self._waiting and not self._waiting[-1].awake:
            self._waiting[-1] = replace(self._waiting[-1], awake=True)
            self._awake_waiting += 1
        elif not self._waiting and self._preroll is not None:
            self._waiting.append(replace(self._preroll, awake=True))
            self._awake_waiting += 1
        self._preroll = None

    def _forget(self, heard: Heard) -> None:
        self._awake_waiting -= heard.awake

    def _pump(self) -> None:
        """Move sound from the queue into the timeline while the window has room."""
        window = self._loaded.engine.lookahead + AHEAD
        while self._waiting and self._underway < window:
            if self._paced and not self._awake_waiting:
                self._preroll = self._waiting[-1]
                self._waiting.clear()
                self._rest()
                return
            heard = self._waiting.popleft()
            self._forget(heard)
            if not self._underway:
                lead = max(1, self._loaded.engine.lookahead) if self._paced else 0
                self._position = max(self._position, self._pacer.position + lead)
            if heard.awake:
                if self._resting:
                    self._spoken = 0
                self._resting = False
                self._ask(heard)
            else:
                self._idle(heard)
        self._advance()

    def _ask(self, heard: Heard, cut: bool = False) -> None:
        phase = self._position % self._loaded.avatar.idle_length
        chunk = AudioChunk(self._index, heard.pcm, heard.speech, phase, cut)
        place = Place(heard, self._position)
        self._timeline.append(place)
        self._asked[self._index] = place
        self._loaded.scheduler.submit(self._seat, chunk, self._pacer.time_of(self._position))
        self._index += 1
        self._position += 1

    def _idle(self, heard: Heard) -> None:
        """Place a silent beat that the engine does not hear; those that it holds back, silent too, become idle ones."""
        for place in self._withheld():
            place.beat = self._idle_beat(place.position, place.heard.pcm)
        self._resting = True
        self._timeline.append(Place(heard, self._position, self._idle_beat(self._position, heard.pcm)))
        self._position += 1

    def _rest(self) -> None:
        """The source is silent: drop the silent beats that the engine holds back for want of a look ahead."""
        withheld = self._withheld()
        self._timeline = deque(place for place in self._timeline if place not in withheld)
        self._resting = True
        self._advance()

    def _withheld(self) -> list[Place]:
        if self._resting:
            return []
        last = range(self._index - self._loaded.engine.lookahead, self._index)
        return [place for index in last if (place := self._asked.pop(index, None)) is not None]

    def _idle_beat(self, position: int, pcm: NDArray[np.int16]) -> Beat:
        avatar = self._loaded.avatar
        phase = position % avatar.idle_length
        return Beat(-1, avatar.idle(phase), SILENCE if self._paced else pcm, False, phase)

    def _on_beats(self, beats: Iterable[Beat]) -> None:
        for beat in beats:
            if (place := self._asked.pop(beat.index, None)) is not None:
                place.beat = beat
        self._advance()
        self._pump()

    def _on_fault(self, error: StudioError) -> None:
        self._fault = error
        self._news.set()

    def _advance(self) -> None:
        """Hand the beats that are made, in order, to whoever lets them leave."""
        while self._timeline and (beat := self._timeline[0].beat) is not None:
            place = self._timeline.popleft()
            if self._paced:
                self._pacer.put(beat, place.position)
            elif not place.heard.filler:
                self._ready.append(beat)
        if self._resting and not self._underway:
            self._pacer.settle()
        self._news.set()

    def _leave(self, slot: Slot) -> Beat:
        self.slot, self.lateness = slot.index, slot.lateness
        if slot.beat is not None:
            beat, self._hold = slot.beat, 0
            self._spoken += beat.speech
        elif self._hold and self._picture is not None:
            self._hold -= 1
            beat = Beat(-1, self._picture, SILENCE, False)
        else:
            beat = self._idle_beat(slot.position, SILENCE)
        self._picture = beat.picture
        self._fill(starved=slot.beat is None)
        self._pump()
        return beat

    def _fill(self, starved: bool) -> None:
        """Make up silence where the source is late or has ended without a word."""
        if self._waiting or self._ended and self._resting:
            return
        restless = self._loaded.avatar.restless
        if restless and self._underway <= self._loaded.engine.lookahead or starved and not self._resting and not self._pacer.depth:
            for heard in self._listener.rest():
                self._queue(heard)
            if not restless:
                self._pacer.owe()
