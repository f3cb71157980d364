"""From the pacer's beats to the two outgoing tracks: encodes in the thread pool, and gives each packet its time.

Knows nothing of connections. When encoding falls behind, pictures are left out, never sound.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aiortc import MediaStreamTrack
from aiortc.codecs.base import Encoder
from aiortc.mediastreams import MediaStreamError

from studio.audio import SILENCE
from studio.beat import BEAT_SECONDS, Beat
from studio.encode import BeatCoder, Encoded, Relay
from studio.stats import Stats

BUFFERED_SLOTS = 12
"""Slots, 480 ms, that may wait for the encoders; then the oldest beat is dropped, sound and all."""
KEPT_PICTURES = 3
"""Pictures that may wait for the encoder: a hitch of 80 ms costs none, a lasting shortage costs the oldest."""


@dataclass(frozen=True, slots=True)
class Released:
    """A beat that the pacer let go."""

    at: float
    slot: int
    beat: Beat
    arrived: float


Give = Callable[[float], int]
"""Hands out what was encoded, given `time.monotonic`; returns how many pictures were left out."""


class PacketTrack(MediaStreamTrack):
    """One outgoing track: encoded sounds or pictures go in with the time at which they are due.

    Raises only MediaStreamError, when it has ended. While nobody sends, the oldest packets are forgotten.
    """

    def __init__(self, kind: str, stats: Stats) -> None:
        super().__init__()
        self.kind = kind
        self._stats = stats
        self._queue: deque[tuple[float, Encoded]] = deque(maxlen=4 * BUFFERED_SLOTS)
        self._wakes = asyncio.Event()
        self._given_at: float | None = None

    def put(self, due: float, encoded: Encoded) -> None:
        """Add what leaves at ``due``, on `time.monotonic`."""
        self._queue.append((due, encoded))
        self._wakes.set()

    async def recv(self) -> Any:
        """Return the next `Encoded` when it is due; aiortc hands it to the `Relay`.

        Between two calls aiortc sends, without waiting for anything: that is the stage ``send``.
        """
        if self._given_at is not None:
            self._stats.spend("send", (time.thread_time() - self._given_at) * 1000)
            self._given_at = None
        while True:
            if self.readyState != "live":
                raise MediaStreamError
            if not self._queue:
                self._wakes.clear()
                await self._wakes.wait()
            elif (wait := self._queue[0][0] - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            else:
                _, encoded = self._queue.popleft()
                self._given_at = time.thread_time()
                return encoded

    def stop(self) -> None:
        """End the track and wake whoever waits for it."""
        super().stop()
        self._wakes.set()


class Outflow:
    """Beats on their way through encoders in the thread pool; who inherits says which, and where the result goes.

    Args:
        stats: Counts.
    """

    def __init__(self, stats: Stats) -> None:
        self.dropped = 0
        """Pictures, or whole beats, that the encoders were too slow for."""
        self._stats = stats
        self._released: deque[Released] = deque()
        self._release = asyncio.Event()

    def hush(self) -> None:
        """Silence the beats that wait for the encoders: whoever interrupted does not want to hear them."""
        silent = [replace(one, beat=replace(one.beat, pcm=SILENCE, speech=False)) for one in self._released]
        self._released = deque(silent)

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Release one beat.

        Args:
            slot: pts follow from it.
            beat: Picture and sound.
            arrived: When its sound came in, on `time.monotonic`; 0: unknown.
        """
        if len(self._released) >= BUFFERED_SLOTS:
            self._released.popleft()
            self._give_up("beat")
        self._released.append(Released(time.monotonic(), slot, beat, arrived))
        self._release.set()

    async def run(self) -> None:
        """Encode what is released until cancelled; of pictures that wait only the newest few, of sounds all."""
        loop = asyncio.get_running_loop()
        while True:
            await self._release.wait()
            self._release.clear()
            while self._released:
                released = tuple(self._released)
                self._released.clear()
                give = await loop.run_in_executor(None, self._encode, released)
                now = time.monotonic()
                self._give_up("picture", give(now))
                if released[-1].arrived:
                    self._stats.observe("studio_sound_to_beat_ms", (now - released[-1].arrived) * 1000)

    def _encode(self, released: Sequence[Released]) -> Give:
        """Encode, in a thread; return what then hands everything out, on the event loop."""
        raise NotImplementedError

    def _give_up(self, what: str, count: int = 1) -> None:
        if count:
            self.dropped += count
            self._stats.count("studio_dropped_total", count, what=what)


class Outlet(Outflow):
    """One visit's outgoing media.

    Args:
        stats: Counts.
        scale: Of the pictures' sides, 0.1..1.
    """

    def __init__(self, stats: Stats, scale: float = 1.0) -> None:
        super().__init__(stats)
        self.video, self.audio = PacketTrack("video", stats), PacketTrack("audio", stats)
        self._coder = BeatCoder(stats, scale)

    def use(self, kind: str, encoder: Encoder) -> Relay:
        """Encode ``audio`` or ``video`` with ``encoder`` from now on; return what aiortc's sender must hold."""
        self._coder.use(kind, encoder)
        return Relay(encoder)

    def request_keyframe(self) -> None:
        """Make the next picture a keyframe."""
        self._coder.request_keyframe()

    def stop(self) -> None:
        """End both tracks and let go of the encoders: 6 MB that would wait for the garbage collector."""
        self.video.stop()
        self.audio.stop()
        self._coder = BeatCoder(self._stats)
        self._released.clear()

    def _encode(self, released: Sequence[Released]) -> Give:
        sounds = [self._coder.encode_sound(one.slot, one.beat) for one in released]
        pictures = [self._coder.encode_picture(one.slot, one.beat) for one in released[-KEPT_PICTURES:]]
        return partial(self._give, released, pictures, sounds)

    def _give(
        self, released: Sequence[Released], pictures: Sequence[Encoded | None], sounds: Sequence[Sequence[Encoded]],
        now: float,
    ) -> int:  # fmt: skip
        for picture in pictures:
            if picture is not None:
                self.video.put(now, picture)
        for one, parts in zip(released, sounds, strict=True):
            put_sounds(self.audio, one.at, parts)
        return len(released) - len(pictures) if pictures[-1] else 0


def put_sounds(track: PacketTrack, at: float, parts: Sequence[Encoded]) -> None:
    """Give a track the sounds of one beat that was released ``at``, each at its time."""
    for i, part in enumerate(parts):
        track.put(at + i * BEAT_SECONDS / len(parts), part)
