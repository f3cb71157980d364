"""What strangers send and name: names, contents, bombs, links, quotas."""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.errors import BadAudio, BadMessage, BadPortrait, RateLimited, StudioError, StudioFull, TooLarge
from studio.spec import LimitsSpec
from studio.uploads import SHARE, FileNotFound, Store, check_size
from tests.fakes import speech
from tests.unit.test_footage import write_video
from tests.unit.test_recording import wav

SIDE = 128


def png(path: Path, side: int = SIDE) -> Path:
    noise = np.random.default_rng(1).integers(0, 255, (side, side, 3), np.uint8)
    assert cv2.imwrite(str(path), noise)
    return path


class Shop:
    """A store with a root beside it, and a clock that stands until it is set."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 1_000_000.0
        self.root = folder / "root"
        self.root.mkdir()
        limits = LimitsSpec(sound_seconds=2, sound_bytes=100_000, upload_bytes=1_000_000, upload_seconds=60)
        self.limits = limits
        self.store = Store(folder / "uploads", (self.root,), limits, clock=lambda: self.now)

    def sound(self, data: bytes, name: str = "a.wav") -> str:
        return self.store.keep_sound(self.written(data), name)

    def portrait(self, data: bytes, name: str = "a.png") -> str:
        return self.store.keep_portrait(self.written(data), name)

    def written(self, data: bytes) -> Path:
        draft = self.store.draft()
        draft.write_bytes(data)
        return draft

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "uploads").iterdir())


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.fixture
def recording(tmp_path: Path) -> bytes:
    return wav(tmp_path / "original.wav", speech(1.01)).read_bytes()


def test_recording_comes_back_under_a_name_of_ours(shop: Shop, recording: bytes) -> None:
    path = shop.sound(recording, "../../My Secret.WAV")
    assert path.startswith("uploads/") and path.endswith(".wav") and "Secret" not in path
    sound = shop.store.sound(path)
    assert (sound.container, sound.beats) == ("wav", 26) and sound.seconds == pytest.approx(1.01)
    assert sound.path.read_bytes() == recording
    assert shop.sound(recording) != path


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.jpeg", "a.webp", "A.PNG"])
def test_picture_comes_back_too(shop: Shop, tmp_path: Path, name: str) -> None:
    picture = tmp_path / name.lower()
    png(picture)
    path = shop.portrait(picture.read_bytes(), name)
    assert shop.store.portrait(path).read_bytes() == picture.read_bytes()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("a.txt", "ending in .wav"), ("a", "ending in"), ("", "ending in"), ("a.wav.exe", "ending"), ("a.png", "ending")],
)
def test_other_endings_are_refused_with_those_allowed(shop: Shop, recording: bytes, name: str, sentence: str) -> None:
    with pytest.raises(BadMessage, match=sentence):
        shop.sound(recording, name)
    assert not shop.files


@pytest.mark.parametrize("data", [b"", b"RIFF", b"\0" * 5000, b"MZ" * 100, b"#EXTM3U\nhttp://127.0.0.1/\n"])
def test_what_is_no_sound_is_refused_and_leaves_nothing(shop: Shop, data: bytes) -> None:
    with pytest.raises(BadAudio):
        shop.sound(data)
    with pytest.raises(BadPortrait):
        shop.portrait(data)
    assert not shop.files


def test_sound_that_lasts_too_long_is_refused(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(TooLarge, match="2 seconds"):
        shop.sound(wav(tmp_path / "long.wav", speech(2.1)).read_bytes())
    assert not shop.files


def test_name_and_content_must_agree(shop: Shop, recording: bytes, tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match=r"called \.mp3"):
        shop.sound(recording, "a.mp3")
    with pytest.raises(BadPortrait, match=r"called \.jpg"):
        shop.portrait(png(tmp_path / "b.png").read_bytes(), "b.jpg")
    assert not shop.files


def test_pixel_bomb_is_refused_undecoded(shop: Shop) -> None:
    """Ten kilobytes that would unfold into 30 GB."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(10_000_000), 9)
    chunks = b"".join(
        struct.pack(">I", len(part)) + kind + part + struct.pack(">I", zlib.crc32(kind + part))
        for kind, part in ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    )
    with pytest.raises(BadPortrait, match="megapixels"):
        shop.portrait(b"\x89PNG\r\n\x1a\n" + chunks)
    assert not shop.files


