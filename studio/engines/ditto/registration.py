"""A picture or a video becomes an avatar: face found, cropped, measured; its appearance as the networks see it.

Tracking follows the landmarks from frame to frame, without recovery: a video that loses its face is refused.
Specification: section 4.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from studio.engine import MEMORY, Finding, Progress
from studio.engines.ditto import detect, eyes
from studio.engines.ditto.crop import crop_matrix, cut, inverse, moved
from studio.engines.ditto.detect import Landmarks, Network
from studio.engines.ditto.options import Setup
from studio.engines.ditto.source import FEATURE_BYTES, Frames, kept_bytes, open_source
from studio.engines.ditto.take import take_bytes
from studio.engines.ditto.types import WIDTHS, Bytes, Floats, Motion, Reference, Source
from studio.errors import AvatarNotReady, BadPortrait, StudioError
from studio.spec import LimitsSpec

CROP_SIDE, SEEN_SIDE = 512, 256
"""Pixels: of a registered face, and of what the extractors see of it."""
LEAST_ZOOM = 0.5
"""Pixels of the frame for one of the crop below which the face is too small: it is drawn at 512."""
MOST_OVER = 0.15
"""Share of the crop's side by which it may leave the frame."""
LEAST_OPEN = 0.3
"""Of three lid distances over the eye's width: open eyes have 0.7 to 1.1, closed ones less than 0.2."""

Finder = Callable[[Bytes], Floats | None]
"""Finds the largest face of a picture (H, W, 3): 106 or 203 landmarks in its pixels, None where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """One frame, registered."""

    landmarks: Landmarks
    crop: Bytes
    """(512, 512, 3) RGB."""
    crop_to_frame: Floats
    """(3, 3)"""
    mesh: Floats
    """(478, 3) in shares of the crop's side."""
    seen: Floats
    """(1, 3, 256, 256) in 0..1: what the extractors see."""
    motion: Motion
    """Not smoothed."""
    features: Floats
    """(1, 32, 16, 64, 64)"""
    eye_open: Floats
    eye_ball: Floats


def register(
    path: Path,
    setup: Setup,
    networks: Mapping[str, Network],
    report: Progress,
    finder: Finder | None = None,
    limits: LimitsSpec | None = None,
) -> tuple[Source, Sequence[Finding]]:
    """Return the avatar that a picture or a video makes, and what can be said of it.

    Args:
        path: The file.
        setup: Options of the source, the crop and ``smo_k_s``.
        networks: By role, see `checkpoint.NETWORKS`; only those of the picture's side are used.
        report: Told after each frame; a video's end is not known beforehand.
        finder: Finds the first frame's face; None: the checkpoint's detector and 106 landmarks.
        limits: Of pictures, and of an avatar's memory.

    Raises:
        BadPortrait: The file cannot be read, or there is no face, a face that is lost, or no eyes.
        AvatarNotReady: A network gave something that is no number.
    """
    report(0.0, "looking for the face")
    frames, seen = open_source(path, setup, limits), 0
    first: Sighting | None = None

    def watch(sighting: Sighting) -> None:
        nonlocal first, seen
        first, seen = first or sighting, seen + 1
        report(1 - 1 / (1 + seen / 25), f"looked at {seen} pictures")

    source = register_frames(frames, setup, networks, finder, watch)
    assert first is not None
    report(1.0, "the face is known")
    return source, findings_of(first, source, setup)


def register_frames(
    frames: Frames,
    setup: Setup,
    networks: Mapping[str, Network],
    finder: Finder | None = None,
    watch: Callable[[Sighting], None] | None = None,
) -> Source:
    """Do as `register` with frames of `source.open_source`; ``watch`` sees what the avatar does not keep.

    Raises:
        BadPortrait: No face, a face that is lost, or no eyes; the sentence says where.
        AvatarNotReady: A network gave something that is no number.
    """
    finder = finder or found_by(networks)
    kept = _Kept()
    points: Floats | None = None
    for i, rgb in enumerate(frames.pictures):
        if points is None and (points := finder(rgb)) is None:
            where = "picture" if frames.is_image else "video's first picture"
            raise BadPortrait(f"No face was found in this {where}. Use a frontal face, evenly lit and not too small.")
        try:
            sighting = sight(rgb, points, networks, setup)
        except BadPortrait as error:
            raise _located(error, i, frames.is_image) from error
        points = sighting.landmarks.points
        if watch:
            watch(sighting)
        kept.add(rgb, sighting)
    if not kept.pictures:
        raise BadPortrait("This video has no pictures.")
    return kept.source(setup, frames.is_image)


def findings_of(first: Sighting, source: Source, setup: Setup) -> Sequence[Finding]:
    """Return what is good about an avatar's first frame, and what could be better."""
    face = float(np.ptp(first.landmarks.points, axis=0).max())
    zoom = float(np.hypot(*first.crop_to_frame[:2, 0]))
    corners = moved(np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32) * CROP_SIDE, first.crop_to_frame)
    height, width = source.frames.shape[1:3]
    outside = np.maximum(-corners, corners - (width, height)).max()
    over = max(float(outside), 0.0) / (zoom * CROP_SIDE)
    narrow = float(first.eye_open.min())
    return (
        Finding(
            "face size", zoom > LEAST_ZOOM,
            f"The face is {face:.0f} pixels high."
            + ("" if zoom > LEAST_ZOOM else " Use a picture in which it is twice as large, or it will look soft."),
        ),
        Finding(
            "frame", over < MOST_OVER,
            "There is room around the face." if over < MOST_OVER
            else "The face is close to the picture's edge: leave as much room around it as it is wide.",
        ),
        Finding(
            "eyes", narrow > LEAST_OPEN,
            "Both eyes are open." if narrow > LEAST_OPEN else "An eye is nearly closed: use a picture with open eyes.",
        ),
        Finding(MEMORY, True, memory_of(source, setup)),
    )  # fmt: skip


