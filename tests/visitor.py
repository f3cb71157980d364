"""A visitor without a browser: WebSocket signaling and a real aiortc peer that counts but never decodes.

For benches and the soak test: receiving costs next to nothing, so one core carries many visitors. Talks to
127.0.0.1 only: loopback is the only address it offers.
"""

from __future__ import annotations

import asyncio
import contextlib
import fractions
import json
import queue
import subprocess
import threading
import time
import wave
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import aioice.ice
import aiortc.rtcrtpreceiver
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcrtpparameters import RTCRtpCodecCapability
from aiortc.sdp import candidate_from_sdp

PTIME = 0.020
TEXT = (
    "The quick brown fox jumps over the lazy dog while five wizards box. Peter Piper picked a peck of pickled peppers. "
    "Every morning we open the windows, make a pot of coffee and talk about what the day may bring to all of us."
)


def make_speech(path: Path, text: str = TEXT, rate: int = 48_000, repeat: int = 1) -> Path:
    """Write ``text`` spoken ``repeat`` times by espeak-ng as a mono 16-bit WAV of ``rate`` Hz.

    Raises:
        FileNotFoundError: espeak-ng is not installed.
    """
    raw = path.with_suffix(".raw.wav")
    subprocess.run(
        ["espeak-ng", "-s", "160", "-w", str(raw), " ".join([text] * repeat)], check=True, capture_output=True
    )
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)
    with av.open(str(raw)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream("pcm_s16le", rate=rate, layout="mono")
        for frame in source.decode(audio=0):
            for out in resampler.resample(frame):
                target.mux(stream.encode(out))
        target.mux(stream.encode(None))
    raw.unlink()
    return path


def pause_after(speech: Path, path: Path, seconds: float) -> Path:
    """Write ``speech`` (a mono 16-bit WAV) followed by ``seconds`` of silence."""
    with wave.open(str(speech)) as source, wave.open(str(path), "wb") as target:
        target.setparams(source.getparams())
        target.writeframes(source.readframes(source.getnframes()))
        target.writeframes(bytes(2 * int(seconds * source.getframerate())))
    return path


def opus_packets(path: Path) -> list[bytes]:
    """Encode a sound file once as 20 ms Opus packets, shared by all visitors."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = 48_000, "mono", "s16"
    codec.bit_rate = 32_000
    codec.options = {"application": "voip", "frame_duration": "20"}
    resampler = av.AudioResampler(format="s16", layout="mono", rate=48_000, frame_size=960)
    packets: list[bytes] = []
    with av.open(str(path)) as source:
        for frame in source.decode(audio=0):
            for out in resampler.resample(frame):
                packets += [bytes(p) for p in codec.encode(out)]
    return packets


class SpeechTrack(MediaStreamTrack):
    """Pre-encoded Opus, looped, one packet every 20 ms."""

    kind = "audio"

    def __init__(self, packets: Sequence[bytes], start: int = 0) -> None:
        super().__init__()
        self._packets, self._n, self._start, self._began = packets, 0, start, 0.0

    async def recv(self) -> Any:
        """Return the next packet when it is due."""
        now = time.monotonic()
        if not self._n:
            self._began = now
        delay = self._began + self._n * PTIME - now
        if delay > 0:
            await asyncio.sleep(delay)
        packet = av.Packet(self._packets[(self._start + self._n) % len(self._packets)])
        packet.pts, packet.time_base = self._n * 960, fractions.Fraction(1, 48_000)
        self._n += 1
        return packet


def count_only(
    loop: asyncio.AbstractEventLoop,
    input_q: queue.Queue[Any],
    output_q: asyncio.Queue[Any],
    decode_error: threading.Event,
) -> None:
    """Stand in for aiortc's decoder thread: pass (arrival, rtp timestamp, bytes) on instead of decoding."""
    while (task := input_q.get()) is not None:
        _codec, encoded = task
        item = (time.monotonic(), encoded.timestamp, encoded.data)
        loop.call_soon_threadsafe(output_q.put_nowait, item)
    loop.call_soon_threadsafe(output_q.put_nowait, None)


def install_loopback_and_counting() -> None:
    """Make this process's aiortc peers offer 127.0.0.1 alone and count instead of decode."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    aiortc.rtcrtpreceiver.decoder_worker = count_only


def whole(sdp: str) -> tuple[str, list[tuple[str, int]]]:
    """Return an offer as it is, and no candidates."""
    return sdp, []


def split_candidates(sdp: str) -> tuple[str, list[tuple[str, int]]]:
    """Return an offer without its candidates, and them: line without ``a=``, number of the section."""
    kept, candidates, section = [], [], -1
    for line in sdp.splitlines():
        section += line.startswith("m=")
        if line.startswith("a=candidate:"):
            candidates.append((line.removeprefix("a="), section))
        elif line != "a=end-of-candidates":
            kept.append(line)
    return "\r\n".join(kept) + "\r\n", candidates


class Visitor:
    """One visit: connect, count, leave."""

    def __init__(self, url: str, avatar_id: str | None, packets: Sequence[bytes] | None, start: int = 0) -> None:
        self.url, self.avatar_id, self.packets, self.start = url, avatar_id, packets, start
        self.video: list[float] = []
        """Arrival of each picture, time.monotonic()."""
        self.audio: list[float] = []
        self.messages: list[dict[str, Any]] = []
        self.keep_video = False
        """True: keep the encoded pictures in ``pictures``."""
        self.pictures: list[tuple[float, int, bytes]] = []
        self.sounds: list[tuple[float, int, bytes]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = contextlib.AsyncExitStack()
        self._answer: asyncio.Future[dict[str, Any]] | None = None
        self._news = asyncio.Event()
        self.kinds: tuple[str, ...] = ("audio", "video")
        """What is offered."""
        self.camera: MediaStreamTrack | None = None
        self.video_codecs: Sequence[RTCRtpCodecCapability] = ()
        self.configuration = RTCConfiguration(iceServers=[])
        self.answers_pings = True

    async def connect(self, limit: float = 15.0) -> None:
        """Open the socket, offer, and return when the peer is connected."""
        async with asyncio.timeout(limit):
            await self.open()
            await self.offer()
            await self.connected()

    async def open(self) -> None:
        """Open the socket only."""
        session = await self._stack.enter_async_context(aiohttp.ClientSession())
        self.ws = await self._stack.enter_async_context(session.ws_connect(self.url, autoping=self.answers_pings))
        self._spawn(self._read())

    async def offer(self, *, trickle: str = "", edit: Callable[[str], str] = str) -> dict[str, Any]:
        """Send an offer from a new peer and take its answer, which is returned.

        Args:
            trickle: ``early``: candidates go before the offer; ``late``: after the answer; else inside.
            edit: Changes the offer's SDP on its way.

        Raises:
            ConnectionError: The studio answered with an error.
        """
        self.pc = RTCPeerConnection(self.configuration)
        self._answer = asyncio.get_running_loop().create_future()
        if self.packets and "audio" in self.kinds:
            self.pc.addTrack(SpeechTrack(self.packets, self.start))
        elif "audio" in self.kinds:
            self.pc.addTransceiver("audio", direction="recvonly")
        if self.camera is not None:
            self.pc.addTrack(self.camera)
        elif "video" in self.kinds:
            self.pc.addTransceiver("video", direction="recvonly")
        for transceiver in self.pc.getTransceivers():
            if transceiver.kind == "video" and self.video_codecs:
                transceiver.setCodecPreferences(list(self.video_codecs))
        self.pc.on("track", self._on_track)
        await self.pc.setLocalDescription(await self.pc.createOffer())
        sdp, candidates = (split_candidates if trickle else whole)(self.pc.localDescription.sdp)
        if trickle == "early":
            await self.send_candidates(candidates)
        await self.ws.send_json({"type": "offer", "sdp": edit(sdp), "avatar_id": self.avatar_id})
        answer: dict[str, Any] = await self._answer
        await self.pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        if trickle == "late":
            await self.send_candidates(candidates)
        return answer

    async def send_candidates(self, candidates: Sequence[tuple[str, int]]) -> None:
        """Trickle candidate lines of sections, and their end."""
        for line, section in candidates:
            body = {"candidate": line, "sdpMid": str(section), "sdpMLineIndex": section, "usernameFragment": None}
            await self.ws.send_json({"type": "ice_candidate", "candidate": body})
        await self.ws.send_json({"type": "ice_candidate", "candidate": None})

    async def connected(self) -> None:
        """Return when the peer is connected.

        Raises:
            ConnectionError: It failed or was closed.
        """
        settled = asyncio.Event()

        def settle() -> None:
            if self.pc.connectionState not in ("new", "connecting"):
                settled.set()

        self.pc.on("connectionstatechange", settle)
        settle()
        await settled.wait()
        if self.pc.connectionState != "connected":
            raise ConnectionError(f"peer is {self.pc.connectionState}")

    async def heard(self, kind: str, limit: float = 5.0, **fields: object) -> dict[str, Any]:
        """Return the newest message of a kind with these fields, waiting for one if there is none.

        Raises:
            TimeoutError: None came.
        """
        async with asyncio.timeout(limit):
            while True:
                expected = {"type": kind, **fields}
                if found := [one for one in self.messages if expected.items() <= one.items()]:
                    return found[-1]
                self._news.clear()
                await self._news.wait()

    async def close(self) -> None:
        """Leave as a closed tab does."""
        await self._stack.aclose()
        if hasattr(self, "pc"):
            await self.pc.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fps(self, seconds: float) -> float:
        """Pictures a second that arrived in the last ``seconds``."""
        since = time.monotonic() - seconds
        return sum(t >= since for t in self.video) / seconds

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self) -> None:
        async for message in self.ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            body = json.loads(message.data)
            self.messages.append(body)
            self._news.set()
            if body["type"] == "answer" and self._answer and not self._answer.done():
                self._answer.set_result(body)
            elif body["type"] == "error" and self._answer and not self._answer.done():
                self._answer.set_exception(ConnectionError(f"{body['code']}: {body['message']}"))
            elif body["type"] == "ice_candidate" and body.get("candidate"):
                await self._candidate(body["candidate"])

    async def _candidate(self, body: dict[str, Any]) -> None:
        candidate = candidate_from_sdp(body["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = body["sdpMid"], body["sdpMLineIndex"]
        await self.pc.addIceCandidate(candidate)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._spawn(self._count(track))

    async def _count(self, track: MediaStreamTrack) -> None:
        arrivals = self.video if track.kind == "video" else self.audio
        kept = self.pictures if track.kind == "video" else self.sounds
        while True:
            try:
                item: Any = await track.recv()
            except aiortc.mediastreams.MediaStreamError:
                return
            arrivals.append(item[0])
            if self.keep_video:
                kept.append(item)
