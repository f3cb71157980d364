"""Sources: the golden size rule, pictures and videos told apart, bounds."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.engines.ditto.options import setup_of
from studio.engines.ditto.source import fitted, open_source, sized
from studio.engines.ditto.types import Bytes
from studio.errors import BadPortrait
from studio.spec import LimitsSpec
from tests.unit.test_footage import write_video


def test_size_rule_equals_the_golden_one(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    for given_size, expected in zip(units["resize_in"], units["resize_out"], strict=True):
        assert fitted(*(int(n) for n in given_size)) == (expected[0], expected[1])


@given(st.integers(96, 5000), st.integers(96, 5000), st.integers(-1, 3000))
def test_size_is_even_and_not_above_the_limit(height: int, width: int, max_size: int) -> None:
    h, w = fitted(height, width, max_size)
    assert h % 2 == w % 2 == 0
    assert max(h, w) <= (max_size if max_size > 0 else max(height, width))
    assert max_size > 0 or (height - h, width - w) in ((0, 0), (0, 1), (1, 0), (1, 1))


def test_picture_loses_its_transparency_and_odd_lines(tmp_path: Path) -> None:
    bgra = np.zeros((131, 161, 4), np.uint8)
    bgra[:, :, 2] = 200
    cv2.imwrite(str(tmp_path / "me.png"), bgra)
    frames = open_source(tmp_path / "me.png", setup_of())
    assert frames.is_image
    found = list(frames.pictures)
    assert [one.shape for one in found] == [(130, 160, 3)]
    assert found[0][50, 50].tolist() == [200, 0, 0]


def test_video_is_known_by_its_bytes_and_cut(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 9).rename(tmp_path / "clip.png")
    cases: list[tuple[dict[str, int], int]] = [
        ({}, 9), ({"template_n_frames": 4}, 4), ({"N_d": 3}, 3), ({"template_n_frames": 5, "N_d": 3}, 5),
    ]  # fmt: skip
    for options, count in cases:
        frames = open_source(path, setup_of({"max_size": 80, **options}))
        assert not frames.is_image
        found = list(frames.pictures)
        assert len(found) == count
        assert found[0].shape == (64, 80, 3)


def test_video_that_would_fill_the_memory_is_refused_with_advice(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", 9)
    frames = open_source(path, setup_of(), LimitsSpec(avatar_memory_mb=30))
    with pytest.raises(BadPortrait, match="Set template_n_frames to 3 or less"):
        list(frames.pictures)
    few = open_source(path, setup_of({"template_n_frames": 3}), LimitsSpec(avatar_memory_mb=30))
    assert len(list(few.pictures)) == 3


def test_frames_are_read_as_they_are_asked_for() -> None:
    asked = 0

    def endless() -> Iterator[Bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield np.zeros((100, 100, 3), np.uint8)

    reader = sized(endless(), 50)
    assert [next(reader).shape for _ in range(3)] == [(50, 50, 3)] * 3
    assert asked == 3


def test_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "me.txt").write_text("hello")
    with pytest.raises(BadPortrait, match="not a picture"):
        open_source(tmp_path / "me.txt", setup_of())
