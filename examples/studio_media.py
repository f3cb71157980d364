"""What comes out of a studio, put in step: pictures, the sounds that belong to them, and where an utterance ended.

Two tracks arrive by themselves: each with its own clock and its own delay. `SenderClock` tells when a frame was sent,
`Stage` brings both into one order. Knows nothing of connections; `studio_link` makes them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

import av
import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket
from numpy.typing import NDArray

FPS, SAMPLE_RATE, SOUND_SECONDS = 25, 48_000, 0.02
AUDIBLE = 100
"""Of 32767: what is below is silence as Opus leaves it, -50 dB."""
ON_THE_WAY = round(0.2 / SOUND_SECONDS)
"""Sounds that still come when the studio has sent the last one: aiortc holds 80 ms back, the network keeps the rest."""
PATIENCE = round(0.16 / SOUND_SECONDS)
"""Sounds that wait for a picture which is late; then they go without."""
KEPT = 2 * (FPS + round(1 / SOUND_SECONDS))
"""Pictures and sounds that wait for a slow reader, 2 s; then the oldest are dropped."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One picture, to be shown while the sounds after it are heard."""

    frame: av.VideoFrame

    def rgb(self) -> bytes:
        """Return height x width x 3 bytes."""
        return self.frame.to_ndarray(format="rgb24").tobytes()

    def i420(self) -> bytes:
        """Return the planes Y, U and V; less work than `rgb`."""
        return self.frame.to_ndarray(format="yuv420p").tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """20 ms: (960,) int16, mono, 48 kHz; silence where nobody speaks."""

    samples: NDArray[np.int16]
    is_speech: bool = False
    """Between the first audible sound of an utterance and its `SpeechEnded`; pauses count."""

    @property
    def pcm(self) -> bytes:
        """The samples as s16le."""
        return self.samples.astype("<i2").tobytes()

    @property
    def is_audible(self) -> bool:
        """More than silence."""
        return bool(np.abs(self.samples.astype(np.int32)).max(initial=0) >= AUDIBLE)


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """One for each `flush`: everything said before it has come out, or was cut off."""

    interrupted: bool


Item = Picture | Sound | SpeechEnded


class SenderClock:
    """When a track's frames were sent: RTP timestamps, tied to the sender's clock by its reports (RFC 3550, 6.4.1).

    aiortc reads those reports but keeps them to itself, and lets each track begin at 0, so that two tracks have nothing
    in common. This stands where its receiver expects a timestamp mapper, and looks at the reports on their way. Two
    private names for that, of aiortc 1.16.

    Args:
        receiver: The track's; nothing has arrived yet.
        rate: Timestamps a second.
    """

    def __init__(self, receiver: RTCRtpReceiver, rate: int) -> None:
        self._rate, self._last = rate, 0
        self._offsets: deque[float] = deque(maxlen=8)  # some seconds: one late report does no harm, and drift neither
        self._inner = receiver._handle_rtcp_packet
        receiver._handle_rtcp_packet = self._hear  # type: ignore[method-assign]
        assert hasattr(receiver, "_RTCRtpReceiver__timestamp_mapper"), "aiortc has changed"
        setattr(receiver, "_RTCRtpReceiver__timestamp_mapper", self)  # noqa: B010 - a private name

    @property
    def is_set(self) -> bool:
        """A report has come."""
        return bool(self._offsets)

    def map(self, timestamp: int) -> int:
        """Return a timestamp that does not wrap; aiortc makes it the frame's pts."""
        self._last = self._unwrap(timestamp)
        return self._last

    def seconds(self, pts: int) -> float:
        """Return when a frame was sent, by the sender's clock. Reports may be late, never early: the least counts."""
        return pts / self._rate + min(self._offsets)

    async def _hear(self, packet: AnyRtcpPacket) -> None:
        if isinstance(packet, RtcpSrPacket):
            report = packet.sender_info
            self._offsets.append(report.ntp_timestamp / 2**32 - self._unwrap(report.rtp_timestamp) / self._rate)
        await self._inner(packet)

    def _unwrap(self, timestamp: int) -> int:
        return self._last + (timestamp - self._last + 2**31) % 2**32 - 2**31