def memory_of(source: Source, setup: Setup) -> str:
    """Return what an avatar and each visit keep in memory while the studio runs, in words."""
    count = len(source.frames)
    whole, features = count * kept_bytes(source.frames[0]), count * FEATURE_BYTES
    return (
        f"The avatar keeps {whole / 1e6:.1f} MB for all visits ({features / 1e6:.1f} MB of them, its features, on the "
        f"GPU where there is one), each visit up to {take_bytes(setup) / 1e6:.1f} MB more."
    )


def found_by(networks: Mapping[str, Network]) -> Finder:
    """Return the checkpoint's own way to find a face: its detector, then 106 landmarks."""

    def find(rgb: Bytes) -> Floats | None:
        boxes = detect.faces(rgb, networks["insightface_det"])
        return detect.landmarks106(rgb, detect.largest(boxes), networks["landmark106"]) if len(boxes) else None

    return find


def sight(rgb: Bytes, points: Floats, networks: Mapping[str, Network], setup: Setup) -> Sighting:
    """Register one frame whose face is roughly at ``points`` (106 or 203 landmarks).

    Raises:
        BadPortrait: There is no face, or its eyes are not seen.
        AvatarNotReady: A network gave something that is no number.
    """
    landmarks = detect.landmarks203(rgb, points, networks["landmark203"])
    matrix = crop_matrix(
        landmarks.points, CROP_SIDE, setup.crop_scale, setup.crop_vy_ratio, setup.crop_flag_do_rot
    )  # fmt: skip
    crop = cut(rgb, matrix, CROP_SIDE)
    mesh = eyes.mesh_of(crop, networks["blaze_face"], networks["face_mesh"])
    if mesh is None:
        raise BadPortrait("The eyes of this face were not found. Use a frontal face with both eyes open and free.")
    small = cv2.resize(crop, (SEEN_SIDE, SEEN_SIDE), interpolation=cv2.INTER_AREA)
    seen = np.ascontiguousarray(np.asarray(small).transpose(2, 0, 1)[None], np.float32) / np.float32(255)
    said = networks["motion_extractor"].run({"image": seen})
    motion = {key: np.asarray(said[key], np.float32).reshape(1, width) for key, width in WIDTHS.items()}
    features = np.asarray(networks["appearance_extractor"].run({"image": seen})["pred"], np.float32)
    eye_open, eye_ball = eyes.features(mesh)
    for array in (*motion.values(), features, eye_open, eye_ball):
        if not np.isfinite(array).all():
            raise AvatarNotReady("The networks of this checkpoint give no numbers for this face. Are the files whole?")
    return Sighting(landmarks, crop, inverse(matrix), mesh, seen, motion, features, eye_open, eye_ball)


def smoothed(motions: Sequence[Motion], width: int) -> tuple[Motion, ...]:
    """Return motions averaged over ``width`` frames around each, fewer at the ends; an even width acts as the next."""
    if len(motions) < 2 or width <= 1:
        return tuple(motions)
    reach = width // 2
    stacked = {key: np.concatenate([motion[key] for motion in motions]) for key in WIDTHS}
    return tuple(
        {key: rows[max(i - reach, 0) : i + reach + 1].mean(axis=0, keepdims=True) for key, rows in stacked.items()}
        for i in range(len(motions))
    )


class _Kept:
    """What an avatar keeps of its sightings: of a long video, all the rest would fill the memory."""

    def __init__(self) -> None:
        self.pictures: list[Bytes] = []
        self._motions: list[Motion] = []
        self._features: list[Floats] = []
        self._matrices: list[Floats] = []
        self._open: list[Floats] = []
        self._balls: list[Floats] = []

    def add(self, rgb: Bytes, sighting: Sighting) -> None:
        self.pictures.append(rgb)
        self._motions.append(sighting.motion)
        self._features.append(sighting.features)
        self._matrices.append(sighting.crop_to_frame)
        self._open.append(sighting.eye_open)
        self._balls.append(sighting.eye_ball)

    def source(self, setup: Setup, is_image: bool) -> Source:
        """Return the avatar."""
        sc = self._motions[0]["kp"].reshape(-1)
        motions = smoothed(self._motions, setup.smo_k_s)
        person = Reference(motions, np.stack(self._open), np.stack(self._balls), sc)
        return Source(
            np.stack(self.pictures), np.concatenate(self._features), np.stack(self._matrices), person, is_image
        )


def _located(error: StudioError, index: int, is_image: bool) -> BadPortrait:
    """Return the error of frame ``index``, which a video's sentence names."""
    if is_image or index == 0:
        return BadPortrait(error.message, error.detail)
    return BadPortrait(
        f"The video loses its face at picture {index + 1} ({index / 25:.1f} s). Use one take in which the face is "
        f"always seen, or set template_n_frames to {index}.",
        error.message,
    )
