"""The eyes: small patches of the *texture*, so that all motion carries them for free (specification section 6).

An eye is shown in two ways. `PhotoEye` pulls the lid's own skin down over a photo's eye and shifts its iris;
`DrawnEye` takes tiles that were drawn. Both return the patch for a blink and a gaze; at rest, the picture itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.rig import Box, Float

Byte = NDArray[np.uint8]
Tile = tuple[Byte, Byte, Byte]
"""Y (h, w), U and V (h / 2, w / 2)."""
GAZE_MM = 2.5
"""Gaze of the outer columns of a drawn eye's tiles."""
LIGHT_PX = 3.4
"""How far a light moves, px per mm of gaze: more than an iris of that scale would, else nobody sees it."""
LIGHT_SLOPE = 0.75
"""How much of its own width the glass beside a light may be squeezed by."""
_BLINK_STEPS, _GAZE_STEPS = 64, 20
"""Steps per unit of blink and per millimetre of gaze: finer changes do not repaint the eye."""


class Eye(Protocol):
    """One eye of one face; immutable, shared by all takes."""

    @property
    def box(self) -> Box:
        """Even pixels of the picture that the patch covers."""

    def tile(self, blink: float, gx: float, gy: float) -> Tile:
        """Return the patch at ``blink`` 0..1 and gaze in mm; new arrays or shared ones nobody may write."""


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A part of the picture, in planes, and where it lies."""

    place: NDArray[np.int32]
    """(4,) x0, y0, x1, y1, even pixels, end exclusive."""
    y: Byte
    """(..., h, w)"""
    u: Byte
    """(..., h / 2, w / 2)"""
    v: Byte

    @property
    def box(self) -> Box:
        """Even pixels of the picture that the patch covers."""
        x0, y0, x1, y1 = (int(n) for n in self.place)
        return x0, y0, x1, y1


@dataclass(frozen=True, slots=True, eq=False)
class Atlas(Patch):
    """A patch in many states that were drawn: planes (rows, columns, h, w)."""

    def mixed(self, row: float, column: float) -> Tile:
        """Return the tile at a fractional place of the atlas."""
        return between(self.y, row, column), between(self.u, row, column), between(self.v, row, column)


@dataclass(frozen=True, slots=True, eq=False)
class PhotoEye(Patch):
    """An eye that is made of the photo, whose own patch it is.

    Patch = kept * eye + added, per stage of the blink, where the eye is the photo's with its iris shifted.
    """

    kept: Byte
    """(stages, h, w) share of the eye that stays visible, 0..255."""
    added: Byte
    """(stages, h, w) the lid's luma, multiplied by its coverage."""
    kept_chroma: Byte
    """(stages, h / 2, w / 2)."""
    added_u: Byte
    """(stages, h / 2, w / 2) the lid's U multiplied by its coverage."""
    added_v: Byte
    window: Float
    """(h, w) how far a pixel follows the gaze, px per mm."""

    def tile(self, blink: float, gx: float, gy: float) -> Tile:
        """See `Eye.tile`."""
        y, u, v = self._gazing(gx, gy) if gx or gy else (self.y, self.u, self.v)
        if blink <= 0:
            return y, u, v
        at = min(blink, 1.0) * (len(self.kept) - 1)
        low = min(int(at), len(self.kept) - 2)
        part = at - low

        def over(base: Byte, kept: Byte, added: Byte) -> Byte:
            share = cv2.addWeighted(kept[low], 1 - part, kept[low + 1], part, 0, dtype=cv2.CV_32F)
            lid = cv2.addWeighted(added[low], 1 - part, added[low + 1], part, 0.5, dtype=cv2.CV_32F)
            patch: Byte = (base * share * np.float32(1 / 255) + lid).clip(0, 255).astype(np.uint8)
            return patch

        return (
            over(y, self.kept, self.added),
            over(u, self.kept_chroma, self.added_u),
            over(v, self.kept_chroma, self.added_v),
        )

    def _gazing(self, gx: float, gy: float) -> Tile:
        return shifted((self.y, self.u, self.v), self.window, gx, gy)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnEye(Atlas):
    """An eye with ready tiles: (blink stages, gaze stages, h, w), from open to shut and from image left to right.

    With a single gaze stage it is a light on a screen, which is shifted as a whole.
    """

    def tile(self, blink: float, gx: float, gy: float) -> Tile:
        """See `Eye.tile`; of drawn eyes, only lights look up and down."""
        stages, gazes = self.y.shape[:2]
        row = min(max(blink, 0.0), 1.0) * (stages - 1)
        if gazes == 1:
            lit = self.mixed(row, 0)
            return shifted(lit, _inside(*self.y.shape[2:]), gx, gy) if gx or gy else lit
        column = (min(max(gx / GAZE_MM, -1.0), 1.0) + 1) / 2 * (gazes - 1)
        return self.mixed(row, column)


