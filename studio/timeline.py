"""One visit's beats between being heard and leaving: the sound that waits, the window in the engine, the beats made.

Pure: knows no clock, no thread and no engine; it calls ``ask`` for a beat and is told with `made`. Paced, silence
that nothing follows is forgotten at once, so that the next word finds an empty queue; unpaced, every beat is kept.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.audio import SILENCE, Heard
from studio.beat import AudioChunk, Beat
from studio.pacer import Pacer

AHEAD = 3
"""Beats that may be made ahead of the pacer, besides the engine's look-ahead."""


class Cast(Protocol):
    """What the timeline must know of the avatar that plays; `engine.Avatar` is one."""

    @property
    def idle_length(self) -> int:
        """Pictures in the idle loop."""

    @property
    def restless(self) -> bool:
        """Asked for every beat, silent or not."""

    def idle(self, phase: int) -> NDArray[np.uint8]:
        """Return an idle picture, I420."""


@dataclass(slots=True, eq=False)
class Place:
    """One beat's place, from being asked for until it is handed on."""

    heard: Heard
    position: int
    beat: Beat | None = None


class Timeline:
    """What waits, in order.

    Args:
        ask: Called with each chunk that the engine shall hear and the position at which it will be seen.
        pacer: Gets the beats that are made; None: unpaced, `ready` has them.
    """

    def __init__(self, ask: Callable[[AudioChunk, int], None], pacer: Pacer | None) -> None:
        self._ask, self._pacer = ask, pacer
        self._waiting: deque[Heard] = deque()
        self._awake_waiting = 0
        self._places: deque[Place] = deque()
        self._asked: dict[int, Place] = {}
        self._preroll: Heard | None = None
        self._index = self._position = self._lookahead = self._sounded = 0
        self._avatar: Cast | None = None
        self._entire = False
        self.ready: deque[Beat] = deque()
        """Beats that may leave, unpaced."""
        self.is_resting = True
        """The engine is not being asked."""

    def play(self, avatar: Cast, lookahead: int, entire: bool = False) -> None:
        """Begin a take; what waits, made or not, will be asked of it.

        Args:
            avatar: Who plays.
            lookahead: Beats that the take may hold back.
            entire: Ask for every beat of the sound, silent or not; a restless avatar wants that anyway.
        """
        made = [*(self._pacer.clear() if self._pacer else ()), *self.ready]
        again = [Heard(beat.pcm, beat.speech, beat.index >= 0) for beat in made]
        again += [place.heard for place in self._places] + list(self._waiting)
        self.clear()
        self._avatar, self._lookahead, self._entire = avatar, lookahead, entire or avatar.restless
        self._index, self.is_resting = 0, True
        for heard in again:
            self._append(heard)
        self.pump()

    @property
    def waiting(self) -> int:
        """Beats of sound that no engine was asked for yet."""
        return len(self._waiting)

    @property
    def underway(self) -> int:
        """Beats between being asked for and leaving."""
        return len(self._places) + len(self.ready) + (self._pacer.depth if self._pacer else 0)

    @property
    def speech(self) -> int:
        """Beats of speech that have not left."""
        made = [*self.ready, *(self._pacer.beats if self._pacer else ())]
        heard = [*self._waiting, *(place.heard for place in self._places)]
        return len([one for one in (*made, *heard) if one.speech])

    @property
    def sound(self) -> int:
        """Beats of the source's sound, fillers left out, that have not left."""
        heard = [*self._waiting, *(place.heard for place in self._places)]
        made: list[Beat] = [*self.ready, *(self._pacer.beats if self._pacer else ())]
        return sum(beat.index < self._sounded for beat in made) + sum(not one.filler for one in heard)

    @property
    def is_starving(self) -> bool:
        """The engine has all the sound there is, and needs more of it for the beat to come."""
        has_none = not self._waiting and not (self._pacer and self._pacer.depth)
        return has_none and not self.is_resting and len(self._places) <= self._lookahead

    def is_owed(self) -> bool:
        """A beat was promised for the pacer's position."""
        assert self._pacer is not None
        if self._places:
            return self._places[0].position <= self._pacer.position
        return not self.is_resting and not self._pacer.depth

    def add(self, heard: Heard) -> None:
        """Queue a beat of sound; `pump` moves it on."""
        if self._entire and not heard.awake:
            heard = replace(heard, awake=True)
        if heard.awake and not heard.filler:
            self._open()
        self._append(heard)

    def drop_fillers(self) -> None:
        """The source speaks again: forget the silence that was made up behind its last word."""
        while self._waiting and self._waiting[-1].filler:
            self._awake_waiting -= self._waiting.pop().awake

    def drop_oldest(self, keep: int) -> int:
        """Forget all but ``keep`` beats of waiting sound; return how many were forgotten."""
        too_many = range(len(self._waiting) - keep)
        for _ in too_many:
            self._awake_waiting -= self._waiting.popleft().awake
        return len(too_many)

    def skip_silence(self, keep: int) -> None:
        """Forget the oldest silent beats of waiting sound while more than ``keep`` beats wait."""
        while len(self._waiting) > keep and not self._waiting[0].speech:
            self._awake_waiting -= self._waiting.popleft().awake

    def fill(self, beats: int) -> None:
        """Queue as much silence as the engine lacks to have ``beats`` beats besides its look-ahead; `pump` moves it on.

        The sound that came in so far stays as it is, even half a beat: the rest of it is on its way.
        """
        for _ in range(self._lookahead + beats - self.underway - self.waiting):
            self._append(Heard(SILENCE, False, True, filler=True))

    def clear(self) -> None:
        """Forget everything that has not left; beats still being made will be ignored."""
        for queue in (self._waiting, self._places, self._asked, self.ready):
            queue.clear()
        self._awake_waiting, self._sounded, self._preroll = 0, 0, None
        if self._pacer:
            self._pacer.clear()

    def cut(self, recalled: int, beats: int) -> None:
        """Forget everything and ask for ``beats`` beats of a mouth that closes, at once.

        Args:
            recalled: Chunks asked for last that the engine will not hear.
            beats: How many.
        """
        self.clear()
        self._index -= recalled
        if self.is_resting:
            return
        self._position = self._pacer.position if self._pacer else self._position
        for i in range(beats + self._lookahead):
            self._request(Heard(SILENCE, False, True, filler=True), cut=i == 0)
        self._rest()

    def pump(self) -> None:
        """Move sound from the queue into the window while there is room."""
        while self._waiting and self.underway < self._lookahead + AHEAD:
            if self._pacer and not self._awake_waiting:
                self._preroll = self._waiting[-1]
                self._waiting.clear()
                self._rest()
                return
            if self._may_open:
                break
            heard = self._waiting.popleft()
            self._awake_waiting -= heard.awake
            if self._pacer and not self.underway:
                self._position = self._pacer.position + max(1, self._lookahead)
            if heard.awake:
                self.is_resting = False
                self._request(heard)
            else:
                self._pass(heard)
        self._hand_on()

    def made(self, beats: Iterable[Beat]) -> None:
        """Take what the engine made."""
        for beat in beats:
            if (place := self._asked.pop(beat.index, None)) is not None:
                place.beat = beat
        self.pump()

    def idle_beat(self, position: int, pcm: NDArray[np.int16] = SILENCE) -> Beat:
        """Return a beat of the idle loop."""
        assert self._avatar is not None
        phase = position % self._avatar.idle_length
        return Beat(-1, self._avatar.idle(phase), pcm, False, phase)

    def _append(self, heard: Heard) -> None:
        self._waiting.append(heard)
        self._awake_waiting += heard.awake

    def _open(self) -> None:
        """Let the engine hear one beat before the first awake one: consonants begin below the gate's threshold."""
        if self._waiting and not self._waiting[-1].awake:
            before = self._waiting.pop()
            self._append(replace(before, awake=True))
        elif not self._waiting and self._preroll is not None:
            self._append(replace(self._preroll, awake=True))
        self._preroll = None

    def _request(self, heard: Heard, cut: bool = False) -> None:
        assert self._avatar is not None
        place = Place(heard, self._position)
        self._places.append(place)
        self._asked[self._index] = place
        phase = self._position % self._avatar.idle_length
        self._ask(AudioChunk(self._index, heard.pcm, heard.speech, phase, cut), self._position)
        self._index += 1
        self._position += 1
        if not heard.filler:
            self._sounded = self._index  # fillers that come after it are no part of the sound

    def _pass(self, heard: Heard) -> None:
        """Place silence that the engine does not hear. The silent beats that it holds back become idle ones too."""
        for place in self._withheld():
            place.beat = self._silent_beat(place)
        self.is_resting = True
        place = Place(heard, self._position)
        place.beat = self._silent_beat(place)
        self._places.append(place)
        self._position += 1

    def _silent_beat(self, place: Place) -> Beat:
        return self.idle_beat(place.position, SILENCE if self._pacer else place.heard.pcm)

    def _rest(self) -> None:
        """Nothing follows: forget the silent beats that the engine holds back for want of a look ahead."""
        withheld = self._withheld()
        self._places = deque(place for place in self._places if place not in withheld)
        self.is_resting = True
        self._hand_on()

    def _withheld(self) -> list[Place]:
        if self.is_resting:
            return []
        last = range(self._index - self._lookahead, self._index)
        return [place for index in last if (place := self._asked.pop(index, None)) is not None]

    @property
    def _may_open(self) -> bool:
        """The beat that comes next may be heard before a voice that is not there yet (`_open`).

        Unpaced it waits for what is behind it: else what is heard would depend on how the sound was cut.
        """
        last = self._waiting[0]
        return self._pacer is None and len(self._waiting) == 1 and not (last.awake or last.filler)

    def _hand_on(self) -> None:
        while self._places and (beat := self._places[0].beat) is not None:
            place = self._places.popleft()
            if self._pacer:
                self._pacer.put(beat, place.position, place.heard.arrived)
            elif not place.heard.filler:
                self.ready.append(beat)
        if self._pacer and self.is_resting and not self.underway:
            self._pacer.settle()
