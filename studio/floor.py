"""Who has the floor in a visit (floor control, RFC 4582): its own source, or, before it, speech from outside.

From outside come recordings, spoken one after the other, and one agent, which pushes samples as its voice is made.
While they speak a microphone is not heard, and a recording of the visit's own waits. Knows nothing of sockets.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from studio.audio import Pcm, Resampler
from studio.beat import FPS
from studio.errors import BadMessage, StudioError, StudioFull
from studio.source import LEAD_BEATS, Hearer, Recording

RECORDINGS = 16
"""That may wait for each other in one visit."""
VOICES = 2
"""That one visit hears: an agent's, and one that has been closed and still has to be spoken."""
FLUSHES = 64
"""That may wait in one voice."""
BLOCK_BYTES = 1 << 16
"""Of sound are kept together, however it came."""
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000
"""Hertz that a voice may have, both allowed."""


class Speaker(Hearer, Protocol):
    """What speaks; `pipeline.Pipeline` is one."""

    async def spoken(self) -> None:
        """Return when everything up to `end` has left."""


@dataclass(slots=True, eq=False)
class _Block:
    """Bytes of s16le mono, `BLOCK_BYTES` at most."""

    rate: int
    data: bytearray

    def take(self) -> bytes:
        """Return the first beat's worth, or what is left: as much as is handed over without a pause for others."""
        count = self.rate // FPS * 2
        part = bytes(self.data[:count])
        del self.data[:count]
        return part


Flushed = asyncio.Future[bool]
"""Done when all that came before it was spoken (True) or forgotten (False)."""


