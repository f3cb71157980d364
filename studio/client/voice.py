"""A sound file as a microphone: 20 ms after 20 ms, then silence for as long as anybody listens."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from aiortc import MediaStreamTrack

from studio.audio import Pcm
from studio.errors import StudioError
from studio.recording import read_file

RATE = 48_000
SAMPLES = RATE // 50
"""Of a frame: 20 ms."""
AHEAD = RATE
"""Samples that are read ahead."""


class Voice(MediaStreamTrack):
    """An outgoing track; `stop` ends it.

    Args:
        path: Any sound file of this machine; None: silence.
        most: Seconds of it that may be said.

    Raises:
        BadAudio: It cannot be read; said at `open`.
    """

    kind = "audio"

    def __init__(self, path: Path | None, most: float) -> None:
        super().__init__()
        self.ended_at: float | None = None
        """`time.monotonic` of the moment when everything was said."""
        self.error: StudioError | None = None
        """Why the rest of it cannot be said."""
        self._left = round(most * RATE)
        self._pieces = read_file(path, float("inf"), RATE) if path else None
        self._reader = ThreadPoolExecutor(1, "voice")
        self._ready = np.zeros(0, np.int16)
        self._count, self._began = 0, 0.0

    async def open(self) -> None:
        """Read the beginning, before anybody is called.

        Raises:
            BadAudio: This is no sound.
        """
        await self._fill()

    async def recv(self) -> av.AudioFrame:
        """Return the next frame when it is due; silence after the last, also where the file breaks off."""
        if not self._count:
            self._began = time.monotonic()
        delay = self._began + self._count * SAMPLES / RATE - time.monotonic()
        if delay > 0:
            await asyncio.sleep(delay)
        if len(self._ready) < SAMPLES and self._pieces is not None:
            try:
                await self._fill()
            except StudioError as error:  # with it aiortc would end the track, and nobody would know
                self.error, self._pieces = error, None
        pcm, self._ready = self._ready[:SAMPLES], self._ready[SAMPLES:]
        if len(pcm) < SAMPLES:
            if self.ended_at is None:
                self.ended_at = time.monotonic()
            pcm = np.concatenate((pcm, np.zeros(SAMPLES - len(pcm), np.int16)))
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, self._count * SAMPLES, Fraction(1, RATE)
        self._count += 1
        return frame

    def stop(self) -> None:
        """End the track and close the file."""
        super().stop()
        if self._pieces is not None:
            self._reader.submit(self._pieces.close)
            self._pieces = None
        self._reader.shutdown(wait=False)

    async def _fill(self) -> None:
        while self._pieces is not None and len(self._ready) < AHEAD:
            piece = await asyncio.get_running_loop().run_in_executor(self._reader, _next, self._pieces)
            if piece is None or self._left <= 0:
                self._pieces = None
                return
            self._left -= len(piece)
            self._ready = np.concatenate((self._ready, piece))


def _next(pieces: object) -> Pcm | None:
    return next(pieces, None)  # type: ignore[call-overload, no-any-return]