def between(tiles: Byte, row: float, column: float) -> Byte:
    """Return the tile at a fractional place of an atlas (rows, columns, h, w), mixed from its up to four neighbours."""
    r, c = min(int(row), len(tiles) - 1), min(int(column), tiles.shape[1] - 1)
    if row == r and column == c:
        exact: Byte = tiles[r, c]
        return exact
    below, right = min(r + 1, len(tiles) - 1), min(c + 1, tiles.shape[1] - 1)
    upper = cv2.addWeighted(tiles[r, c], 1 - (column - c), tiles[r, right], column - c, 0)
    lower = cv2.addWeighted(tiles[below, c], 1 - (column - c), tiles[below, right], column - c, 0)
    mixed: Byte = cv2.addWeighted(upper, 1 - (row - r), lower, row - r, 0)
    return mixed


def shifted(tile: Tile, window: Float, gx: float, gy: float) -> Tile:
    """Return ``tile`` with what is inside ``window`` (h, w; px per mm) moved by a gaze in mm."""
    height, width = window.shape
    columns = np.arange(width, dtype=np.float32) - np.float32(gx) * window
    rows = np.arange(height, dtype=np.float32)[:, None] - np.float32(gy) * window
    half = [m.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) * 0.5 - 0.25 for m in (columns, rows)]

    def at(plane: Byte, columns: Float, rows: Float) -> Byte:
        moved = cv2.remap(plane, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)

    y, u, v = tile
    return at(y, columns, rows), at(u, half[0], half[1]), at(v, half[0], half[1])


def _inside(height: int, width: int) -> Float:
    """Return a light's window (h, w): `LIGHT_PX` px per mm inside, falling to 0 on the border."""
    edge = LIGHT_PX * GAZE_MM / LIGHT_SLOPE
    down, across = (np.minimum(np.arange(n), np.arange(n)[::-1]).astype(np.float32) for n in (height, width))
    near = np.clip(np.minimum(down[:, None], across[None]) / np.float32(edge), 0, 1)
    return np.asarray(LIGHT_PX * near, np.float32)


class Gaze:
    """One take's memory of what its eyes show: says which patches changed."""

    def __init__(self, eyes: tuple[Eye, ...]) -> None:
        self._eyes = eyes
        self._shown: list[tuple[int, int, int]] = [(0, 0, 0)] * len(eyes)

    def changed(self, blinks: tuple[float, ...], gx: float, gy: float) -> list[tuple[Box, Tile]]:
        """Return box and patch of each eye that no longer shows ``blinks`` (one per eye) and gaze (mm)."""
        patches = []
        for i, (eye, blink) in enumerate(zip(self._eyes, blinks, strict=True)):
            wanted = (round(blink * _BLINK_STEPS), round(gx * _GAZE_STEPS), round(gy * _GAZE_STEPS))
            if wanted != self._shown[i]:
                self._shown[i] = wanted
                lid, x, y = wanted
                patches.append((eye.box, eye.tile(lid / _BLINK_STEPS, x / _GAZE_STEPS, y / _GAZE_STEPS)))
        return patches


def save_eye(eye: Eye) -> dict[str, NDArray[np.generic]]:
    """Return the arrays by which `load_eye` restores ``eye``."""
    if not isinstance(eye, PhotoEye | DrawnEye):
        raise TypeError(f"no way to save {type(eye).__name__}")
    return {f.name: getattr(eye, f.name) for f in fields(eye)}


def load_eye(arrays: Mapping[str, NDArray[np.generic]]) -> Eye:
    """Restore an eye from `save_eye`'s arrays.

    Raises:
        KeyError: If an array is missing.
        ValueError: If shapes do not fit each other.
    """
    kind = PhotoEye if "window" in arrays else DrawnEye
    eye = kind(**{f.name: np.ascontiguousarray(arrays[f.name]) for f in fields(kind)})
    x0, y0, x1, y1 = eye.box
    luma, chroma = (y1 - y0, x1 - x0), ((y1 - y0) // 2, (x1 - x0) // 2)
    for f in fields(kind):
        array = getattr(eye, f.name)
        fits = chroma if f.name in ("u", "v", "kept_chroma", "added_u", "added_v") else luma
        if f.name != "place" and (
            array.shape[-2:] != fits or array.dtype != (np.float32 if f.name == "window" else np.uint8)
        ):
            raise ValueError(f"eye {f.name}: {array.shape} {array.dtype}")
    if not (0 <= x0 < x1 <= 512 and 0 <= y0 < y1 <= 512) or any(n % 2 for n in eye.box):
        raise ValueError(f"eye box {eye.box}")
    return eye
