"""Films as people have them, from the file to the avatar: each becomes one, or a sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio import picture
from studio.engine import Finding, Prepared
from studio.engines.musetalk import preparation
from studio.engines.musetalk.engine import MuseTalkAvatar, MuseTalkEngine
from studio.engines.musetalk.types import Box, Bytes
from studio.errors import BadNetwork, BadPortrait
from studio.spec import AvatarSpec, LimitsSpec
from tests.unit import graphs

SIZE = (160, 128)
SHOWN = 4
"""Pictures of most films."""


def nothing(done: float, phrase: str) -> None:
    pass


class Seer:
    """Finds the bright square that `shots` draws; nothing else is a face."""

    is_upstream = True

    def bare_box(self, bgr: Bytes) -> Box | None:
        rows, columns = np.nonzero(bgr[..., 1] > 180)
        if len(rows) < 40:
            return None
        return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.fixture(scope="module")
def engine() -> Iterator[MuseTalkEngine]:
    made = MuseTalkEngine(LimitsSpec(avatar_memory_mb=64))
    yield made
    made.close()


@pytest.fixture
def standins(shared: Path) -> Path:
    return shared / "golden" / "musetalk" / "standins"


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes avatars of films."""

    engine: MuseTalkEngine
    weights: Path
    shelf: Path

    def __call__(self, source: Path) -> tuple[MuseTalkAvatar, list[Finding]]:
        folder = self.shelf / f"avatar-{source.name}"
        folder.mkdir(parents=True)
        options = {"checkpoint": str(self.weights), "allow_small_networks": True, "extra_margin": 4}
        spec = AvatarSpec("film", source, engine="musetalk", options=options)
        said = list(self.engine.prepare(spec, folder, nothing))
        return self.engine.load(Prepared(spec, folder)), said


