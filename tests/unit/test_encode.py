from __future__ import annotations

import threading
from collections.abc import Callable

import av
import numpy as np
import pytest
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import h264_depayload
from aiortc.codecs.vpx import vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from numpy.typing import NDArray

from studio.beat import Beat
from studio.encode import (
    VIDEO_TICKS,
    BeatCoder,
    Encoded,
    Relay,
    StudioH264Encoder,
    StudioOpusEncoder,
    StudioVp8Encoder,
    audio_frames,
    encode_pool,
    make_encoder,
    video_frame,
)
from studio.microphone import opus_decoder
from studio.picture import from_rgb
from studio.spec import MediaSpec
from studio.stats import Stats
from tests.fakes import speech

VIDEO: dict[str, tuple[Callable[[MediaSpec], StudioVp8Encoder | StudioH264Encoder], Callable[[bytes], bytes]]] = {
    "video/VP8": (StudioVp8Encoder, vp8_depayload),
    "video/H264": (StudioH264Encoder, h264_depayload),
}
MEDIA = MediaSpec()


def picture(index: int, width: int = 128, height: int = 96) -> NDArray[np.uint8]:
    y, x = np.mgrid[:height, :width]
    rgb = np.stack(((x * 2 + index * 3) % 256, (y * 2) % 256, (x + y) % 256), -1)
    made = from_rgb(rgb.astype(np.uint8))
    made.flags.writeable = False
    return made


