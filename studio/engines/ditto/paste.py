"""The drawn face goes back into the avatar's frame, inside a mask that fades towards its edges.

out = trunc(mask * face + (1 - mask) * frame), with face and mask carried into the frame by one bilinear warp: the mask
travels as the fourth channel, so that nothing as large as a frame has to be kept for each template frame. Only the
face's bounding box is touched; the rest of the picture is made once. Specification: section 10.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Final

import cv2
import numpy as np

from studio import picture
from studio.engines.ditto.types import Bytes, Floats

SIDE: Final = 512
"""Pixels of a drawn face."""
STRIP: Final = 64
"""Rows that are warped at a time: they stay in the processor's cache until they are blended."""
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
    filled = np.empty((SIDE, SIDE, 4), np.float32)
    kernels()[0](face, filled)
    return filled[:, :, :3]


def kernels() -> tuple[Callable[[Floats, Floats], None], Callable[[Floats, Floats, Bytes], None]]:
    """Return ``fill`` and ``blend``: compiled where numba is there, of the same numbers where it is not."""
    if find_spec("numba") is not None:
        from studio.engines.ditto import pastekernels

        return pastekernels.fill, pastekernels.blend
    from studio.engines.ditto import pasteportable

    return pasteportable.fill, pasteportable.blend


class Scratch(threading.local):
    """Memory that one thread uses again and again: fresh pages would cost more than the arithmetic."""

    def __init__(self) -> None:
        self.face = np.empty((SIDE, SIDE, 4), np.float32)
        """Colours 0..255 and the mask."""
        self.face[:, :, 3] = mask()
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
        self._fill, self._blend = kernels()
        self._pictures = [picture.from_rgb(frame) for frame in frames]

    @property
    def nbytes(self) -> int:
        """Memory that is kept besides the frames."""
        return sum(one.nbytes for one in self._pictures)

    def rgb(self, template: int, face: Floats) -> Bytes:
        """Return template frame ``template`` with a face in it, (H, W, 3) RGB.

        Args:
            template: 0 .. n - 1.
            face: (3, 512, 512) RGB, nominally 0..1; what exceeds that is clipped.
        """
        whole: Bytes = self._frames[template].copy()
        box = self._boxes[template]
        whole[box.top : box.bottom, box.left : box.right] = self._pasted(template, face)
        return whole

    def picture(self, template: int, face: Floats) -> Bytes:
        """Return the same as I420, (H * 3 // 2, W)."""
        whole = self._pictures[template].copy()
        box = self._boxes[template]
        if not box.right:
            return whole
        part = picture.from_rgb(self._pasted(template, face))
        y, x = slice(box.top, box.bottom), slice(box.left, box.right)
        half_y, half_x = slice(box.top // 2, box.bottom // 2), slice(box.left // 2, box.right // 2)
        places = ((y, x), (half_y, half_x), (half_y, half_x))
        for plane, place, new in zip(picture.planes(whole), places, picture.planes(part), strict=True):
            plane[place] = new
        return whole

    def _pasted(self, template: int, face: Floats) -> Bytes:
        """Return the box of a template frame with a face in it, RGB."""
        box = self._boxes[template]
        scratch = self._scratch
        self._fill(face, scratch.face)
        frame = self._frames[template, box.top : box.bottom, box.left : box.right]
        out = np.empty(frame.shape, np.uint8)
        matrix = self._matrices[template][:2].astype(np.float64)
        for top in range(0, len(frame), STRIP):
            rows = slice(top, min(top + STRIP, len(frame)))
            shifted = matrix - [[0, 0, box.left], [0, 0, box.top + top]]
            warped, colours, planes = scratch.strip(rows.stop - top, box.right - box.left)
            cv2.warpAffine(scratch.face, shifted, warped.shape[1::-1], dst=warped, flags=cv2.INTER_LINEAR)
            cv2.split(warped, colours)
            cv2.split(frame[rows], planes)
            for colour, plane in zip(colours, planes, strict=False):
                self._blend(colours[3], colour, plane)
            cv2.merge(planes, out[rows])
        return out
