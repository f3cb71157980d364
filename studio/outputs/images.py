"""A visit's beats as a row of pictures, WebP or JPEG, for a reader that fetches them one by one. An `output.Output`.

Of a recording every picture is wanted, none earlier than its time: a slow reader slows the visit down. Of a live voice
the newest picture is wanted: a slow reader misses some. Either way the quality falls while pictures wait. Sound is not
sent. Knows nothing of sockets.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np

from studio import picture
from studio.beat import BEAT_SECONDS, FPS, Beat
from studio.picture import Picture
from studio.stats import Stats

QUEUED_PICTURES = 50
"""Of a recording, that may wait for the reader."""
QUEUED_LIVE = 4
"""Of a live voice: older ones are worthless."""
CATCH_UP_SECONDS = 1.0
"""What a recording makes up for after a stall."""
MIMES = {"webp": "image/webp", "jpeg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Images:
    """What the pictures shall be like."""

    form: str = "webp"
    """``webp`` or ``jpeg``."""
    quality: int = 80
    """10..100, while nothing waits."""
    quality_min: int = 40
    """10..100, when the queue is full."""
    scale: float = 1.0
    """Of the avatar's sides, 0.1..1."""
    seconds: float = BEAT_SECONDS
    """From one picture of a recording to the next, at least."""
    fade_in: int = 0
    """Pictures in which the first movement grows out of the still."""
    fade_out: int = 0
    """Pictures in which the last movement returns to it."""
    count: int = 0
    """Pictures that the recording makes; 0: a live voice."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One picture on its way."""

    index: int
    """Counts the pictures sent, from 0."""
    at: float
    """Seconds since 1970 when it left the engine."""
    mime: str
    data: bytes


class ImageOutput:
    """One reader's pictures.

    Args:
        wanted: What they shall be like.
        still: The avatar at rest, I420: where fades begin and end.
        stats: Gets the CPU time of ``encode_images``.
        clock: Seconds; `time.monotonic`.
    """

    def __init__(
        self, wanted: Images, still: Picture, stats: Stats, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._wanted, self._stats, self._clock = wanted, stats, clock
        self._still = still
        self._most = QUEUED_PICTURES if wanted.count else QUEUED_LIVE
        self._taken: deque[tuple[int, float, Beat]] = deque()
        self._ready: deque[Image] = deque()
        self._news, self._left, self._changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._next_at = 0.0
        self._is_encoding = self._is_finished = False
        self.state = "connected"
        self.dropped = 0
        """Pictures of a live voice that the reader was too slow for."""

    async def until(self, *states: str) -> str:
        """Wait for one of the states and return it."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()
        return self.state

    @property
    def waiting(self) -> int:
        """Pictures that the reader has not fetched."""
        return len(self._taken) + len(self._ready) + self._is_encoding

    async def room(self) -> None:
        """Return when the reader wants another picture of the recording and its time has come; live at once."""
        if not self._wanted.count:
            return
        while self.waiting >= self._most:
            self._left.clear()
            await self._left.wait()
        now = self._clock()
        self._next_at = max(self._next_at or now, now - CATCH_UP_SECONDS)
        await asyncio.sleep(self._next_at - now)
        self._next_at += self._wanted.seconds

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Take one beat; a live reader who is behind loses the oldest."""
        if self.waiting >= self._most and not self._wanted.count:
            queue = self._ready or self._taken
            if queue:
                queue.popleft()
                self.dropped += 1
        self._taken.append((slot, time.time(), beat))
        self._news.set()

    def hush(self) -> None:
        """Nothing to do: there is no sound."""

    async def encode(self) -> None:
        """Encode what is taken, in the encoders' pool; runs until cancelled."""
        loop, index = asyncio.get_running_loop(), 0
        while True:
            await self._news.wait()
            self._news.clear()
            while self._taken:
                slot, at, beat = self._taken.popleft()
                quality = self._quality()
                self._is_encoding = True
                data = await loop.run_in_executor(None, self._encoded, slot, beat.picture, quality)
                self._is_encoding = False
                self._ready.append(Image(index, at, MIMES[self._wanted.form], data))
                index += 1
                self._changed.set()

    async def next(self) -> Image | None:
        """Return the next picture; None after the last one."""
        while not self._ready:
            if self._is_finished or self.state == "closed":
                return None
            self._changed.clear()
            await self._changed.wait()
        image = self._ready.popleft()
        self._left.set()
        return image

    async def finish(self) -> None:
        """Return when the reader has fetched everything."""
        while self.waiting:
            self._left.clear()
            await self._left.wait()
        self._is_finished = True
        self._changed.set()

    async def aclose(self, limit: float = 1.0) -> None:
        """Forget what waits; idempotent."""
        self.state = "closed"
        self._taken.clear()
        self._ready.clear()
        self._changed.set()
        self._left.set()

    def _quality(self) -> int:
        fill = min(1.0, self.waiting / self._most)
        best, least = self._wanted.quality, min(self._wanted.quality, self._wanted.quality_min)
        return round(best - (best - least) * fill)

    def _encoded(self, slot: int, drawn: Picture, quality: int) -> bytes:
        with self._stats.stage("encode_images"):
            faded = self._faded(slot, drawn)
            scaled = picture.scale(faded, *picture.scaled(faded, self._wanted.scale))
            return picture.jpeg(scaled, quality) if self._wanted.form == "jpeg" else webp(scaled, quality)

    def _faded(self, slot: int, drawn: Picture) -> Picture:
        """Blend with the still near the recording's ends."""
        wanted = self._wanted
        weight = 1.0
        if slot < wanted.fade_in:
            weight = (slot + 1) / (wanted.fade_in + 1)
        if 0 <= (left := wanted.count - 1 - slot) < wanted.fade_out:
            weight = min(weight, left / wanted.fade_out)
        if weight >= 1.0:
            return drawn
        return picture.blend(self._still, drawn, weight)


def webp(drawn: Picture, quality: int) -> bytes:
    """Return an I420 picture as lossy WebP; quality 1..100.

    The fastest of libwebp's methods: 8 ms for 512 x 512 where OpenCV's one way needs 34, for a quarter more bytes.
    """
    width, height = picture.size(drawn)
    codec = av.VideoCodecContext.create("libwebp", "w")
    codec.width, codec.height, codec.pix_fmt, codec.framerate = width, height, "yuv420p", Fraction(FPS)
    codec.options = {"compression_level": "0", "quality": str(quality)}
    frame = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(drawn), format="yuv420p")
    return b"".join(bytes(packet) for packet in (*codec.encode(frame), *codec.encode(None)))
