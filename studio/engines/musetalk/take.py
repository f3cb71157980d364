"""One visit: which pictures are due when a chunk has come, and how much of the network's face each one shows.

Pictures are made in groups, when the future that the last of them needs is known. In silence the film is shown as it
was shot; both edges of speech are eased over four beats. Knows no network and no pixel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from studio.beat import AudioChunk
from studio.engines.blanks import Blanks
from studio.engines.musetalk.hearing import Canvas
from studio.engines.musetalk.options import Latency
from studio.engines.musetalk.types import Bytes, Floats
from studio.engines.runtime import Array

NETWORKS = "MuseTalk's UNet or decoder"
EASE = 4
"""Beats from the film's mouth to the network's, and back."""
CLOSING = (0.6, 0.25)
"""What is left of the last face in the beats after an interruption; nothing from the third on."""


@dataclass(frozen=True, slots=True, eq=False)
class Due:
    """A picture to be made."""

    chunk: AudioChunk
    share: float
    """0..1 of the network's face that is seen; 0: none is needed."""
    face: Bytes | None = None
    """(256, 256, 3) BGR: one that is there already."""


class Sound(Protocol):
    """Where a visit's prompts come from."""

    def picture(self) -> Floats | None:
        """Return what the speech encoder has to hear now, (80, 3000); None: nothing."""

    def prompts(self, states: Array | None, beats: Sequence[int]) -> Floats:
        """Return the prompts (n, 50, 384) of some beats; ``states`` is the encoder's answer, if it was asked."""


class Player:
    """A visit that is heard as it is spoken; used by one thread at a time.

    Args:
        latency: How pictures are grouped.
        loop: Pictures in the avatar's idle loop: phases count modulo it.
    """

    def __init__(self, latency: Latency, loop: int) -> None:
        self._latency, self._loop = latency, loop
        self._canvas = Canvas()
        self._held: deque[AudioChunk] = deque()
        self._last: AudioChunk | None = None
        self._due: list[Due] = []
        self._first = 0
        self._share = 0.0
        self._shown: Bytes | None = None
        self._blanks = Blanks(NETWORKS)
        self._fade: list[tuple[float, Bytes]] = []

    def hear(self, chunk: AudioChunk) -> list[Due]:
        """Take the next chunk; return what is due now, in order. The same chunk once more gives the same again."""
        if self._last is not None and self._last.index == chunk.index:
            return self._due
        due = self._broken(chunk)
        self._canvas.hear(chunk.pcm, is_pause=not chunk.speech)
        self._held.append(chunk)
        self._last = chunk
        known = chunk.index - self._first - self._latency.lookahead
        if known >= 0 and known % self._latency.together == 0:
            due += [self._next() for _ in range(self._latency.together)]
        self._due = due
        return due

    def shown(self, face: Bytes | None) -> None:
        """Note the last face that was made, (256, 256, 3) BGR; None: it could not be made.

        Raises:
            EngineFault: That was one too many.
        """
        if self._blanks.takes(face):
            self._shown = face

    def picture(self) -> Floats:
        """Return what the speech encoder has to hear now, (80, 3000)."""
        return self._canvas.picture()

    def prompts(self, states: Array | None, beats: Sequence[int]) -> Floats:
        """Return the prompts (n, 50, 384) of some beats; ``states`` is the encoder's answer to `picture`."""
        assert states is not None
        return self._canvas.prompts(states, beats)

    def _broken(self, chunk: AudioChunk) -> list[Due]:
        """Begin anew where this chunk does not continue what was heard; return what is held, without a mouth."""
        jumped = self._last is None or (self._last.phase + 1 - chunk.phase) % self._loop != 0
        in_speech = any(held.speech for held in self._held)
        if not chunk.cut and (not jumped or in_speech):
            return []
        if chunk.cut and self._shown is not None:
            self._fade = [(part * self._share, self._shown) for part in CLOSING if self._share > 0]
        left = [Due(held, 0.0) for held in self._held]
        self._held.clear()
        self._canvas.begin(chunk.index)
        self._first, self._share = chunk.index, 0.0
        return left

    def _next(self) -> Due:
        chunk = self._held.popleft()
        if self._fade:
            share, face = self._fade.pop(0)
            return Due(chunk, share, face)
        ahead = [chunk, *list(self._held)[: EASE - 1]]
        wanted = max((1 - away / EASE for away, held in enumerate(ahead) if held.speech), default=0.0)
        step = 1 / EASE
        self._share = min(max(wanted, self._share - step), self._share + step)
        return Due(chunk, self._share)


class Film:
    """A visit whose whole sound is known beforehand: upstream's way, every picture with its face, none held back.

    Args:
        prompts: (n, 50, 384), of every beat of the sound.
    """

    def __init__(self, prompts: Floats) -> None:
        self._prompts = prompts
        self._blanks = Blanks(NETWORKS)

    def hear(self, chunk: AudioChunk) -> list[Due]:
        """Take the next chunk; its picture is due. What comes after the sound's end has no face."""
        return [Due(chunk, 1.0 if chunk.index < len(self._prompts) else 0.0)]

    def shown(self, face: Bytes | None) -> None:
        """Note that a face was made, or could not be; raises `EngineFault` as `Player.shown`."""
        self._blanks.takes(face)

    def picture(self) -> None:
        """Return nothing: everything was heard before."""

    def prompts(self, states: Array | None, beats: Sequence[int]) -> Floats:
        """Return the prompts (n, 50, 384) of some beats."""
        return self._prompts[list(beats)]
