"""A WebRTC connection that measures: packets are noted as they arrive, before any jitter buffer, and decoded beside.

A picture has arrived with its last packet. The decoders are our own (`screen`), with limits that aiortc's have not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from urllib.parse import urlsplit

from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, OperationError
from aiortc.jitterbuffer import JitterBuffer
from aiortc.rtp import RtcpSrPacket, RtpPacket
from aiortc.sdp import SessionDescription, candidate_from_sdp

from studio.beat import SAMPLE_RATE
from studio.client.intake import Flood, Intake
from studio.client.order import CannotRun, Order, Outcome
from studio.client.screen import Screen
from studio.gathering import Gathering
from studio.ice import host_addresses, is_mdns, without_mdns
from studio.line import MALFORMED, MAX_CANDIDATES, MAX_SECTIONS
from studio.messages import MAX_SDP_CHARACTERS
from studio.microphone import Decode, Microphone, SoundPacket
from studio.spec import IceSpec
from studio.surgery import (
    Ear,
    abandon,
    codec_numbered,
    sound_decoder,
    stop_decoders,
    use_ear,
    use_gathering,
    use_reports,
)

VIDEO_CLOCK = 90_000
CONNECT_LIMIT = 20.0
FIRST_LIMIT = 45.0
"""Seconds from the request to the first picture, at most."""
STALL = 10.0
"""Seconds without a picture."""
GATHER_LIMIT = 1.0
"""Seconds that STUN and TURN servers have."""
PULSE = 0.05
GOODBYE_LIMIT = 2.0
MAX_SERVERS = 8
"""STUN and TURN servers of the studio's that are asked."""
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


