"""A rig: one portrait with everything that moves it, as it lies on disk and in memory.

Coordinates are pixels of the 512x512 source picture, pixel centres on integers. Fields live on nodes 4 px apart: node
(i, j) sits at pixel (4 j + 1.5, 4 i + 1.5), so that doubling or quadrupling the grid is the half-pixel convention of
picture resizers (specification section 3). A displacement is (dx, dy) in pixels per unit of its parameter, forward:
the skin at q goes to q + D(q).

On disk a rig is ``source.png`` and ``geometry.npz`` (no pickles; fields as float16, which errs by less than 0.02 px).
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import EXPRESSION, HEAD
from studio.errors import AvatarNotReady

SIZE = 512
"""Side of source and output in pixels."""
NODE = 4
"""Pixels between nodes."""
NODES = SIZE // NODE
CONTOUR_POINTS = 49

Float = NDArray[np.float32]
Box = tuple[int, int, int, int]
"""x0, y0, x1, y1; end exclusive."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What a photo or a drawing gives to the rig: the framed picture and where everything is in it."""

    rgb: NDArray[np.uint8]
    """(512, 512, 3) RGB."""
    landmarks: Float
    """(478, 3): MediaPipe face mesh in pixels, z in the scale of x, away from the camera positive; 468..477 iris."""
    person: Float
    """(512, 512) 0..1, 1 on the person."""
    drawn: bool = False
    """A drawn character: flat teeth, own eye patches."""


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """How the skin moves: output of `bases`, input of `field` and `mouth`."""

    scale: float
    """s: pixels per millimetre."""
    half_width: float
    """hw: half the mouth's width in mm."""
    roll: float
    """Roll of the mouth's corner line at rest, radians."""
    gap: float
    """Opening between the inner lips at rest, mm; > 1.6: the source's lips are parted."""
    centre: Float
    """(2,) mean of the inner lips, px."""
    head_box: Box
    """Head window in nodes; everything outside stays as in the source."""
    face_box: Box
    """Nodes that `face` covers; inside ``head_box``."""
    low_box: Box
    """Nodes that `low` covers (the mouth and chin); inside ``face_box``."""
    head: Float
    """(len(HEAD), h, w, 2) on head_box: yaw, pitch, roll per radian; tx, ty per mm; zoom and breathe per unit."""
    face: Float
    """(len(EXPRESSION), h, w, 2) on face_box: the field of everything above the lip line (U)."""
    low: Float
    """(len(EXPRESSION), h, w, 2) on low_box: the field below the lip line (L)."""
    upper: Float
    """(49, 2) inner contour of the upper lip at rest, left to right, px; 1 px inside the lip if the lips are parted."""
    lower: Float
    """(49, 2) inner contour of the lower lip at rest; shares its ends with ``upper``."""
    upper_bases: Float
    """(len(EXPRESSION) + len(HEAD), 49, 2) displacement of ``upper`` per unit, expression first."""
    lower_bases: Float
    """(len(EXPRESSION) + len(HEAD), 49, 2) displacement of ``lower`` per unit."""


BASES = EXPRESSION + HEAD
"""Order of the contour bases; equals the first parameters of a pose."""

VERSION = 1
"""Of the files below; others are prepared anew."""

_SCALARS = ("scale", "half_width", "roll", "gap")
_BOXES = ("head_box", "face_box", "low_box")
_FIELDS = ("head", "face", "low")
_CURVES = ("centre", "upper", "lower", "upper_bases", "lower_bases")


def save(folder: Path, source: Source, geometry: Geometry) -> None:
    """Write a rig into the existing ``folder``."""
    done, png = cv2.imencode(".png", source.rgb[..., ::-1])
    assert done, "OpenCV encodes every picture as PNG"
    (folder / "source.png").write_bytes(png.tobytes())
    arrays: dict[str, NDArray[Any]] = {
        "landmarks": source.landmarks.astype(np.float32),
        "person": np.rint(source.person * 255).astype(np.uint8),
        "drawn": np.array(source.drawn),
    }
    arrays |= {name: np.array(getattr(geometry, name), np.float64) for name in _SCALARS}
    arrays |= {name: np.array(getattr(geometry, name), np.int32) for name in _BOXES}
    arrays |= {name: getattr(geometry, name).astype(np.float16) for name in _FIELDS}
    arrays |= {name: getattr(geometry, name).astype(np.float32) for name in _CURVES}
    write_arrays(folder / "geometry.npz", VERSION, arrays)


