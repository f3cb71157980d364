"""The drawn face goes back into the avatar's frame, inside a mask that fades towards its edges.

out = trunc(mask * face + (1 - mask) * frame), with face and mask carried into the frame by one bilinear warp: the mask
travels as the fourth channel, so that nothing as large as a frame has to be kept for each template frame. Only the
face's bounding box is touched; the rest of the picture is made once. Specification: section 10.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Final, Protocol, cast

import cv2
import numpy as np

from studio import picture
from studio.engines.ditto.types import Bytes, Floats

SIDE: Final = 512
"""Pixels of a drawn face."""
STRIP: Final = 64
"""Rows, an even number, that are warped at a time: they stay in the processor's cache until they are blended."""
REACH: Final = 2
"""Pixels by which a bounding box is larger than the face's corners ask for."""


@cache
def mask() -> Floats:
    """Return the mask (512, 512): 1 in the middle nine tenths, linear ramps at the edges, round ones at the corners."""
    inner = int(SIDE * 0.9)
    edge = (SIDE - inner) // 2
    ramp = np.linspace(0, 1, edge)
    whole = np.ones((SIDE, SIDE))
    whole[:edge], whole[-edge:] = ramp[:, None], ramp[::-1, None]
    whole[edge:-edge, :edge], whole[edge:-edge, -edge:] = ramp, ramp[::-1]
    away = 1 - ramp
    corner = 1 - np.clip(np.hypot(away[:, None], away[None, :]), 0, 1)
    whole[:edge, :edge], whole[:edge, -edge:] = corner, corner[:, ::-1]
    whole[-edge:, :edge], whole[-edge:, -edge:] = corner[::-1], corner[::-1, ::-1]
    single: Floats = whole.astype(np.float32)
    single.setflags(write=False)
    return single


@dataclass(frozen=True, slots=True)
class Box:
    """Where a face lies in a frame: even pixels, ends exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def columns(self) -> slice:
        """Left to right."""
        return slice(self.left, self.right)


def box_of(crop_to_frame: Floats, height: int, width: int) -> Box:
    """Return the part of a frame (even sides) that a face can touch; empty where it lies outside."""
    corners = np.array([[0, 0, 1], [SIDE, 0, 1], [0, SIDE, 1], [SIDE, SIDE, 1]]) @ crop_to_frame[:2].T
    low = np.floor(corners.min(axis=0)).astype(int) - REACH
    high = np.ceil(corners.max(axis=0)).astype(int) + REACH
    left, top = (int(n) // 2 * 2 for n in np.clip(low, 0, (width, height)))
    right, bottom = (-(-int(n) // 2) * 2 for n in np.clip(high, 0, (width, height)))
    return Box(left, top, right, bottom) if left < right and top < bottom else Box(0, 0, 0, 0)


def render(face: Floats) -> Floats:
    """Return a drawn face (3, 512, 512) as colours (512, 512, 3) 0..255, not rounded."""
    colours = np.empty(face.shape, np.float32)
    kernels().fill(face, colours)
    return np.ascontiguousarray(colours.transpose(1, 2, 0))


class Kernels(Protocol):
    """`pastekernels` or `pasteportable`: of the same numbers."""

    @staticmethod
    def fill(face: Floats, out: Floats) -> None:
        """See `pasteportable.fill`."""

    @staticmethod
    def blend(weight: Floats, colour: Floats, plane: Bytes) -> None:
        """See `pasteportable.blend`."""

    @staticmethod
    def convert(red: Bytes, green: Bytes, blue: Bytes, y: Bytes, u: Bytes, v: Bytes) -> None:
        """See `pasteportable.convert`."""


def kernels() -> Kernels:
    """Return the compiled kernels where numba is there, else the portable ones."""
    name = "pastekernels" if find_spec("numba") is not None else "pasteportable"
    return cast(Kernels, import_module(f"studio.engines.ditto.{name}"))


class Scratch(threading.local):
    """Memory that one thread uses again and again: fresh pages would cost more than the arithmetic."""

    def __init__(self) -> None:
        self.face = np.empty((SIDE, SIDE, 4), np.float32)
        """Colours 0..255 and the mask."""
        self.colours = np.empty((3, SIDE, SIDE), np.float32)
        self._strips: dict[tuple[int, int], tuple[Floats, list[Floats], list[Bytes]]] = {}

    def strip(self, height: int, width: int) -> tuple[Floats, list[Floats], list[Bytes]]:
        """Return room for a strip: (h, w, 4), four planes (h, w), and three planes (h, w) of bytes."""
        if (height, width) not in self._strips:
            whole = np.empty((height, width, 4), np.float32)
            planes = [np.empty((height, width), np.float32) for _ in range(4)]
            self._strips[height, width] = whole, planes, [np.empty((height, width), np.uint8) for _ in range(3)]
        return self._strips[height, width]


class Painter:
    """Pastes faces into the frames of one avatar; any thread.

    Args:
        frames: (n, H, W, 3) RGB, even sides.
        crop_to_frame: (n, 3, 3)
    """

    def __init__(self, frames: Bytes, crop_to_frame: Floats) -> None:
        self._frames = frames
        self._matrices = crop_to_frame
        self._boxes = [box_of(matrix, *frames.shape[1:3]) for matrix in crop_to_frame]
        self._scratch = Scratch()
        own = kernels()
        self._fill, self._blend, self._convert = own.fill, own.blend, own.convert
        self._pictures = [picture.from_rgb(frame) for frame in frames]

    def rgb(self, template: int, face: Floats) -> Bytes:
        """Return template frame ``template`` with a face in it, (H, W, 3) RGB.

        Args:
            template: 0 .. n - 1.
            face: (3, 512, 512) RGB, nominally 0..1; what exceeds that is clipped.
        """
        whole: Bytes = self._frames[template].copy()
        columns = self._boxes[template].columns
        for rows, colours in self._strips(template, face):
            whole[rows, columns] = cv2.merge(colours)
        return whole

    def picture(self, template: int, face: Floats) -> Bytes:
        """Return the same as I420, (H * 3 // 2, W)."""
        whole = self._pictures[template].copy()
        y, u, v = picture.planes(whole)
        columns = self._boxes[template].columns
        half = slice(columns.start // 2, columns.stop // 2)
        for rows, (red, green, blue) in self._strips(template, face):
            halves = slice(rows.start // 2, rows.stop // 2)
            self._convert(red, green, blue, y[rows, columns], u[halves, half], v[halves, half])
        return whole

    def _strips(self, template: int, face: Floats) -> Iterator[tuple[slice, list[Bytes]]]:
        """Yield rows of a template frame and their three colour planes, within the face's box; valid until the next."""
        scratch, box = self._scratch, self._boxes[template]
        self._fill(face, scratch.colours)
        cv2.merge([*scratch.colours, mask()], scratch.face)
        matrix = self._matrices[template][:2].astype(np.float64)
        for top in range(box.top, box.bottom, STRIP):
            rows = slice(top, min(top + STRIP, box.bottom))
            shifted = matrix - [[0, 0, box.left], [0, 0, top]]
            warped, colours, planes = scratch.strip(rows.stop - top, box.right - box.left)
            cv2.warpAffine(scratch.face, shifted, warped.shape[1::-1], dst=warped, flags=cv2.INTER_LINEAR)
            cv2.split(warped, colours)
            cv2.split(self._frames[template, rows, box.columns], planes)
            for colour, plane in zip(colours, planes, strict=False):
                self._blend(colours[3], colour, plane)
            yield rows, planes
