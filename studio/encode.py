"""Beat -> the RTP payloads of one picture and of two 20 ms sounds; aiortc's encoders with settings of ours.

The encoders keep aiortc's interface (`encode`, `target_bitrate`). What is changed, each by measurement
(`tests/bench/RESULTS.md`): VP8 speed and noise settings, x264's preset, bitrate floor and ceiling, and Opus fed with
16 kHz as it is. `BeatCoder` encodes a whole beat in one go, in `encode_pool`: one hop to another thread instead of
three; `Relay` is what aiortc's sender takes for its encoder, so that bitrate hints still arrive.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from aiortc.codecs import get_encoder
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.opus import OpusEncoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.frame import Frame
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from studio import picture
from studio.beat import FPS, SAMPLE_RATE, SAMPLES_PER_BEAT, Beat
from studio.spec import MediaSpec
from studio.stats import Stats

VIDEO_TIME_BASE = Fraction(1, 90_000)
VIDEO_TICKS = 90_000 // FPS
"""3600 of `VIDEO_TIME_BASE` per slot."""
AUDIO_TIME_BASE = Fraction(1, 48_000)
AUDIO_TICKS = 48_000 // FPS
"""1920 of `AUDIO_TIME_BASE` per slot; RTP counts Opus in 48 kHz whatever is encoded (RFC 7587, 4.1)."""
HALF_BEAT = SAMPLES_PER_BEAT // 2
BITRATE_STEP = 0.15
"""A new target within 15 % of the running one is not worth a keyframe."""
OPUS_BITRATE_BPS = 32_000


def encode_pool(threads: int = 0) -> ThreadPoolExecutor:
    """Return the pool that encodes for all visits; the server makes it the loop's default executor.

    Args:
        threads: 0: one per core.
    """
    return ThreadPoolExecutor(threads or os.cpu_count() or 1, thread_name_prefix="encode")


def video_frame(picture: NDArray[np.uint8], slot: int) -> av.VideoFrame:
    """Wrap an I420 picture, (H * 3 // 2, W), without copying it."""
    frame = av.VideoFrame.from_numpy_buffer(picture, format="yuv420p")
    frame.pts, frame.time_base = slot * VIDEO_TICKS, VIDEO_TIME_BASE
    return frame


def audio_frames(pcm: NDArray[np.int16], slot: int) -> tuple[av.AudioFrame, av.AudioFrame]:
    """Cut one beat, (640,), into two frames of 20 ms at 16 kHz (aiortc sends one of 40 ms wrongly: `style.md`)."""
    first, second = (_audio_frame(pcm[i * HALF_BEAT : (i + 1) * HALF_BEAT], 2 * slot + i) for i in range(2))
    return first, second


def _audio_frame(pcm: NDArray[np.int16], index: int) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts, frame.time_base = index * AUDIO_TICKS // 2, AUDIO_TIME_BASE
    return frame


def _open_codec(name: str, frame: av.VideoFrame, bps: int, options: Mapping[str, str]) -> VideoCodecContext:
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
    codec.bit_rate = bps
    codec.framerate, codec.time_base = Fraction(FPS), VIDEO_TIME_BASE
    codec.thread_count = 1
    codec.options = {"maxrate": str(bps), "bufsize": str(bps), **options}
    return codec


class _Tuned:
    """What both video encoders share: a target between a floor and a ceiling, and a codec that follows it."""

    codec: VideoCodecContext | None

    def __init__(self, media: MediaSpec) -> None:
        super().__init__()
        self._media = media
        self._target = media.bitrate_bps
        self.made_keyframe = False
        """Whether the last picture can be decoded without those before it."""

    @property
    def target_bitrate(self) -> int:
        """Bits per second, within the configured floor and ceiling."""
        return self._target

    @target_bitrate.setter
    def target_bitrate(self, bps: int) -> None:
        self._target = max(self._media.bitrate_min_bps, min(bps, self._media.bitrate_max_bps))

    def _compress(self, frame: Frame, force_keyframe: bool) -> tuple[bytes, int]:
        """Return the picture's bitstream and its timestamp in 1/90000 s."""
        assert isinstance(frame, av.VideoFrame)
        codec = self.codec
        if codec is None or not self._fits(codec, frame):
            codec = self.codec = self._open(frame)
        kinds = av.video.frame.PictureType
        frame.pict_type = kinds.I if force_keyframe else kinds.NONE
        assert frame.pts is not None
        packets = codec.encode(frame)
        self.made_keyframe = any(packet.is_keyframe for packet in packets)
        return b"".join(bytes(packet) for packet in packets), frame.pts

    def _fits(self, codec: VideoCodecContext, frame: av.VideoFrame) -> bool:
        running = codec.bit_rate or 0
        same_size = (codec.width, codec.height) == (frame.width, frame.height)
        return same_size and abs(self._target - running) <= BITRATE_STEP * running

    def _open(self, frame: av.VideoFrame) -> VideoCodecContext:
        raise NotImplementedError


class StudioVp8Encoder(_Tuned, Vp8Encoder):
    """VP8 at half the time of aiortc's settings."""

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Return the RTP payloads and the timestamp in 1/90000 s."""
        data, timestamp = self._compress(frame, force_keyframe)
        payloads = self._packetize(data, self.picture_id)
        self.picture_id = (self.picture_id + 1) % (1 << 15)
        return payloads, timestamp

    def _open(self, frame: av.VideoFrame) -> VideoCodecContext:
        return _open_codec("libvpx", frame, self._target, _vp8_options(self._target))


def _vp8_options(bps: int) -> dict[str, str]:
    return {
        "deadline": "realtime",
        "cpu-used": "-14",
        "lag-in-frames": "0",
        "minrate": str(bps),
        "noise-sensitivity": "0",
        "static-thresh": "200",  # leaves blocks alone that are good enough; at 500 a switch leaves blocks to be seen
        "undershoot-pct": "100",
        "overshoot-pct": "15",
        "g": "3000",
        "qmin": "8",  # 44 dB are enough: a quarter fewer bytes at 1 Mbit/s
        "qmax": "56",
    }


class StudioH264Encoder(_Tuned, H264Encoder):
    """H.264 at a tenth of the time of aiortc's settings."""

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Return the RTP payloads and the timestamp in 1/90000 s."""
        data, timestamp = self._compress(frame, force_keyframe)
        return self._packetize(self._split_bitstream(data)), timestamp

    def _open(self, frame: av.VideoFrame) -> VideoCodecContext:
        codec = _open_codec("libx264", frame, self._target, _H264_OPTIONS)
        codec.profile = "Baseline"
        return codec


_H264_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "level": "31", "g": "3000", "forced-idr": "1"}


_OPUS_OPTIONS = {"application": "lowdelay", "compression_level": "2", "frame_duration": "20"}
"""A quarter of the time of ``voip`` at full complexity, 4 ms sooner, and nearer to the original, for 20 kbit/s more."""


class StudioOpusEncoder(OpusEncoder):
    """Opus from 16 kHz mono frames of 20 ms: nothing to resample, nothing held back."""

    def __init__(self) -> None:
        super().__init__()
        codec = av.CodecContext.create("libopus", "w")
        codec.sample_rate, codec.layout, codec.format = SAMPLE_RATE, "mono", "s16"
        codec.bit_rate = OPUS_BITRATE_BPS
        codec.options = _OPUS_OPTIONS
        self.codec = codec

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Return one payload and the timestamp in 1/48000 s."""
        assert isinstance(frame, av.AudioFrame)
        timestamp = frame.pts
        assert timestamp is not None
        frame.pts = None
        return [bytes(packet) for packet in self.codec.encode(frame)], timestamp


ENCODERS: Mapping[str, Callable[[MediaSpec], Encoder]] = {
    "video/vp8": StudioVp8Encoder,
    "video/h264": StudioH264Encoder,
    "audio/opus": lambda media: StudioOpusEncoder(),
}
"""MIME type in lower case -> our encoder; aiortc's own serve the others (G.722, PCMU, PCMA)."""
VIDEO_ENCODERS = (StudioVp8Encoder, StudioH264Encoder)


def make_encoder(codec: RTCRtpCodecParameters, media: MediaSpec) -> Encoder:
    """Return the encoder of a negotiated codec."""
    make = ENCODERS.get(codec.mimeType.lower())
    return make(media) if make else get_encoder(codec)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What a track sends at one moment."""

    payloads: list[bytes]
    timestamp: int
    """In units of the codec's RTP clock."""
    is_keyframe: bool = False
    """A picture that can be decoded without those before it."""


class Relay(Encoder):
    """Stands where aiortc's sender expects its encoder, and hands on what was encoded already.

    Args:
        encoder: Gets the receiver's bitrate hints, if it is one for video; None: nobody does.
    """

    def __init__(self, encoder: Encoder | None) -> None:
        self._encoder = encoder

    @property
    def target_bitrate(self) -> int:
        """Bits per second; 0 for sound, which takes no hint."""
        return self._encoder.target_bitrate if isinstance(self._encoder, VIDEO_ENCODERS) else 0

    @target_bitrate.setter
    def target_bitrate(self, bps: int) -> None:
        if isinstance(self._encoder, VIDEO_ENCODERS):
            self._encoder.target_bitrate = bps

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """Never asked: tracks give no frames."""
        raise NotImplementedError

    def pack(self, packet: object) -> tuple[list[bytes], int]:
        """Return payloads and timestamp of an `Encoded`."""
        assert isinstance(packet, Encoded)
        return packet.payloads, packet.timestamp


class BeatCoder:
    """One visit's encoders; used by one thread at a time. Without an encoder of a kind, nothing of it is encoded.

    Args:
        stats: Gets the CPU time of ``convert``, ``encode_video`` and ``encode_audio``.
        scale: Of the picture's sides, 0.1..1.
    """

    def __init__(self, stats: Stats, scale: float = 1.0) -> None:
        self._stats, self._scale = stats, scale
        self._encoders: dict[str, Encoder] = {}
        self._wants_keyframe = False

    def use(self, kind: str, encoder: Encoder) -> None:
        """Encode ``audio`` or ``video`` with ``encoder``."""
        self._encoders[kind] = encoder

    def request_keyframe(self) -> None:
        """Make the next picture a keyframe; called by any thread."""
        self._wants_keyframe = True

    def encode_picture(self, slot: int, beat: Beat) -> Encoded | None:
        """Encode the picture of a slot."""
        if (encoder := self._encoders.get("video")) is None:
            return None
        with self._stats.stage("convert"):
            frame = video_frame(picture.scale(beat.picture, *picture.scaled(beat.picture, self._scale)), slot)
        with self._stats.stage("encode_video"):
            wants_keyframe, self._wants_keyframe = self._wants_keyframe, False
            payloads, timestamp = encoder.encode(frame, wants_keyframe)
            return Encoded(payloads, timestamp, isinstance(encoder, VIDEO_ENCODERS) and encoder.made_keyframe)

    def encode_sound(self, slot: int, beat: Beat) -> Sequence[Encoded]:
        """Encode the sound of a slot: for each 20 ms what leaves then, nothing while the encoder holds it back."""
        if (encoder := self._encoders.get("audio")) is None:
            return ()
        with self._stats.stage("convert"):
            frames = audio_frames(beat.pcm, slot)
        with self._stats.stage("encode_audio"):
            return [Encoded(*encoder.encode(frame)) for frame in frames]
