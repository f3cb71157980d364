"""Drawn characters: what a folder must hold, what is refused and in which words, and the shipped ones."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.engines.portrait import character
from studio.engines.portrait.character import load_character
from studio.engines.portrait.drawing.display import HIGHEST, STROKE, lips
from studio.engines.portrait.drawing.display import MOUTH as MOUTH_PLACE
from studio.engines.portrait.drawing.files import Artwork, Atlas, write_character
from studio.engines.portrait.interior import Style
from studio.engines.portrait.rig import Box
from studio.engines.portrait.screen import ScreenMouth
from studio.errors import BadPortrait
from tests.unit.portrait_fixtures import landmarks, picture

AVATARS = Path(__file__).parents[2] / "static" / "avatars"
SHIPPED = sorted(path.parent.name for path in AVATARS.glob("*/character.json"))
LEFT, RIGHT, MOUTH = (180, 220, 240, 270), (272, 220, 332, 270), (200, 310, 312, 378)


def tiles(box: Box, rows: int, columns: int) -> Atlas:
    """Darker with every row, redder with every column to the right of the middle."""
    x0, y0, x1, y1 = box
    here = picture()[y0:y1, x0:x1].astype(int)
    grid = [
        [(here - 8 * row + (4 * abs(column - columns // 2), 0, 0)).clip(0, 255) for column in range(columns)]
        for row in range(rows)
    ]
    return Atlas(box, np.concatenate([np.concatenate(line, 1) for line in grid]).astype(np.uint8))


def artwork(screen: bool) -> Artwork:
    mask = np.zeros((512, 512), np.uint8)
    cv2.ellipse(mask, (256, 265), (110, 155), 0, 0, 360, 255, -1)
    eyes = (tiles(LEFT, 7, 1 if screen else 3), tiles(RIGHT, 7, 1 if screen else 3))
    if screen:
        return Artwork(picture(), mask, eyes, tiles(MOUTH, 8, 5))
    return Artwork(picture(), mask, eyes, "#5a1420", landmarks())


@pytest.fixture(scope="module")
def human(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("characters") / "human"
    write_character(folder, artwork(screen=False))
    return folder


@pytest.fixture(scope="module")
def robot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("characters") / "robot"
    write_character(folder, artwork(screen=True))
    return folder


@pytest.fixture
def copy(human: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(human, tmp_path / "copy"))


def told(folder: Path) -> dict[str, object]:
    read: dict[str, object] = json.loads((folder / "character.json").read_text())
    return read


def test_a_human_is_read_as_written(human: Path) -> None:
    read, drawn = load_character(human), artwork(screen=False)
    assert np.array_equal(read.source.rgb, drawn.base)
    assert np.allclose(read.source.landmarks, landmarks(), atol=0.051)
    assert read.source.drawn
    assert read.source.person.max() == 1.0
    assert read.source.person[0, 0] == 0.0
    assert read.mouth == Style((0x5A, 0x14, 0x20))
    assert [eye.box for eye in read.eyes] == [LEFT, RIGHT]
    assert read.eyes[0].y.shape == (7, 3, 50, 60)
    assert read.eyes[0].u.shape == (7, 3, 25, 30)


def test_a_screen_is_read_as_written(robot: Path) -> None:
    read = load_character(robot)
    assert isinstance(read.mouth, ScreenMouth)
    assert read.mouth.box == MOUTH
    assert read.mouth.y.shape == (8, 5, 68, 112)
    assert read.eyes[1].y.shape == (7, 1, 50, 60)


def test_tiles_at_rest_are_the_picture_in_every_plane(human: Path) -> None:
    read = load_character(human)
    whole = cv2.cvtColor(read.source.rgb, cv2.COLOR_RGB2YUV_I420)
    u, v = whole[512:].reshape(2, 256, 256)
    for eye in read.eyes:
        x0, y0, x1, y1 = eye.box
        assert np.array_equal(eye.y[0, 1], whole[y0:y1, x0:x1])
        assert np.array_equal(eye.u[0, 1], u[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2])
        assert np.array_equal(eye.v[0, 1], v[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2])


def test_writing_twice_gives_the_same_bytes(human: Path, tmp_path: Path) -> None:
    write_character(tmp_path, artwork(screen=False))
    for path in character.files(human):
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_files_are_only_those_that_are_read(copy: Path) -> None:
    (copy / "notes.txt").write_text("not for the studio")
    names = [path.name for path in character.files(copy)]
    assert "notes.txt" not in names
    assert names[0] == "character.json"
    assert "landmarks.json" in names


@pytest.mark.parametrize("name", [name for name in character.NAMES if name != "mouth.png"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(BadPortrait, match=f"has no file {name}"):
        load_character(copy)


def test_a_folder_in_place_of_a_file_is_a_missing_file(copy: Path) -> None:
    (copy / "base.png").unlink()
    (copy / "base.png").mkdir()
    with pytest.raises(BadPortrait, match="has no file base"):
        load_character(copy)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"format": 2}, "another format"),
        ({"format": True}, "another format"),
        ({"kind": "painted"}, "the kind must be"),
        ({"kind": ["drawn"]}, "the kind must be"),
        ({"mouth": "red"}, "a colour such as"),
        ({"mouth": "#5a142"}, "a colour such as"),
        ({"mouth": 7}, "a colour such as"),
        ({"extra": 1}, "and no others"),
        ({"eyes": None}, "and no others"),
        ({"eyes": {"left": list(LEFT)}}, "and no others"),
        ({"eyes": {"left": list(LEFT), "right": [273, 220, 333, 270]}}, "box of the right eye"),
        ({"eyes": {"left": list(LEFT), "right": [272, 220, 1e300, 270]}}, "box of the right eye"),
        ({"eyes": {"left": list(LEFT), "right": [272, 220, 272, 270]}}, "box of the right eye"),
        ({"eyes": {"left": [-2, 0, 100, 100], "right": list(RIGHT)}}, "box of the left eye"),
        ({"eyes": {"left": [0, 0, 400, 20], "right": list(RIGHT)}}, "box of the left eye"),
        ({"eyes": {"left": [True, 0, 100, 20], "right": list(RIGHT)}}, "box of the left eye"),
        ({"eyes": {"left": "0000", "right": list(RIGHT)}}, "box of the left eye"),
        ({"eyes": {"left": list(RIGHT), "right": list(LEFT)}}, "to the left of"),
        ({"kind": "screen", "mouth": "#5a1420"}, "box of the mouth"),
        ({"kind": "screen", "mouth": [200, 240, 312, 378]}, "must not cover an eye"),
    ],
)
def test_a_wrong_description_is_refused_in_words(copy: Path, change: dict[str, object], sentence: str) -> None:
    (copy / "character.json").write_text(json.dumps(told(copy) | change))
    with pytest.raises(BadPortrait, match=sentence):
        load_character(copy)


@pytest.mark.parametrize("text", [b"", b"{", b"\xff\xfe", b"[" * 150_000, b"9" * 10_000, b'{"format": NaN}', b"null"])
@pytest.mark.parametrize("name", ["character.json", "landmarks.json"])
def test_what_is_not_json_is_refused(copy: Path, name: str, text: bytes) -> None:
    (copy / name).write_bytes(text)
    with pytest.raises(BadPortrait, match=name.removesuffix(".json")):
        load_character(copy)


def test_a_huge_description_is_refused_unread(copy: Path) -> None:
    (copy / "landmarks.json").write_bytes(b" " * 300_000)
    with pytest.raises(BadPortrait, match="larger than"):
        load_character(copy)


def points() -> list[list[object]]:
    listed: list[list[object]] = landmarks().tolist()
    return listed


def with_point(value: object) -> Callable[[], object]:
    return lambda: [[value, 0.0, 0.0], *points()[1:]]


@pytest.mark.parametrize(
    "make",
    [
        lambda: points()[:-1],
        lambda: [row[:2] for row in points()],
        with_point("1"),
        with_point(None),
        with_point(True),
        with_point(1e9),
        with_point(float("inf")),
        with_point(float("nan")),
        lambda: {"points": points()},
        lambda: [[100.0, 100.0, 0.0]] * 478,
    ],
)
def test_landmarks_that_are_no_face_are_refused(copy: Path, make: Callable[[], object]) -> None:
    (copy / "landmarks.json").write_text(json.dumps(make()))
    with pytest.raises(BadPortrait, match="landmarks"):
        load_character(copy)


def png(pixels: NDArray[np.generic], kind: str = ".png") -> bytes:
    done, data = cv2.imencode(kind, np.asarray(pixels))
    assert done
    return data.tobytes()


@pytest.mark.parametrize("name", ["base.png", "mask.png", "eye_left.png"])
@pytest.mark.parametrize(
    "data",
    [
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        png(np.zeros((64, 64, 3), np.uint8)),
        png(np.zeros((512, 514, 3), np.uint8)),
        png(np.zeros((512, 512, 3), np.uint16)),
        png(np.zeros((512, 512, 3), np.uint8), ".jpg"),
        # says 2^31 x 2^31: must be refused before a decoder sees it
        png(np.zeros((512, 512, 3), np.uint8)).replace(b"\0\0\2\0\0\0\2\0", b"\x7f\xff\xff\xff\x7f\xff\xff\xff", 1),
        png(np.zeros((512, 512, 3), np.uint8))[:-20],
    ],
)
def test_a_picture_of_another_kind_or_size_is_refused(copy: Path, name: str, data: bytes) -> None:
    (copy / name).write_bytes(data)
    with pytest.raises(BadPortrait, match=name):
        load_character(copy)


def test_a_picture_with_damaged_pixels_is_refused(copy: Path) -> None:
    data = bytearray((copy / "base.png").read_bytes())
    data[60:2000] = bytes(1940)
    (copy / "base.png").write_bytes(data)
    with pytest.raises(BadPortrait, match="base"):
        load_character(copy)


def test_an_atlas_that_differs_from_the_picture_is_refused(copy: Path) -> None:
    other = picture()
    other[240, 200] ^= 8
    (copy / "base.png").write_bytes(png(other[..., ::-1]))
    with pytest.raises(BadPortrait, match=r"eye_left\.png.*must equal base"):
        load_character(copy)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["format", "kind", "eyes", "mouth", "left", "right"]), inner, max_size=6),
    max_leaves=12,
))  # fmt: skip
def test_any_description_is_either_read_or_refused(copy: Path, description: object) -> None:
    (copy / "character.json").write_text(json.dumps(description))
    with pytest.raises(BadPortrait):
        load_character(copy)


@pytest.mark.parametrize(
    ("opening", "rounding", "width", "height"),
    [(0.0, 0.0, 58, 6), (1.0, 0.0, 58, 50), (0.5, -1.0, 74.2, 28), (0.0, 1.0, 30.2, 14), (0.0, -1.0, 74.2, 6)],
)
def test_a_robots_mouth_has_the_size_it_was_designed_with(
    opening: float, rounding: float, width: float, height: float
) -> None:
    outer, inner = lips(opening, rounding)
    assert np.ptp(outer[:, 0]) == pytest.approx(width, abs=0.6)
    middle = outer[np.abs(outer[:, 0] - MOUTH_PLACE[0]) < 0.1 * width]
    assert np.ptp(middle[:, 1]) == pytest.approx(height, abs=1.2)
    assert (inner is not None) == (height > 2 * STROKE + 1.2)


def test_a_shut_mouth_smiles() -> None:
    outer, _ = lips(0.0, 0.0)
    ends = outer[np.abs(outer[:, 0] - MOUTH_PLACE[0]) > 27, 1]
    middle = outer[np.abs(outer[:, 0] - MOUTH_PLACE[0]) < 3, 1]
    assert middle.mean() - ends.mean() > 5


@pytest.mark.parametrize("rounding", np.linspace(-1, 1, 7))
def test_no_mouth_opens_towards_the_eyes(rounding: float) -> None:
    outer, _ = lips(1.0, rounding)
    assert outer[:, 1].min() > MOUTH_PLACE[1] - HIGHEST - 1


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_characters_are_whole(name: str) -> None:
    read = load_character(AVATARS / name)
    assert read.source.person.mean() > 0.15
    for eye in read.eyes:
        assert np.abs(eye.y[-1, 0].astype(int) - eye.y[0, 0]).mean() > 2, "the eye does not shut"


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_redrawing_gives_the_shipped_pixels(name: str, tmp_path: Path) -> None:
    pytest.importorskip("resvg_py", reason="the extra `draw` is not installed")
    from studio.engines.portrait.drawing.__main__ import SITTERS

    write_character(tmp_path, SITTERS[name]())
    for path in character.files(AVATARS / name):
        new = tmp_path / path.name
        if path.suffix == ".png":
            was, now = (cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in (path, new))
            assert was is not None
            assert now is not None
            assert np.array_equal(was, now), path.name
        else:
            assert path.read_bytes() == new.read_bytes(), path.name
