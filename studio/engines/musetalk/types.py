"""What all parts of the engine share: constants, boxes, and one prepared frame.

A **box** is x0, y0, x1, y1 in pixels, ends exclusive. The *face box* is what the network paints; the *crop box* is the
larger square around it in which the mask was made, and may leave the picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from studio.errors import ConfigError

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]
ParsingMode = Literal["jaw", "raw", "neck"]

FACE = 256
"""Side of the network's pictures in pixels."""
LATENT = (8, 32, 32)
"""Latents of one frame: masked picture 0..3, whole picture 4..7."""
STATES = 5
WIDTH = 384
"""A feature row of the speech encoder is (STATES, WIDTH)."""
TOKENS = 50
"""A frame's prompt is (TOKENS, WIDTH): ten rows of five states."""
LEAST_FACE = 16
"""Narrower or lower face boxes (pixels) count as no face."""


@dataclass(frozen=True, slots=True)
class Rules:
    """How an avatar is prepared: upstream's command line, v1.5 defaults."""

    extra_margin: int = 10
    """Pixels added below the chin."""
    parsing_mode: ParsingMode = "jaw"
    left_cheek_width: int = 90
    right_cheek_width: int = 90
    upper_boundary_ratio: float = 0.5
    """Part of the crop box, from its top, that stays as it was filmed."""

    def __post_init__(self) -> None:
        if self.parsing_mode not in ("jaw", "raw", "neck"):
            raise ConfigError(f"parsing_mode is jaw, raw or neck, not {self.parsing_mode!r}.")
        _within("extra_margin", self.extra_margin, 0, 1000)
        _within("left_cheek_width", self.left_cheek_width, 0, 256)
        _within("right_cheek_width", self.right_cheek_width, 0, 256)
        _within("upper_boundary_ratio", self.upper_boundary_ratio, 0.0, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame of an avatar, prepared; nothing is shared with other frames."""

    picture: Bytes
    """(H, W, 3) BGR."""
    box: Box
    """The face box, inside the picture, the margin included."""
    crop: Box
    """The crop box; may leave the picture."""
    mask: Bytes
    """(y1 - y0, x1 - x0) of the crop box; 255 is the network's picture, 0 the film's."""
    latents: Floats
    """(8, 32, 32): `LATENT`."""
    sharp: Bytes | None = None
    """The mask of upstream's offline script, blurred half as far; None: there is none but ``mask``."""


def _within(name: str, value: Any, low: float, high: float) -> None:
    kinds = (int,) if isinstance(low, int) else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ConfigError(f"{name} is a number from {low} to {high}, not {value!r}.")
