from __future__ import annotations

import numpy as np
import pytest

from studio.engines.musetalk import boxes, detector, landmarks, latents
from studio.engines.musetalk.types import Rules
from studio.errors import BadPortrait, ConfigError


def test_whole_picture_is_the_persons_box() -> None:
    wide, high = landmarks.View.of(1920, 1080), landmarks.View.of(352, 608)
    assert wide.size == pytest.approx((2400.0, 3200.0))
    assert high.size == pytest.approx((570.0, 760.0))
    assert wide.centre == (960, 540)


def test_points_come_back_where_they_were_drawn() -> None:
    view = landmarks.View.of(640, 480)
    across, down = np.zeros((133, 576), np.float32), np.zeros((133, 768), np.float32)
    across[:, 288], down[:, 384] = 1, 0.5  # the middle of the network's picture
    points, scores = landmarks.decoded(across, down, view)
    assert np.allclose(points, [[320, 240]] * 133)
    assert np.all(scores == 0.5)


def test_points_without_any_score_are_outside() -> None:
    points, scores = landmarks.decoded(
        np.zeros((133, 576), np.float32), np.ones((133, 768), np.float32), landmarks.View.of(300, 400)
    )
    assert not scores.any() and points.max() < 0


def test_mirror_of_the_mirror_is_the_original() -> None:
    rng = np.random.default_rng(0)
    across, down = (rng.random((1, 133, n), np.float32) for n in (576, 768))
    again = landmarks.unmirrored(*landmarks.unmirrored(across, down))
    assert np.array_equal(again[0], across) and np.array_equal(again[1], down)
    once = landmarks.unmirrored(across, down)
    assert np.array_equal(once[1][0, 23], down[0, 39]), "the jaw's ends change places"


def test_network_sees_red_first() -> None:
    blue = np.zeros((400, 300, 3), np.uint8)
    blue[..., 0] = 255
    middle = landmarks.network_input(blue)[0, :, 192, 144]
    assert middle[2] > 2 and middle[0] < -2


def test_detector_ignores_weak_and_covered_boxes() -> None:
    found = np.array([[0, 0, 10, 10, 0.9], [1, 1, 11, 11, 0.8], [40, 40, 50, 50, 0.7]], np.float32)
    assert detector.apart(found).tolist() == [0, 2]


def test_detector_decodes_a_prior() -> None:
    maps = []
    for level in range(6):
        side = max(1, 32 >> level)
        maps += [np.zeros((1, 2, side, side), np.float32), np.zeros((1, 4, side, side), np.float32)]
        maps[-2][:, 0] = 9
    maps[4][0, :, 3, 2] = (0, 9)
    assert detector.first_face(maps) == (8, 24, 72, 88)  # stride 16: centre (40, 56), side 64
    maps[4][0, :, 3, 2] = (9, 0)
    assert detector.first_face(maps) is None


def points_of(
    x0: float, y0: float, x1: float, y1: float, nose: float
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    points = np.full((133, 2), ((x0 + x1) / 2, (y0 + y1) / 2))
    points[23], points[24] = (x0, y0), (x1, y1)
    points[23 + 29] = ((x0 + x1) / 2, nose)
    return points


def test_box_is_as_high_above_the_nose_as_below() -> None:
    assert boxes.face_box(points_of(10.9, 60, 90.2, 150.7, 100), (1, 2, 3, 4)) == (10, 50, 90, 150)
    assert boxes.face_box(points_of(10, 60, 90, 150, 100), (1, 2, 3, 4), bbox_shift=10) == (10, 70, 90, 150)
    assert boxes.face_box(points_of(10, 60, 90, 150, 40), (1, 2, 3, 4)) == (10, 0, 90, 150)


def test_detectors_box_stands_in() -> None:
    assert boxes.face_box(points_of(-5, 60, 90, 150, 100), (1, 2, 3, 4)) == (1, 2, 3, 4)
    assert boxes.face_box(points_of(10, 60, 90, 150, 100), None) is None


def test_mesh_makes_a_box_by_the_same_rule() -> None:
    mesh = np.full((478, 3), 50.0)
    mesh[10], mesh[152], mesh[234], mesh[454] = (50, 10, 0), (50, 90.9, 0), (20.2, 50, 0), (80, 50, 0)
    mesh[195] = (50, 55.5, 0)
    assert boxes.mesh_box(mesh) == (20, 20, 80, 90)
    mesh[234] = (-3, 50, 0)
    assert boxes.mesh_box(mesh) is None


def test_boxes_end_at_the_picture() -> None:
    assert boxes.with_margin((1, 2, 30, 95), 10, 100) == (1, 2, 30, 100)
    assert boxes.inside((-5, -5, 50, 50), 40, 40) == (0, 0, 40, 40)
    assert boxes.inside((30, 0, 60, 40), 40, 40) is None
    assert boxes.inside(None, 40, 40) is None


def test_lost_frames_are_dropped_at_the_ends_and_filled_between() -> None:
    seen: list[tuple[int, int, int, int] | None] = [None] + [(i, i, 20 + i, 20 + i) for i in range(9)]
    seen[5] = None
    kept, filled = boxes.filled(seen)
    assert kept == slice(1, 10)
    assert filled == [(i, i, 20 + i, 20 + i) for i in range(9)]


def test_too_few_faces_are_said() -> None:
    with pytest.raises(BadPortrait, match="no face"):
        boxes.filled([None, None])
    with pytest.raises(BadPortrait, match="50 %"):
        boxes.filled([(0, 0, 20, 20), None])


def test_jitter_is_nothing_for_what_moves_evenly() -> None:
    assert boxes.jitter([(i, 2 * i, 50 + i, 60 + 2 * i) for i in range(20)]) == pytest.approx(0, abs=1e-6)
    assert boxes.jitter([(i % 2, 0, 50, 60) for i in range(20)]) > 0.1


def test_lower_half_is_black_for_one_of_the_encoders_pictures() -> None:
    masked, whole = latents.encoder_input(np.full((256, 256, 3), 255, np.uint8))
    assert np.all(whole == 1)
    assert np.all(masked[:, :, :128] == 1) and np.all(masked[:, :, 128:] == -1)


def test_decoded_faces_are_bgr_and_clipped() -> None:
    decoded = np.zeros((1, 3, 256, 256), np.float32)
    decoded[0, 0], decoded[0, 2] = 3.0, -3.0
    assert latents.faces(decoded)[0, 0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    "wrong", [{"parsing_mode": "nose"}, {"extra_margin": -1}, {"left_cheek_width": 1.5}, {"upper_boundary_ratio": True}]
)
def test_wrong_rules_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Rules(**wrong)  # type: ignore[arg-type]
