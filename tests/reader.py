"""A WHEP reader and a WHIP writer without a browser: plain HTTP as MediaMTX's page says it, and a real aiortc peer.

Talks to 127.0.0.1 only, like `tests.visitor`, whose way of counting instead of decoding it shares.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urljoin

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.rtcrtpsender import RTCRtpSender
from numpy.typing import NDArray

from tests.visitor import split_candidates, whole

SDP, FRAGMENT = "application/sdp", "application/trickle-ice-sdpfrag"


class Refused(Exception):
    """The studio has answered an offer with an error."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body = status, body


class Client:
    """One connection over HTTP.

    Args:
        web: Asks.
        url: Where offers go.
    """

    def __init__(self, web: aiohttp.ClientSession, url: str) -> None:
        self._web, self.url = web, url
        self.pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.place = self.tag = ""
        self.headers: Any = {}
        self.items: dict[str, list[Any]] = {"audio": [], "video": []}
        """Second of arrival, RTP timestamp, encoded data."""
        self.keeps_data = True
        """False: keep the seconds of arrival alone, each in a list of one."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._news = asyncio.Event()
        self.pc.on("track", self._on_track)

    async def options(self) -> list[str]:
        """Ask which ICE servers to use, as the first thing."""
        async with self._web.options(self.url) as answer:
            assert answer.status in (200, 204), await answer.text()
            return answer.headers.getall("Link", [])

    async def open(self, *, trickles: bool = True, edit: Callable[[str], str] = str) -> None:
        """Offer, take the answer, send candidates after it; return when media can flow.

        Args:
            trickles: Candidates come after the answer; False: all with the offer.
            edit: Changes the offer on its way.

        Raises:
            Refused: The studio does not want it.
        """
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp, candidates = (split_candidates if trickles else whole)(self.pc.localDescription.sdp)
        answer = await self.post(edit(sdp))
        await self.pc.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        if trickles:
            assert await self.patch(fragment(sdp, candidates), "*") == 204
        await self.connected()

    async def post(self, sdp: str) -> str:
        """Send an offer; return the answer."""
        async with self._web.post(self.url, data=sdp.encode(), headers={"Content-Type": SDP}) as answer:
            body = await answer.text()
            if answer.status != 201:
                raise Refused(answer.status, body)
            assert answer.content_type == SDP
            self.headers = answer.headers
            self.place, self.tag = urljoin(self.url, answer.headers["Location"]), answer.headers["ETag"]
            return body

    async def patch(self, body: str, tag: str | None, kind: str = FRAGMENT) -> int:
        """Send candidates; return the status."""
        headers = {"Content-Type": kind} | ({"If-Match": tag} if tag is not None else {})
        async with self._web.patch(self.place, data=body.encode(), headers=headers) as answer:
            assert answer.status == 204 or (await answer.json())["error"]["message"]
            return answer.status

    async def delete(self) -> int:
        """Say goodbye; return the status."""
        async with self._web.delete(self.place) as answer:
            return answer.status

    async def connected(self, limit: float = 10.0) -> None:
        """Return when media can flow."""
        settled = asyncio.Event()
        self.pc.on("connectionstatechange", settled.set)
        async with asyncio.timeout(limit):
            while self.pc.connectionState != "connected":
                await settled.wait()
                settled.clear()

    async def received(self, kind: str, count: int, limit: float = 10.0) -> list[Any]:
        """Return what has come when ``count`` frames have."""
        async with asyncio.timeout(limit):
            while len(self.items[kind]) < count:
                self._news.clear()
                await self._news.wait()
        return self.items[kind]

    async def close(self) -> None:
        """Leave without a word."""
        await self.pc.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_track(self, track: MediaStreamTrack) -> None:
        task = asyncio.get_running_loop().create_task(self._count(track))
        self._tasks.add(task)

    async def _count(self, track: MediaStreamTrack) -> None:
        while True:
            try:
                item: Any = await track.recv()
            except MediaStreamError:
                return
            self.items[track.kind].append(item if self.keeps_data else item[:1])
            self._news.set()


def reader(web: aiohttp.ClientSession, url: str, *codecs: str) -> Client:
    """Return a client that wants picture and sound; of pictures ``codecs``, by default whatever comes."""
    client = Client(web, url)
    client.pc.addTransceiver("video", direction="recvonly")
    client.pc.addTransceiver("audio", direction="recvonly")
    if codecs:
        client.pc.getTransceivers()[0].setCodecPreferences(capabilities(codecs))
    return client


def capabilities(codecs: Sequence[str]) -> list[RTCRtpCodecCapability]:
    """Return aiortc's capabilities of some video codecs."""
    known = RTCRtpSender.getCapabilities("video").codecs
    return [one for one in known if one.mimeType.lower() in [f"video/{codec.lower()}" for codec in codecs]]


def fragment(sdp: str, candidates: Sequence[tuple[str, int]]) -> str:
    """Return candidates as MediaMTX's page sends them."""
    lines = [line for line in sdp.splitlines() if line.startswith(("a=ice-ufrag", "a=ice-pwd"))][:2]
    sections = [line for line in sdp.splitlines() if line.startswith("m=")]
    for number, section in enumerate(sections):
        if mine := [line for line, of in candidates if of == number]:
            lines += [section, f"a=mid:{number}", *(f"a={line}" for line in mine)]
    return "".join(f"{line}\r\n" for line in lines)


def decoded(codec: str, data: bytes) -> NDArray[np.uint8]:
    """Return the picture, (H, W, 3) RGB, that one frame's data give without those before it.

    Raises:
        av.FFmpegError: They do not.
    """
    context = av.CodecContext.create(codec, "r")
    assert isinstance(context, av.VideoCodecContext)
    frames = context.decode(av.Packet(data)) + context.decode(None)
    return np.asarray(frames[0].to_ndarray(format="rgb24"), np.uint8)
