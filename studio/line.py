"""One WebRTC connection: answers an offer, sends up to two tracks, hands the other side's voice on as 16 kHz samples.

What is sent, and who listens, is the business of those that inherit. Knows nothing of engines or sessions; what aiortc
has no setting for is in `surgery`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial

import numpy as np
from aiortc import (
    RTCConfiguration,
    RTCIceCandidate,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability, RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import RtpPacket
from aiortc.sdp import SessionDescription, candidate_from_sdp
from numpy.typing import NDArray

from studio.encode import Relay
from studio.errors import BadMessage, CodecUnsupported, OfferInvalid
from studio.gathering import Gathering
from studio.ice import host_addresses, is_mdns, turn_login, udp_ports, without_mdns
from studio.messages import Candidate
from studio.microphone import Decode, Microphone, SoundPacket
from studio.outlet import PacketTrack
from studio.spec import IceSpec, MediaSpec
from studio.stats import Stats
from studio.surgery import Ear, abandon, codec_of, sound_decoder, stop_decoders, use_ear, use_gathering, use_relay

log = logging.getLogger(__name__)

MALFORMED = (
    ValueError, LookupError, AttributeError, TypeError, AssertionError, StopIteration, InvalidAccessError,
    InvalidStateError,
)  # fmt: skip
"""What aiortc raises on SDP that it cannot read."""
MAX_LINES = 1000
"""Of an offer: aiortc reads 3000 in 90 ms, in which nobody else is served. Browsers need two or three hundred."""
MAX_WILDCARDS = 16
"""Lines of an offer that are about all codecs: aiortc copies each to each; 430 of both took 1.2 s."""
MAX_CODECS = 128
"""Of a section: their numbers have seven bits."""
MAX_SECTIONS = 8
"""Media sections of an offer: each costs sockets. Browsers make two or three."""

MAX_CANDIDATES = 128
"""Remote candidates of a connection: each is tried from every address of ours. Browsers have a dozen."""

_DIRECTIONS = {
    (True, True): "sendrecv",
    (True, False): "sendonly",
    (False, True): "recvonly",
    (False, False): "inactive",
}

OnAudio = Callable[[NDArray[np.int16], float], None]
"""Gets (n,) mono 16 kHz and the second of its arrival."""


class Line:
    """One connection, from offer to goodbye.

    Args:
        ice: Addresses and servers.
        media: Codec preference and bitrates.
        host: The address the server is bound to; a loopback one gathers loopback candidates.
        tracks: What is sent, by kind; whoever inherits says how it is encoded.
        on_audio: Gets the other side's voice; None: it is not wanted.
        stats: Counts.
    """

    def __init__(
        self, ice: IceSpec, media: MediaSpec, host: str, tracks: Mapping[str, PacketTrack], on_audio: OnAudio | None,
        stats: Stats,
    ) -> None:  # fmt: skip
        self._media, self._tracks, self._on_audio, self._stats = media, tracks, on_audio, stats
        self._gathering = Gathering(
            host_addresses(ice, host), udp_ports(ice), ice.public_address, ice.relay_only, ice.gather_limit
        )
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=_ice_servers(ice)))
        self._pc.on("connectionstatechange", self._on_change)
        self.microphone = Microphone()
        self._ear: RTCRtpTransceiver | None = None
        self._decoders: dict[int, Decode | None] = {}
        self._early: list[RTCIceCandidate] = []
        self._candidates = 0
        self._is_described = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return "closed" if self._closing else self._pc.connectionState

    async def until(self, *states: str) -> str:
        """Wait for one of the states and return it."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()
        return self.state

    async def accept(self, sdp: str) -> str:
        """Answer an offer, our candidates inside; connecting goes on in the background.

        Raises:
            OfferInvalid: Nobody could answer it.
            CodecUnsupported: No codec in common.
        """
        sdp = without_mdns(sdp)
        try:
            _check_lines(sdp)
            offered = SessionDescription.parse(sdp)
            _check_sections(offered)
            self._add_transceivers(offered)
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            self._prepare(self._pc.getTransceivers())
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except OperationError as error:
            raise CodecUnsupported(detail=str(error)) from error
        except MALFORMED as error:
            raise OfferInvalid(detail=f"{type(error).__name__}: {error}") from error
        self._is_described = True
        for remote in self._early:
            self._spawn(self._pc.addIceCandidate(remote))
        return str(self._pc.localDescription.sdp)

    def add_candidate(self, candidate: Candidate) -> None:
        """Apply a remote candidate, or keep it until the offer is answered.

        The end of candidates is not passed on: a peer that hides its addresses behind ``.local`` names is still found
        by its own checks, and how long to wait is the session's business.

        Raises:
            BadMessage: It cannot be read, or there were too many.
        """
        line = candidate.candidate.removeprefix("a=").removeprefix("candidate:")
        if not line or is_mdns(line):
            return
        self._candidates += 1
        if self._candidates > MAX_CANDIDATES:
            raise BadMessage(f"A connection may have {MAX_CANDIDATES} candidates at most.")
        try:
            remote = candidate_from_sdp(line)
        except MALFORMED as error:
            raise BadMessage("This candidate cannot be read.", detail=type(error).__name__) from error
        remote.sdpMid, remote.sdpMLineIndex = candidate.sdp_mid, candidate.sdp_m_line_index
        if remote.sdpMid is None and remote.sdpMLineIndex is None:
            remote.sdpMLineIndex = 0
        if self._is_described:
            self._spawn(self._pc.addIceCandidate(remote))
        else:
            self._early.append(remote)

    def hang_up(self, limit: float = 1.0) -> asyncio.Task[None]:
        """Begin to close, which takes about ``limit`` seconds even if aiortc hangs; idempotent."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(limit))
            self._changed.set()
        return self._closing

    async def aclose(self, limit: float = 1.0) -> None:
        """Close within about ``limit`` seconds; idempotent. Cancelling stops no closing."""
        await asyncio.shield(self.hang_up(limit))

    async def _close(self, limit: float) -> None:
        self._stop()
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(limit):
                await self._pc.close()
        except TimeoutError:
            log.warning("a peer did not close within %.1f s and is abandoned", limit)
            await abandon(self._pc)
        finally:
            stop_decoders(self._pc)

    def _relay(self, kind: str, codec: RTCRtpCodecParameters) -> Relay:
        """Return what stands in for the encoder of a track that is sent."""
        raise NotImplementedError

    def _request_keyframe(self) -> None:
        """Hear that the other side has lost pictures."""

    def _stop(self) -> None:
        """Stop what feeds the tracks."""

    def _add_transceivers(self, offered: SessionDescription) -> None:
        """Prepare one transceiver per offered section: the first of a kind sends, no picture is ever received."""
        unsent, is_useful = dict(self._tracks), False
        for media in offered.media:
            if media.kind not in ("audio", "video"):
                continue
            track = unsent.pop(media.kind, None)
            receives = media.kind == "audio" and self._on_audio is not None and self._ear is None
            is_useful = is_useful or (track is not None and media.direction not in ("sendonly", "inactive"))
            is_useful = is_useful or (receives and media.direction not in ("recvonly", "inactive"))
            direction = _DIRECTIONS[track is not None, receives]
            transceiver = self._pc.addTransceiver(track or media.kind, direction=direction)
            if receives:
                self._ear = transceiver
            if media.kind == "video":
                transceiver.setCodecPreferences(_preferences(self._media.codecs))
        if not is_useful:
            raise OfferInvalid(f"The offer has {'neither sound nor picture' if self._tracks else 'no voice'}.")

    def _on_change(self) -> None:
        self._changed.set()

    def _prepare(self, transceivers: Sequence[RTCRtpTransceiver]) -> None:
        """Put our parts in place of aiortc's, between the remote and the local description."""
        for transceiver in transceivers:
            use_gathering(transceiver, self._gathering)
            codec = codec_of(transceiver)
            if codec is None:
                continue
            if transceiver.sender.track in self._tracks.values():
                use_relay(transceiver, self._relay(transceiver.kind, codec), self._request_keyframe)
            if transceiver is self._ear:
                use_ear(transceiver, Ear(partial(self._hear, transceiver)))

    def _hear(self, transceiver: RTCRtpTransceiver, packet: RtpPacket) -> None:
        """Decode a packet where it arrives: 0.15 ms, less than handing it to another thread and back."""
        now = time.monotonic()
        if packet.payload_type not in self._decoders:
            self._decoders[packet.payload_type] = sound_decoder(transceiver, packet.payload_type)
        decode, on_audio = self._decoders[packet.payload_type], self._on_audio
        if decode is None or on_audio is None:
            return
        with self._stats.stage("hear"):
            sound = SoundPacket(packet.sequence_number, packet.timestamp, packet.payload, now)
            for arrived, pcm in self.microphone.receive(sound, decode):
                on_audio(pcm, arrived)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _check_lines(sdp: str) -> None:
    """Refuse what takes aiortc long to read.

    Raises:
        OfferInvalid: Too many lines, or too many that are about all codecs.
    """
    lines = sdp.splitlines()
    if len(lines) > MAX_LINES:
        raise OfferInvalid(f"An offer may have {MAX_LINES} lines at most.")
    if sum(line.startswith("a=rtcp-fb:*") for line in lines) > MAX_WILDCARDS:
        raise OfferInvalid(f"An offer may have {MAX_WILDCARDS} lines of a=rtcp-fb:* at most.")


