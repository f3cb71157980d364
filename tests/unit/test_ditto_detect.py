"""Detection and landmarks: golden suppression, and networks that say what a test wants."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.ditto import detect
from studio.engines.ditto.crop import crop_matrix, inverse, moved
from studio.engines.ditto.types import Floats
from tests.unit.ditto_faces import landmarks


class Saying:
    """A network that gives the same answer to everything, and remembers what it was asked."""

    def __init__(self, **outputs: NDArray[Any]) -> None:
        self.outputs = outputs
        self.asked: dict[str, NDArray[Any]] = {}

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.asked = dict(feeds)
        return self.outputs


def silent_levels() -> dict[str, Floats]:
    """Return the outputs of a detector that sees nothing."""
    counts = [2 * (512 // stride) ** 2 for stride in detect.STRIDES]
    return {f"{name}{i}": np.zeros((n, width), np.float32)
            for i, n in enumerate(counts, 1) for name, width in (("scores", 1), ("boxes", 4), ("kps", 10))}  # fmt: skip


def test_suppression_equals_the_golden_one(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    assert np.array_equal(detect.suppress(units["nms_in"]), units["nms_keep"])


def test_suppression_keeps_the_best_of_each_heap() -> None:
    boxes = np.array([[0, 0, 10, 10, 0.6], [1, 1, 11, 11, 0.9], [100, 100, 120, 120, 0.7]], np.float32)
    assert list(detect.suppress(boxes)) == [1, 2]
    assert len(detect.suppress(np.zeros((0, 5), np.float32))) == 0


@pytest.mark.parametrize(("height", "width"), [(100, 400), (400, 100), (300, 300), (50, 800)])
def test_letterbox_fits_the_longer_side_in_bgr(height: int, width: int) -> None:
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[:] = (255, 128, 0)
    blob, scale = detect.letterbox(rgb)
    h, w = max(int(height * scale + 1e-6), 1), max(int(width * scale + 1e-6), 1)
    assert blob.shape == (1, 3, 512, 512)
    assert max(h, w) == 512
    assert np.allclose(blob[0, :, h // 2, w // 2], [-127.5 / 128, 0.5 / 128, 127.5 / 128])
    assert h == 512 or np.allclose(blob[0, :, h + 1 :], -127.5 / 128)


def test_boxes_are_read_from_cells_row_by_row() -> None:
    outputs = silent_levels()
    row, column, stride = 5, 9, detect.STRIDES[1]
    cell = (row * (512 // stride) + column) * 2 + 1
    outputs["scores2"][cell] = 0.75
    outputs["boxes2"][cell] = (1, 2, 3, 4)
    x, y = column * stride, row * stride
    expected = np.array([x - 16, y - 32, x + 48, y + 64], np.float32) / 0.5
    found = detect.boxes_of(outputs, 0.5)
    assert np.allclose(found, [[*expected, 0.75]])


def test_nothing_above_the_threshold_is_no_face() -> None:
    found = detect.faces(np.zeros((64, 64, 3), np.uint8), Saying(**silent_levels()))
    assert found.shape == (0, 5)


def test_largest_goes_by_area_not_by_score() -> None:
    boxes = np.array([[0, 0, 10, 10, 0.9], [0, 0, 30, 5, 0.6], [5, 5, 25, 20, 0.5]], np.float32)
    assert detect.largest(boxes)[4] == pytest.approx(0.5)


def test_landmarks106_lead_back_to_the_box() -> None:
    grid = np.linspace(-1, 1, 212, dtype=np.float32)
    network = Saying(fc1=grid[None])
    rgb = np.zeros((200, 200, 3), np.uint8)
    rgb[..., 0] = 200
    found = detect.landmarks106(rgb, np.array([50, 60, 110, 100, 0.9], np.float32), network)
    side = 1.5 * 60
    assert np.allclose(found, grid.reshape(106, 2) * side / 2 + (80, 80), atol=1e-3)
    assert network.asked["data"].shape == (1, 3, 192, 192)
    assert network.asked["data"][0, :, 96, 96].tolist() == [0, 0, 200]


def test_landmarks203_lead_back_to_the_picture() -> None:
    points = landmarks(203, 0.4, 120, (150, 160))
    matrix = crop_matrix(points, 224, 1.5, -0.1, rotate=True)
    network = Saying(landmarks=(moved(points, matrix) / 224).reshape(1, 406).astype(np.float32))
    rgb = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (320, 300, 3)).astype(np.uint8), (9, 9), 3)
    found = detect.landmarks203(np.asarray(rgb, np.uint8), points, network)
    assert np.abs(found.points - points).max() < 0.01
    assert found.crop.shape == (224, 224, 3)
    assert np.abs(found.crop_to_frame - inverse(matrix)).max() == 0
    assert network.asked["input"].max() <= 1
