"""Characters with a screen: what the mouth shows, what may bend, and Robot in the renderer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE, SAMPLES_PER_BEAT, AudioChunk
from studio.engine import Options, Prepared
from studio.engines.portrait import rig
from studio.engines.portrait.character import load_character
from studio.engines.portrait.engine import PortraitEngine
from studio.engines.portrait.eyes import GAZE_MM, LIGHT_PX, DrawnEye
from studio.engines.portrait.parameters import EXPRESSION, HEAD, HIGHEST, INDEX, LOWEST, pose
from studio.engines.portrait.portable import PortableTools
from studio.engines.portrait.renderer import Face, Renderer
from studio.engines.portrait.rig import SIZE, Box
from studio.engines.portrait.screen import ScreenLips, ScreenMouth, screen_geometry
from studio.spec import AvatarSpec

ROBOT = Path(__file__).parents[2] / "static" / "avatars" / "robot"
Byte = NDArray[np.uint8]


def flat(box: Box, rows: int, columns: int) -> ScreenMouth:
    """A mouth whose tile at (row, column) is a grey of 10 * row + column."""
    height, width = box[3] - box[1], box[2] - box[0]
    levels = (10 * np.arange(rows)[:, None] + np.arange(columns)).astype(np.uint8)[..., None, None]
    luma, chroma = np.ones((height, width), np.uint8), np.ones((height // 2, width // 2), np.uint8)
    return ScreenMouth(np.array(box, np.int32), levels * luma, levels * chroma, levels * chroma)


@pytest.fixture
def lips() -> ScreenLips:
    return ScreenLips(flat((200, 300, 232, 316), 8, 5))


@pytest.fixture(scope="module")
def face() -> Face:
    read = load_character(ROBOT)
    assert isinstance(read.mouth, ScreenMouth)
    left, right = read.eyes
    geometry = screen_geometry((left.box, right.box), read.mouth.box, read.source.person)
    return Face.screen(read.source, geometry, read.eyes, read.mouth)


def shown(face: Face, **values: float) -> Byte:
    return Renderer(face).render(pose(**values))


def part(picture: Byte, box: Box) -> NDArray[np.int_]:
    x0, y0, x1, y1 = box
    return picture[y0:y1, x0:x1].astype(int)


def mouth_box(face: Face) -> Box:
    assert isinstance(face.mouth, ScreenMouth)
    return face.mouth.box


def test_a_mouth_at_rest_is_not_painted(lips: ScreenLips) -> None:
    assert lips.changed(pose()) == []


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        ({"jaw": 1}, 72),
        ({"jaw": 1, "wide": 1}, 70),
        ({"jaw": 1, "pucker": 1}, 74),
        ({"pucker": 1}, 4),
        ({"jaw": 1, "pucker": 1, "press": 1}, 4),
        ({"jaw": 0.5, "pucker": 0.5}, 38),
    ],
)
def test_jaw_opens_and_lips_round_the_mouth(lips: ScreenLips, values: dict[str, float], grey: int) -> None:
    ((box, (y, u, v)),) = lips.changed(pose(**values))
    assert box == (200, 300, 232, 316)
    for plane in (y, u, v):
        assert abs(plane.astype(int) - grey).max() <= 1


def test_the_same_mouth_is_painted_once_and_rest_again(lips: ScreenLips) -> None:
    assert lips.changed(pose(jaw=0.6))
    assert lips.changed(pose(jaw=0.6)) == []
    assert lips.changed(pose(jaw=0.601)) == []
    ((_, (y, _, _)),) = lips.changed(pose())
    assert (y == 2).all()


@pytest.mark.parametrize("lips_closed", [{"press": 1.0}, {"press": 0.5, "ff": 0.8}])
def test_pressed_lips_are_shut_whatever_the_jaw_does(lips: ScreenLips, lips_closed: dict[str, float]) -> None:
    lips.changed(pose(jaw=0.3))
    ((_, (y, _, _)),) = lips.changed(pose(jaw=0.7, **lips_closed))
    assert (y == 2).all()


def test_geometry_keeps_the_promises_of_the_rig(face: Face) -> None:
    rig.check(face.source, face.geometry)


def test_nothing_folds_at_any_limit(face: Face) -> None:
    g = face.geometry
    limits = np.maximum(np.abs(LOWEST), np.abs(HIGHEST))
    for fields, first in ((g.head, len(EXPRESSION)), (g.face, 0)):
        for i, field in enumerate(fields):
            for sign in (-1, 1):
                d = field * limits[first + i] * sign / rig.NODE
                dxx, dxy = np.gradient(d[..., 0], axis=1), np.gradient(d[..., 0], axis=0)
                dyx, dyy = np.gradient(d[..., 1], axis=1), np.gradient(d[..., 1], axis=0)
                assert ((1 + dxx) * (1 + dyy) - dxy * dyx).min() > 0.25, (EXPRESSION + HEAD)[first + i]


def test_the_screen_bends_only_inside_its_boxes(face: Face) -> None:
    x0, y0, x1, y1 = face.geometry.face_box
    bends = np.abs(face.geometry.face).max(axis=(0, 3))
    rim = np.concatenate([bends[0], bends[-1], bends[:, 0], bends[:, -1]])
    assert rim.max() < 0.6
    assert {name for name in EXPRESSION if np.any(face.geometry.face[INDEX[name]])} == {
        "browup", "browin", "squint", "smile", "press",
    }  # fmt: skip
    assert (x1 - x0) * (y1 - y0) < 0.2 * rig.NODES**2


def test_the_neutral_robot_is_the_drawing_itself(face: Face) -> None:
    assert np.array_equal(shown(face), face.texture)


def test_the_background_stands_still_and_edges_do_not_tear(face: Face) -> None:
    moved = shown(face, yaw=0.087, pitch=-0.087, roll=0.087, jaw=1)[:SIZE].astype(int)
    rest = face.texture[:SIZE].astype(int)
    assert np.abs(moved - rest)[:, :4].max() <= 2
    assert np.abs(moved - rest)[:4].max() <= 2
    far = face.source.person < 0.5
    far[:, 60:-60] = False
    far[400:] = False
    assert np.abs(moved - rest)[far].mean() < 1.5


def test_speech_moves_the_mouth_and_leaves_the_eyes(face: Face) -> None:
    rest, aa, oo = shown(face), shown(face, jaw=0.9), shown(face, jaw=0.2, pucker=1)
    box = mouth_box(face)
    assert np.abs(part(aa, box) - part(rest, box)).mean() > 5
    assert np.abs(part(aa, box) - part(oo, box)).mean() > 5
    for eye in face.eyes:
        assert np.array_equal(part(aa, eye.box), part(rest, eye.box))


def test_eyes_shut_and_wink(face: Face) -> None:
    left, right = (eye.box for eye in face.eyes)
    rest, shut, wink = shown(face), shown(face, blink_left=1, blink_right=1), shown(face, blink_left=1)
    for box in (left, right):
        assert part(shut, box).mean() < 0.75 * part(rest, box).mean()
    assert np.array_equal(part(wink, left), part(shut, left))
    assert np.array_equal(part(wink, right), part(rest, right))


def brightest(picture: Byte, box: Box) -> tuple[float, float]:
    """Middle of what is bright, x and y."""
    y, x = np.nonzero(part(picture, box) > 140)
    return float(x.mean()), float(y.mean())


@pytest.mark.parametrize(("gx", "gy"), [(GAZE_MM, 0.0), (-GAZE_MM, 0.0), (1.0, 0.0), (0.0, 1.0), (0.0, -1.0)])
def test_eyes_look_by_moving_as_far_as_told(face: Face, gx: float, gy: float) -> None:
    rest, looks = shown(face), shown(face, gx=gx, gy=gy)
    for eye in face.eyes:
        (x0, y0), (x1, y1) = brightest(rest, eye.box), brightest(looks, eye.box)
        assert x1 - x0 == pytest.approx(LIGHT_PX * gx, abs=0.6)
        assert y1 - y0 == pytest.approx(LIGHT_PX * gy, abs=0.6)


def test_an_eye_that_looks_aside_leaves_no_seam_at_its_box(face: Face) -> None:
    eye = face.eyes[0]
    assert isinstance(eye, DrawnEye)
    y, u, v = eye.tile(0.0, GAZE_MM, -GAZE_MM)
    for plane, rest in ((y, eye.y[0, 0]), (u, eye.u[0, 0]), (v, eye.v[0, 0])):
        rim = np.ones(plane.shape, bool)
        rim[1:-1, 1:-1] = False
        assert np.abs(plane.astype(int) - rest)[rim].max() <= 2


def test_brows_smile_and_pressed_lips_change_the_screen(face: Face) -> None:
    rest = shown(face)
    for name, box in (("browup", face.eyes[0].box), ("smile", mouth_box(face)), ("press", mouth_box(face))):
        assert np.abs(part(shown(face, **{name: 1.0}), box) - part(rest, box)).mean() > 0.5, name
    assert brightest(shown(face, browup=1), face.eyes[0].box)[1] < brightest(rest, face.eyes[0].box)[1]


def test_the_robot_survives_its_preparation(face: Face, tmp_path: Path) -> None:
    face.save(tmp_path)
    again = Face.load(tmp_path)
    state = pose(jaw=0.7, wide=0.4, blink_left=0.4, gx=1, yaw=0.05)
    assert np.abs(Renderer(again).render(state).astype(int) - Renderer(face).render(state)).max() <= 2


def test_both_ways_of_drawing_agree(face: Face) -> None:
    state = pose(jaw=0.7, wide=0.4, smile=0.5, browup=1, gx=1, yaw=0.05, roll=0.03)
    portable = Renderer(face, PortableTools()).render(state).astype(int)
    assert np.abs(Renderer(face).render(state).astype(int) - portable).max() <= 2


def test_the_robot_speaks_through_the_engine(tmp_path: Path) -> None:
    engine, spec = PortraitEngine(), AvatarSpec("robot", ROBOT)
    engine.prepare(spec, tmp_path, lambda done, doing: None)
    avatar = engine.load(Prepared(spec, tmp_path))
    take = engine.begin(avatar, Options(seed=1))
    wave = 9000 * np.sign(np.sin(2 * np.pi * 140 * np.arange(20 * SAMPLES_PER_BEAT) / SAMPLE_RATE))
    beats = []
    for index, pcm in enumerate(wave.astype(np.int16).reshape(20, -1)):
        beats += engine.step([(take, AudioChunk(index, pcm, True))])[0]
    box = mouth_box(avatar.face)
    moved = [np.abs(part(beat.picture, box) - part(avatar.idle(0), box)).mean() for beat in beats]
    assert max(moved) > 4


def test_the_fingerprint_is_of_the_pictures_and_not_of_other_files(tmp_path: Path) -> None:
    folder = tmp_path / "robot"
    folder.mkdir()
    for path in ROBOT.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    engine, spec = PortraitEngine(), AvatarSpec("robot", folder)
    before = engine.fingerprint(spec)
    (folder / "notes.txt").write_text("")
    assert engine.fingerprint(spec) == before
    (folder / "base.png").write_bytes((folder / "base.png").read_bytes() + b"\0")
    assert engine.fingerprint(spec) != before
