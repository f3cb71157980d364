"""Where a visit's sound comes from if no microphone brings it: a recording, read in a thread as fast as it is spoken.

A source knows nothing of clocks: it hands over what the pipeline has room for and waits. The thread is its own, so that
a file on a slow disk, or a stream that says nothing, holds up nobody else.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np

from studio.audio import Pcm
from studio.beat import FPS, SAMPLE_RATE
from studio.errors import TooLarge
from studio.recording import MAX_SECONDS, read_device, read_file, read_stream

LEAD_BEATS = 2 * FPS
"""Two seconds of sound wait in the pipeline at most, so that an interruption has little to forget."""
PIECE_SAMPLES = SAMPLE_RATE // 2
"""Read at once: a visit to the thread for each 500 ms."""

PIPE_BYTES = 8_000_000
"""Of a voice, that may wait to be decoded."""

Pieces = Callable[[], Generator[Pcm, None, None]]
"""Opens a recording; its pieces are (n,) mono 16 kHz, any n."""


class Hearer(Protocol):
    """What is spoken into; `pipeline.Pipeline` is one."""

    def feed(self, pcm: Pcm, live: bool = False, arrived: float = 0.0) -> int:
        """Take (n,) samples; return how many were accepted."""

    async def room(self, beats: int) -> None:
        """Return when fewer than ``beats`` wait."""

    def end(self) -> None:
        """The utterance is complete."""


class Source(Protocol):
    """Something that speaks."""

    async def run(self, hearer: Hearer) -> None:
        """Hand over everything there is to say; cancelling ends it at once.

        Raises:
            StudioError: It broke; what was handed over before is spoken.
        """


class Recording:
    """A source with a beginning and an end.

    Args:
        pieces: Opens it; called in the thread.
        loop: Begin anew at the end, without a pause.
    """

    def __init__(self, pieces: Pieces, loop: bool = False) -> None:
        self._pieces, self._loop = pieces, loop

    @classmethod
    def of_file(cls, path: Path, container: str, max_seconds: float = MAX_SECONDS, loop: bool = False) -> Recording:
        """Speak a file; ``container`` as for `recording.read_file`."""
        return cls(lambda: read_file(path, max_seconds, container=container), loop)

    async def run(self, hearer: Hearer) -> None:
        """Hand over the recording, in a loop for ever; cancelling ends it at once.

        Raises:
            BadAudio: It cannot be read, or not to its end; what was read before is spoken.
            TooLarge: It is too long.
        """
        reader = ThreadPoolExecutor(1, "source")
        pieces = self._pieces()
        try:
            while await self._once(hearer, reader, pieces) and self._loop:
                pieces = self._pieces()
        finally:
            hearer.end()
            reader.submit(pieces.close)
            reader.shutdown(wait=False)

    async def _once(self, hearer: Hearer, reader: ThreadPoolExecutor, pieces: Generator[Pcm, None, None]) -> bool:
        """Hand over one round; return whether it held any sound."""
        loop, spoke = asyncio.get_running_loop(), False
        while len(pcm := await loop.run_in_executor(reader, _gather, pieces)):
            spoke = True
            while len(pcm):
                await hearer.room(LEAD_BEATS)
                pcm = pcm[hearer.feed(pcm) :]
        return spoke


class Pipe:
    """Bytes on their way from the event loop to a reader's thread; a `recording.Readable`."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._news = threading.Condition()
        self._is_closed = False

    def push(self, data: bytes) -> None:
        """Add bytes; any thread.

        Raises:
            TooLarge: Nobody reads them as fast as they come.
        """
        with self._news:
            if len(self._bytes) + len(data) > PIPE_BYTES:
                raise TooLarge("Sound comes faster than it can be heard.")
            self._bytes += data
            self._news.notify()

    def close(self) -> None:
        """Nothing more will come; idempotent."""
        with self._news:
            self._is_closed = True
            self._news.notify()

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes, waiting for some; none at the end."""
        with self._news:
            while not self._bytes and not self._is_closed:
                self._news.wait()
            part = bytes(self._bytes[:count])
            del self._bytes[:count]
            return part


class LiveVoice:
    """A microphone whose bytes come piece by piece: handed on as they are decoded, late ones dropped by the pipeline.

    Args:
        pipe: Where they come from; closed when the source ends.
    """

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    async def run(self, hearer: Hearer) -> None:
        """Hand over what is decoded until the pipe is closed; cancelling closes it.

        Raises:
            BadAudio: It cannot be read.
        """
        try:
            await _listen(hearer, read_stream(self._pipe))
        finally:
            self._pipe.close()


class SoundCard:
    """A microphone of this machine.

    Args:
        name: As for `recording.read_device`.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def check(self) -> None:
        """See that it can be heard; blocks for a moment.

        Raises:
            BadAudio: It cannot.
        """
        pieces = read_device(self._name)
        next(pieces, None)
        pieces.close()

    async def run(self, hearer: Hearer) -> None:
        """Hand over what it hears, for ever; cancelling ends it at once.

        Raises:
            BadAudio: It cannot be heard, or not any more.
        """
        await _listen(hearer, read_device(self._name))


async def _listen(hearer: Hearer, pieces: Generator[Pcm, None, None]) -> None:
    """Hand over pieces as they come, each read in a thread."""
    loop, reader = asyncio.get_running_loop(), ThreadPoolExecutor(1, "source")
    try:
        while (pcm := await loop.run_in_executor(reader, next, pieces, None)) is not None:
            hearer.feed(pcm, live=True, arrived=time.monotonic())
    finally:
        reader.submit(pieces.close)
        reader.shutdown(wait=False)


def _gather(pieces: Generator[Pcm, None, None]) -> Pcm:
    """Return the next (n,) samples: at least `PIECE_SAMPLES` unless the recording ends; none at its end."""
    parts, count = [np.zeros(0, np.int16)], 0
    while count < PIECE_SAMPLES and (piece := next(pieces, None)) is not None:
        parts.append(piece)
        count += len(piece)
    return np.concatenate(parts)
