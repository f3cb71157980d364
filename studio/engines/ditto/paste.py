"""The drawn face goes back into the avatar's frame, inside a mask that fades towards its edges.

out = trunc(mask * face + (1 - mask) * frame), with face and mask carried into the frame by a bilinear warp.
Specification: section 10. A live picture is made in I420 from the start, which takes half the samples: the face becomes
Y, U and V once, before it is enlarged, and each plane is warped and mixed by itself. As all steps but the roundings are
linear, no byte is more than 1 away from that of the picture made in RGB and converted.
"""

from __future__ import annotations

import threading
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.engines.ditto.types import Bytes, Floats

SIDE: Final = 512
"""Pixels of a drawn face."""
RGB: Final = np.eye(3, 4, dtype=np.float32)
I420: Final = np.array(
    [[269484, 528482, 102760, 16 << 20], [-155188, -305135, 460324, 128 << 20], [460324, -385875, -74448, 128 << 20]]
).astype(np.float32) / np.float32(1 << 20)
"""Y, U and V of red, green, blue and 1: ITU-R BT.601 in limited range, as OpenCV has it."""
BIAS: Final = tuple(float(0.5 - 0.5 * one[:3].sum()) for one in I420)
"""Of Y, U and V: a half for rounding, less what colours without their fractions, a half each, would have lost."""


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


def render(face: Floats) -> Floats:
    """Return a drawn face (3, 512, 512) as colours (512, 512, 3) 0..255, not rounded."""
    return np.ascontiguousarray(np.clip(face * np.float32(255), 0, 255).transpose(1, 2, 0))


class Kernels(Protocol):
    """`pastekernels` or `pasteportable`: the same but for roundings. A face's planes are in the form of each."""

    @staticmethod
    def room() -> NDArray[Any]:
        """See `pasteportable.room`."""

    @staticmethod
    def weights(mask: Floats) -> NDArray[Any]:
        """See `pasteportable.weights`."""

    @staticmethod
    def spread(face: Floats, factors: Floats, out: NDArray[Any]) -> None:
        """See `pasteportable.spread`."""

    @staticmethod
    def draw(plane: NDArray[Any], mask: NDArray[Any], back: NDArray[np.float64], bias: float, out: Bytes) -> None:
        """See `pasteportable.draw`."""


def kernels() -> Kernels:
    """Return the compiled kernels where numba is there, else the portable ones."""
    name = "pastekernels" if find_spec("numba") is not None else "pasteportable"
    return cast(Kernels, import_module(f"studio.engines.ditto.{name}"))


class Painter:
    """Pastes faces into the frames of one avatar; any thread.

    Args:
        frames: (n, H, W, 3) RGB, even sides.
        crop_to_frame: (n, 3, 3)
        tools: Kernels other than `kernels()`.
    """

    def __init__(self, frames: Bytes, crop_to_frame: Floats, tools: Kernels | None = None) -> None:
        self._frames = frames
        self._tools = tools or kernels()
        self._back = np.linalg.inv(crop_to_frame.astype(np.float64))[:, :2]
        self._mask = self._tools.weights(mask())
        self._scratch = threading.local()
        self._pictures = [picture.from_rgb(frame) for frame in frames]

    def rgb(self, template: int, face: Floats) -> Bytes:
        """Return template frame ``template`` with a face in it, (H, W, 3) RGB.

        Args:
            template: 0 .. n - 1.
            face: (3, 512, 512) RGB, nominally 0..1; what exceeds that is clipped.
        """
        colours = np.ascontiguousarray(self._frames[template].transpose(2, 0, 1))
        for plane, colour in zip(self._spread(face, RGB), colours, strict=True):
            self._tools.draw(plane, self._mask, self._back[template], 0.0, colour)
        return np.ascontiguousarray(colours.transpose(1, 2, 0))

    def picture(self, template: int, face: Floats) -> Bytes:
        """Return the same as I420, (H * 3 // 2, W); chroma is that of each square's first pixel."""
        whole = self._pictures[template].copy()
        full = self._back[template]
        half = full * (2, 2, 1)
        planes = zip(self._spread(face, I420), picture.planes(whole), (full, half, half), BIAS, strict=True)
        for plane, out, back, bias in planes:
            self._tools.draw(plane, self._mask, back, bias, out)
        return whole

    def _spread(self, face: Floats, factors: Floats) -> NDArray[Any]:
        """Return the planes of a face in memory that a thread uses again and again: fresh pages cost more."""
        if not hasattr(self._scratch, "room"):
            self._scratch.room = self._tools.room()
        room: NDArray[Any] = self._scratch.room
        self._tools.spread(face, factors, room)
        return room
