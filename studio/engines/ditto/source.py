"""An avatar's picture or video, frame by frame, in the size in which every output leaves. Specification: section 3."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from studio.engines.ditto.options import Setup
from studio.engines.ditto.types import Bytes
from studio.engines.imagefile import decode, opaque, read_bytes
from studio.errors import BadPortrait
from studio.footage import is_footage, read_footage
from studio.spec import LimitsSpec

FEATURE_BYTES = 4 * 32 * 16 * 64 * 64
"""Of one frame's appearance features."""


@dataclass(frozen=True, slots=True)
class Frames:
    """What is registered: an avatar's frames, in order."""

    pictures: Iterator[Bytes]
    """(H, W, 3) RGB each, all of one even size; read as they are asked for."""
    is_image: bool


def open_source(path: Path, setup: Setup, limits: LimitsSpec | None = None) -> Frames:
    """Open a picture or a video; its first bytes say which it is.

    Args:
        path: The file.
        setup: For ``max_size``, ``template_n_frames`` and ``N_d``.
        limits: Of pixels, of bytes, and of an avatar's memory.

    Raises:
        BadPortrait: It cannot be read; the sentence says why. A video says so while it is read.
    """
    limits = limits or LimitsSpec()
    if not is_footage(path):
        rgb = decode(read_bytes(path, limits.picture_bytes), path.name, limits.picture_pixels, opaque)
        return Frames(sized(iter([rgb]), setup.max_size), True)
    frames = read_footage(path, limits.picture_pixels)
    return Frames(cut(sized(frames, setup.max_size), setup, limits), False)


def cut(frames: Iterator[Bytes], setup: Setup, limits: LimitsSpec) -> Iterator[Bytes]:
    """Yield as many frames as the options ask for.

    Raises:
        BadPortrait: There are more than an avatar may keep in memory.
    """
    wanted = next((n for n in (setup.template_n_frames, setup.N_d) if n > 0), None)
    for i, frame in enumerate(frames):
        if i == wanted:
            return
        most = limits.avatar_memory_mb * 1_000_000 // kept_bytes(frame)
        if i >= most:
            raise BadPortrait(
                f"This video has more than {most} pictures, which is all that an avatar of its size may keep. "
                f"Set template_n_frames to {most} or less."
            )
        yield frame


def kept_bytes(frame: Bytes) -> int:
    """Return what an avatar keeps in memory for a frame: its features, its colours, and the same as I420."""
    return FEATURE_BYTES + frame.nbytes + frame.nbytes // 2


def sized(frames: Iterator[Bytes], max_size: int) -> Iterator[Bytes]:
    """Yield frames in the size that the first one's is `fitted` to."""
    size: tuple[int, int] | None = None
    for frame in frames:
        size = size or fitted(frame.shape[0], frame.shape[1], max_size)
        if frame.shape[:2] != size:
            frame = np.asarray(cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
        yield frame


def fitted(height: int, width: int, max_size: int) -> tuple[int, int]:
    """Return the even height and width, not longer than ``max_size`` (0 or less: as it is), that a frame is given."""
    if 0 < max_size < max(height, width):
        longer = max(height, width)
        # Python rounds halves to the even number, as the rule wants it.
        height, width = round(height * max_size / longer), round(width * max_size / longer)
    return height - height % 2, width - width % 2