def noise(index: int, side: int = 256) -> NDArray[np.uint8]:
    grain = np.random.default_rng(index).integers(0, 32, (side * 3 // 2, side), np.uint8)
    return np.asarray(picture(index, side, side) // 2 + grain, np.uint8)


def codec(mime: str) -> RTCRtpCodecParameters:
    return RTCRtpCodecParameters(mimeType=mime, clockRate=90_000, payloadType=96)


def decoded(mime: str, payloads: list[list[bytes]]) -> list[av.VideoFrame]:
    decoder, depayload = get_decoder(codec(mime)), VIDEO[mime][1]
    frames = []
    for i, parts in enumerate(payloads):
        frames += decoder.decode(JitterFrame(b"".join(depayload(part) for part in parts), i * VIDEO_TICKS))
    return [frame for frame in frames if isinstance(frame, av.VideoFrame)]


def is_keyframe(mime: str, payloads: list[bytes]) -> bool:
    data = b"".join(VIDEO[mime][1](part) for part in payloads)
    if mime == "video/VP8":
        return not data[0] & 1  # RFC 6386, 9.1
    return any(data[i + 4] & 31 == 5 for i in range(len(data) - 4) if data[i : i + 4] == b"\0\0\0\1")


@pytest.mark.parametrize("mime", VIDEO)
def test_pictures_survive_the_codec(mime: str) -> None:
    encoder = VIDEO[mime][0](MEDIA)
    out = [encoder.encode(video_frame(picture(i), i)) for i in range(5)]
    assert [timestamp for _, timestamp in out] == [i * VIDEO_TICKS for i in range(5)]
    assert all(len(part) <= 1300 for payloads, _ in out for part in payloads)
    frames = decoded(mime, [payloads for payloads, _ in out])
    assert len(frames) == 5
    for i, frame in enumerate(frames):
        error = frame.to_ndarray(format="yuv420p").astype(int) - picture(i)
        assert np.abs(error).mean() < 6


@pytest.mark.parametrize("mime", VIDEO)
def test_keyframe_comes_first_and_when_asked_for(mime: str) -> None:
    encoder = VIDEO[mime][0](MEDIA)
    keys = [is_keyframe(mime, encoder.encode(video_frame(picture(i), i), i == 6)[0]) for i in range(9)]
    assert keys == [i in (0, 6) for i in range(9)]


@pytest.mark.parametrize("mime", VIDEO)
def test_picture_is_not_copied_nor_changed(mime: str) -> None:
    one = picture(0)
    before = one.copy()
    frame = video_frame(one, 3)
    assert frame.pts == 3 * VIDEO_TICKS
    encoder = VIDEO[mime][0](MEDIA)
    for i in range(4):  # the very same idle picture, again and again
        assert encoder.encode(video_frame(one, i))[0]
    assert np.array_equal(one, before)


@pytest.mark.parametrize("mime", VIDEO)
def test_size_may_change_between_pictures(mime: str) -> None:
    encoder = VIDEO[mime][0](MEDIA)
    out = [encoder.encode(video_frame(picture(i, side, side), i))[0] for i, side in enumerate((64, 64, 128, 128))]
    assert [is_keyframe(mime, payloads) for payloads in out] == [True, False, True, False]
    assert [frame.width for frame in decoded(mime, out)] == [64, 64, 128, 128]


@pytest.mark.parametrize("mime", VIDEO)
def test_bitrate_hints_move_the_rate_between_floor_and_ceiling(mime: str) -> None:
    encoder = VIDEO[mime][0](MediaSpec(bitrate_bps=1_000_000, bitrate_min_bps=300_000, bitrate_max_bps=2_000_000))
    sizes = {}
    for hint, expected in ((1, 300_000), (99_000_000, 2_000_000)):
        encoder.target_bitrate = hint
        assert encoder.target_bitrate == expected
        payloads = [encoder.encode(video_frame(noise(i), i))[0] for i in range(30)]
        sizes[hint] = sum(len(part) for parts in payloads[10:] for part in parts)
    assert sizes[99_000_000] > 1.4 * sizes[1]


@pytest.mark.parametrize("mime", VIDEO)
def test_small_bitrate_hint_costs_no_keyframe(mime: str) -> None:
    encoder = VIDEO[mime][0](MEDIA)
    encoder.encode(video_frame(picture(0), 0))
    encoder.target_bitrate = 950_000
    assert not is_keyframe(mime, encoder.encode(video_frame(picture(1), 1))[0])


def test_sound_is_cut_into_two_frames_of_20_ms() -> None:
    pcm = speech(0.04)
    first, second = audio_frames(pcm, 5)
    assert (first.pts, second.pts) == (5 * 1920, 5 * 1920 + 960)
    assert first.samples == second.samples == 320 and first.sample_rate == 16_000
    assert np.array_equal(np.concatenate((first.to_ndarray()[0], second.to_ndarray()[0])), pcm)


def test_opus_holds_nothing_back_and_sounds_the_same() -> None:
    encoder, decoder, pcm = StudioOpusEncoder(), opus_decoder(), speech(1.0)
    heard = []
    for slot in range(25):
        for i, frame in enumerate(audio_frames(pcm[slot * 640 : slot * 640 + 640], slot)):
            payloads, timestamp = encoder.encode(frame)
            assert len(payloads) == 1 and timestamp == slot * 1920 + i * 960
            heard += [frame.to_ndarray()[0] for frame in decoder(payloads[0], timestamp)]
    ours, original = np.concatenate(heard)[::3].astype(float), pcm.astype(float)
    lag = int(np.argmax(np.correlate(original[4000:12_000], ours[4000 - 400 : 12_000 - 400], "full")) - 7999)
    assert abs(lag + 400) <= 200, "less than 13 ms of delay in the codec"
    assert np.sqrt(np.mean(ours[4000:] ** 2)) == pytest.approx(np.sqrt(np.mean(original[4000:] ** 2)), rel=0.2)


@pytest.mark.parametrize("mime", ["audio/PCMU", "audio/PCMA", "audio/G722"])
def test_other_sound_codecs_are_served_by_aiortc(mime: str) -> None:
    encoder = make_encoder(codec(mime), MEDIA)
    coder = BeatCoder(Stats())
    coder.use("audio", encoder)
    parts = [part for slot in range(5) for part in coder.encode_sound(slot, beat(slot))]
    assert sum(len(payload) for part in parts for payload in part.payloads) in range(1280, 1601)


def beat(index: int) -> Beat:
    return Beat(index, picture(index), speech(0.04), True)


@pytest.mark.parametrize("mime", VIDEO)
def test_coder_hands_keyframe_requests_on_once(mime: str) -> None:
    stats = Stats()
    coder = BeatCoder(stats)
    coder.use("video", make_encoder(codec(mime), MEDIA))
    out = []
    for i in range(6):
        if i == 3:
            coder.request_keyframe()
        out.append(coder.encode_picture(i, beat(i)))
    assert [one is not None and is_keyframe(mime, one.payloads) for one in out] == [i in (0, 3) for i in range(6)]
    assert {"convert", "encode_video"} == set(stats._spent)


def test_coder_without_encoders_makes_nothing() -> None:
    coder = BeatCoder(Stats())
    assert coder.encode_picture(0, beat(0)) is None and coder.encode_sound(0, beat(0)) == ()


def test_relay_passes_packets_through_and_hints_back() -> None:
    video: Encoder = StudioVp8Encoder(MEDIA)
    relay = Relay(video)
    assert relay.pack(Encoded([b"a", b"b"], 77)) == ([b"a", b"b"], 77)
    relay.target_bitrate = 500_000
    assert relay.target_bitrate == 500_000 == video.target_bitrate  # type: ignore[attr-defined]
    sound = Relay(StudioOpusEncoder())
    sound.target_bitrate = 1
    assert sound.target_bitrate == 0
    with pytest.raises(NotImplementedError):
        relay.encode(video_frame(picture(0), 0))


def test_pool_is_bounded() -> None:
    with encode_pool(3) as pool:
        assert pool._max_workers == 3
        name = pool.submit(lambda: threading.current_thread().name).result()
    assert name.startswith("encode")
