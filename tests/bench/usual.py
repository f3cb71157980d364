"""The studio with its media path replaced by the usual one, for `tests.bench.sessions` to compare with.

Everything else is the studio's own: the same avatars, engine, scheduler, pacer and signaling, so the same visitors
connect and the same pictures are drawn. What is different is what servers of this kind commonly do: each picture is
handed to aiortc's sender as an rgb24 frame and each 20 ms of sound as an audio frame; aiortc's own encoders and
decoders work on them with aiortc's own settings, in asyncio's own thread pool.

A usual engine draws in RGB to begin with; ours is converted (`rgb_frame`, stage ``convert_rgb``), which stands in for
drawing three full planes instead of one and two quarters.

Usage: python -m tests.bench.usual serve --config ... (the studio's own command line)
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest import mock

import aiortc.rtcrtpsender
import av
import numpy as np
from aiohttp import web
from aiortc import MediaStreamTrack, RTCRtpTransceiver
from aiortc.codecs import get_encoder
from aiortc.codecs.base import Encoder
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from studio import cli, line, peer, picture, session
from studio.beat import BEAT_SECONDS, Beat
from studio.encode import VIDEO_TICKS, VIDEO_TIME_BASE, Relay, audio_frames
from studio.outlet import Outlet, PacketTrack
from studio.spec import MediaSpec
from studio.stats import Stats
from studio.web import app, keys

QUEUED = 4
"""Frames that may wait for aiortc's encoder; then the oldest is dropped."""


def rgb_frame(i420: NDArray[np.uint8], slot: int) -> av.VideoFrame:
    """Return the frame that the usual server makes of a picture, (H * 3 // 2, W)."""
    frame = av.VideoFrame.from_ndarray(picture.to_rgb(i420), format="rgb24")
    frame.pts, frame.time_base = slot * VIDEO_TICKS, VIDEO_TIME_BASE
    return frame


class FrameTrack(PacketTrack):
    """One outgoing track of frames, each given out when it is due."""

    def __init__(self, kind: str, stats: Stats) -> None:
        super().__init__(kind, stats)
        self._frames: asyncio.Queue[tuple[float, Any]] = asyncio.Queue(QUEUED)

    def put_frame(self, due: float, frame: av.VideoFrame | av.AudioFrame) -> None:
        """Add a frame."""
        if self._frames.full():
            self._frames.get_nowait()
        self._frames.put_nowait((due, frame))

    async def recv(self) -> Any:
        """Return the next frame."""
        if self.readyState != "live":
            raise MediaStreamError
        due, frame = await self._frames.get()
        if (wait := due - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        return frame


class UsualOutlet(Outlet):
    """Hands frames to aiortc instead of packets."""

    def __init__(self, stats: Stats, scale: float = 1.0) -> None:
        super().__init__(stats, scale)
        self._pictures, self._sounds = FrameTrack("video", stats), FrameTrack("audio", stats)
        self.video, self.audio = self._pictures, self._sounds

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Release one beat to both tracks."""
        now = time.monotonic()
        with self._stats.stage("convert_rgb"):
            self._pictures.put_frame(now, rgb_frame(beat.picture, slot))
            for i, frame in enumerate(audio_frames(beat.pcm, slot)):
                self._sounds.put_frame(now + i * BEAT_SECONDS / 2, frame)

    async def run(self) -> None:
        """Encode nothing: aiortc does."""
        await asyncio.Event().wait()


class UsualPeer(peer.Peer):
    """Leaves aiortc's receiver alone: a decoder thread, and a task that reads the track."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._pc.on("track", self._listen_to)

    def _listen_to(self, track: MediaStreamTrack) -> None:
        self._spawn(self._listen(track))

    async def _listen(self, track: MediaStreamTrack) -> None:
        with contextlib.suppress(MediaStreamError):
            while True:
                frame = await track.recv()
                now = time.monotonic()
                if isinstance(frame, av.AudioFrame) and self._on_audio is not None:
                    with self._stats.stage("hear"):
                        self._on_audio(self.microphone.hear(frame, now), now)


def stock_sender(transceiver: RTCRtpTransceiver, relay: Relay, on_keyframe_request: Callable[[], None]) -> None:
    """Leave aiortc's sender alone."""


def stock_receiver(transceiver: RTCRtpTransceiver, ear: object) -> None:
    """Leave aiortc's receiver alone."""


def no_encoder(codec: RTCRtpCodecParameters, media: MediaSpec) -> Encoder | None:
    """Make no encoder of ours."""
    return None


def timed_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """Return aiortc's own encoder, its CPU time counted."""
    encoder = get_encoder(codec)
    stage = "encode_" + codec.mimeType.partition("/")[0]
    plain = encoder.encode

    def encode(*arguments: Any, **named: Any) -> tuple[list[bytes], int]:
        with STATS[0].stage(stage):
            return plain(*arguments, **named)

    encoder.encode = encode  # type: ignore[method-assign]
    return encoder


STATS: list[Stats] = []
"""The server's, from the moment it starts."""


async def stock_pool(application: web.Application) -> AsyncIterator[None]:
    """Leave asyncio's default executor alone."""
    STATS[:] = [application[keys.STATS]]
    yield


REPLACED: dict[Any, dict[str, object]] = {
    line: {"use_relay": stock_sender, "use_ear": stock_receiver},
    peer: {"Outlet": UsualOutlet, "make_encoder": no_encoder},
    session: {"Peer": UsualPeer},
    app: {"_pool": stock_pool},
    aiortc.rtcrtpsender: {"get_encoder": timed_encoder},
}


def main() -> int:
    """Run the studio's command line with the usual media path."""
    with contextlib.ExitStack() as stack:
        for module, parts in REPLACED.items():
            for name, part in parts.items():
                stack.enter_context(mock.patch.object(module, name, part))
        return cli.main(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