class _Listening(Ear):
    """What both ears do: tell that the track has ended, and keep floods out."""

    def __init__(self, transceiver: RTCRtpTransceiver, intake: Intake, clock: int, on_end: Callable[[], None]) -> None:
        super().__init__(self._note)
        self._transceiver, self._intake, self._on_end = transceiver, intake, on_end
        self._clock = clock
        self._stamps = Counter(32)
        use_ear(transceiver, self)
        use_reports(transceiver, self._report)

    def put(self, item: object) -> None:
        """The track has ended (`RTCRtpReceiver`, on BYE or when the connection closes)."""
        self._on_end()

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; ask for a whole picture where one is needed."""
        try:
            return self._wants_keyframe(packet) if packet.payload else False, None
        except Flood:
            self._on_end()
            return False, None

    def _wants_keyframe(self, packet: RtpPacket) -> bool:
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

    def __init__(
        self,
        transceiver: RTCRtpTransceiver,
        intake: Intake,
        screen: Screen,
        timeline: Timeline,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(transceiver, intake, VIDEO_CLOCK, on_end)
        self._screen, self._timeline = screen, timeline
        self._buffer = JitterBuffer(capacity=512, is_video=True)
        self._sequence = Counter(16)
        self._first = self._highest = self._newest = -1
        self._indexes: dict[int, tuple[int, float]] = {}
        self._began = (0.0, 0)

    def _wants_keyframe(self, packet: RtpPacket) -> bool:
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
        while len(self._indexes) > 512:
            del self._indexes[next(iter(self._indexes))]


class SoundEar(_Listening):
    """Notes sound packets and hands what is heard to the screen."""

    def __init__(
        self,
        transceiver: RTCRtpTransceiver,
        intake: Intake,
        screen: Screen,
        timeline: Timeline,
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(transceiver, intake, 48_000, on_end)
        self._screen, self._timeline = screen, timeline
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


class Call:
    """One connection; `aclose` it.

    Args:
        order: Says where the server is.
        servers: ``iceServers`` as the studio names them; hostile.
        intake: Told what arrives.
        screen: Shown it.
        voice: What is said to the studio; None: nothing.
    """

    def __init__(
        self, order: Order, servers: object, intake: Intake, screen: Screen, voice: MediaStreamTrack | None = None
    ) -> None:
        self._order, self._intake = order, intake
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=ice_servers(servers)))
        self._pc.on("connectionstatechange", self._on_change)
        self._ended: set[str] = set()
        self._news = asyncio.Event()
        self._candidates = 0
        self._tasks: set[asyncio.Task[None]] = set()
        timeline = Timeline()
        video = self._pc.addTransceiver("video", direction="recvonly")
        audio = self._pc.addTransceiver(voice or "audio", direction="sendrecv" if voice else "recvonly")
        VideoEar(video, intake, screen, timeline, lambda: self._end("video"))
        SoundEar(audio, intake, screen, timeline, lambda: self._end("audio"))
        host = urlsplit(order.server).hostname or ""
        gathering = Gathering(host_addresses(IceSpec(), host), range(0), "", False, GATHER_LIMIT)
        for transceiver in (video, audio):
            use_gathering(transceiver, gathering)

    async def offer(self) -> str:
        """Return our offer with all candidates inside."""
        await self._pc.setLocalDescription(await self._pc.createOffer())
        return str(self._pc.localDescription.sdp)

    async def accept(self, sdp: object) -> None:
        """Take the answer.

        Raises:
            CannotRun: It is none that can be followed.
        """
        if not isinstance(sdp, str) or len(sdp) > MAX_SDP_CHARACTERS:
            raise CannotRun("The server's answer holds no usable SDP.")
        plain = without_mdns(sdp)
        try:
            answered = SessionDescription.parse(plain)
            self._candidates += sum(len(media.ice_candidates) for media in answered.media)
            if len(answered.media) > MAX_SECTIONS or self._candidates > MAX_CANDIDATES:
                raise ValueError("too much")
            await self._pc.setRemoteDescription(RTCSessionDescription(plain, "answer"))
        except (*MALFORMED, InternalError, OperationError) as error:
            raise CannotRun("The server's answer cannot be followed: its SDP makes no sense.") from error

    def add_candidate(self, line: str, mid: str | None, section: int | None) -> None:
        """Apply a candidate of the server's; what cannot be read, and too many, are passed over."""
        text = line.removeprefix("a=").removeprefix("candidate:")
        self._candidates += 1
        if not text or is_mdns(text) or self._candidates > MAX_CANDIDATES:
            return
        try:
            candidate = candidate_from_sdp(text)
        except MALFORMED:
            self._intake.broken += 1
            return
        candidate.sdpMid, candidate.sdpMLineIndex = mid, section
        if mid is None and section is None:
            candidate.sdpMLineIndex = 0
        self._spawn(self._pc.addIceCandidate(candidate))

    async def connected(self) -> None:
        """Return when media can flow.

        Raises:
            CannotRun: It cannot, within `CONNECT_LIMIT`.
        """
        try:
            async with asyncio.timeout(CONNECT_LIMIT):
                while self._pc.connectionState in ("new", "connecting"):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError as error:
            raise CannotRun(f"No media path to the studio within {CONNECT_LIMIT:.0f} s: is UDP open?") from error
        if self._pc.connectionState != "connected" and not self._intake.pictures:
            raise CannotRun("No media path to the studio came up: is UDP open between here and there?")
        self._intake.timings["connect"] = time.monotonic() - self._intake.asked_at

    async def follow(self, is_done: Callable[[], bool], most: int | None = None) -> None:
        """Receive until ``is_done``, the end of the tracks, a stall, or the order's timeout; the intake says which.

        Args:
            is_done: Asked often.
            most: Pictures of the whole recording, where that is known: an earlier end is a loss.

        Raises:
            CannotRun: No picture came.
        """
        intake = self._intake
        end = intake.asked_at + self._order.timeout
        while True:
            now, last = intake.clock(), intake.pictures[-1].at if intake.pictures else None
            if is_done():
                return intake.end(Outcome.COMPLETED)
            if self._ended >= {"video", "audio"} or self._pc.connectionState in ("failed", "closed"):
                return self._judge(most)
            if now >= end and last is not None:
                return intake.end(Outcome.TIMEOUT, f"stopped after {self._order.timeout:g} s, as --timeout says")
            if last is None and (now >= end or now - intake.asked_at > FIRST_LIMIT):
                raise CannotRun(f"The connection stands, but no picture came within {now - intake.asked_at:.0f} s.")
            if last is not None and now - last > STALL:
                return intake.end(Outcome.STALLED, f"no picture came for {STALL:.0f} s")
            self._news.clear()
            try:
                async with asyncio.timeout(PULSE):
                    await self._news.wait()
            except TimeoutError:
                continue

    def _judge(self, most: int | None) -> None:
        """The tracks have ended: was that the whole recording?"""
        intake = self._intake
        if not intake.pictures:
            raise CannotRun("The connection ended before any picture came.")
        seen = len(intake.pictures)
        if self._pc.connectionState == "failed":
            intake.end(Outcome.LOST, "the connection was lost")
        elif most is not None and seen < most - max(3, most // 10):
            intake.end(Outcome.LOST, f"the server ended the stream after {seen} of {most} pictures")
        else:
            intake.end(Outcome.COMPLETED)

    async def aclose(self) -> None:
        """Close within `GOODBYE_LIMIT`, whatever hangs."""
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(GOODBYE_LIMIT):
                await self._pc.close()
        except TimeoutError:
            await abandon(self._pc)
        finally:
            stop_decoders(self._pc)

    def _end(self, kind: str) -> None:
        self._ended.add(kind)
        self._news.set()

    def _on_change(self) -> None:
        self._news.set()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def ice_servers(given: object) -> list[RTCIceServer]:
    """Return the STUN and TURN servers of a studio's ``iceServers``; what makes no sense is passed over."""
    found: list[RTCIceServer] = []
    for server in given[:MAX_SERVERS] if isinstance(given, list) else ():
        if not isinstance(server, dict):
            continue
        urls = server.get("urls")
        login = [server.get(key) for key in ("username", "credential")]
        user, password = (one if isinstance(one, str) else None for one in login)
        for url in _texts(urls)[:MAX_SERVERS]:
            if url.partition(":")[0] in ("stun", "turn", "turns") and len(url) < 300 and url.isprintable():
                found.append(RTCIceServer(url, user, password))
    return found[:MAX_SERVERS]


def _texts(value: object) -> Sequence[str]:
    row = value if isinstance(value, list) else [value]
    return [one for one in row if isinstance(one, str)]
