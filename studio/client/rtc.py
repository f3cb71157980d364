"""A WebRTC connection that measures (`ears` note what arrives): offers, answers, follows until something ends it."""

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
    RTCSessionDescription,
)
from aiortc.exceptions import InternalError, OperationError
from aiortc.sdp import SessionDescription, candidate_from_sdp

from studio.client.ears import SoundEar, Timeline, VideoEar, Witness
from studio.client.intake import Intake
from studio.client.order import CannotRun, Order, Outcome
from studio.client.screen import Screen
from studio.gathering import Gathering
from studio.ice import host_addresses, is_mdns, without_mdns
from studio.line import MALFORMED, MAX_CANDIDATES, MAX_SECTIONS
from studio.messages import MAX_SDP_CHARACTERS
from studio.spec import IceSpec
from studio.surgery import abandon, stop_decoders, use_gathering

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
        witness = Witness(intake, screen, Timeline())
        video = self._pc.addTransceiver("video", direction="recvonly")
        audio = self._pc.addTransceiver(voice or "audio", direction="sendrecv" if voice else "recvonly")
        VideoEar(video, witness, lambda: self._end("video"))
        SoundEar(audio, witness, lambda: self._end("audio"))
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
