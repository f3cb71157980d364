"""A video file that nobody vouches for -> upright RGB pictures, one after the other, bounded.

The container is told by the file's first bytes and nothing else is believed: playlists and other texts that could lead
FFmpeg to other files are never probed. Sound is not looked at. Knows nothing of faces.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from studio.errors import BadPortrait

HEAD_BYTES = 12
"""What `container_of` wants to see."""
MAX_STREAMS = 16
CODECS = (
    "h264", "hevc", "vp8", "vp9", "libvpx", "libvpx-vp9", "av1", "libdav1d", "mpeg4", "mpeg1video", "mpeg2video",
    "mjpeg", "prores", "ffv1", "png", "rawvideo",
)  # fmt: skip
"""FFmpeg's decoders that a file may wake."""
TICK = 0.5e-3
"""Seconds: half the finest time that some containers know."""
SMALLEST, LONGEST = 96, 8192
"""Pixels of a side."""

Rgb = NDArray[np.uint8]


def container_of(head: bytes) -> str:
    """Return the demuxer that the first `HEAD_BYTES` of a video name, empty where they name none.

    Magic numbers: ISO/IEC 14496-12 4.3, QuickTime File Format 2001, RFC 8794 8, RIFF (IBM, Microsoft 1991).
    """
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide") and head[8:12] not in (b"heic", b"heix", b"mif1", b"avif"):
        return "mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return "matroska"
    return "avi" if head[:4] == b"RIFF" and head[8:12] == b"AVI " else ""


def is_footage(path: Path) -> bool:
    """Tell by its first bytes whether a file is a video.

    Raises:
        BadPortrait: It cannot be read.
    """
    return bool(container_of(_head(path)))


def read_footage(path: Path, max_pixels: int, fps: float | None = None) -> Generator[Rgb, None, None]:
    """Yield every picture of a video's first video stream as (H, W, 3) RGB, all of one size, turned upright.

    Args:
        path: MP4, MOV, Matroska, WebM or AVI.
        max_pixels: Width times height from which it is refused undecoded.
        fps: Pictures a second: those that are seen at these moments, some twice or never; None: each once.

    Raises:
        BadPortrait: Not a video, one without pictures, damaged, too large or too small, or changing its size.
    """
    name, demuxer = path.name[:100], container_of(_head(path))
    if not demuxer:
        raise BadPortrait(f"{name} is not a video that the studio reads. Use an MP4 file.")
    try:
        options = {"codec_whitelist": ",".join(CODECS), "protocol_whitelist": "file"}
        with av.open(str(path), "r", format=demuxer, options=options) as opened:
            timed = _pictures(opened, name, max_pixels)
            yield from (rgb for _, rgb in timed) if fps is None else _seen(timed, fps)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadPortrait(f"{name} is damaged and cannot be played.", f"{type(error).__name__}: {error}") from error


def _head(path: Path) -> bytes:
    name = path.name[:100]
    try:
        if not path.is_file():
            raise BadPortrait(f"There is no file called {name}.", str(path))
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except (OSError, ValueError) as error:
        raise BadPortrait(f"{name} cannot be read.", f"{type(error).__name__}: {error}") from error


def _seen(timed: Iterable[tuple[float | None, Rgb]], fps: float) -> Generator[Rgb, None, None]:
    """Yield the picture that is seen at each multiple of 1 / ``fps`` seconds after the first."""
    shown: Rgb | None = None
    start, moment, gap, count = 0.0, 0.0, 1 / fps, 0
    for at, rgb in timed:
        before, moment = moment, start + count / fps if at is None else at
        if shown is None:
            start = moment
        else:
            gap = moment - before
        while shown is not None and count / fps < moment - start - TICK:
            yield shown
            count += 1
        shown = rgb
    if shown is not None and count / fps < moment - start + gap - TICK:  # the last is seen as long as the one before
        yield shown


def _pictures(
    opened: av.container.InputContainer, name: str, max_pixels: int
) -> Generator[tuple[float | None, Rgb], None, None]:
    """Yield pictures with their seconds, None where the file does not say."""
    if not opened.streams.video or len(opened.streams) > MAX_STREAMS:
        raise BadPortrait(f"{name} has no pictures.", f"{len(opened.streams)} streams")
    stream = opened.streams.video[0]
    if stream.codec_context is None or stream.codec_context.name not in CODECS:
        raise BadPortrait(f"{name} is packed in a way that the studio does not read. Use H.264 in an MP4 file.")
    size = stream.codec_context.width, stream.codec_context.height
    _judge(size, name, max_pixels)
    empty = True
    for frame in opened.decode(stream):
        if (frame.width, frame.height) != size:
            raise BadPortrait(f"{name} changes its size while it plays. Save it anew in one size.")
        empty = False
        yield frame.time, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))
    if empty:
        raise BadPortrait(f"{name} has no pictures.")


def _judge(size: tuple[int, int], name: str, max_pixels: int) -> None:
    """See that a size is one that can be decoded.

    Raises:
        BadPortrait: It cannot.
    """
    told = f"{size[0]} × {size[1]} pixels"
    if size[0] * size[1] > max_pixels or max(size) > LONGEST:
        raise BadPortrait(f"{name} has {told}; the limit is {max_pixels / 1e6:.0f} megapixels. Make it smaller.")
    if min(size) < SMALLEST:
        raise BadPortrait(f"{name} has only {told}. Use a video whose face alone is 200 pixels wide.")
