"""One visit to a studio, for programs: speech goes in; pictures and sound come out, in step and in order.

    async with StudioLink("http://127.0.0.1:8080", "mira") as link:
        await link.say(pcm, 24_000)                          # as fast as it is made; waits while the studio has enough
        await link.flush()
        async for item in link:
            match item:
                case Picture(): screen.show(item.rgb())      # 25 a second
                case Sound(): speaker.play(item.pcm)         # 20 ms each, heard while the picture before it is seen
                case SpeechEnded(): break                    # what was flushed has come out

Pictures and sound come by WebRTC (signaling `/ws`), speech goes through the agents' door (`/api/sessions/{id}/audio`).
Knows nothing of Pipecat or LiveKit: their adapters beside it are thin. Needs aiohttp and aiortc 1.16.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass

import aiohttp
import av
import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from studio_media import SAMPLE_RATE, Item, Picture, SenderClock, Sound, Stage

VIDEO_RATE = 90_000
"""Of RTP timestamps of pictures."""
CONNECT_SECONDS, ANSWER_SECONDS = 20.0, 5.0


class LinkError(ConnectionError):
    """The visit is over or never began; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Cut:
    """How an interruption went."""

    spoken_ms: int
    discarded_ms: int
    stopped_in_ms: int


class StudioLink:
    """One visit: an async context that connects, and an async iterator of what comes out, for one reader.

    All but closing raises `LinkError` when the studio cannot be reached, refuses, or has gone.

    Args:
        server: The studio's address.
        avatar_id: Who is seen; empty: the studio's first.
        speaks: False: watch only, and leave the speaking to another program, which is told the `session_id`.
    """

    def __init__(self, server: str, avatar_id: str = "", *, speaks: bool = True) -> None:
        self._server, self._avatar_id, self._speaks = server.rstrip("/"), avatar_id, speaks
        self.session_id = ""
        self.size = (0, 0)
        """Width and height of the first picture."""
        self._stack = contextlib.AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stage = Stage()
        self._clocks: dict[str, SenderClock] = {}
        self._flows, self._has_room = asyncio.Event(), asyncio.Event()
        self._has_room.set()
        self._cuts: deque[asyncio.Future[Cut]] = deque()
        self._rate = self._turn = 0
        self._over = ""

    async def __aenter__(self) -> StudioLink:
        """Connect; return when pictures and sound arrive and can be put in step, usually after 2 s."""
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._connect()
        except (OSError, aiohttp.ClientError, aiohttp.WSMessageTypeError) as error:
            await self.aclose()
            raise LinkError(f"The studio at {self._server} gives no visit: {str(error) or 'no answer'}") from error
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[Item]:
        return self

    async def __anext__(self) -> Item:
        """Return what comes next; who reads too slowly loses the oldest pictures and sounds."""
        return await self._stage.next()

    async def say(self, pcm: bytes, sample_rate: int) -> None:
        """Speak s16le mono samples of 8000 to 48000 Hz, at most 2 MB; waits while the studio has enough to speak.

        What waits when somebody interrupts is not spoken.
        """
        turn = self._turn
        await self._has_room.wait()
        self._check()
        if turn != self._turn:
            return
        self._stage.say()
        if sample_rate != self._rate:
            self._rate = sample_rate
            await self._tell({"type": "format", "sample_rate": sample_rate})
        await self._tell(pcm)

    async def flush(self) -> None:
        """Ask for a `SpeechEnded` after what was said so far."""
        self._check()
        self._stage.flush()
        await self._tell({"type": "flush"})

    def interrupt(self) -> Coroutine[object, object, Cut]:
        """Silence the avatar: from now on nothing of what it says comes out. Await it: then the studio is silent."""
        self._turn += 1
        self._stage.hush()
        self._has_room.set()
        return self._cut()

    async def _cut(self) -> Cut:
        self._check()
        cut: asyncio.Future[Cut] = asyncio.get_running_loop().create_future()
        self._cuts.append(cut)
        await self._tell({"type": "interrupt"})
        await asyncio.wait({cut}, timeout=ANSWER_SECONDS)
        self._check()
        if not cut.done():
            raise LinkError("The studio does not fall silent.")
        return cut.result()

    async def _tell(self, what: bytes | dict[str, object]) -> None:
        try:
            await (self._agent.send_bytes(what) if isinstance(what, bytes) else self._agent.send_json(what))
        except (aiohttp.ClientError, ConnectionError) as error:
            raise LinkError(self._over or "The studio has hung up.") from error

    async def aclose(self) -> None:
        """Leave; idempotent."""
        self._end("This visit is over.")
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    async def _connect(self) -> None:
        web = await self._stack.enter_async_context(aiohttp.ClientSession())
        async with web.get(f"{self._server}/api/ice-servers", raise_for_status=True) as answer:
            servers = [RTCIceServer(**one) for one in (await answer.json())["iceServers"]]
        pc = self._make_peer(servers)
        await pc.setLocalDescription(await pc.createOffer())
        signaling = await self._stack.enter_async_context(web.ws_connect(f"{self._server}/ws"))
        await signaling.send_json({"type": "offer", "sdp": pc.localDescription.sdp} | self._wishes)
        while (told := await signaling.receive_json())["type"] != "answer":
            if told["type"] == "error":
                raise LinkError(told["message"])
        self.session_id = told["session_id"]
        await pc.setRemoteDescription(RTCSessionDescription(told["sdp"], "answer"))
        self._spawn(self._read(signaling))
        if self._speaks:
            door = f"{self._server}/api/sessions/{self.session_id}/audio"
            self._agent = await self._stack.enter_async_context(web.ws_connect(door))
            self._spawn(self._read(self._agent))
        await self._flows.wait()
        self._check()

    @property
    def _wishes(self) -> dict[str, str]:
        return {"avatar_id": self._avatar_id} if self._avatar_id else {}

    def _make_peer(self, servers: list[RTCIceServer]) -> RTCPeerConnection:
        pc = RTCPeerConnection(RTCConfiguration(iceServers=servers))
        self._stack.push_async_callback(pc.close)

        def on_state() -> None:
            if pc.connectionState in ("failed", "closed"):
                self._end("The studio's pictures and sound no longer reach this machine.")

        pc.on("connectionstatechange", on_state)
        pc.on("track", lambda track: self._spawn(self._receive(track)))
        for kind, rate in (("audio", SAMPLE_RATE), ("video", VIDEO_RATE)):
            self._clocks[kind] = SenderClock(pc.addTransceiver(kind, direction="recvonly").receiver, rate)
        return pc

    async def _receive(self, track: MediaStreamTrack) -> None:
        """Take a track's frames; before both clocks are set nobody can tell what belongs together."""
        clock = self._clocks[track.kind]
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                if frame.pts is None or not all(one.is_set for one in self._clocks.values()):
                    continue
                if isinstance(frame, av.VideoFrame):
                    self.size = self.size if self._flows.is_set() else (frame.width, frame.height)
                    self._stage.show(clock.seconds(frame.pts), Picture(frame))
                elif isinstance(frame, av.AudioFrame):
                    left = frame.to_ndarray()[0, :: len(frame.layout.channels)]  # the studio's sound is mono
                    self._stage.play(clock.seconds(frame.pts), Sound(left.astype(np.int16)))
                    if self.size != (0, 0):
                        self._flows.set()
        self._end("The studio's pictures and sound have ended.")

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Hear what the studio tells through one of its two sockets."""
        async for message in socket:
            match message.json():
                case {"type": "flushed", "interrupted": interrupted}:
                    self._stage.end(interrupted)
                case {"type": "interrupted", "spoken_ms": spoken, "discarded_ms": discarded, "stopped_in_ms": took}:
                    self._stage.unhush()
                    if self._cuts and not (waiting := self._cuts.popleft()).done():
                        waiting.set_result(Cut(spoken, discarded, took))
                case {"type": "full"}:
                    self._has_room.clear()
                case {"type": "room"}:
                    self._has_room.set()
                case {"type": "error", "message": sentence}:
                    self._end(sentence)
        self._end("The studio has hung up.")

    def _check(self) -> None:
        if self._over:
            raise LinkError(self._over)

    def _end(self, sentence: str) -> None:
        """End the visit for whoever waits; the first reason counts."""
        self._over = self._over or sentence
        self._stage.close(LinkError(self._over))
        self._flows.set()
        self._has_room.set()
        while self._cuts:
            self._cuts.popleft().cancel()

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._end(f"The studio was not understood: {error}")