class Stage:
    """Pictures and sounds of one visit in the order in which they belong; one reader, who may be slow."""

    def __init__(self) -> None:
        self._pictures: deque[tuple[float, Picture]] = deque(maxlen=FPS)
        self._newest = 0.0  # of all pictures that have come
        self._held: deque[tuple[float, Sound]] = deque()
        self._items: deque[Item] = deque()
        self._sounds = 0
        self._endings: deque[int] = deque()  # at which count of sounds
        self._is_mute, self._mute_until = False, 0
        self._is_said, self._flushes, self._is_speech = False, 0, False
        self._wakes = asyncio.Event()
        self._closed: Exception | None = None

    async def next(self) -> Item:
        """Return what comes next; who reads too slowly loses the oldest pictures and sounds, never an end of speech.

        Raises:
            Exception: The one that `close` was given, when nothing is left.
        """
        while not self._items:
            if self._closed is not None:
                raise self._closed
            self._wakes.clear()
            await self._wakes.wait()
        return self._items.popleft()

    def show(self, at: float, picture: Picture) -> None:
        """Take a picture that was sent at ``at``; it goes out before the sounds that were sent then."""
        self._pictures.append((at, picture))
        self._newest = at
        self._release()

    def play(self, at: float, sound: Sound) -> None:
        """Take a sound. Usually it travels longer than its picture; if not, it waits a little. No sound is left out."""
        self._held.append((at, sound))
        self._release()

    def _release(self) -> None:
        """Give out the sounds whose picture is here, or overdue: a beat is a picture and the two sounds from it on."""
        while self._held and (self._newest > self._held[0][0] - 1.5 * SOUND_SECONDS or len(self._held) > PATIENCE):
            at, sound = self._held.popleft()
            while self._pictures and self._pictures[0][0] < at + SOUND_SECONDS / 2:
                self._put(self._pictures.popleft()[1])
            self._give(sound)

    def _give(self, sound: Sound) -> None:
        self._sounds += 1
        if self._mute_until and (not sound.is_audible or self._sounds >= self._mute_until):
            self._is_mute, self._mute_until = False, 0
        samples = np.zeros_like(sound.samples) if self._is_mute else sound.samples
        if (self._is_said or self._flushes) and not self._is_mute:
            self._is_speech = self._is_speech or sound.is_audible
        self._put(Sound(samples, self._is_speech))
        while self._endings and self._endings[0] <= self._sounds:
            self._endings.popleft()
            self._put_end(interrupted=False)

    def say(self) -> None:
        """Speech is on its way to the studio."""
        self._is_said = True

    def flush(self) -> None:
        """The studio was asked to tell when it was spoken."""
        self._is_said = False
        self._flushes += 1

    def end(self, interrupted: bool) -> None:
        """The studio has sent the last sound of an utterance, or cut it off."""
        if interrupted:
            self._put_end(interrupted=True)
        else:
            self._endings.append(self._sounds + len(self._held) + ON_THE_WAY)

    def hush(self) -> None:
        """Forget what was not read, and mute what arrives from now on."""
        self._is_mute, self._mute_until = True, 0
        self._is_said = self._is_speech = False
        self._items = deque(SpeechEnded(interrupted=True) for one in self._items if isinstance(one, SpeechEnded))
        while self._endings:
            self._endings.popleft()
            self._put_end(interrupted=True)

    def unhush(self) -> None:
        """The studio is silent: hear again as soon as its silence has arrived."""
        self._mute_until = self._sounds + len(self._held) + 2 * ON_THE_WAY

    def close(self, error: Exception) -> None:
        """End it; the first reason counts."""
        self._closed = self._closed or error
        self._wakes.set()

    def _put_end(self, interrupted: bool) -> None:
        self._flushes, self._is_speech = self._flushes - 1, False
        self._put(SpeechEnded(interrupted))

    def _put(self, item: Item) -> None:
        oldest = next((i for i, one in enumerate(self._items) if not isinstance(one, SpeechEnded)), None)
        if len(self._items) >= KEPT and oldest is not None:
            del self._items[oldest]
        self._items.append(item)
        self._wakes.set()
