from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.engines.portrait import rig
from studio.errors import AvatarNotReady
from tests.unit.portrait_fixtures import geometry, source


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rig.save(tmp_path, source(), geometry())
    return tmp_path


def test_rig_comes_back_as_it_was_saved(folder: Path) -> None:
    there, moves = rig.load(folder)
    assert np.array_equal(there.rgb, source().rgb) and there.drawn is False
    assert moves.face_box == geometry().face_box
    assert np.abs(moves.face - geometry().face).max() < 0.02


def test_rig_without_picture_is_refused(folder: Path) -> None:
    (folder / "source.png").unlink()
    with pytest.raises(AvatarNotReady):
        rig.load(folder)


@pytest.mark.parametrize("length", [0, 10, 2000])
def test_rig_cut_short_is_refused(folder: Path, length: int) -> None:
    path = folder / "geometry.npz"
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(AvatarNotReady):
        rig.load(folder)


def test_rig_of_another_version_is_refused(folder: Path) -> None:
    rig.write_arrays(folder / "geometry.npz", rig.VERSION + 1, {})
    with pytest.raises(AvatarNotReady):
        rig.load(folder)


def test_rig_with_missing_arrays_is_refused(folder: Path) -> None:
    rig.write_arrays(folder / "geometry.npz", rig.VERSION, {"landmarks": np.zeros((478, 3), np.float32)})
    with pytest.raises(AvatarNotReady):
        rig.load(folder)


def test_arrays_of_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "evil.npz", version=np.array(1), thing=np.array([{}], dtype=object))
    with pytest.raises(AvatarNotReady):
        rig.read_arrays(tmp_path / "evil.npz", 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scale": 0.0},
        {"head_box": (0, 0, 200, 10)},
        {"upper": np.full((49, 2), np.nan, np.float32)},
        {"low": np.zeros((13, 3, 3, 2), np.float32)},
    ],
)
def test_geometry_that_breaks_its_promises_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(AvatarNotReady):
        rig.check(source(), replace(geometry(), **wrong))  # type: ignore[arg-type]  # wrong on purpose