@pytest.fixture
def make(engine: MuseTalkEngine, standins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Maker:
    monkeypatch.setattr(preparation, "finder_of", lambda networks: Seer())
    return Maker(engine, standins, tmp_path / "shelf")


def shots(
    count: int = SHOWN, size: tuple[int, int] = SIZE, at: Callable[[int], tuple[int, int] | None] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """Yield (H, W, 3) RGB: grey, with a bright square of 40 pixels where ``at`` says."""
    for i in range(count):
        rgb = np.full((size[1], size[0], 3), 60 + 2 * i, np.uint8)
        place = at(i) if at else (50 + i, 40)
        if place is not None:
            x, y = place
            rgb[max(y, 0) : y + 40, max(x, 0) : x + 40] = 230
        yield rgb


def film(
    path: Path, rgbs: Iterator[NDArray[np.uint8]], codec: str = "mpeg4", kind: str = "yuv420p",
    moments: Callable[[int], int] | None = None,
) -> Path:  # fmt: skip
    """Write a film, whose pictures are shown at ``moments`` (milliseconds), 25 a second if none are given."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=1000 if moments else 25)
        assert isinstance(stream, av.VideoStream)
        for i, rgb in enumerate(rgbs):
            if i == 0:
                stream.height, stream.width, stream.pix_fmt = *rgb.shape[:2], kind
                stream.options = {"qscale": "1"} if codec == "mpeg4" else {}
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            if moments:
                frame.pts = moments(i)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def test_a_film_of_ten_bits_is_read(make: Maker, tmp_path: Path) -> None:
    for codec in ("libx264", "ffv1"):
        avatar, _ = make(film(tmp_path / f"{codec}.mkv", shots(), codec, "yuv420p10le"))
        assert avatar.stored.count == SHOWN
        rgb = picture.to_rgb(avatar.idle(0))
        assert abs(int(rgb[5, 5, 0]) - 60) < 4 and abs(int(rgb[60, 70, 0]) - 230) < 6


@pytest.mark.parametrize("size", [(161, 129), (127, 96), (97, 131)])
def test_odd_sizes_lose_a_row_or_a_column(make: Maker, tmp_path: Path, size: tuple[int, int]) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, rgb in enumerate(shots(size=size, at=lambda i: (size[0] - 40, size[1] - 40))):
        (folder / f"{i:03d}.png").write_bytes(png(rgb))
    avatar, _ = make(folder)
    assert (avatar.width, avatar.height) == (size[0] & ~1, size[1] & ~1)
    assert avatar.stored.box(0)[2:] == (avatar.width, avatar.height)


def test_an_uneven_rate_is_made_even(make: Maker, tmp_path: Path) -> None:
    times = (0, 15, 40, 200)
    avatar, _ = make(film(tmp_path / "uneven.mkv", shots(), "ffv1", moments=lambda i: times[i]))
    shades = [int(picture.to_rgb(avatar.idle(phase))[5, 5, 0]) for phase in range(avatar.stored.count)]
    assert avatar.stored.count == 6 and np.abs(np.array(shades) - [60, 64, 64, 64, 64, 66]).max() < 3


def test_a_film_held_on_its_side_is_upright(make: Maker, tmp_path: Path) -> None:
    path = film(tmp_path / "side.mp4", shots(at=lambda i: (50, 20)))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for offset, number in ((0, 0), (4, 1 << 16), (12, 0xFFFF0000), (16, 0)):
        data[at + offset : at + offset + 4] = number.to_bytes(4, "big")
    path.write_bytes(data)
    avatar, _ = make(path)
    assert (avatar.width, avatar.height) == SIZE[::-1]
    x0, y0, x1, y1 = avatar.stored.box(0)
    assert abs(x0 - (128 - 60)) < 4 and abs(y0 - 50) < 4 and abs(x1 - 108) < 4 and abs(y1 - 94) < 4


def test_a_film_without_a_face_is_said(make: Maker, tmp_path: Path) -> None:
    with pytest.raises(BadPortrait, match="There is no face in this video"):
        make(film(tmp_path / "empty.mp4", shots(at=lambda i: None)))


def test_a_face_that_leaves_is_bridged_or_said(make: Maker, tmp_path: Path) -> None:
    def leaves(i: int) -> tuple[int, int] | None:
        return None if i == 5 else (60 + 2 * i, 40)

    avatar, said = make(film(tmp_path / "blink.mp4", shots(12, at=leaves)))
    assert avatar.stored.count == 12
    assert [one.text for one in said if one.subject == "face seen"] == [
        "The face was not seen in 1 frames; they were bridged or left out."
    ]
    boxes = [avatar.stored.box(frame)[0] for frame in range(12)]
    assert abs(boxes[5] - (boxes[4] + boxes[6]) / 2) <= 1
    with pytest.raises(BadPortrait, match="The face is lost in 50 % of this video"):
        make(film(tmp_path / "gone.mp4", shots(12, at=lambda i: (60, 40) if i < 6 else None)))


def test_a_face_at_the_pictures_edge_is_cut_there(make: Maker, tmp_path: Path) -> None:
    avatar, _ = make(film(tmp_path / "edge.mp4", shots(at=lambda i: (140, 100))))
    x0, y0, x1, y1 = avatar.stored.box(0)
    assert (x1, y1) == SIZE and x1 - x0 >= 16 and y1 - y0 >= 16
    with pytest.raises(BadPortrait, match="no face"):
        make(film(tmp_path / "sliver.mp4", shots(at=lambda i: (152, 40))))


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_film_that_is_cut_off_is_an_avatar_or_a_sentence(make: Maker, tmp_path: Path, share: float) -> None:
    whole = film(tmp_path / "whole.mkv", shots(12)).read_bytes()
    path = tmp_path / "torn.mkv"
    path.write_bytes(whole[: int(share * len(whole))])
    try:
        avatar, _ = make(path)
    except BadPortrait as error:
        assert "torn.mkv" in error.message and str(tmp_path) not in error.message
    else:
        assert 0 < avatar.stored.count < 12


def test_a_film_that_changes_its_size_or_is_no_film_is_said(make: Maker, tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    folder.mkdir()
    for i, size in enumerate(((160, 128), (160, 120))):
        (folder / f"{i}.png").write_bytes(png(next(shots(size=size))))
    with pytest.raises(BadPortrait, match="do not all have the same size"):
        make(folder)
    (tmp_path / "text.mp4").write_text("no film at all")
    with pytest.raises(BadPortrait, match=r"text\.mp4"):
        make(tmp_path / "text.mp4")


def test_a_film_that_memory_cannot_hold_is_said(make: Maker, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def noise() -> Iterator[NDArray[np.uint8]]:
        for rgb in shots(26, (640, 480)):
            yield np.clip(rgb + rng.integers(-20, 20, rgb.shape), 0, 255).astype(np.uint8)

    small = replace(make, engine=MuseTalkEngine(LimitsSpec(avatar_memory_mb=3)))
    with pytest.raises(BadPortrait, match=r"of 1 seconds needs \d+ MB .* limits\.avatar_memory_mb allows 3\."):
        small(film(tmp_path / "noise.mkv", noise(), "ffv1"))
    small.engine.close()


@pytest.fixture
def wrong(make: Maker, tmp_path: Path) -> Maker:
    """A checkpoint that a test may spoil."""
    weights = tmp_path / "weights"
    shutil.copytree(make.weights, weights)
    for path in (weights, *weights.iterdir()):
        path.chmod(0o755)
    return replace(make, weights=weights)


@pytest.mark.parametrize("role", ["unet", "vae_decoder", "whisper_encoder", "vae_encoder", "face_parsing"])
def test_another_network_under_the_name_is_recognised_by_its_shapes(wrong: Maker, tmp_path: Path, role: str) -> None:
    graphs.mean_subtracted(wrong.weights / f"{role}.onnx")
    with pytest.raises(BadNetwork, match=rf"{role}\.onnx is not the network that belongs there"):
        wrong(film(tmp_path / "film.mp4", shots()))


def test_a_network_that_is_none_is_said(wrong: Maker, tmp_path: Path) -> None:
    (wrong.weights / "unet.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(BadNetwork, match=r"unet\.onnx is damaged"):
        wrong(film(tmp_path / "film.mp4", shots()))


def png(rgb: NDArray[np.uint8]) -> bytes:
    return bytes(cv2.imencode(".png", rgb[..., ::-1])[1])
