from __future__ import annotations

import io
import struct
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Pcm
from studio.beat import SAMPLE_RATE
from studio.errors import BadAudio, TooLarge
from studio.recording import CONTAINERS, container_of, file_seconds, measure, read_file, trusted_container
from tests.conftest import need
from tests.fakes import speech


def wav(path: Path, pcm: Pcm, rate: int = SAMPLE_RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return path


def converted(source: Path, name: str, *options: str) -> Path:
    need("ffmpeg", "ffmpeg")
    target = source.with_name(name)
    command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, capture_output=True)
    return target


def test_file_is_read_to_the_last_sample(tmp_path: Path) -> None:
    pcm = speech(1.234)
    path = wav(tmp_path / "a.wav", pcm)
    assert np.array_equal(np.concatenate(list(read_file(path))), pcm)
    assert np.array_equal(np.concatenate(list(read_file(path, container="wav"))), pcm)
    assert file_seconds(path) == pytest.approx(1.234, abs=0.001)
    assert measure(path, "wav") == len(pcm)


def test_file_of_another_rate_keeps_its_length(tmp_path: Path) -> None:
    path = wav(tmp_path / "a.wav", speech(1.0), rate=8_000)
    assert len(np.concatenate(list(read_file(path)))) == pytest.approx(2 * SAMPLE_RATE, abs=16)


def test_file_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="1 seconds"):
        list(read_file(wav(tmp_path / "a.wav", speech(1.5)), max_seconds=1))


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x00" * 5000, b"text " * 100])
@pytest.mark.parametrize("container", ["", *CONTAINERS.values(), "matroska"])
def test_file_that_is_no_sound_is_refused(tmp_path: Path, content: bytes, container: str) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(BadAudio):
        list(read_file(path, container=container))
    with pytest.raises(BadAudio):
        file_seconds(path)


def test_file_that_is_missing_is_refused_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(BadAudio) as caught:
        list(read_file(tmp_path / "nowhere.wav"))
    assert str(tmp_path) not in str(caught.value)
    with pytest.raises(BadAudio):
        trusted_container(tmp_path / "nowhere.wav")


@pytest.mark.parametrize("suffix", CONTAINERS)
def test_every_kind_is_told_by_its_first_bytes(tmp_path: Path, suffix: str) -> None:
    path = converted(wav(tmp_path / "original.wav", speech(1.0)), f"a{suffix}")
    assert trusted_container(path) == CONTAINERS[suffix]
    assert measure(path, CONTAINERS[suffix]) == pytest.approx(SAMPLE_RATE, abs=2048)


def test_frames_of_bare_mp3_are_told_too() -> None:
    assert container_of(b"\xff\xfb\x90\x64" + bytes(8)) == "mp3"
    with pytest.raises(BadAudio):
        container_of(b"\xff\xf1\x50\x80" + bytes(8))  # AAC in ADTS


def test_name_and_content_must_agree(tmp_path: Path) -> None:
    sound = wav(tmp_path / "a.wav", speech(0.2))
    sound.rename(tmp_path / "a.mp3")
    with pytest.raises(BadAudio, match=r"called \.mp3"):
        trusted_container(tmp_path / "a.mp3")


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n",
        b"ffconcat version 1.0\nfile 'secret.wav'\n",
        b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=audio 9 RTP/AVP 0\r\n",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
    ],
)
def test_playlists_and_pictures_are_no_sound(tmp_path: Path, content: bytes) -> None:
    """FFmpeg would open them whatever their name is, and follow what they say."""
    (tmp_path / "a.wav").write_bytes(content)
    wav(tmp_path / "secret.wav", speech(0.2))
    with pytest.raises(BadAudio):
        trusted_container(tmp_path / "a.wav")
    for container in CONTAINERS.values():
        with pytest.raises(BadAudio):
            list(read_file(tmp_path / "a.wav", container=container))


def test_pictures_inside_are_never_decoded(tmp_path: Path) -> None:
    """A cover may be a bomb; its sound is read all the same."""
    sound = wav(tmp_path / "original.wav", speech(0.5))
    bomb = ("-f", "lavfi", "-i", "color=size=2000x2000:duration=0.04", "-map", "0", "-map", "1", "-frames:v", "1")
    path = converted(sound, "a.m4a", *bomb, "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    assert measure(path, "mp4") == pytest.approx(SAMPLE_RATE / 2, abs=2048)


def test_film_without_sound_is_refused(tmp_path: Path) -> None:
    need("ffmpeg", "ffmpeg")
    path = tmp_path / "a.m4a"
    film = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=size=64x64:duration=0.2", "-f", "mp4", str(path)]
    subprocess.run(film, check=True, capture_output=True)
    with pytest.raises(BadAudio, match="no sound"):
        measure(path, trusted_container(path))


def test_codecs_that_nobody_uploads_stay_asleep(tmp_path: Path) -> None:
    sound = wav(tmp_path / "original.wav", speech(0.5))
    path = converted(sound, "a.wav", "-c:a", "adpcm_g726", "-ar", "8000")
    with pytest.raises(BadAudio):
        measure(path, trusted_container(path))


def test_sound_is_read_as_it_arrives(tmp_path: Path) -> None:
    path = converted(wav(tmp_path / "original.wav", speech(1.0)), "a.webm", "-c:a", "libopus")

    class Wire:
        def __init__(self, data: bytes) -> None:
            self.data = io.BytesIO(data)

        def read(self, count: int) -> bytes:
            return self.data.read(min(count, 500))

    wire = Wire(path.read_bytes())
    assert container_of(path.read_bytes()[:12]) == "matroska"
    pcm = np.concatenate(list(read_file(wire, container="matroska")))
    assert len(pcm) == pytest.approx(SAMPLE_RATE, abs=500)


@pytest.mark.parametrize("box", [b"stsz", b"stz2", b"trun", b"cmov"])
def test_tables_that_unfold_into_gigabytes_are_refused_unread(tmp_path: Path, box: bytes) -> None:
    path = converted(wav(tmp_path / "original.wav", speech(0.5)), "a.m4a")
    data = bytearray(path.read_bytes())
    at = data.find(b"stsz")
    if box == b"stsz":
        struct.pack_into(">II", data, at + 8, 1, 80_000_000)
    else:  # beside the real one, where FFmpeg would look as well
        moof = box + bytes(4) + struct.pack(">II", 90_000_000, 90_000_000)
        data += struct.pack(">I4s", 8 + 4 + len(moof), b"moof") + struct.pack(">I", 4 + len(moof)) + moof
    path.write_bytes(data)
    with pytest.raises(BadAudio) as caught:
        measure(path, "mp4")
    assert "promised" in caught.value.detail or box == b"cmov"


@pytest.mark.parametrize("tail", [b"\0\0\0\1free", b"\0\0\0\4free", b"\0\0\0\x10stsz" + bytes(8)])
def test_boxes_without_a_body_are_refused(tmp_path: Path, tail: bytes) -> None:
    path = converted(wav(tmp_path / "original.wav", speech(0.5)), "a.m4a")
    path.write_bytes(path.read_bytes() + tail)
    with pytest.raises(BadAudio):
        measure(path, "mp4")
