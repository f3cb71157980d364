"""How a registered avatar lies on disk: arrays in NumPy's own files, read without ever running anything.

``frames.npy`` and ``features.npy`` hold what is large, ``face.npz`` the rest of a `Source`, ``loop.npy`` the keypoints
of the idle loop, ``idle.i420`` its pictures, one after another.
"""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.types import WIDTHS, Bytes, Floats, Reference, Source
from studio.errors import AvatarNotReady

FRAMES, FEATURES, FACE, LOOP, IDLE = "frames.npy", "features.npy", "face.npz", "loop.npy", "idle.i420"


def save_source(source: Source, folder: Path) -> None:
    """Write a source into ``folder``."""
    np.save(folder / FRAMES, source.frames)
    np.save(folder / FEATURES, source.features)
    person = source.person
    motions = {key: np.concatenate([motion[key] for motion in person.motions]) for key in WIDTHS}
    eyes = {"eye_open": person.eye_open, "eye_ball": person.eye_ball, "sc": person.sc}
    rest = {"matrix": source.crop_to_frame, "is_image": np.array(source.is_image)}
    arrays: dict[str, Any] = {**motions, **eyes, **rest}
    np.savez(folder / FACE, **arrays)


def load_source(folder: Path) -> Source:
    """Read a source.

    Raises:
        AvatarNotReady: The prepared folder is damaged.
    """
    try:
        frames: Bytes = np.load(folder / FRAMES, allow_pickle=False)
        features: Floats = np.load(folder / FEATURES, allow_pickle=False)
        with (folder / FACE).open("rb") as file, np.load(file, allow_pickle=False) as face:
            motions = tuple({key: face[key][i : i + 1] for key in WIDTHS} for i in range(len(frames)))
            person = Reference(motions, face["eye_open"], face["eye_ball"], face["sc"])
            matrix, is_image = face["matrix"], bool(face["is_image"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise damaged(str(error)) from error
    if not len(frames) == len(features) == len(matrix) == len(person.eye_open):
        raise damaged(f"{folder}: the files do not belong together")
    return Source(frames, features, matrix, person, is_image)


def load_loop(folder: Path) -> Floats:
    """Read the idle loop's keypoints, (n, 21, 3).

    Raises:
        AvatarNotReady: The prepared folder is damaged.
    """
    try:
        points: Floats = np.load(folder / LOOP, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(str(error)) from error
    if points.ndim != 3 or points.shape[1:] != (21, 3) or not len(points):
        raise damaged(f"{folder / LOOP} has the wrong shape")
    return points


class IdlePictures:
    """The idle loop's pictures: they stay on disk, in the system's page cache; closed when it is forgotten.

    Args:
        folder: A prepared avatar's.
        count: Pictures there are.
        height: In pixels.
        width: In pixels.

    Raises:
        AvatarNotReady: The prepared folder is damaged.
    """

    def __init__(self, folder: Path, count: int, height: int, width: int) -> None:
        self._count, self._shape = count, (height * 3 // 2, width)
        self._bytes = height * width * 3 // 2
        try:
            self._file = os.open(folder / IDLE, os.O_RDONLY)
        except OSError as error:
            raise damaged(str(error)) from error
        weakref.finalize(self, os.close, self._file)
        if os.fstat(self._file).st_size != count * self._bytes:
            raise damaged(f"{folder / IDLE} has the wrong size")

    def __getitem__(self, phase: int) -> NDArray[np.uint8]:
        """Return the picture at ``phase`` modulo the loop: (H * 3 // 2, W) I420, read-only; any thread."""
        stored = os.pread(self._file, self._bytes, phase % self._count * self._bytes)
        return np.frombuffer(stored, np.uint8).reshape(self._shape)


def damaged(detail: str) -> AvatarNotReady:
    """Return the error for a prepared folder that cannot be used."""
    return AvatarNotReady("This avatar's prepared files are damaged or old. Prepare it again.", detail)
