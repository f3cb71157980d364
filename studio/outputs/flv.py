"""Beats -> the messages of an RTMP stream: H.264 and AAC as FLV wraps them. Used by one thread at a time.

Timestamps follow from the slot alone, so picture and sound keep together whatever is late. FFmpeg's muxer writes the
FLV; it is taken apart again into its tags, which are RTMP's messages. Knows nothing of networks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.audio import SILENCE
from studio.beat import FPS, SAMPLE_RATE, SAMPLES_PER_BEAT, Beat
from studio.outputs import amf, chunks
from studio.outputs.movie import AUDIO_RATE, VIDEO_OPTIONS
from studio.stats import Stats

MAX_GAP = 10 * FPS
"""Slots, 10 s: a longer gap wants a new stream."""
TAG_HEAD, TAG_TAIL, FILE_HEAD = 11, 4, 13
"""Bytes around the body of a tag, and before the first (Adobe, "Video File Format Specification" 10, E.2 to E.4)."""
PIXELS_PER_THREAD = 600_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What the stream looks like."""

    width: int = 512
    """Even."""
    height: int = 512
    fps: int = FPS
    video_bps: int = 1_500_000
    audio_bps: int = 96_000
    key_frame_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Tag:
    """One message of media or data."""

    kind: int
    """`chunks.AUDIO`, `VIDEO` or `DATA`."""
    timestamp_ms: int
    body: bytes


class _Sink:
    """The file that FFmpeg believes to write; `take` returns the whole tags in it."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._is_headed = False

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def take(self) -> list[Tag]:
        """Return and forget the tags that are complete."""
        if not self._is_headed:
            if len(self._bytes) < FILE_HEAD:
                return []
            del self._bytes[:FILE_HEAD]
            self._is_headed = True
        return list(self._tags())

    def _tags(self) -> Iterator[Tag]:
        while len(self._bytes) >= TAG_HEAD:
            head = self._bytes[:TAG_HEAD]
            length = int.from_bytes(head[1:4], "big")
            if len(self._bytes) < TAG_HEAD + length + TAG_TAIL:
                return
            body = bytes(self._bytes[TAG_HEAD : TAG_HEAD + length])
            del self._bytes[: TAG_HEAD + length + TAG_TAIL]
            if head[0] == chunks.DATA:
                body = amf.encode("@setDataFrame") + body
            yield Tag(head[0], int.from_bytes(head[4:7], "big") | head[7] << 24, body)


class FlvCoder:
    """One stream's encoders and muxer; the first slot that it gets has time 0.

    Args:
        shape: What comes out; pictures of another shape are fitted in, with black borders.
        stats: Gets the CPU time of ``convert``, ``encode_video`` and ``encode_audio``.
    """

    def __init__(self, shape: Shape, stats: Stats) -> None:
        self._shape, self._stats = shape, stats
        self._sink = _Sink()
        options = {"flvflags": "no_duration_filesize", "flush_packets": "1"}
        self._container = av.open(self._sink, "w", format="flv", options=options)
        self._video = self._container.add_stream("libx264", rate=shape.fps, options=_video_options(shape))
        self._video.width, self._video.height, self._video.pix_fmt = shape.width, shape.height, "yuv420p"
        self._video.bit_rate = shape.video_bps
        self._video.codec_context.time_base = Fraction(1, shape.fps)
        self._video.codec_context.thread_count = min(4, 1 + shape.width * shape.height // PIXELS_PER_THREAD)
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        self._audio.bit_rate = shape.audio_bps
        self._audio.options = {"aac_coder": "fast"}
        self._first: int | None = None
        self._next = self._pictures = 0

    def encode(self, released: Sequence[tuple[int, Beat]]) -> list[Tag]:
        """Return what a player needs next; ``released`` are slots and their beats, in order."""
        for slot, beat in released:
            if self._first is None:
                self._first = self._next = slot
            for missing in range(self._next, slot):
                self._add_sound(missing, SILENCE)
            self._next = slot + 1
            self._add_pictures(slot, beat.picture)
            self._add_sound(slot, beat.pcm)
        return self._sink.take()

    def misses(self, slot: int) -> int:
        """Return how many slots before ``slot`` were never given."""
        return 0 if self._first is None else slot - self._next

    def take_pictures(self) -> int:
        """Return how many pictures were encoded since the last time."""
        pictures, self._pictures = self._pictures, 0
        return pictures

    def flush(self) -> list[Tag]:
        """Return what the encoders still hold; nothing can be encoded any more."""
        if self._first is not None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()
        return self._sink.take()

    def _add_pictures(self, slot: int, planes: NDArray[np.uint8]) -> None:
        assert self._first is not None
        fps, index = self._shape.fps, slot - self._first
        with self._stats.stage("convert"):
            fitted = fit(planes, self._shape.width, self._shape.height)
        for number in range(_ceil(index * fps), _ceil((index + 1) * fps)):
            frame = av.VideoFrame.from_numpy_buffer(fitted, format="yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            with self._stats.stage("encode_video"):
                self._container.mux(self._video.encode(frame))
            self._pictures += 1

    def _add_sound(self, slot: int, pcm: NDArray[np.int16]) -> None:
        assert self._first is not None
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = SAMPLE_RATE
        frame.pts, frame.time_base = (slot - self._first) * SAMPLES_PER_BEAT, Fraction(1, SAMPLE_RATE)
        with self._stats.stage("encode_audio"):
            self._container.mux(self._audio.encode(frame))


def _ceil(numerator: int) -> int:
    """Return ``numerator / FPS``, rounded up."""
    return -(-numerator // FPS)


def _video_options(shape: Shape) -> dict[str, str]:
    interval = max(1, round(shape.fps * shape.key_frame_seconds))
    return {
        "preset": "superfast",
        "tune": "zerolatency",
        "profile": "high",
        "maxrate": str(shape.video_bps),
        "bufsize": str(shape.video_bps),
        "g": str(interval),
        "keyint_min": str(interval),
        "sc_threshold": "0",  # players and HLS packagers want keyframes at even distances
        "x264-params": VIDEO_OPTIONS["x264-params"],
    }


def fit(planes: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Return an I420 picture scaled into ``width`` x ``height``, both even, with black borders where it needs them."""
    has_width, has_height = picture.size(planes)
    if (has_width, has_height) == (width, height):
        return planes
    ratio = min(width / has_width, height / has_height)
    inner = [max(2, round(side * ratio / 2) * 2) for side in (has_width, has_height)]
    scaled = picture.scale(planes, *inner)
    result = np.full((height * 3 // 2, width), 128, np.uint8)
    result[:height] = 16
    left, top = (width - inner[0]) // 4 * 2, (height - inner[1]) // 4 * 2
    for step, source, target in zip((1, 2, 2), picture.planes(scaled), picture.planes(result), strict=True):
        y, x = top // step, left // step
        target[y : y + source.shape[0], x : x + source.shape[1]] = source
    return result
