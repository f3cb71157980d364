"""Verdicts on the astronaut's portrait and on what is done to it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engine import Finding
from studio.engines.facemesh import Face
from studio.engines.imagefile import read_portrait
from studio.engines.portrait.framing import frame
from studio.engines.portrait.judgement import EYES, MOUTH, angles, judge, refuse
from studio.engines.portrait.photo import known_face
from studio.engines.portrait.rig import Source
from studio.errors import BadPortrait

ASTRONAUT = Path(__file__).parents[2] / "static/avatars/astronaut.png"
PHOTO = read_portrait(ASTRONAUT, 1_000_000, 2_000_000)
Float = NDArray[np.float32]


def _framed() -> tuple[Face, NDArray[np.uint8]]:
    face = known_face(ASTRONAUT, ASTRONAUT.read_bytes())
    assert face is not None
    square = frame(face.landmarks, PHOTO.shape[1], PHOTO.shape[0])
    return replace(face, landmarks=square.map(face.landmarks)), square.cut(PHOTO)[0]


FACE, PORTRAIT = _framed()
SOURCE = Source(PORTRAIT, FACE.landmarks, np.ones((512, 512), np.float32))


def turned(yaw: float = 0.0, pitch: float = 0.0) -> Face:
    """The face turned to the side and tilted (degrees)."""
    middle = FACE.landmarks.mean(0)
    cy, sy, cp, sp = *_turn(yaw), *_turn(pitch)
    across = np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    down = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return replace(FACE, landmarks=((FACE.landmarks - middle) @ (across @ down).T + middle).astype(np.float32))


def _turn(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.radians(degrees))), float(np.sin(np.radians(degrees)))


def verdict(
    subject: str, source: Source = SOURCE, width: float = 200, face: Face = FACE, invented: float = 0.0
) -> Finding:
    return next(finding for finding in judge(source, width, face, invented) if finding.subject == subject)


def test_every_subject_is_judged_once_in_a_sentence() -> None:
    findings = judge(SOURCE, 200, FACE, 0.0)
    subjects = [finding.subject for finding in findings]
    assert len(set(subjects)) == len(subjects) == 9
    assert all(finding.text[0].isupper() and finding.text.endswith(".") for finding in findings)
    assert all(finding.good for finding in findings)


@pytest.mark.parametrize(
    ("width", "good", "words"), [(60, False, "soft"), (120, True, "enough"), (300, True, "plenty")]
)
def test_size_counts_in_pixels_of_the_photo(width: float, good: bool, words: str) -> None:
    finding = verdict("face size", width=width)
    assert finding.good is good and words in finding.text and f"{width}" in finding.text


def test_blur_is_noticed() -> None:
    blurred = np.asarray(cv2.GaussianBlur(PORTRAIT, (0, 0), 4), np.uint8)
    assert not verdict("sharpness", replace(SOURCE, rgb=blurred)).good


@pytest.mark.parametrize("degrees", [-20, 20])
def test_turned_head_is_mentioned_with_its_angle(degrees: float) -> None:
    finding = verdict("yaw", face=turned(yaw=degrees))
    assert not finding.good and any(f" {n} degrees" in finding.text for n in range(15, 26))


@pytest.mark.parametrize(("degrees", "where"), [(25, "down"), (-30, "up")])
def test_tilted_head_is_mentioned(degrees: float, where: str) -> None:
    level = angles(FACE.landmarks)[1]
    face = turned(pitch=degrees)
    if (angles(face.landmarks)[1] > level) != (where == "down"):
        face = turned(pitch=-degrees)
    assert f"tilted {where}" in verdict("pitch", face=face).text


def _moved(points: list[int], by: tuple[float, float]) -> Source:
    landmarks = FACE.landmarks.copy()
    landmarks[points, :2] += by
    return replace(SOURCE, landmarks=landmarks)


def test_open_mouth_and_closed_eye_are_mentioned() -> None:
    assert not verdict("mouth", _moved([14, 87, 317, 17], (0, 40))).good
    shut = FACE.landmarks.copy()
    shut[145] = shut[159]
    assert not verdict("eyes", replace(SOURCE, landmarks=shut)).good


def test_poor_light_is_mentioned() -> None:
    dark = (PORTRAIT * 0.15).astype(np.uint8)
    bright = (255 - (255 - PORTRAIT.astype(float)) * 0.1).astype(np.uint8)
    half = PORTRAIT.copy()
    half[:, :256] = (half[:, :256] * 0.4).astype(np.uint8)
    for rgb, words in ((dark, "too dark"), (bright, "too bright"), (half, "in shadow")):
        finding = verdict("light", replace(SOURCE, rgb=rgb))
        assert not finding.good and words in finding.text


def test_tight_picture_is_mentioned() -> None:
    assert not verdict("framing", invented=0.2).good


@pytest.mark.parametrize(("part", "name"), [(MOUTH, "mouth"), (EYES, "eyes")])
def test_covered_part_is_named(part: NDArray[np.int64], name: str) -> None:
    spread = FACE.spread.copy()
    spread[part] = 0.06
    finding = verdict("visibility", face=replace(FACE, spread=spread))
    assert not finding.good and name in finding.text


def test_doubtful_face_is_mentioned() -> None:
    assert "hard to make out" in verdict("visibility", face=replace(FACE, score=0.4)).text


@pytest.mark.parametrize(("yaw", "passes"), [(0, True), (22, True), (45, False), (-60, False)])
def test_profile_is_refused(yaw: float, passes: bool) -> None:
    if passes:
        refuse(turned(yaw))
        return
    with pytest.raises(BadPortrait, match=r"looks \d+ degrees to the side"):
        refuse(turned(yaw))


def test_tiny_face_is_refused() -> None:
    with pytest.raises(BadPortrait, match=r"only 2[0-9] pixels wide"):
        refuse(replace(FACE, landmarks=FACE.landmarks * (25 / FACE.width)))
