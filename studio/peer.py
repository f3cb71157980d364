"""One WebRTC connection: answers an offer, sends beats as two tracks, hands the visitor's voice on as 16 kHz samples.

Knows nothing of engines or sessions. Four functions reach behind aiortc's public face, which has no setting for what they
do: `_use_addresses`, `_use_encoder`, `_stop_decoders`, `_abandon`. Nothing global is changed. They were read in
aiortc 1.16 and aioice 0.13; `pyproject.toml` pins aiortc from above.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import av
import numpy as np
from aioice import Candidate as IceCandidate
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.sdp import SessionDescription, candidate_from_sdp
from numpy.typing import NDArray

from studio.beat import BEAT_SECONDS, Beat
from studio.encode import ENCODERS, audio_frames, video_frame
from studio.errors import BadMessage, CodecUnsupported, OfferInvalid
from studio.ice import host_addresses, is_mdns, turn_login, without_mdns
from studio.messages import Candidate
from studio.microphone import Microphone
from studio.spec import IceSpec, MediaSpec

log = logging.getLogger(__name__)

BUFFERED_SLOTS = 2
"""Slots that may wait for the encoder; then the oldest picture is dropped."""
MALFORMED = (ValueError, LookupError, AttributeError, TypeError, AssertionError, InvalidAccessError, InvalidStateError)
"""What aiortc raises on SDP that it cannot read."""

OnAudio = Callable[[NDArray[np.int16]], None]


class BeatTrack(MediaStreamTrack):
    """One outgoing track; the pacer puts slots in, aiortc's sender takes frames out. Raises only MediaStreamError."""

    def __init__(self, kind: str, parts: int, cut: Callable[[Beat, int, int], av.VideoFrame | av.AudioFrame]) -> None:
        super().__init__()
        self.kind = kind
        self._parts, self._cut = parts, cut
        self._queue: deque[tuple[float, int, Beat]] = deque()
        self._part = 0
        self._wakes = asyncio.Event()
        self.dropped = 0

    def put(self, slot: int, beat: Beat) -> None:
        """Add a slot; the oldest one that waits is dropped when the encoder is `BUFFERED_SLOTS` behind."""
        if len(self._queue) >= BUFFERED_SLOTS:
            self._queue.popleft()
            self._part = 0
            self.dropped += 1
        self._queue.append((time.monotonic(), slot, beat))
        self._wakes.set()

    async def recv(self) -> av.VideoFrame | av.AudioFrame:
        """Return the next frame when it is due: of two audio frames the second leaves 20 ms after the first."""
        while True:
            while not self._queue:
                self._check()
                self._wakes.clear()
                await self._wakes.wait()
            self._check()
            put_at, slot, beat = self._queue[0]
            wait = put_at + self._part * BEAT_SECONDS / self._parts - time.monotonic()
            if wait > 0 and len(self._queue) == 1:
                await asyncio.sleep(wait)
            if not self._queue or self._queue[0][1] != slot:
                continue
            part = self._part
            self._part = (part + 1) % self._parts
            if self._part == 0:
                self._queue.popleft()
            return self._cut(beat, slot, part)

    def stop(self) -> None:
        """End the track and wake whoever waits for it."""
        super().stop()
        self._wakes.set()

    def _check(self) -> None:
        if self.readyState != "live":
            raise MediaStreamError


