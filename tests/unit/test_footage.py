"""Videos from strangers: told by their first bytes, upright, bounded, refused in sentences."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.errors import BadPortrait
from studio.footage import container_of, is_footage, read_footage

PIXELS = 1_000_000


def write_video(path: Path, count: int = 5, size: tuple[int, int] = (160, 128), codec: str = "mpeg4") -> Path:
    """Write ``count`` pictures of rising brightness, left half darker."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"qscale": "1"}
        for rgb in pictures(count, size):
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return path


def pictures(count: int, size: tuple[int, int]) -> Sequence[NDArray[np.uint8]]:
    made = []
    for i in range(count):
        rgb = np.full((size[1], size[0], 3), 60 + 20 * (i % 8), np.uint8)
        rgb[:, : size[0] // 2] //= 2
        made.append(rgb)
    return made


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi", ".mov"])
def test_every_picture_is_read_in_order(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"film{suffix}")
    assert is_footage(path)
    found = list(read_footage(path, PIXELS))
    assert len(found) == 5
    for picture, expected in zip(found, pictures(5, (160, 128)), strict=True):
        assert picture.dtype == np.uint8
        assert np.abs(picture.astype(int) - expected).mean() < 4


def test_footage_equals_what_upstream_decoded(shared: Path) -> None:
    inputs = shared / "golden/ditto/inputs"
    expected = np.load(inputs / "template_frames.npz")["frames"]
    assert np.array_equal(np.stack(list(read_footage(inputs / "template.mp4", PIXELS))), expected)


@pytest.mark.parametrize(("turns", "matrix"), [(1, (0, 1, -1, 0)), (2, (-1, 0, 0, -1)), (3, (0, -1, 1, 0))])
def test_film_held_on_its_side_is_turned_upright(tmp_path: Path, turns: int, matrix: tuple[int, int, int, int]) -> None:
    """The track header's matrix (ISO/IEC 14496-12 8.3.2) turns the picture clockwise."""
    data = bytearray(write_video(tmp_path / "film.mp4").read_bytes())
    a, b, c, d = (n << 16 & 0xFFFFFFFF for n in matrix)
    at = data.index(b"tkhd") + 4 + 40
    for offset, number in ((0, a), (4, b), (12, c), (16, d)):
        data[at + offset : at + offset + 4] = number.to_bytes(4, "big")
    (tmp_path / "turned.mp4").write_bytes(data)
    found = next(read_footage(tmp_path / "turned.mp4", PIXELS))
    expected = np.rot90(pictures(1, (160, 128))[0], -turns)
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).mean() < 4


def test_reading_stops_when_nobody_asks_for_more(tmp_path: Path) -> None:
    reader = read_footage(write_video(tmp_path / "film.mp4", 50), PIXELS)
    next(reader)
    reader.close()
    assert list(reader) == []


def test_bomb_is_refused_before_decoding(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", size=(640, 480))
    with pytest.raises(BadPortrait, match="limit is 0 megapixels"):
        next(read_footage(path, 100_000))


def test_tiny_film_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadPortrait, match="only 64"):
        next(read_footage(write_video(tmp_path / "film.mp4", size=(64, 64)), PIXELS))


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "song.mp4"), "w") as file:
        stream = file.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    with pytest.raises(BadPortrait, match="no pictures"):
        next(read_footage(tmp_path / "song.mp4", PIXELS))


@pytest.mark.parametrize(
    "data",
    [b"", b"#EXTM3U\nfile:///etc/passwd", b"ffconcat version 1.0\nfile /etc/passwd", b"\x89PNG\r\n\x1a\n" + bytes(9)],
)
def test_other_files_are_no_videos(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    assert not is_footage(path)
    with pytest.raises(BadPortrait, match="not a video"):
        next(read_footage(path, PIXELS))


def test_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(BadPortrait, match=r"no file called gone\.mp4"):
        is_footage(tmp_path / "gone.mp4")


@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.binary(min_size=1, max_size=40))
def test_damaged_video_answers_or_refuses(tmp_path_factory: pytest.TempPathFactory, share: float, dirt: bytes) -> None:
    folder = tmp_path_factory.mktemp("damage")
    data = bytearray(write_video(folder / "film.mp4", 3).read_bytes())
    at = 12 + int(share * (len(data) - 12 - len(dirt)))
    data[at : at + len(dirt)] = dirt
    (folder / "film.mp4").write_bytes(data)
    try:
        found = list(read_footage(folder / "film.mp4", PIXELS))
    except BadPortrait as error:
        assert error.message.startswith("film.mp4")
    else:
        assert all(picture.size <= 3 * PIXELS for picture in found)


def test_still_formats_are_no_footage() -> None:
    assert container_of(b"\0\0\0\x1cftypheic") == ""
    assert container_of(b"\0\0\0\x1cftypisom") == "mp4"


def test_a_rate_is_kept_whatever_the_files_own_is(tmp_path: Path) -> None:
    path = tmp_path / "uneven.mkv"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=1000)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for at, level in ((0, 40), (20, 90), (40, 140), (200, 240)):  # milliseconds
            frame = av.VideoFrame.from_ndarray(np.full((128, 160, 3), level, np.uint8), format="rgb24")
            frame.pts = at
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    levels = [int(picture.mean()) for picture in read_footage(path, PIXELS, fps=25)]
    assert np.abs(np.array(levels) - [40, 140, 140, 140, 140, 240]).max() < 6


@pytest.mark.parametrize(
    ("rate", "count", "expected"), [(30, 24, 20), (50, 50, 25), (25, 7, 7), (10, 4, 10), (25, 1, 1)]
)
def test_every_rate_keeps_its_length(tmp_path: Path, rate: int, count: int, expected: int) -> None:
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=rate)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        for rgb in pictures(count, (160, 128)):
            for packet in stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    assert abs(len(list(read_footage(path, PIXELS, fps=25))) - expected) <= (rate < 25)


def test_a_film_of_that_rate_is_read_as_it_is(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", 9)
    paced, every = (list(read_footage(path, PIXELS, fps=fps)) for fps in (25, None))
    assert np.array_equal(np.stack(paced), np.stack(every))
