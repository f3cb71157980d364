"""The visitor's voice as it arrives: RTP packets -> gapless mono 16 kHz sound. Pure: time is given.

Packets are decoded as they come: one that arrives in order waits for nobody. Behind a hole, up to `HELD` packets wait
for the missing one; then the hole is filled with silence. (aiortc keeps back five packets, 100 ms, at all times.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from studio.audio import Resampler
from studio.beat import SAMPLE_RATE

STALE = 0.4
"""Seconds: sound of the microphone that arrives later than that is dropped."""
GAP = 1.0
"""Seconds: a longer hole in the microphone's sound is not filled."""
HELD = 2
"""Packets, 40 ms, that wait for one that is missing before them."""
FAR = 100
"""A packet that many numbers away from the expected one begins a new sequence."""

OPUS_RATE = 48_000
"""Opus counts in 48 kHz whatever is encoded (RFC 7587, 4.1)."""

OPUS_TIME_BASE = Fraction(1, OPUS_RATE)

Decode = Callable[[bytes, int], Sequence[av.AudioFrame]]
"""Encoded sound, its pts in units of the codec's clock -> frames with pts; none where it makes no sense."""


def opus_decoder() -> Decode:
    """Return a decoder of Opus to mono 48 kHz, with the state of one track."""
    codec = av.CodecContext.create("libopus", "r")
    assert isinstance(codec, av.AudioCodecContext)
    codec.format, codec.layout, codec.sample_rate = "s16", "mono", OPUS_RATE

    def decode(data: bytes, pts: int) -> list[av.AudioFrame]:
        packet = av.Packet(data)
        packet.pts, packet.time_base = pts, OPUS_TIME_BASE
        try:
            return codec.decode(packet)
        except av.FFmpegError:
            return []

    return decode


@dataclass(frozen=True, slots=True)
class SoundPacket:
    """One RTP packet of sound."""

    sequence: int
    """0..65535, wraps."""
    timestamp: int
    """0..2**32 - 1 in units of the codec's clock, wraps."""
    data: bytes
    arrived: float
    """Seconds."""


class Order:
    """Put packets back in order."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, SoundPacket] = {}

    def put(self, packet: SoundPacket) -> list[SoundPacket]:
        """Add a packet; return those whose turn it is. Doubles and those that come after their turn are dropped."""
        if self._next is None or abs(_wrapped(packet.sequence - self._next, 16)) > FAR:
            self._held.clear()
            self._next = packet.sequence
        if _wrapped(packet.sequence - self._next, 16) < 0:
            return []
        self._held[packet.sequence] = packet
        if len(self._held) > HELD and self._next not in self._held:
            expected = self._next
            self._next = min(self._held, key=lambda sequence: _wrapped(sequence - expected, 16))
        ready = []
        while self._next in self._held:
            ready.append(self._held.pop(self._next))
            self._next = (self._next + 1) % (1 << 16)
        return ready


def _wrapped(difference: int, bits: int) -> int:
    """Return the difference of two counters that wrap after ``bits`` bits, nearest to zero."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half


class Microphone:
    """Turn the packets of one track into gapless 16 kHz sound."""

    def __init__(self) -> None:
        self._order = Order()
        self._resampler = Resampler()
        self._timestamp: int | None = None
        self._pts = 0
        self._next_pts: float | None = None
        self._origin = 0.0
        self.stale = 0
        """Frames dropped because they arrived more than `STALE` seconds late."""

    def receive(self, packet: SoundPacket, decode: Decode) -> list[tuple[float, NDArray[np.int16]]]:
        """Return what can be heard now: seconds of arrival, and samples, (n,)."""
        heard = []
        for ready in self._order.put(packet):
            self._pts += _wrapped(ready.timestamp - self._timestamp, 32) if self._timestamp is not None else 0
            self._timestamp = ready.timestamp
            heard += [(ready.arrived, self.hear(frame, packet.arrived)) for frame in decode(ready.data, self._pts)]
        return heard

    def hear(self, frame: av.AudioFrame, now: float) -> NDArray[np.int16]:
        """Return the samples of one frame, (n,), after silence for what was lost before it.

        Args:
            frame: With pts.
            now: Seconds of arrival.
        """
        assert frame.pts is not None and frame.time_base is not None
        pts = frame.pts * float(frame.time_base)
        length = frame.samples / frame.sample_rate
        gap = 0.0 if self._next_pts is None else pts - self._next_pts
        first = self._next_pts is None or abs(gap) > 10 * GAP
        self._next_pts = pts + length
        delay = now - pts
        self._origin = delay if first else min(delay, self._origin + length / 1000)  # forgives 1 ms of drift a second
        if delay - self._origin > STALE:
            self.stale += 1
            return np.zeros(0, np.int16)
        pcm = self._resampler.resample(frame)
        if first:  # the filter keeps 1 ms back: without that much silence each beat would wait for one packet more
            return _after_silence(round(length * SAMPLE_RATE) - len(pcm), pcm)
        return _after_silence(round(gap * SAMPLE_RATE), pcm) if 0.001 < gap <= GAP else pcm


def _after_silence(samples: int, pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    return np.concatenate((np.zeros(max(0, samples), np.int16), pcm))
