"""Our own detector in the place of InsightFace's."""

from pathlib import Path

import numpy as np
import pytest

from studio.engines.ditto.checkpoint import Networks, read_info
from studio.engines.ditto.crop import crop_matrix
from studio.engines.ditto.finder import OwnFinder, finder_of, rough106
from studio.engines.ditto.options import setup_of
from studio.engines.ditto.registration import register_frames
from studio.engines.ditto.source import open_source
from studio.engines.imagefile import read_portrait

ASTRONAUT = Path(__file__).resolve().parents[2] / "static/avatars/astronaut.png"


def test_rough_points_hold_eyes_and_lips_where_they_belong() -> None:
    mesh = np.random.default_rng(0).random((478, 2)).astype(np.float32)
    points = rough106(mesh)
    assert points.shape == (106, 2)
    assert np.allclose(points[[33, 35, 40, 39]].mean(axis=0), mesh[[33, 133, 145, 159]].mean(axis=0))
    assert np.array_equal(points[[52, 61]], mesh[[61, 291]])


def test_own_finder_frames_the_face_of_a_photo() -> None:
    rgb = read_portrait(ASTRONAUT, 50_000_000, 40_000_000)
    points = OwnFinder()(rgb)
    assert points is not None
    side = 224 / float(np.hypot(*crop_matrix(points, 224, 1.5, -0.1, rotate=True)[0, :2]))
    height, width = rgb.shape[:2]
    assert 0.1 * width < side < 1.2 * max(height, width)
    assert ((points >= 0) & (points < (width, height))).all()


def test_own_finder_sees_no_face_in_noise() -> None:
    assert OwnFinder()(np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)) is None


def test_own_finder_registers_without_the_detectors_files(shared: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    golden = shared / "golden/ditto"
    checkpoint = tmp_path / "checkpoint"
    (checkpoint / "ditto_onnx").mkdir(parents=True)
    for file in (golden / "standins/ditto_onnx").iterdir():
        if file.stem not in ("insightface_det", "landmark106"):
            (checkpoint / "ditto_onnx" / file.name).symlink_to(file)
    info = read_info(golden / "standins", online=True)
    networks = Networks(checkpoint, info)
    setup = setup_of(info.defaults, {"max_size": 256})
    frames = open_source(golden / "inputs/image.png", setup)
    source = register_frames(frames, setup, networks, finder_of("auto", networks))
    assert source.frames.shape == (1, 256, 256, 3)
    assert np.isfinite(source.crop_to_frame).all()