def _check_sections(offered: SessionDescription) -> None:
    """Refuse what aiortc would stumble over when sockets are open already and tasks of its own run.

    Raises:
        OfferInvalid: Too many candidates, codecs or sections, two of one name, or a BUNDLE group of some that there are
            not.
    """
    mids = [media.rtp.muxId for media in offered.media if media.kind in ("audio", "video", "application")]
    bundled = {mid for group in offered.group if group.semantic == "BUNDLE" for mid in group.items}
    candidates = sum(len(media.ice_candidates) for media in offered.media)
    if candidates > MAX_CANDIDATES:
        raise OfferInvalid(f"A connection may have {MAX_CANDIDATES} candidates at most.")
    if any(len(media.rtp.codecs) > MAX_CODECS for media in offered.media):
        raise OfferInvalid(f"A section may have {MAX_CODECS} codecs at most.")
    if len(offered.media) > MAX_SECTIONS or len(set(mids)) < len(mids) or not bundled <= set(mids):
        raise OfferInvalid(detail=f"sections {mids[:MAX_SECTIONS]}, bundled {sorted(bundled)[:MAX_SECTIONS]}")


def _ice_servers(ice: IceSpec) -> list[RTCIceServer]:
    servers = [RTCIceServer(url) for url in ice.stun]
    user, password = turn_login(ice, time.time()) if ice.turn_secret else (None, None)
    return servers + [RTCIceServer(url, user, password) for url in ice.turn]


def _preferences(codecs: Sequence[str]) -> list[RTCRtpCodecCapability]:
    known = RTCRtpSender.getCapabilities("video").codecs
    wanted = [codec for name in codecs for codec in known if codec.mimeType.lower() == f"video/{name.lower()}"]
    return wanted + [codec for codec in known if codec.mimeType.lower() == "video/rtx"]
