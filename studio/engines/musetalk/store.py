"""A prepared avatar on disk: N frames in files that are read by position, written one frame at a time.

``avatar.json`` (width, height, count), ``pictures.i420`` (N pictures), ``masks.u8`` (the masks of the face boxes, one
after the other), ``boxes.npy`` (N, 4) int32, ``latents.npy`` (N, 8, 32, 32) float32. Only the first half of the loop
is kept: frame k of the loop is `video.mirror(k, N)`. Knows nothing of networks or sound.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.lib.format import open_memmap

from studio import picture
from studio.engines.musetalk.types import LATENT, Box, Bytes, Floats, Frame
from studio.errors import AvatarNotReady, BadPortrait

INDEX = "avatar.json"
PICTURES = "pictures.i420"
MASKS = "masks.u8"
BOXES = "boxes.npy"
LATENTS = "latents.npy"
FORMAT = 1
"""Of these files; another number is prepared anew."""


def even(picture_bgr: Bytes) -> Bytes:
    """Return the picture without its last odd row and column: I420 needs even sides."""
    height, width = picture_bgr.shape[:2]
    return picture_bgr[: height & ~1, : width & ~1]


def face_mask(frame: Frame) -> Bytes:
    """Return the part of a frame's mask that lies on its face box, (h, w)."""
    x0, y0, x1, y1 = frame.box
    left, top = frame.crop[:2]
    return frame.mask[y0 - top : y1 - top, x0 - left : x1 - left]


class Draft:
    """An avatar being written: `add` each frame, then `finish`; nothing is complete before that.

    Args:
        folder: Exists.
        count: Frames that will come.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count
        self._size: tuple[int, int] | None = None
        self._boxes: list[Box] = []
        self._pictures = (folder / PICTURES).open("wb")
        self._masks = (folder / MASKS).open("wb")
        self._latents: np.memmap[tuple[int, ...], np.dtype[np.float32]] = open_memmap(
            folder / LATENTS, "w+", np.float32, (count, *LATENT)
        )

    def add(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            BadPortrait: Its picture has another size than the first one's.
        """
        shot = even(frame.picture)
        size = (shot.shape[1], shot.shape[0])
        self._size = self._size or size
        if size != self._size:
            raise BadPortrait("The pictures of this video do not all have the same size.")
        x0, y0, x1, y1 = frame.box
        box = (x0, y0, min(x1, size[0]), min(y1, size[1]))
        mask = face_mask(frame)[: box[3] - y0, : box[2] - x0]
        assert mask.shape == (box[3] - y0, box[2] - x0), "the mask covers the face box"
        self._latents[len(self._boxes)] = frame.latents
        self._boxes.append(box)
        self._pictures.write(picture.from_rgb(np.ascontiguousarray(shot[..., ::-1])).tobytes())
        self._masks.write(np.ascontiguousarray(mask).tobytes())

    def finish(self) -> None:
        """Write what is written last; all frames must have come."""
        assert len(self._boxes) == self._count and self._size is not None
        self.close()
        np.save(self._folder / BOXES, np.array(self._boxes, np.int32))
        index = {"format": FORMAT, "width": self._size[0], "height": self._size[1], "count": self._count}
        (self._folder / INDEX).write_text(json.dumps(index), "utf-8")

    def close(self) -> None:
        """Close the files; idempotent."""
        self._pictures.close()
        self._masks.close()
        self._latents.flush()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Stored:
    """A prepared avatar, mapped into memory: the system keeps in RAM what is shown, and shares it between processes.

    Raises:
        AvatarNotReady: The folder is damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        try:
            index = json.loads((folder / INDEX).read_text("utf-8"))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            self.width, self.height, self.count = (int(index[key]) for key in ("width", "height", "count"))
            self.boxes = np.load(folder / BOXES, allow_pickle=False).reshape(self.count, 4)
            self.latents: Floats = np.load(folder / LATENTS, allow_pickle=False).reshape(self.count, *LATENT)
            shape = (self.count, self.height * 3 // 2, self.width)
            self.pictures: Bytes = np.memmap(folder / PICTURES, np.uint8, "r", shape=shape)
            self._masks: Bytes = np.fromfile(folder / MASKS, np.uint8)
            sizes = (self.boxes[:, 2] - self.boxes[:, 0]) * (self.boxes[:, 3] - self.boxes[:, 1])
            self._starts = np.concatenate(([0], np.cumsum(sizes)))
            if self._starts[-1] != len(self._masks) or not np.isfinite(self.latents).all():
                raise ValueError("masks or latents do not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            sentence = "This avatar's prepared files are damaged or old. Prepare it again."
            raise AvatarNotReady(sentence, f"{folder}: {error}") from error

    def box(self, index: int) -> Box:
        """Return the face box of frame ``index``."""
        x0, y0, x1, y1 = self.boxes[index].tolist()
        return x0, y0, x1, y1

    def mask(self, index: int) -> Bytes:
        """Return the mask of frame ``index``'s face box, (h, w) uint8."""
        x0, y0, x1, y1 = self.box(index)
        return self._masks[self._starts[index] : self._starts[index + 1]].reshape(y1 - y0, x1 - x0)