class Peer:
    """One connection, from offer to goodbye.

    Args:
        ice: Addresses and servers.
        media: Codec preference and bitrates.
        host: The address the server is bound to; a loopback one gathers loopback candidates.
        on_audio: Gets the visitor's voice, (n,) mono 16 kHz.
    """

    def __init__(self, ice: IceSpec, media: MediaSpec, host: str, on_audio: OnAudio) -> None:
        self._ice, self._media, self._on_audio = ice, media, on_audio
        self._addresses = host_addresses(ice, host)
        self._pc = RTCPeerConnection(RTCConfiguration(iceServers=_ice_servers(ice)))
        self._pc.on("connectionstatechange", self._on_change)
        self._pc.on("track", self._on_track)
        self._video = BeatTrack("video", 1, lambda beat, slot, part: video_frame(beat.picture, slot))
        self._audio = BeatTrack("audio", 2, lambda beat, slot, part: audio_frames(beat.pcm, slot)[part])
        self.microphone: Microphone | None = None
        self._early: list[Candidate] = []
        self._is_described = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``."""
        return "closed" if self._closing else self._pc.connectionState

    @property
    def dropped(self) -> int:
        """Slots that the encoders were too slow for, and frames of the microphone that came too late."""
        return self._video.dropped + self._audio.dropped + (self.microphone.stale if self.microphone else 0)

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
            self._add_transceivers(SessionDescription.parse(sdp))
            await self._pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
            for transceiver in self._pc.getTransceivers():
                _use_addresses(transceiver, self._addresses, self._ice.gather_limit)
                _use_encoder(transceiver, self._media)
            await self._pc.setLocalDescription(await self._pc.createAnswer())
        except OperationError as error:
            raise CodecUnsupported(detail=str(error)) from error
        except MALFORMED as error:
            raise OfferInvalid(detail=f"{type(error).__name__}: {error}") from error
        self._is_described = True
        for candidate in self._early:
            self.add_candidate(candidate)
        return str(self._pc.localDescription.sdp)

    def add_candidate(self, candidate: Candidate) -> None:
        """Apply a remote candidate, or keep it until the offer is answered.

        The end of candidates is not passed on: a peer that hides its addresses behind ``.local`` names is still found
        by its own checks, and how long to wait is the session's business.

        Raises:
            BadMessage: It cannot be read.
        """
        line = candidate.candidate.removeprefix("a=").removeprefix("candidate:")
        if not line or is_mdns(line):
            return
        if not self._is_described:
            self._early.append(candidate)
            return
        try:
            remote = candidate_from_sdp(line)
        except MALFORMED as error:
            raise BadMessage("This candidate cannot be read.", detail=type(error).__name__) from error
        remote.sdpMid, remote.sdpMLineIndex = candidate.sdp_mid, candidate.sdp_m_line_index
        if remote.sdpMid is None and remote.sdpMLineIndex is None:
            remote.sdpMLineIndex = 0
        self._spawn(self._pc.addIceCandidate(remote))

    def send(self, slot: int, beat: Beat) -> None:
        """Release one beat to both tracks."""
        self._video.put(slot, beat)
        self._audio.put(slot, beat)

    async def aclose(self, limit: float = 1.0) -> None:
        """Close the connection within about ``limit`` seconds, even if aiortc hangs; idempotent. Cancelling stops no closing."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(limit))
            self._changed.set()
        await asyncio.shield(self._closing)

    async def _close(self, limit: float) -> None:
        self._video.stop()
        self._audio.stop()
        for task in self._tasks:
            task.cancel()
        try:
            async with asyncio.timeout(limit):
                await self._pc.close()
        except TimeoutError:
            log.warning("a peer did not close within %.1f s and is abandoned", limit)
            await _abandon(self._pc)
        finally:
            _stop_decoders(self._pc)

    def _add_transceivers(self, offered: SessionDescription) -> None:
        """Prepare one transceiver per offered section: the first of a kind sends, no picture is ever received."""
        unsent: dict[str, BeatTrack] = {"audio": self._audio, "video": self._video}
        for media in offered.media:
            if media.kind not in ("audio", "video"):
                continue
            track = unsent.pop(media.kind, None)
            receives = media.kind == "audio" and track is not None
            direction = ("sendrecv" if receives else "sendonly") if track else "inactive"
            transceiver = self._pc.addTransceiver(track or media.kind, direction=direction)
            if media.kind == "video":
                transceiver.setCodecPreferences(_preferences(self._media.codecs))
        if len(unsent) == 2:
            raise OfferInvalid("The offer has neither sound nor picture.")

    def _on_change(self) -> None:
        self._changed.set()

    def _on_track(self, track: MediaStreamTrack) -> None:
        if track.kind == "audio" and self.microphone is None:
            self.microphone = Microphone()
            self._spawn(self._listen(track, self.microphone))
        else:
            self._spawn(_drain(track))

    async def _listen(self, track: MediaStreamTrack, microphone: Microphone) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                assert isinstance(frame, av.AudioFrame)
                self._on_audio(microphone.hear(frame, time.monotonic()))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _drain(track: MediaStreamTrack) -> None:
    """Read what nobody wants: an unread track would grow by 13 MB a second."""
    with contextlib.suppress(MediaStreamError):
        while True:
            await track.recv()


def _ice_servers(ice: IceSpec) -> list[RTCIceServer]:
    servers = [RTCIceServer(url) for url in ice.stun]
    user, password = turn_login(ice, time.time()) if ice.turn_secret else (None, None)
    return servers + [RTCIceServer(url, user, password) for url in ice.turn]


def _preferences(codecs: Sequence[str]) -> list[RTCRtpCodecCapability]:
    known = RTCRtpSender.getCapabilities("video").codecs
    wanted = [codec for name in codecs for codec in known if codec.mimeType.lower() == f"video/{name.lower()}"]
    return wanted + [codec for codec in known if codec.mimeType.lower() == "video/rtx"]


def _use_addresses(transceiver: RTCRtpTransceiver, ours: Sequence[str], limit: float) -> None:
    """Gather on ``ours`` if any are given, and wait ``limit`` seconds for STUN and TURN instead of 5."""
    connection = transceiver.receiver.transport.transport.iceGatherer._connection
    gather = type(connection).get_component_candidates

    async def gather_ours(component: int, addresses: list[str], timeout: float = limit) -> list[IceCandidate]:
        return await gather(connection, component, list(ours) or addresses, timeout=limit)  # type: ignore[arg-type]

    connection.get_component_candidates = gather_ours  # type: ignore[method-assign]


def _use_encoder(transceiver: RTCRtpTransceiver, media: MediaSpec) -> None:
    """Give the sender our encoder before it makes its own on the first frame (`RTCRtpSender._next_encoded_frame`)."""
    if transceiver._codecs and (make := ENCODERS.get(transceiver._codecs[0].mimeType.lower())):
        setattr(transceiver.sender, "_RTCRtpSender__encoder", make(media))  # noqa: B010 - a private name


def _stop_decoders(pc: RTCPeerConnection) -> None:
    """End the decoder threads, which are no daemons and would keep the process alive; idempotent."""
    for receiver in pc.getReceivers():
        receiver._handle_disconnect()


async def _abandon(pc: RTCPeerConnection) -> None:
    """Close the sockets of a connection that would not close."""
    for transceiver in pc.getTransceivers():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await transceiver.receiver.transport.transport.stop()
