"""The square around a face, with points instead of people."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.engines.imagefile import read_portrait
from studio.engines.portrait.framing import CENTRE, FACE_WIDTH, SHIFT, TIGHTEST, frame, inwards, person_mask, soften
from studio.engines.portrait.photo import known_face

ASTRONAUT = Path(__file__).parents[2] / "static/avatars/astronaut.png"


def points(width: float, x: float, y: float, roll: float = 0.0) -> np.ndarray:
    """A face ``width`` pixels wide around (x, y), turned by ``roll`` radians: only what framing looks at."""
    landmarks = np.zeros((478, 3), np.float32)
    flat = {33: (-0.3, -0.2), 263: (0.3, -0.2), 234: (-0.5, 0), 454: (0.5, 0), 10: (0, -0.65), 152: (0, 0.65)}
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    for index, place in flat.items():
        landmarks[index, :2] = turn @ np.array(place) * width + (x, y)
    return landmarks


def test_face_with_room_lies_where_it_should() -> None:
    landmarks = points(200, 1000, 800)
    placed = frame(landmarks, 2000, 1600).map(landmarks)
    assert placed[454, 0] - placed[234, 0] == pytest.approx(FACE_WIDTH * 512, rel=1e-3)
    middle = placed[[234, 454, 10, 152], :2].mean(0)
    np.testing.assert_allclose(middle, np.array(CENTRE) * 512, atol=1.0)


def test_small_photo_is_framed_tighter_but_not_too_tight() -> None:
    landmarks = points(200, 210, 200)
    placed = frame(landmarks, 420, 420).map(landmarks)
    assert FACE_WIDTH * 512 < placed[454, 0] - placed[234, 0] <= TIGHTEST * 512 + 1


@given(st.floats(60, 400), st.floats(300, 1700), st.floats(300, 1300), st.floats(-1.5, 1.5))
def test_unmap_is_the_inverse_of_map(width: float, x: float, y: float, roll: float) -> None:
    landmarks = points(width, x, y, roll)
    square = frame(landmarks, 2000, 1600)
    np.testing.assert_allclose(square.unmap(square.map(landmarks)), landmarks, atol=0.1)


@given(st.sampled_from([-1.2, -0.5, 0.5, 1.2]))
def test_tilted_head_is_stood_upright(roll: float) -> None:
    landmarks = points(200, 1000, 800, roll)
    placed = frame(landmarks, 2000, 1600).map(landmarks)
    assert placed[33, 1] == pytest.approx(placed[263, 1], abs=0.5)
    assert placed[33, 0] < placed[263, 0]
    assert placed[10, 1] < placed[152, 1]


def test_slightly_tilted_head_keeps_its_tilt() -> None:
    assert frame(points(200, 1000, 800, 0.2), 2000, 1600).angle == 0.0


@given(st.floats(-500, 1500), st.floats(50, 900), st.integers(50, 1000))
def test_inwards_moves_little_and_never_away(start: float, side: float, length: int) -> None:
    moved = inwards(start, side, length)
    assert abs(moved - start) <= SHIFT * side + 1e-6
    if start >= -0.5 and start + side <= length - 0.5:
        assert moved == pytest.approx(start)


def test_cut_shows_the_photo_and_tells_what_it_invented() -> None:
    y, x = np.mgrid[:600, :600]
    rgb = np.stack([x * 255 // 600, y * 255 // 600, x * 0], -1).astype(np.uint8)
    whole, invented = frame(points(150, 300, 300), 600, 600).cut(rgb)
    assert whole.shape == (512, 512, 3) and invented == 0.0
    assert (np.diff(whole[256, :, 0].astype(int)) >= -1).all()
    _, invented = frame(points(150, 60, 300), 600, 600).cut(rgb)
    assert 0.1 < invented < 0.5


def test_soften_leaves_what_was_there_alone() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
    inside = np.zeros((512, 512), bool)
    inside[:, :400] = True
    softened = soften(rgb, inside)
    assert np.array_equal(softened[:, :400], rgb[:, :400])
    assert softened[:, 450:].std() < 0.3 * rgb[:, 450:].std()
    assert np.array_equal(soften(rgb, np.ones((512, 512), bool)), rgb)


def test_person_mask_holds_face_and_chest_but_not_the_corners() -> None:
    rgb = read_portrait(ASTRONAUT, 1_000_000, 2_000_000)
    known = known_face(ASTRONAUT, ASTRONAUT.read_bytes())
    assert known is not None
    square = frame(known.landmarks, 512, 512)
    portrait, landmarks = square.cut(rgb)[0], square.map(known.landmarks)
    mask = person_mask(portrait, landmarks)
    assert mask.shape == (512, 512) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
    x, y = np.rint(landmarks[[1, 152, 33, 263], :2]).astype(int).T
    assert (mask[y, x] > 0.9).all()
    assert mask[5, 5] < 0.1 and mask[5, -6] < 0.1
    assert np.array_equal(mask, person_mask(portrait, landmarks))
