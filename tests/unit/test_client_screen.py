"""Strangers' pictures are decoded within limits, saved under numbers, and become a film."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.beat import SAMPLE_RATE
from studio.client.film import Film
from studio.client.screen import Decoder, Screen, Shot, strip
from tests.fakes import speech
from tests.unit.test_recording import wav


def image(ending: str, width: int = 64, height: int = 48) -> bytes:
    ramp = np.tile(np.linspace(0, 255, width, dtype=np.uint8), (height, 1))
    return cv2.imencode(ending, np.dstack([ramp] * 3))[1].tobytes()


def encoded(codec: str, side: int, count: int = 2) -> list[bytes]:
    """Encode grey pictures as they travel over WebRTC."""
    options = {"deadline": "realtime"} if codec == "libvpx" else {"preset": "ultrafast", "tune": "zerolatency"}
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.width = encoder.height = side
    encoder.pix_fmt, encoder.time_base, encoder.options, encoder.thread_count = "yuv420p", Fraction(1, 25), options, 1
    packets: list[bytes] = []
    for i in range(count):
        frame = av.VideoFrame(side, side, "yuv420p")
        frame.pts = i
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


@pytest.mark.parametrize(("codec", "ending"), [("webp", ".webp"), ("mjpeg", ".jpg")])
def test_images_of_changing_size_are_decoded(codec: str, ending: str) -> None:
    decoder = Decoder(codec)
    sizes = [(frame.width, frame.height) for w in (64, 32) for frame in decoder.decode(image(ending, w, 48))]
    assert sizes == [(64, 48), (32, 48)]


@pytest.mark.parametrize(("codec", "ending"), [("webp", ".webp"), ("mjpeg", ".jpg")])
def test_images_with_too_many_pixels_are_refused_undecoded(codec: str, ending: str) -> None:
    with pytest.raises(av.FFmpegError):
        Decoder(codec).decode(image(ending, 4400, 2300))


@pytest.mark.parametrize(("encoder", "decoder"), [("libvpx", "vp8"), ("libx264", "h264")])
def test_video_is_decoded_unless_it_is_too_large(encoder: str, decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    packets = encoded(encoder, 64)
    assert [len(Decoder(decoder).decode(packets[0])), len(packets)] == [1, 2]
    monkeypatch.setattr("studio.client.screen.MAX_PIXELS", 64 * 63)
    with pytest.raises(av.FFmpegError):
        Decoder(decoder).decode(packets[0])


@settings(max_examples=40)
@given(st.binary(max_size=200), st.sampled_from(["webp", "mjpeg", "vp8", "h264"]))
def test_noise_is_damage_and_nothing_worse(data: bytes, codec: str) -> None:
    screen = Screen()
    screen.show(codec, {"webp": b"RIFF\xff\0\0\0WEBPVP8 ", "mjpeg": b"\xff\xd8\xff"}.get(codec, b"") + data, 0, 0.0)
    screen.close()
    assert screen.decoded + screen.damaged == 1


def test_a_bomb_leaves_the_next_picture_alone() -> None:
    bomb = bytearray(image(".webp"))
    struct.pack_into("<HH", bomb, 26, 16_383, 16_383)
    screen = Screen()
    for i, data in enumerate((bytes(bomb), image(".webp"))):
        screen.show("webp", data, i, 0.0)
    screen.close()
    assert (screen.damaged, screen.decoded, screen.size) == (1, 1, (64, 48))
    assert screen.wants_keyframe


def test_pictures_are_saved_under_numbers_as_they_came(tmp_path: Path) -> None:
    screen = Screen(save=tmp_path)
    for i, ending in enumerate((".webp", ".jpg")):
        screen.show({".webp": "webp", ".jpg": "mjpeg"}[ending], image(ending), i * 1_000_000, 0.0)
    screen.show("vp8", encoded("libvpx", 64)[0], 7, 0.0)
    screen.close()
    screen.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "frame_000000.webp",
        "frame_000001.jpg",
        "frame_000002.jpg",
    ]
    assert (tmp_path / "frame_000000.webp").read_bytes() == image(".webp")


def test_a_folder_that_vanishes_is_said_once(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    screen = Screen(save=folder)
    screen.show("webp", image(".webp"), 0, 0.0)
    screen.show("webp", image(".webp"), 1, 0.0)
    screen.close()
    assert "no longer be saved" in screen.complaint
    assert (screen.saved, screen.decoded) == (0, 2)


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.client.screen.KEPT", 3)
    monkeypatch.setattr("studio.client.screen.SOUND_SECONDS", 1)
    screen = Screen()
    for i in range(6):
        screen.show("mjpeg", image(".jpg", 800, 600), i, 0.0)
        screen.hear(np.ones(SAMPLE_RATE // 2, np.int16), 0.0)
    screen.close()
    assert [shot.index for shot in screen.shots] == [0, 1, 2]
    assert screen.shots[0].picture.shape == (360, 320)
    assert len(screen.sound) == SAMPLE_RATE


def test_a_full_queue_leaves_pictures_out_and_never_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.client.screen.QUEUED", 0)
    screen = Screen()
    screen.show("webp", image(".webp"), 0, 0.0)
    screen.hear(np.ones(640, np.int16), 0.0)
    screen.close()
    assert (screen.left_out, screen.decoded, len(screen.sound)) == (1, 0, 640)
    assert screen.wants_keyframe


def test_a_strip_is_evenly_apart() -> None:
    shots = [Shot(i, np.zeros((3, 2), np.uint8)) for i in range(11)]
    assert [shot.index for shot in strip(shots, 6)] == [0, 2, 4, 6, 8, 10]
    assert strip(shots[:2], 6) == shots[:2]


@pytest.mark.parametrize(("ending", "codecs"), [(".webm", {"vp8", "opus"}), (".mp4", {"h264", "aac"})])
def test_films_hold_pictures_and_the_files_sound(tmp_path: Path, ending: str, codecs: set[str]) -> None:
    path = tmp_path / f"film{ending}"
    screen = Screen(film=Film(path, wav(tmp_path / "talk.wav", speech(1.0))))
    for i in range(25):
        screen.show("mjpeg", image(".jpg", 64 if i else 66, 48), i, i / 25)
    screen.close()
    assert not screen.complaint
    with av.open(str(path)) as film:
        assert {stream.codec_context.name for stream in film.streams} >= codecs - {"opus"}
        pictures = [float(frame.time or 0) for frame in film.decode(video=0)]
    assert pictures == pytest.approx([i / 25 for i in range(25)], abs=0.002)
    with av.open(str(path)) as film:
        samples = sum(frame.samples for frame in film.decode(audio=0))
    assert samples == pytest.approx(48_000, rel=0.05)
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([path.name, "talk.wav"])


def test_films_take_received_sound_and_mad_times(tmp_path: Path) -> None:
    path = tmp_path / "film.webm"
    screen = Screen(film=Film(path))
    for i, seconds in enumerate((0.0, -5.0, 1e300, 0.2)):
        screen.show("mjpeg", image(".jpg"), i, seconds)
        screen.hear(np.zeros(640, np.int16), 0.5)
    screen.close()
    with av.open(str(path)) as film:
        times = [float(frame.time or 0) for frame in film.decode(video=0)]
    assert len(times) == 4
    assert times == sorted(times)


def test_no_picture_makes_no_film(tmp_path: Path) -> None:
    Screen(film=Film(tmp_path / "film.mp4")).close()
    assert not list(tmp_path.iterdir())


def test_a_film_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    screen = Screen(film=Film(tmp_path / "none" / "film.mp4"))
    screen.show("webp", image(".webp"), 0, 0.0)
    screen.close()
    assert screen.complaint
    assert screen.decoded == 1