def load(folder: Path) -> tuple[Source, Geometry]:
    """Read what `save` wrote; fields come back as float32.

    Raises:
        AvatarNotReady: Something is missing, broken or of another version.
    """
    arrays = read_arrays(folder / "geometry.npz", VERSION)
    bgr = cv2.imread(str(folder / "source.png"), cv2.IMREAD_COLOR)
    if bgr is None:
        raise _unusable(f"{folder}/source.png cannot be read")
    try:
        source = Source(
            rgb=np.ascontiguousarray(bgr[..., ::-1], np.uint8),
            landmarks=arrays["landmarks"],
            person=arrays["person"].astype(np.float32) / np.float32(255),
            drawn=bool(arrays["drawn"]),
        )
        geometry = _geometry(arrays)
    except (KeyError, TypeError, ValueError) as error:
        raise _unusable(f"{folder}: {error!r}") from error
    check(source, geometry)
    return source, geometry


def _geometry(arrays: Mapping[str, NDArray[Any]]) -> Geometry:
    scalars = {name: float(arrays[name]) for name in _SCALARS}
    boxes = {name: _box(arrays[name]) for name in _BOXES}
    curves = {name: arrays[name].astype(np.float32) for name in (*_FIELDS, *_CURVES)}
    everything: dict[str, Any] = {**scalars, **boxes, **curves}
    return Geometry(**everything)


def check(source: Source, geometry: Geometry) -> None:
    """Make sure that shapes, boxes and values are what the docstrings promise.

    Raises:
        AvatarNotReady: They are not.
    """
    shapes = {"rgb": (SIZE, SIZE, 3), "landmarks": (478, 3), "person": (SIZE, SIZE)}
    for name, shape in shapes.items():
        _expect(getattr(source, name).shape == shape, f"{name} has shape {getattr(source, name).shape}")
    _expect(bool(np.isfinite(source.landmarks).all()), "landmarks are not finite")
    outer = (0, 0, NODES, NODES)
    for box in (geometry.head_box, geometry.face_box, geometry.low_box):
        _expect(outer[0] <= box[0] <= box[2] <= outer[2] and outer[1] <= box[1] <= box[3] <= outer[3], f"box {box}")
        outer = box
    counts = {"head": len(HEAD), "face": len(EXPRESSION), "low": len(EXPRESSION)}
    expected: dict[str, tuple[int, ...]] = {
        "centre": (2,),
        "upper": (CONTOUR_POINTS, 2),
        "lower": (CONTOUR_POINTS, 2),
        "upper_bases": (len(BASES), CONTOUR_POINTS, 2),
        "lower_bases": (len(BASES), CONTOUR_POINTS, 2),
    }
    for name, count in counts.items():
        x0, y0, x1, y1 = getattr(geometry, f"{name}_box")
        expected[name] = (count, y1 - y0, x1 - x0, 2)
    for name, shape in expected.items():
        array = getattr(geometry, name)
        _expect(array.shape == shape and array.dtype == np.float32, f"{name}: {array.dtype} {array.shape}, not {shape}")
        _expect(bool(np.isfinite(array).all()), f"{name} is not finite")
    _expect(geometry.scale > 0 and geometry.half_width > 0, "the face has no size")


def write_arrays(path: Path, version: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays (numbers only) and the version of their meaning to ``path`` (.npz, compressed)."""
    everything: dict[str, Any] = {"version": np.array(version), **arrays}
    with path.open("wb") as file:
        np.savez_compressed(file, **everything)


def read_arrays(path: Path, version: int) -> dict[str, NDArray[Any]]:
    """Read all arrays that `write_arrays` wrote.

    Raises:
        AvatarNotReady: No such file, not whole, holding objects, or of another version.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise _unusable(f"{path}: {error!r}") from error
    found = arrays.pop("version", np.array(-1))
    _expect(found.shape == () and int(found) == version, f"{path}: version {found}, not {version}")
    return arrays


def _box(values: NDArray[np.int32]) -> Box:
    x0, y0, x1, y1 = (int(value) for value in values)
    return x0, y0, x1, y1


def _expect(claim: bool, otherwise: str) -> None:
    if not claim:
        raise _unusable(otherwise)


def _unusable(detail: str) -> AvatarNotReady:
    return AvatarNotReady("This avatar's prepared files are damaged or old. Prepare it again.", detail)