class Voice:
    """An agent's speech on its way to the pipeline, in bursts or as it is spoken; nothing is dropped.

    It holds whatever is pushed: whoever pushes looks at `seconds` and waits with `drained`.
    """

    def __init__(self) -> None:
        self._queue: deque[_Block | Flushed] = deque()
        self._flushing: Flushed | None = None
        self._news, self._left = asyncio.Event(), asyncio.Event()
        self._resampler = Resampler()
        self._rest: Pcm = np.zeros(0, np.int16)
        self._odd = b""
        self.is_closed = False
        """Nothing more will be pushed."""
        self.seconds = 0.0
        """Of sound that wait here, before the pipeline."""

    def push(self, data: bytes, rate: int) -> None:
        """Add sound.

        Args:
            data: Samples, s16le mono; may begin or end within a sample.
            rate: Hertz.

        Raises:
            BadMessage: The voice is closed.
        """
        if self.is_closed:
            raise BadMessage("This voice has ended.")
        for start in range(0, len(data), BLOCK_BYTES):
            part = data[start : start + BLOCK_BYTES]
            self.seconds += len(part) / 2 / rate
            last = self._queue[-1] if self._queue else None
            if isinstance(last, _Block) and last.rate == rate and len(last.data) + len(part) <= BLOCK_BYTES:
                last.data += part
            else:
                self._queue.append(_Block(rate, bytearray(part)))
        self._news.set()

    def flush(self) -> Flushed:
        """Speak what was pushed to its last sample without waiting for more; return what tells when that was done.

        Raises:
            BadMessage: The voice is closed, or too many flushes wait.
        """
        if self.is_closed or sum(not isinstance(one, _Block) for one in self._queue) >= FLUSHES:
            raise BadMessage("Wait for the answer to flush before you say it again.")
        flushed: Flushed = asyncio.get_running_loop().create_future()
        self._queue.append(flushed)
        self._news.set()
        return flushed

    def close(self) -> None:
        """Nothing more will come; what waits is spoken. Idempotent."""
        self.is_closed = True
        self._news.set()

    def forget(self) -> float:
        """Forget what has not been handed over; return its seconds."""
        forgotten, self.seconds = self.seconds, 0.0
        for flushed in (*self._queue, self._flushing):
            if isinstance(flushed, asyncio.Future) and not flushed.done():
                flushed.set_result(False)
        self._queue.clear()
        self._rest, self._odd, self._resampler = self._rest[:0], b"", Resampler()
        self._left.set()
        return forgotten

    def abandon(self) -> None:
        """Nothing that waits will be spoken. Idempotent."""
        self.close()
        self.forget()

    async def drained(self, seconds: float) -> None:
        """Return when less than ``seconds`` of sound wait."""
        while self.seconds >= seconds:
            self._left.clear()
            await self._left.wait()

    async def run(self, speaker: Speaker) -> None:
        """Hand over what is pushed until `close`; return when it was spoken. Cancelling leaves the rest where it is."""
        while self._queue or not self.is_closed:
            if self._queue:
                await self._hand_over(speaker)
            else:
                self._news.clear()
                await self._news.wait()
        await self._finish(speaker)

    async def _hand_over(self, speaker: Speaker) -> None:
        """Hand over the first of the queue; what an interruption forgets meanwhile is not spoken."""
        await speaker.room(LEAD_BEATS)
        if not self._queue:
            return
        match self._queue[0]:
            case _Block() as block:
                data = block.take()
                if not block.data:
                    self._queue.popleft()
                self.seconds = max(0.0, self.seconds - len(data) / 2 / block.rate) if self._queue else 0.0
                self._rest = self._read(data, block.rate)
                self._left.set()
                await self._feed(speaker)
                await asyncio.sleep(0)
            case flushed:
                self._queue.popleft()
                self._flushing = flushed
                await self._finish(speaker)
                self._flushing = None
                if not flushed.done():
                    flushed.set_result(True)

    async def _finish(self, speaker: Speaker) -> None:
        self._rest, self._odd = self._resampler.flush(), b""
        await self._feed(speaker)
        speaker.end()
        await speaker.spoken()

    async def _feed(self, speaker: Speaker) -> None:
        while len(self._rest):
            await speaker.room(LEAD_BEATS)
            self._rest = self._rest[speaker.feed(self._rest) :]

    def _read(self, data: bytes, rate: int) -> Pcm:
        data = self._odd + data
        self._odd = data[len(data) // 2 * 2 :]
        return self._resampler.resample_pcm(np.frombuffer(data, "<i2", len(data) // 2), rate)


class Floor:
    """Hands the pipeline to one speaker after the other; a `source.Hearer` for the visit's own source.

    Args:
        speaker: The pipeline.
        tell: Hears why a recording broke off.
    """

    def __init__(self, speaker: Speaker, tell: Callable[[StudioError], None]) -> None:
        self._speaker, self._tell = speaker, tell
        self._turn = asyncio.Lock()
        self._open, self._free = asyncio.Event(), asyncio.Event()
        self._free.set()
        self._turns: dict[asyncio.Task[None], Voice | None] = {}
        self._owes_end = self._is_closed = False

    @property
    def is_taken(self) -> bool:
        """Somebody from outside speaks, or may at any moment."""
        return not self._free.is_set()

    def open(self) -> None:
        """Media flow: whoever waits may speak. Idempotent."""
        self._open.set()

    def say(self, recording: Recording) -> None:
        """Speak a recording after everything else from outside.

        Raises:
            BadMessage: An agent speaks here, or the visit is over.
            StudioFull: Too many wait.
        """
        if any(not voice.is_closed for voice in self._voices):
            raise BadMessage("An agent speaks in this session. Let it send the sound.")
        if len(self._turns) >= RECORDINGS:
            raise StudioFull("Too many recordings wait to be spoken in this session. Please try again shortly.")
        self._give(lambda: self._say(recording), None)

    def attach(self, voice: Voice) -> asyncio.Task[None]:
        """Let an agent speak until it closes its voice; return what is done when that was spoken, or the visit is over.

        Raises:
            BadMessage: Another agent is here, or what two of them said before is still being spoken, or the visit is
                over.
        """
        if any(not voice.is_closed for voice in self._voices) or len(self._voices) >= VOICES:
            raise BadMessage("Another agent speaks in this session.")
        task = self._give(lambda: voice.run(self._speaker), voice)
        task.add_done_callback(lambda _: voice.abandon())
        return task

    def forget(self) -> float:
        """Forget what has not been handed over; return the seconds of agents' sound among it."""
        for task, voice in self._turns.items():
            if voice is None:
                task.cancel()
        return sum(voice.forget() for voice in self._voices)

    def feed(self, pcm: Pcm, live: bool = False, arrived: float = 0.0) -> int:
        """Take the visit's own sound; while the floor is taken what is live is lost, and other sound not accepted."""
        if self.is_taken:
            return len(pcm) if live else 0
        return self._speaker.feed(pcm, live, arrived)

    async def room(self, beats: int) -> None:
        """Return when the floor is free and fewer than ``beats`` wait."""
        while True:
            await self._free.wait()
            await self._speaker.room(beats)
            if not self.is_taken:
                return

    def end(self) -> None:
        """The visit's own utterance is complete."""
        self._owes_end = self.is_taken
        if not self.is_taken:
            self._speaker.end()

    async def aclose(self) -> None:
        """Cancel whoever speaks; idempotent."""
        self._is_closed = True
        for task in self._turns:
            task.cancel()
        await asyncio.gather(*self._turns, return_exceptions=True)

    @property
    def _voices(self) -> list[Voice]:
        return [voice for voice in self._turns.values() if voice is not None]

    def _give(self, speak: Callable[[], Coroutine[object, object, None]], voice: Voice | None) -> asyncio.Task[None]:
        if self._is_closed:
            raise BadMessage("This session has ended.")
        self._free.clear()
        task = asyncio.create_task(self._wait_and(speak))
        self._turns[task] = voice
        task.add_done_callback(self._give_back)
        return task

    def _give_back(self, task: asyncio.Task[None]) -> None:
        del self._turns[task]
        if self._turns:
            return
        self._free.set()
        if self._owes_end and not self._is_closed:
            self.end()

    async def _wait_and(self, speak: Callable[[], Coroutine[object, object, None]]) -> None:
        await self._open.wait()
        async with self._turn:
            try:
                await speak()
            except StudioError as error:
                self._tell(error)

    async def _say(self, recording: Recording) -> None:
        await recording.run(self._speaker)
        await self._speaker.spoken()
