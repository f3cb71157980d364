"""The studio with its media path replaced by the usual one, for `tests.bench.sessions` to compare with.

Everything else is the studio's own: the same avatars, engine, scheduler, pacer and signaling, so the same visitors
connect and the same pictures are drawn. What is different is what servers of this kind commonly do: each picture is
handed over as an rgb24 frame, aiortc's own VP8 and Opus encoders get it with aiortc's own settings, and they run in
asyncio's own thread pool.

A usual engine draws in RGB to begin with; ours is converted, at `rgb_frame`, which costs 0.2 ms of the roughly 10 ms of
a beat and stands in for drawing three full planes instead of one and two quarters.

Usage: python -m tests.bench.usual serve --config ... (the studio's own command line)
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator
from unittest import mock

import av
import numpy as np
from aiohttp import web
from aiortc import RTCRtpTransceiver
from numpy.typing import NDArray

from studio import cli, peer, picture
from studio.encode import VIDEO_TICKS, VIDEO_TIME_BASE
from studio.spec import MediaSpec
from studio.web import app


def rgb_frame(i420: NDArray[np.uint8], slot: int) -> av.VideoFrame:
    """Return the frame that the usual server makes of a picture, (H * 3 // 2, W)."""
    frame = av.VideoFrame.from_ndarray(picture.to_rgb(i420), format="rgb24")
    frame.pts, frame.time_base = slot * VIDEO_TICKS, VIDEO_TIME_BASE
    return frame


def stock_encoder(transceiver: RTCRtpTransceiver, media: MediaSpec) -> None:
    """Leave aiortc's encoders alone."""


async def stock_pool(application: web.Application) -> AsyncIterator[None]:
    """Leave asyncio's default executor alone."""
    yield


def main() -> int:
    """Run the studio's command line with the usual media path."""
    replaced = {peer: {"video_frame": rgb_frame, "_use_encoder": stock_encoder}, app: {"_pool": stock_pool}}
    with contextlib.ExitStack() as stack:
        for module, parts in replaced.items():
            for name, part in parts.items():
                stack.enter_context(mock.patch.object(module, name, part))
        return cli.main(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
