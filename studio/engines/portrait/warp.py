"""What draws: the interface of its two implementations and the choice between them.

`compiled` needs numba; `portable` is OpenCV and array operations, several times slower. Both return the texture bit for
bit where nothing moves; elsewhere they differ by roundings (0.2 levels in the mean) and by what `compiled` leaves out
in a sequence: cells that moved by less than `compiled.LAZY_PX`. Neither knows what a mouth or an eye is.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import LipLine, Shape
from studio.engines.portrait.mouth import Scene
from studio.engines.portrait.rig import Box, Float

Byte = NDArray[np.uint8]
WARM, COLD = 3, 5
"""Fixed-point iterations in a running sequence and after a jump; with 2, lips are up to 0.6 px late in fast speech.

In a running sequence `compiled` spends the last one on the lips alone."""


class Warp(Protocol):
    """One take's texture and motion."""

    def paint(self, box: Box, y: Byte, u: Byte, v: Byte) -> None:
        """Replace the texture in ``box`` (even pixels): y (h, w), u and v (h / 2, w / 2)."""

    def draw(self, weights: Float, line: LipLine, iterations: int, out: Byte) -> None:
        """Draw the texture moved by ``weights`` (len(BASES),) into all of ``out`` (768, 512)."""


class Tools(Protocol):
    """One way to draw."""

    def make_warp(self, shape: Shape, y: Byte, u: Byte, v: Byte) -> Warp:
        """Return a take's warp of the texture y (512, 512), u and v (256, 256), which is copied."""

    def lip_line(self, contour: Float) -> LipLine:
        """Resample inner contours (2, 49, 2), upper then lower, to pixel columns.

        The fields meet half-way between the lips; beyond the corners at the corner's height, ever more softly.
        """

    def paint_inside(self, scene: Scene, line: LipLine, out: Byte) -> None:
        """Paint into ``out`` (768, 512) what the lips uncover."""


def tools() -> Tools:
    """Return the fastest tools that this machine can run."""
    if find_spec("numba") is not None:
        from studio.engines.portrait.compiled import CompiledTools

        return CompiledTools()
    from studio.engines.portrait.portable import PortableTools

    return PortableTools()
