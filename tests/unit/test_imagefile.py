import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.engines.portrait.imagefile import LONGEST, Header, decode, probe, read_bytes, read_portrait, upright
from studio.errors import BadPortrait

Picture = NDArray[np.uint8]
PIXELS = 1_000_000


def _picture(height: int = 120, width: int = 160) -> Picture:
    """Four colours, one to a quarter, so that every turn and mirror can be told."""
    rgb = np.zeros((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2] = (200, 40, 40)
    rgb[: height // 2, width // 2 :] = (40, 200, 40)
    rgb[height // 2 :, : width // 2] = (40, 40, 200)
    rgb[height // 2 :, width // 2 :] = (220, 220, 60)
    return rgb


def _encode(suffix: str, pixels: NDArray[np.uint8] | NDArray[np.uint16] | None = None) -> bytes:
    bgr = _picture()[:, :, ::-1] if pixels is None else pixels
    return bytes(cv2.imencode(suffix, bgr)[1])


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _exif(orientation: int, order: str) -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    return start + struct.pack(order + "IHHHIHHI", 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _turned(suffix: str, orientation: int, order: str = "<") -> bytes:
    data, exif = _encode(suffix), _exif(orientation, order)
    if suffix == ".jpg":
        body = b"Exif\0\0" + exif
        return data[:2] + b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body + data[2:]
    if suffix == ".png":
        return data[:33] + _chunk(b"eXIf", exif) + data[33:]
    size = struct.pack("<I", 159)[:3] + struct.pack("<I", 119)[:3]
    chunks = b"WEBP" + b"VP8X" + struct.pack("<II", 10, 0x08) + size + data[12:]
    chunks += b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


def _bomb_png(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0")) + _chunk(b"IEND", b"")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif"])
def test_decode_of_each_format_gives_the_picture(suffix: str) -> None:
    try:
        data = _encode(suffix)
    except cv2.error:
        pytest.skip(f"this OpenCV cannot write {suffix}")
    assert probe(data, "me") == Header(160, 120)
    rgb = decode(data, "me", PIXELS)
    assert rgb.dtype == np.uint8
    assert np.abs(rgb.astype(int) - _picture()).mean() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("suffix", "order"), [(".jpg", "<"), (".jpg", ">"), (".png", ">"), (".webp", "<")])
def test_decode_stands_a_turned_photo_upright(suffix: str, order: str, orientation: int) -> None:
    rgb = decode(_turned(suffix, orientation, order), "me", PIXELS)
    corners = [rgb[y, x].astype(int) for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]
    colours = [_picture()[y, x].astype(int) for y, x in ((5, 5), (5, -6), (-6, 5), (-6, -6))]
    order_seen = [int(np.argmin([np.abs(c - k).sum() for k in colours])) for c in corners]
    # Where the stored corners (0 1 / 2 3) come to lie, from the table of Exif 2.32, section 4.6.4 A.
    expected = [
        [0, 1, 2, 3],
        [1, 0, 3, 2],
        [3, 2, 1, 0],
        [2, 3, 0, 1],
        [0, 2, 1, 3],
        [2, 0, 3, 1],
        [3, 1, 2, 0],
        [1, 3, 0, 2],
    ]
    assert order_seen == expected[orientation - 1]
    assert rgb.shape == ((120, 160, 3) if orientation < 5 else (160, 120, 3))


def test_upright_leaves_an_unknown_orientation_alone() -> None:
    assert (upright(_picture(), 1) == _picture()).all()
    assert decode(_turned(".jpg", 77), "me", PIXELS).shape == (120, 160, 3)


def test_transparent_pixels_lie_on_neutral_grey() -> None:
    bgra = np.zeros((100, 100, 4), np.uint8)
    bgra[:50] = (10, 20, 250, 255)
    rgb = decode(_encode(".png", bgra), "me", PIXELS)
    assert rgb[0, 0].tolist() == [250, 20, 10]
    assert rgb[99, 0].tolist() == [190, 190, 190]


def test_sixteen_bits_and_grey_become_eight_bit_rgb() -> None:
    deep = np.full((100, 100, 3), 40_000, np.uint16)
    assert decode(_encode(".png", deep), "me", PIXELS)[0, 0].tolist() == [155, 155, 155]
    grey = np.full((100, 100), 90, np.uint8)
    assert decode(_encode(".png", grey), "me", PIXELS)[0, 0].tolist() == [90, 90, 90]
    assert abs(int(decode(_encode(".jpg", grey), "me", PIXELS)[50, 50, 1]) - 90) < 3


def test_large_picture_is_reduced() -> None:
    wide = np.zeros((100, LONGEST + 1000), np.uint8)
    assert decode(_encode(".png", wide), "me", PIXELS).shape == (80, LONGEST, 3)


def test_bomb_is_refused_before_decoding() -> None:
    with pytest.raises(BadPortrait, match=r"^me\.png has 60000 × 60000 pixels; the limit is 50 megapixels"):
        decode(_bomb_png(60_000, 60_000), "me.png", 50_000_000)


def test_tiny_picture_is_refused() -> None:
    with pytest.raises(BadPortrait, match="has only 40 × 30 pixels"):
        decode(_encode(".png", np.zeros((30, 40, 3), np.uint8)), "me.png", PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_file_cut_off_is_refused(suffix: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3)).astype(np.uint8)
    data = _encode(suffix, noise)
    with pytest.raises(BadPortrait, match="is cut off"):
        decode(data[: int(share * len(data))], "me", PIXELS)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("length", [0, 1, 3, 9, 12, 15, 20, 25, 29])
def test_stump_of_a_file_is_refused(suffix: str, length: int) -> None:
    with pytest.raises(BadPortrait):
        decode(_encode(suffix)[:length], "me", PIXELS)


def test_header_without_size_is_refused() -> None:
    with pytest.raises(BadPortrait, match="damaged"):
        decode(_bomb_png(0, 100), "me", PIXELS)
    with pytest.raises(BadPortrait, match="damaged"):
        decode(_bomb_png(200, 200), "me", PIXELS)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "is a HEIC file"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "is a AVIF file"),
        (b"\0\0\0\x20ftypisom\0\0\0\0", "is a video file"),
        (b"II*\0\x08\0\0\0", "is a TIFF or raw file"),
        (b"%PDF-1.7", "is a PDF file"),
        (b"\xef\xbb\xbf\n<svg xmlns=", "is a SVG file"),
        (b"RIFF\x24\0\0\0WAVEfmt ", "is not a picture"),
        (b"Dear diary", "is not a picture"),
        (b"\0" * 64, "is not a picture"),
    ],
)
def test_other_files_are_called_by_name(data: bytes, words: str) -> None:
    with pytest.raises(BadPortrait, match=words):
        probe(data, "me")


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"RIFF"])
)
def test_probe_of_anything_answers_or_refuses(data: bytes, start: bytes) -> None:
    try:
        header = probe(start + data, "me")
    except BadPortrait:
        return
    assert header.width > 0 and header.height > 0


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([".png", ".jpg", ".webp", ".bmp"]),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6),
)
def test_decode_of_a_damaged_file_answers_or_refuses(suffix: str, damage: list[tuple[float, int]]) -> None:
    data = bytearray(_encode(suffix))
    for where, value in damage:
        data[int(where * (len(data) - 1))] = value
    try:
        rgb = decode(bytes(data), "me", PIXELS)
    except BadPortrait:
        return
    assert rgb.ndim == 3 and rgb.shape[2] == 3 and rgb.dtype == np.uint8


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _long(path: Path) -> None:
    path.write_bytes(b"x" * 2000)


def _absent(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_folder, "is a folder"),
        (_pipe, "is not a picture file"),
        (_nothing, "is empty"),
        (_long, "is larger than"),
        (_absent, "There is no picture called me"),
    ],
)
def test_read_bytes_says_what_is_wrong(tmp_path: Path, make: Callable[[Path], None], words: str) -> None:
    path = tmp_path / "me.jpg"
    make(path)
    with pytest.raises(BadPortrait, match=words) as caught:
        read_bytes(path, 1000)
    assert str(tmp_path) not in caught.value.message


def test_read_bytes_without_permission_or_with_a_broken_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "me.jpg"
    path.write_bytes(b"x")
    for error, words in ((PermissionError, "no permission"), (OSError, "cannot be read from the disk")):

        def fail(*_: object, error: type[OSError] = error) -> None:
            raise error

        monkeypatch.setattr(Path, "open", fail)
        with pytest.raises(BadPortrait, match=words):
            read_bytes(path, 1000)


def test_read_portrait_reads_a_file(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(_encode(".png"))
    assert (read_portrait(path, PIXELS, 1_000_000) == _picture()).all()
