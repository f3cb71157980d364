"""A prepared avatar on disk: N frames in files that are read by position, appended one frame at a time.

``avatar.json`` (format, width, height, count), ``pictures.i420`` (N pictures), ``masks.u8`` (the masks of the face
boxes, for each frame the soft and the sharp one), ``boxes.i32`` (N, 4), ``latents.f32`` (N, 8, 32, 32). Only the first
half of the loop is kept: frame k of the loop is `loop.mirror(k, N)`. Knows nothing of networks or sound.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.engines.musetalk.types import LATENT, Box, Bytes, Floats, Frame
from studio.errors import AvatarNotReady, BadPortrait

INDEX = "avatar.json"
PICTURES, MASKS, BOXES, LATENTS = FILES = ("pictures.i420", "masks.u8", "boxes.i32", "latents.f32")
FORMAT = 1
"""Of these files; another number is prepared anew."""
_BOX_BYTES, _LATENT_BYTES = 16, 4 * math.prod(LATENT)


def even(bgr: Bytes) -> Bytes:
    """Return the picture without its last odd row and column: I420 needs even sides."""
    height, width = bgr.shape[:2]
    return bgr[: height & ~1, : width & ~1]


def face_masks(frame: Frame, box: Box) -> Bytes:
    """Return the parts of a frame's masks that lie on a box, (2, h, w): soft, sharp."""
    x0, y0, x1, y1 = box
    left, top = frame.crop[:2]
    both = np.stack([frame.mask, frame.mask if frame.sharp is None else frame.sharp])
    cut = both[:, y0 - top : y1 - top, x0 - left : x1 - left]
    assert cut.shape == (2, y1 - y0, x1 - x0), "the masks cover the box"
    return cut


def held_bytes(boxes: Sequence[Box]) -> int:
    """Return what a prepared avatar holds in memory besides its pictures: see `Stored.memory_bytes`."""
    masks = sum(2 * (x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in boxes)
    return masks + len(boxes) * (_BOX_BYTES + _LATENT_BYTES)


class Draft:
    """An avatar being written: `add` each frame, then `finish`; what was added before a crash is found again.

    Args:
        folder: Exists; may hold an unfinished draft of the same avatar.
        width: Pixels of every frame.
        height: Pixels of every frame; odd sides lose a row or column.
    """

    def __init__(self, folder: Path, width: int, height: int) -> None:
        self._folder, self._width, self._height = folder, width & ~1, height & ~1
        for name in FILES:
            (folder / name).touch()
        self.count = self._whole_frames()
        """Frames that are there."""
        with ExitStack() as stack:
            self._files = [stack.enter_context((folder / name).open("ab")) for name in FILES]
            self._stack = stack.pop_all()

    def add(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            BadPortrait: Its picture has another size than the others.
        """
        shot = even(frame.picture)
        if shot.shape[:2] != (self._height, self._width):
            raise BadPortrait("The pictures of this video do not all have the same size.")
        x0, y0, x1, y1 = frame.box
        box = (x0, y0, min(x1, self._width), min(y1, self._height))
        i420 = picture.from_rgb(np.ascontiguousarray(shot[..., ::-1]))
        parts: tuple[NDArray[Any], ...] = (
            i420,
            face_masks(frame, box),
            np.array(box, np.int32),
            frame.latents.astype(np.float32),
        )
        for file, part in zip(self._files, parts, strict=True):
            file.write(part.tobytes())
        self.count += 1

    def finish(self) -> None:
        """Say that all frames are there; the folder may be read now."""
        self.close()
        index = {"format": FORMAT, "width": self._width, "height": self._height, "count": self.count}
        (self._folder / INDEX).write_text(json.dumps(index), "utf-8")

    def close(self) -> None:
        """Close the files; idempotent."""
        self._stack.close()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _whole_frames(self) -> int:
        """Return how many frames all files have whole, and cut off what is more."""
        size = {name: (self._folder / name).stat().st_size for name in FILES}
        boxes = np.fromfile(self._folder / BOXES, np.int32, size[BOXES] // _BOX_BYTES * 4).reshape(-1, 4)
        ends = _ends(boxes)
        picture_bytes = self._width * self._height * 3 // 2
        whole = min(size[PICTURES] // picture_bytes, size[LATENTS] // _LATENT_BYTES, len(boxes))
        while ends[whole] > size[MASKS]:
            whole -= 1
        sizes = (whole * picture_bytes, int(ends[whole]), whole * _BOX_BYTES, whole * _LATENT_BYTES)
        for name, length in zip(FILES, sizes, strict=True):
            with (self._folder / name).open("r+b") as file:
                file.truncate(length)
        return whole


class Stored:
    """A prepared avatar; its pictures are mapped: the system keeps in RAM what is shown, shared by all processes.

    Raises:
        AvatarNotReady: The folder is damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / INDEX).read_text("utf-8"))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            self.width, self.height, self.count = (int(index[key]) for key in ("width", "height", "count"))
            self.boxes = np.fromfile(folder / BOXES, np.int32).reshape(self.count, 4)
            self.latents: Floats = np.fromfile(folder / LATENTS, np.float32).reshape(self.count, *LATENT)
            self._masks: Bytes = np.fromfile(folder / MASKS, np.uint8)
            shape = (self.count, self.height * 3 // 2, self.width)
            self.pictures: Bytes = np.asarray(np.memmap(folder / PICTURES, np.uint8, "r", shape=shape))
            self._ends = _ends(self.boxes)
            self._check()
        except (OSError, ValueError, KeyError, TypeError) as error:
            sentence = "This avatar's prepared files are damaged or old. Prepare it again."
            raise AvatarNotReady(sentence, f"{folder}: {error}") from error

    def box(self, index: int) -> Box:
        """Return the face box of frame ``index``."""
        x0, y0, x1, y1 = self.boxes[index].tolist()
        return x0, y0, x1, y1

    def mask(self, index: int, sharp: bool = False) -> Bytes:
        """Return a mask of frame ``index``'s face box, (h, w) uint8: the soft one, or that of a film."""
        x0, y0, x1, y1 = self.box(index)
        both = self._masks[self._ends[index] : self._ends[index + 1]].reshape(2, y1 - y0, x1 - x0)
        mask: Bytes = both[int(sharp)]
        return mask

    @property
    def memory_bytes(self) -> int:
        """What is held in memory besides the pictures."""
        return self.latents.nbytes + self._masks.nbytes + self.boxes.nbytes

    def _check(self) -> None:
        low, high = self.boxes[:, :2], self.boxes[:, 2:]
        if not (np.all(low >= 0) and np.all(low < high) and np.all(high <= (self.width, self.height))):
            raise ValueError("boxes leave the picture")
        if self._ends[-1] != len(self._masks) or not np.isfinite(self.latents).all():
            raise ValueError("masks or latents do not fit")


def _ends(boxes: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return where each frame's masks begin, and where the last one's end, (n + 1,)."""
    sides = (boxes[:, 2:] - boxes[:, :2]).astype(np.int64)
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(2 * sides[:, 0] * sides[:, 1])))
