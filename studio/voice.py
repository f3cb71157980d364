"""An agent's voice: samples in bursts or as they are made, handed to a pipeline without ever holding it up.

Knows nothing of sockets, nor whose turn it is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from studio.audio import Pcm, Resampler
from studio.beat import FPS
from studio.errors import BadMessage
from studio.source import LEAD_BEATS, Hearer

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