def test_half_a_picture_is_refused(shop: Shop, tmp_path: Path) -> None:
    data = png(tmp_path / "b.png").read_bytes()
    with pytest.raises(BadPortrait, match="cut off"):
        shop.portrait(data[: len(data) // 2])


def test_archive_behind_a_picture_stays_a_picture(shop: Shop, tmp_path: Path) -> None:
    """A polyglot is kept under a name of ours and read as what its first bytes say, never as the other thing."""
    path = png(tmp_path / "b.png")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("page.html", "<script>alert(1)</script>")
    kept = shop.portrait(path.read_bytes())
    assert kept.endswith(".png")
    with pytest.raises(BadMessage):
        shop.store.sound(kept)


@pytest.mark.parametrize(
    "path",
    [
        "", "uploads/.wav", "uploads/../secret.wav", "../secret.wav", "secret.wav", "/etc/passwd.wav",
        "uploads/a/b.wav",
        "uploads/" + "A" * 24 + ".wav", "root/../../secret.wav", "a\0.wav", "a" * 5000 + ".wav", "x" * 300 + ".wav",
        "~/secret.wav", "file:///secret.wav", "http://127.0.0.1/secret.wav", "uploads/..%2fsecret.wav",
        "link.wav", "folder.wav", "loop.wav", "deep/link.wav",
    ],
)  # fmt: skip
def test_what_nobody_was_given_does_not_exist(shop: Shop, path: str) -> None:
    secret = wav(shop.folder / "secret.wav", speech(0.1))
    (shop.root / "link.wav").symlink_to(secret)
    (shop.root / "folder.wav").mkdir()
    (shop.root / "loop.wav").symlink_to(shop.root / "loop.wav")
    (shop.root / "deep").symlink_to(shop.folder)
    with pytest.raises(FileNotFound) as caught:
        shop.store.sound(path)
    assert str(caught.value) == FileNotFound.default, "one answer, whether it exists or not"


def test_absolute_path_of_the_secret_is_not_found_either(shop: Shop) -> None:
    secret = wav(shop.folder / "secret.wav", speech(0.1))
    with pytest.raises(FileNotFound):
        shop.store.sound(str(secret))


def test_links_into_the_store_lead_nowhere(shop: Shop, recording: bytes) -> None:
    shop.sound(recording)
    secret = wav(shop.folder / "secret.wav", speech(0.1))
    link = "A" * 24 + ".wav"
    (shop.folder / "uploads" / link).symlink_to(secret)
    with pytest.raises(FileNotFound):
        shop.store.sound("uploads/" + link)


@pytest.mark.parametrize("path", ["talk.wav", "root/talk.wav", "./talk.wav", "deep/../talk.wav"])
def test_files_of_the_roots_are_found(shop: Shop, path: str) -> None:
    (shop.root / "deep").mkdir()
    wav(shop.root / "talk.wav", speech(0.4))
    assert shop.store.sound(path).beats == 10
    assert shop.store.sound(str(shop.root / "talk.wav")).beats == 10


def test_file_of_a_root_that_changes_is_measured_anew(shop: Shop) -> None:
    wav(shop.root / "talk.wav", speech(0.4))
    assert shop.store.sound("talk.wav").beats == 10
    wav(shop.root / "talk.wav", speech(0.8))
    assert shop.store.sound("talk.wav").beats == 20


def test_drafts_cannot_be_named(shop: Shop, recording: bytes) -> None:
    draft = shop.written(recording)
    with pytest.raises(StudioError):
        shop.store.sound("uploads/" + draft.name)
    assert oct(draft.stat().st_mode & 0o777) == "0o600"


def test_files_are_forgotten_when_nobody_uses_them(shop: Shop, recording: bytes) -> None:
    used, unused = shop.sound(recording), shop.sound(recording)
    shop.now += 50
    shop.store.sound(used)
    shop.now += 50
    shop.store.sound(used)
    with pytest.raises(FileNotFound):
        shop.store.sound(unused)
    assert shop.files == [used.removeprefix("uploads/")]
    shop.now += 1000
    with pytest.raises(FileNotFound):
        shop.store.sound(used)


def test_full_store_refuses_until_files_grow_old(shop: Shop, recording: bytes) -> None:
    with pytest.raises(StudioFull, match="store"):
        for _ in range(100):
            shop.sound(recording)
    assert sum(path.stat().st_size for path in (shop.folder / "uploads").iterdir()) <= shop.limits.upload_bytes
    shop.now += 1000
    assert shop.sound(recording)


def test_one_visitor_fills_a_share_and_no_more(shop: Shop, recording: bytes) -> None:
    share = shop.limits.upload_bytes // SHARE
    with pytest.raises(RateLimited, match="as much as one visitor may"):
        for _ in range(1000):
            draft = shop.store.draft("10.0.0.1")
            draft.write_bytes(recording)
            shop.store.keep_sound(draft, "a.wav")
    assert share <= sum(path.stat().st_size for path in (shop.folder / "uploads").iterdir()) < share + len(recording)
    shop.store.draft("10.0.0.2").unlink()
    shop.store.draft().unlink()
    shop.now += 100
    shop.store.draft("10.0.0.1").unlink()


def test_drafts_count_for_whom_they_are_written(shop: Shop) -> None:
    shop.store.draft("10.0.0.1").write_bytes(b" " * (shop.limits.upload_bytes // SHARE))
    with pytest.raises(RateLimited):
        shop.store.draft("10.0.0.1")


def test_film_is_kept_and_found(shop: Shop, tmp_path: Path) -> None:
    path = shop.store.keep_film(shop.written(write_video(tmp_path / "a.mp4").read_bytes()), "a.MP4")
    assert shop.store.film(path).is_file() and path.endswith(".mp4")
    with pytest.raises(BadMessage):
        shop.store.portrait(path)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.avi"])
def test_film_that_is_none_leaves_nothing(shop: Shop, name: str) -> None:
    for data in (b"", b"x" * 100, b"#EXTM3U\nfile:///etc/passwd\n", b"\x00\x00\x00\x20ftypisom" + b"\x00" * 100):
        with pytest.raises(BadPortrait):
            shop.store.keep_film(shop.written(data), name)
    with pytest.raises(BadMessage):
        shop.store.keep_film(shop.written(b"x"), "a.m3u8")
    assert not shop.files


def test_drafts_of_a_crashed_process_are_removed_in_time(shop: Shop, recording: bytes) -> None:
    draft = shop.written(recording)
    os.utime(draft, (shop.now, shop.now))
    shop.now += 100
    shop.store.draft().unlink()
    assert not shop.files


def test_bytes_are_counted() -> None:
    check_size(5, 5)
    with pytest.raises(TooLarge, match="2 MB"):
        check_size(2_000_001, 2_000_000)
    with pytest.raises(TooLarge, match=r"0\.2 MB"):
        check_size(200_001, 200_000)
