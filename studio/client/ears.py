"""What stands where aiortc's jitter buffers would: notes each packet as it arrives, and hands whole pictures on.

A picture has arrived with its last packet. The decoders behind are our own (`screen`), with limits aiortc's have not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from aiortc import RTCRtpTransceiver
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtcpSrPacket, RtpPacket

from studio.beat import SAMPLE_RATE
from studio.client.intake import Flood, Intake
from studio.client.screen import Screen
from studio.microphone import Decode, Microphone, SoundPacket
from studio.surgery import Ear, codec_numbered, sound_decoder, use_ear, use_reports

VIDEO_CLOCK = 90_000
"""Hertz of the pictures' RTP clock (RFC 7741, RFC 6184)."""
SOUND_CLOCK = 48_000
"""Of Opus (RFC 7587), until the first packet tells the codec."""
CAPACITY = 512
"""Packets of the jitter buffer, a power of two; pictures that wait for their end."""
_DECODERS = {"video/VP8": "vp8", "video/H264": "h264"}


class Counter:
    """Unwraps a counter of ``bits`` bits."""

    def __init__(self, bits: int) -> None:
        self._size = 1 << bits
        self._last: int | None = None

    def put(self, value: int) -> int:
        """Return the value on a line without end, nearest to the newest before it."""
        if self._last is None:
            self._last = value
        half = self._size // 2
        whole = self._last + (value - self._last + half) % self._size - half
        self._last = max(self._last, whole)
        return whole

    def near(self, value: int) -> int:
        """Return the same without remembering it; the value itself before the first one."""
        if self._last is None:
            return value
        half = self._size // 2
        return self._last + (value - self._last + half) % self._size - half


class Timeline:
    """The film's beginning: the arrival of whatever came first."""

    def __init__(self) -> None:
        self._zero: float | None = None

    def at(self, arrived: float) -> float:
        """Return seconds since the beginning."""
        if self._zero is None:
            self._zero = arrived
        return arrived - self._zero


@dataclass(frozen=True, slots=True)
class Witness:
    """Where both ears of a connection leave what they note; `timeline` is theirs together."""

    intake: Intake
    screen: Screen
    timeline: Timeline


class _Listening(Ear):
    """What both ears do: tell that the track has ended, and keep floods out."""

    def __init__(
        self, transceiver: RTCRtpTransceiver, witness: Witness, clock: int, on_end: Callable[[], None]
    ) -> None:
        super().__init__(self._note)
        self._intake, self._screen, self._timeline = witness.intake, witness.screen, witness.timeline
        self._transceiver, self._on_end, self._clock = transceiver, on_end, clock
        self._stamps = Counter(32)
        use_ear(transceiver, self)
        use_reports(transceiver, self._report)

    def put(self, item: object) -> None:
        """The track has ended (`RTCRtpReceiver`, on BYE or when the connection closes)."""
        self._on_end()

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; ask for a whole picture where one is needed."""
        try:
            return self._take(packet) if packet.payload else False, None
        except Flood:
            self._on_end()
            return False, None

    def _take(self, packet: RtpPacket) -> bool:
        self._note(packet)
        return False

    def _note(self, packet: RtpPacket) -> None:
        raise NotImplementedError

    def _report(self, packet: RtcpSrPacket) -> None:
        ntp = packet.sender_info.ntp_timestamp
        stamp = self._stamps.near(packet.sender_info.rtp_timestamp) / self._clock
        kind = self._transceiver.kind
        self._intake.report(kind, (ntp >> 32) + (ntp & 0xFFFFFFFF) / 2**32, stamp)


class VideoEar(_Listening):
    """Notes pictures and hands whole ones to the screen."""

    def __init__(self, transceiver: RTCRtpTransceiver, witness: Witness, on_end: Callable[[], None]) -> None:
        super().__init__(transceiver, witness, VIDEO_CLOCK, on_end)
        self._buffer = JitterBuffer(capacity=CAPACITY, is_video=True)
        self._sequence = Counter(16)
        self._first = self._highest = self._newest = -1
        self._indexes: dict[int, tuple[int, float]] = {}
        self._began = (0.0, 0)

    def _take(self, packet: RtpPacket) -> bool:
        self._note(packet)
        is_lost, frame = self._buffer.add(packet)
        codec = codec_numbered(self._transceiver, packet.payload_type)
        name = _DECODERS.get(codec.mimeType, "") if codec else ""
        if frame is not None and name:
            self._intake.codec = codec.mimeType.partition("/")[2] if codec else ""
            index, seconds = self._indexes.pop(frame.timestamp, (-1, 0.0))
            if index >= 0:
                self._screen.show(name, frame.data, index, seconds)
        is_wanted, self._screen.wants_keyframe = self._screen.wants_keyframe, False
        return is_lost or is_wanted

    def _note(self, packet: RtpPacket) -> None:
        number, stamp = self._sequence.put(packet.sequence_number), self._stamps.put(packet.timestamp)
        self._first = number if self._first < 0 else min(self._first, number)
        self._highest = max(self._highest, number)
        self._intake.packets += 1
        self._intake.lost = max(0, self._highest - self._first + 1 - self._intake.packets)
        if stamp == self._newest:
            self._intake.more(len(packet.payload))
        elif stamp > self._newest or self._newest < 0:
            self._begin(packet, stamp)

    def _begin(self, packet: RtpPacket, stamp: int) -> None:
        self._newest = stamp
        index = self._intake.picture(stamp / VIDEO_CLOCK, len(packet.payload), len(self._intake.pictures))
        if index == 0:
            self._began = (self._timeline.at(self._intake.pictures[0].at), stamp)
        self._indexes[packet.timestamp] = (index, self._began[0] + (stamp - self._began[1]) / VIDEO_CLOCK)
        while len(self._indexes) > CAPACITY:
            del self._indexes[next(iter(self._indexes))]


class SoundEar(_Listening):
    """Notes sound packets and hands what is heard to the screen."""

    def __init__(self, transceiver: RTCRtpTransceiver, witness: Witness, on_end: Callable[[], None]) -> None:
        super().__init__(transceiver, witness, SOUND_CLOCK, on_end)
        self._microphone = Microphone()
        self._decoders: dict[int, Decode | None] = {}
        self._heard = 0
        self._began = 0.0

    def _note(self, packet: RtpPacket) -> None:
        if packet.payload_type not in self._decoders:
            codec = codec_numbered(self._transceiver, packet.payload_type)
            self._clock = codec.clockRate if codec else self._clock
            self._decoders[packet.payload_type] = sound_decoder(self._transceiver, packet.payload_type)
        self._intake.sound(self._stamps.put(packet.timestamp) / self._clock, len(packet.payload))
        decode, now = self._decoders[packet.payload_type], self._intake.sounds[-1].at
        if decode is None:
            return
        sound = SoundPacket(packet.sequence_number, packet.timestamp, packet.payload, now)
        for _, pcm in self._microphone.receive(sound, decode):
            if not self._heard:
                self._began = self._timeline.at(now)
            self._screen.hear(pcm, self._began + self._heard / SAMPLE_RATE)
            self._heard += len(pcm)
