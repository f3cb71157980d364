"""From a pose to a picture: the face that all visits share, and one take's renderer.

A beat: eyes into the texture (`eyes`), one warp of the texture (`warp`), the mouth's inside on top (`mouth`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engine import Progress
from studio.engines.portrait import rig
from studio.engines.portrait.eyes import Eye, Gaze, load_eye, save_eye
from studio.engines.portrait.field import Shape, contours, shape
from studio.engines.portrait.interior import Style, load_interior, prepare_interior, save_interior
from studio.engines.portrait.lids import photo_eyes
from studio.engines.portrait.mouth import Mouth
from studio.engines.portrait.opening import Sprite, refine, without_opening
from studio.engines.portrait.parameters import COUNT, INDEX
from studio.engines.portrait.rig import BASES, SIZE, Float, Geometry, Source
from studio.engines.portrait.screen import ScreenLips, ScreenMouth
from studio.engines.portrait.warp import COLD, WARM, Tools, tools
from studio.errors import AvatarNotReady

Byte = NDArray[np.uint8]
VERSION = 3
"""Of ``face.npz``."""
_JUMP_PX = 12.0
"""A lip that moves farther than this from one picture to the next starts the inverse afresh."""
_JUMP = 0.85
"""And so does any parameter of skin or head that changes by more than this."""
_LEFT, _RIGHT, _GX, _GY = (INDEX[n] for n in ("blink_left", "blink_right", "gx", "gy"))


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """Everything about one portrait that rendering needs; immutable, shared by all takes."""

    source: Source
    geometry: Geometry
    texture: Byte
    """(768, 512) I420, BT.601 limited range: the source, its parted lips' opening filled."""
    shape: Shape
    eyes: tuple[Eye, ...]
    """The image's left and right eye."""
    mouth: Mouth | ScreenMouth
    parts: dict[str, NDArray[np.generic]]
    """What `save` writes beside the rig."""

    @classmethod
    def prepare(cls, source: Source, geometry: Geometry, report: Progress) -> Face:
        """Build the face of a photo: its mouth's inside and its eyes.

        Args:
            source: The framed picture.
            geometry: Its rig.
            report: Hears how far the work is.
        """
        report(0.0, "drawing teeth")
        geometry = refine(source, geometry)
        interior = prepare_interior(source, geometry)
        texture = i420(without_opening(source.rgb, geometry))
        report(0.5, "learning to blink")
        eyes = photo_eyes(*planes(texture), source.landmarks, geometry.scale)
        face = cls.assemble(source, geometry, texture, eyes, save_interior(interior))
        if interior.photo is None:
            return face
        # Lips that were filled and painted again are not quite the photo: at rest the difference is added.
        correction = rest_sprite(i420(source.rgb), Renderer(face).render(np.zeros(COUNT, np.float32)))
        return cls.assemble(source, geometry, texture, eyes, save_interior(replace(interior, rest=correction)))

    @classmethod
    def drawn(cls, source: Source, geometry: Geometry, eyes: tuple[Eye, ...], style: Style) -> Face:
        """Build the face of a drawn human from its own eyes and ``style``."""
        interior = prepare_interior(source, geometry, style)
        return cls.assemble(source, geometry, i420(source.rgb), eyes, save_interior(interior))

    @classmethod
    def screen(cls, source: Source, geometry: Geometry, eyes: tuple[Eye, ...], mouth: ScreenMouth) -> Face:
        """Build the face of a character with a screen."""
        return cls.assemble(source, geometry, i420(source.rgb), eyes, _screen_arrays(mouth))

    @classmethod
    def assemble(
        cls,
        source: Source,
        geometry: Geometry,
        texture: Byte,
        eyes: tuple[Eye, ...],
        mouth: dict[str, NDArray[np.generic]],
    ) -> Face:
        """Put a face together from prepared parts; ``mouth`` holds an interior's or a screen mouth's arrays."""
        parts: dict[str, NDArray[np.generic]] = {"texture": texture}
        parts |= {f"mouth_{name}": array for name, array in mouth.items()}
        for i, eye in enumerate(eyes):
            parts |= {f"eye{i}_{name}": array for name, array in save_eye(eye).items()}
        built = _screen_mouth(mouth) if "place" in mouth else Mouth(geometry, load_interior(mouth))
        return cls(source, geometry, texture, shape(geometry), eyes, built, parts)

    def save(self, folder: Path) -> None:
        """Write the rig and the face into the existing ``folder``; no pickles."""
        rig.save(folder, self.source, self.geometry)
        rig.write_arrays(folder / "face.npz", VERSION, self.parts)

    @classmethod
    def load(cls, folder: Path) -> Face:
        """Read what `save` wrote.

        Raises:
            AvatarNotReady: Something is missing, broken or of another version.
        """
        source, geometry = rig.load(folder)
        arrays = rig.read_arrays(folder / "face.npz", VERSION)
        try:
            texture = arrays["texture"]
            if texture.shape != (SIZE * 3 // 2, SIZE) or texture.dtype != np.uint8:
                raise ValueError(f"texture {texture.shape} {texture.dtype}")
            eyes = tuple(load_eye(_under(arrays, f"eye{i}_")) for i in range(2))
            return cls.assemble(source, geometry, texture, eyes, _under(arrays, "mouth_"))
        except (KeyError, TypeError, ValueError) as error:
            raise AvatarNotReady(
                "This avatar's prepared files are damaged or old. Prepare it again.", f"{folder}: {error!r}"
            ) from error


def _under(arrays: dict[str, NDArray[np.generic]], prefix: str) -> dict[str, NDArray[np.generic]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _screen_arrays(mouth: ScreenMouth) -> dict[str, NDArray[np.generic]]:
    """Return a screen mouth's arrays by name."""
    return {"place": mouth.place, "y": mouth.y, "u": mouth.u, "v": mouth.v}


def _screen_mouth(arrays: dict[str, NDArray[np.generic]]) -> ScreenMouth:
    place, y, u, v = (np.ascontiguousarray(arrays[n]) for n in ("place", "y", "u", "v"))
    mouth = ScreenMouth(place.astype(np.int32), *(a.astype(np.uint8) for a in (y, u, v)))
    x0, y0, x1, y1 = mouth.box
    if y.ndim != 4 or y.shape[2:] != (y1 - y0, x1 - x0) or u.shape[2:] != ((y1 - y0) // 2, (x1 - x0) // 2):
        raise ValueError(f"screen mouth {mouth.box}: {y.shape}, {u.shape}")
    return mouth


def i420(rgb: Byte) -> Byte:
    """Return (512, 512, 3) RGB as (768, 512) I420, BT.601 limited range."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)


def planes(picture: Byte) -> tuple[Byte, Byte, Byte]:
    """Return views of Y (512, 512), U and V (256, 256) of an I420 picture (768, 512)."""
    chroma = picture[SIZE:].reshape(2, SIZE // 2, SIZE // 2)
    return picture[:SIZE], chroma[0], chroma[1]


def rest_sprite(wanted: Byte, drawn: Byte) -> Sprite:
    """Return what must be added to the picture ``drawn`` to get ``wanted``, both (768, 512), as a sprite in levels."""
    y, u, v = (a.astype(np.float32) - b for a, b in zip(planes(wanted), planes(drawn), strict=True))
    levels = np.dstack([y, *(c.repeat(2, axis=0).repeat(2, axis=1) for c in (u, v)), np.zeros_like(y)])
    rows, columns = (np.flatnonzero(levels.any(axis=(2, axis))) // 2 * 2 for axis in (1, 0))
    y0, y1, x0, x1 = rows[0], rows[-1] + 2, columns[0], columns[-1] + 2
    return Sprite(levels[y0:y1, x0:x1].copy(), np.zeros(2, np.float32), np.array([x0, y0], np.float32))


class Renderer:
    """One take's face in motion: not for two threads at once.

    Args:
        face: What it looks like; shared.
        using: What draws; the fastest if None.
    """

    def __init__(self, face: Face, using: Tools | None = None) -> None:
        self._face = face
        self._tools = tools() if using is None else using
        self._warp = self._tools.make_warp(face.shape, *planes(face.texture))
        self._gaze = Gaze(face.eyes)
        self._lips = ScreenLips(face.mouth) if isinstance(face.mouth, ScreenMouth) else None
        self._pose: Float | None = None
        self._contour = face.shape.contour
        self._last = face.texture

    def render(self, pose: Float) -> Byte:
        """Return a picture (768, 512) uint8 I420 of ``pose`` (COUNT,) float32: a new array that may only be read.

        A picture depends very slightly (well below a pixel) on those before: the inverse of the motion is warm-started
        from the last one, and what hardly moved may stay as it was drawn. The same pose again gives the same picture.
        """
        if pose.shape != (COUNT,):
            raise ValueError(f"a pose has {COUNT} parameters, not {pose.shape}")
        if self._pose is not None and np.array_equal(pose, self._pose):
            return self._last.copy()
        for box, tile in self._gaze.changed(
            (float(pose[_LEFT]), float(pose[_RIGHT])), float(pose[_GX]), float(pose[_GY])
        ):
            self._warp.paint(box, *tile)
        if self._lips is not None:
            for box, tile in self._lips.changed(pose):
                self._warp.paint(box, *tile)
        weights = np.ascontiguousarray(pose[: len(BASES)], np.float32)
        contour = contours(self._face.shape, weights)
        line = self._tools.lip_line(contour)
        out = np.empty_like(self._face.texture)
        self._warp.draw(weights, line, self._iterations(pose, contour), out)
        if isinstance(self._face.mouth, Mouth):
            self._tools.paint_inside(self._face.mouth.scene(pose), line, out)
        self._pose, self._contour, self._last = pose.copy(), contour, out
        return out

    def _iterations(self, pose: Float, contour: Float) -> int:
        if self._pose is None:
            return COLD
        moved = float(np.abs(contour - self._contour).max())
        jumped = float(np.abs(pose[: len(BASES)] - self._pose[: len(BASES)]).max())
        return COLD if moved > _JUMP_PX or jumped > _JUMP else WARM
