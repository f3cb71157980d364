"""From a photo to the source of a rig: read it, find the one face, frame it, and say in words how good it is.

`portrait_source` does all of it. Landmarks of a shipped photo may lie beside it (``<stem>.landmarks.npz``), so that it
needs no landmark models; they count only for the very bytes they were made from.
"""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.engine import Finding
from studio.engines.facemesh import Face, FaceFinder
from studio.engines.imagefile import decode, read_bytes, read_portrait
from studio.engines.portrait.framing import frame, person_mask
from studio.engines.portrait.judgement import judge, refuse
from studio.engines.portrait.rig import Source
from studio.errors import BadPortrait

__all__ = ["Finder", "frame_portrait", "known_face", "portrait_source", "read_portrait", "remember_face"]

COMPARABLE = 0.6
"""A second face this wide compared with the first makes it unclear who is meant."""
DOUBTFUL = 0.5
"""Up to this sureness (0..1) a photo may lie on its side."""

Float = NDArray[np.float32]


class Finder(Protocol):
    """What finds faces; `FaceFinder` or a test's own."""

    def find(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of ``rgb``, largest first."""


def portrait_source(
    path: Path, max_pixels: int, max_bytes: int, finder: Finder | None = None
) -> tuple[Source, list[Finding]]:
    """Make the rig's source from the photo at ``path``.

    Args:
        path: A JPEG, PNG, WebP, GIF or BMP file.
        max_pixels: Width times height from which it is refused.
        max_bytes: Size from which it is refused.
        finder: Finds the face; made when first needed if not given.

    Raises:
        BadPortrait: The file cannot be read, or its face cannot become an avatar; the sentence says why.
    """
    data = read_bytes(path, max_bytes)
    rgb = decode(data, path.name, max_pixels)
    known = known_face(path, data)
    if known is not None:
        return _framed(rgb, known, None)
    return frame_portrait(rgb, finder or FaceFinder())


def frame_portrait(rgb: NDArray[np.uint8], finder: Finder) -> tuple[Source, list[Finding]]:
    """Make the rig's source from a picture of any size.

    Args:
        rgb: (H, W, 3) uint8 RGB.
        finder: Finds the face, first in the picture, then once more in the framed portrait.

    Raises:
        BadPortrait: No face, several comparable ones, one too small, or a profile.
    """
    rgb, faces = _upright(rgb, finder)
    if not faces:
        raise BadPortrait("No face was found in this picture. Use a well lit one that looks into the camera.")
    rivals = [face for face in faces[1:] if face.width > COMPARABLE * faces[0].width]
    if rivals:
        raise BadPortrait("There are several faces in this picture. Cut it so that only one of them remains.")
    return _framed(rgb, faces[0], finder)


def _upright(rgb: NDArray[np.uint8], finder: Finder) -> tuple[NDArray[np.uint8], list[Face]]:
    """Return the picture and its faces; if they are doubtful, in the quarter turn in which they are clearest."""
    best, faces, turned = 0.0, list[Face](), rgb
    for turn in (0, 1, 3, 2):
        candidate = np.ascontiguousarray(np.rot90(rgb, turn))
        found = finder.find(candidate)
        sureness = max((face.sureness for face in found), default=0.0)
        if sureness > best:
            best, faces, turned = sureness, found, candidate
        if best > DOUBTFUL:
            break
    return turned, faces


def _framed(rgb: NDArray[np.uint8], face: Face, finder: Finder | None) -> tuple[Source, list[Finding]]:
    refuse(face)
    portrait, face_there, invented = _look_again(rgb, face, finder)
    landmarks = face_there.landmarks
    source = Source(portrait, landmarks, person_mask(portrait, landmarks))
    return source, judge(source, face.width, face_there, invented)


def _look_again(rgb: NDArray[np.uint8], face: Face, finder: Finder | None) -> tuple[NDArray[np.uint8], Face, float]:
    """Return the portrait, the face in its pixels (found again there if possible) and the share that was invented."""
    square = frame(face.landmarks, rgb.shape[1], rgb.shape[0])
    portrait, invented = square.cut(rgb)
    carried = replace(face, landmarks=square.map(face.landmarks))
    again = finder.find(portrait) if finder else []
    reach = 0.15 * portrait.shape[0]
    near = [other for other in again if np.abs(other.landmarks - carried.landmarks)[:, :2].mean() < reach]
    return portrait, near[0] if near else carried, invented


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.stem}.landmarks.npz")


def known_face(path: Path, data: bytes) -> Face | None:
    """Return the face that lies beside the photo at ``path``, None if it was made for other bytes or is damaged."""
    try:
        with _beside(path).open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["sha256"]) != hashlib.sha256(data).hexdigest():
                return None
            landmarks, spread = stored["landmarks"].astype(np.float32), stored["spread"].astype(np.float32)
            score, presence = stored["scores"].tolist()
    except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return None
    if landmarks.shape != (478, 3) or spread.shape != (468,) or not np.isfinite(landmarks).all():
        return None
    box = np.concatenate([landmarks[:468, :2].min(0), landmarks[:468, :2].max(0)])
    return Face(box, score, presence, landmarks, spread)


def remember_face(path: Path, finder: Finder, max_pixels: int, max_bytes: int) -> Path:
    """Write the landmarks of the photo at ``path`` beside it, refined on its portrait; return the file written.

    Raises:
        BadPortrait: As `portrait_source`.
    """
    data = read_bytes(path, max_bytes)
    rgb = decode(data, path.name, max_pixels)
    faces = finder.find(rgb)
    if not faces:
        raise BadPortrait(f"No face was found in {path.name}.")
    square = frame(faces[0].landmarks, rgb.shape[1], rgb.shape[0])
    _, face, _ = _look_again(rgb, faces[0], finder)
    np.savez_compressed(
        _beside(path),
        landmarks=square.unmap(face.landmarks),
        spread=face.spread.astype(np.float16),
        scores=np.array([face.score, face.presence]),
        sha256=np.array(hashlib.sha256(data).hexdigest()),
    )
    return _beside(path)
