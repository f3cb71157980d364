"""A prepared avatar on disk: N frames in files that are read by position, appended one frame at a time.

``avatar.json`` (format, packing, width, height, count), ``pictures`` (N pictures), ``masks`` (the masks of the face
boxes, for each frame the soft and the sharp one), ``frames`` (N boxes, and how many bytes each picture and mask has),
``latents.f32`` (N, 8, 32, 32). Only the first half of the loop is kept: frame k of the loop is `loop.mirror(k, N)`.
Pictures and masks are packed as `packing` says. Knows nothing of networks or sound.
"""

from __future__ import annotations

import json
import math
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.beat import FPS
from studio.engines.musetalk.packing import PACKINGS, damaged
from studio.engines.musetalk.types import LATENT, Box, Bytes, Floats, Frame
from studio.errors import BadPortrait

INDEX = "avatar.json"
PICTURES, MASKS, FRAMES, LATENTS = FILES = ("pictures", "masks", "frames", "latents.f32")
FORMAT = 2
"""Of these files; another number is prepared anew."""
ROW = np.dtype([("box", "<i4", 4), ("picture", "<i8"), ("soft", "<i8"), ("sharp", "<i8")])
"""Of ``frames``: the face box, and bytes in ``pictures`` and ``masks``."""
LATENT_BYTES = 4 * math.prod(LATENT)
PLAIN_SHARE = 0.5
"""Part of all avatars' memory that one may take before its pictures are compressed."""
TOLD = 25
"""Frames from which the need of all is told."""


def even(bgr: Bytes) -> Bytes:
    """Return the picture without its last odd row and column: I420 needs even sides."""
    height, width = bgr.shape[:2]
    return bgr[: height & ~1, : width & ~1]


def face_masks(frame: Frame, box: Box) -> tuple[Bytes, Bytes]:
    """Return the parts of a frame's masks that lie on a box, (h, w) each: soft, sharp."""
    x0, y0, x1, y1 = box
    left, top = frame.crop[:2]
    cut = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    soft, sharp = frame.mask[cut], (frame.mask if frame.sharp is None else frame.sharp)[cut]
    assert soft.shape == sharp.shape == (y1 - y0, x1 - x0), "the masks cover the box"
    return soft, sharp


@dataclass(frozen=True, slots=True)
class Room:
    """What an avatar may take, and how many frames it is going to have."""

    frames: int
    memory_bytes: int
    """Of `LimitsSpec.avatar_memory_mb`."""

    def packing(self, width: int, height: int) -> str:
        """Return how pictures of this size are kept: a name of `PACKINGS`."""
        plain_bytes = self.frames * (width * height * 3 // 2 + LATENT_BYTES)
        return "plain" if plain_bytes <= PLAIN_SHARE * self.memory_bytes else "compressed"


class Draft:
    """An avatar being written: `add` each frame, then `finish`; what was added before a crash is found again.

    Args:
        folder: Exists; may hold an unfinished draft of the same avatar.
        width: Pixels of every frame.
        height: Pixels of every frame; odd sides lose a row or column.
        room: What it may take.
    """

    def __init__(self, folder: Path, width: int, height: int, room: Room) -> None:
        self._folder, self._width, self._height, self._room = folder, width & ~1, height & ~1, room
        self.packing = room.packing(width, height)
        """How its pictures are kept."""
        for name in FILES:
            (folder / name).touch()
        rows = self._whole_rows()
        self.count = len(rows)
        """Frames that are there."""
        self.picture_bytes, self.rest_bytes = int(rows["picture"].sum()), _mask_bytes(rows)
        """What its pictures take, and everything else."""
        self.rest_bytes += self.count * (LATENT_BYTES + ROW.itemsize)
        with ExitStack() as stack:
            self._files = [stack.enter_context((folder / name).open("ab")) for name in FILES]
            self._stack = stack.pop_all()

    def add(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            BadPortrait: Its picture has another size than the others, or all of them will not fit into memory.
        """
        shot = even(frame.picture)
        if shot.shape[:2] != (self._height, self._width):
            raise BadPortrait("The pictures of this video do not all have the same size.")
        x0, y0, x1, y1 = frame.box
        box = (x0, y0, min(x1, self._width), min(y1, self._height))
        packing = PACKINGS[self.packing]
        seen = packing.pack_picture(picture.from_rgb(np.ascontiguousarray(shot[..., ::-1])))
        soft, sharp = map(packing.pack_mask, face_masks(frame, box))
        row = np.array([(box, len(seen), len(soft), len(sharp))], ROW).tobytes()
        latents = frame.latents.astype(np.float32).tobytes()
        for file, data in zip(self._files, (seen, soft + sharp, row, latents), strict=True):
            file.write(data)
        self.count += 1
        self.picture_bytes += len(seen)
        self.rest_bytes += len(soft) + len(sharp) + len(row) + len(latents)
        self._judge()

    def finish(self) -> None:
        """Say that all frames are there; the folder may be read now."""
        self.close()
        index = {"format": FORMAT, "packing": self.packing, "width": self._width, "height": self._height}
        (self._folder / INDEX).write_text(json.dumps({**index, "count": self.count}), "utf-8")

    def close(self) -> None:
        """Close the files; idempotent."""
        self._stack.close()

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _judge(self) -> None:
        """Refuse a film as soon as it is clear that it will not fit."""
        each = (self.picture_bytes + self.rest_bytes) / self.count
        needed, allowed = each * self._room.frames, self._room.memory_bytes
        if needed <= allowed or self.count < min(TOLD, self._room.frames):
            return
        raise BadPortrait(
            f"This film of {self._room.frames / FPS:.0f} seconds needs {needed / 1e6:.0f} MB of memory, even compressed"
            f"; limits.avatar_memory_mb allows {allowed / 1e6:.0f}. Use less of it (the option seconds: "
            f"{int(allowed / each / FPS)}), a smaller film, or a higher limit."
        )

    def _whole_rows(self) -> NDArray[np.void]:
        """Return the rows of the frames that all files have whole, and cut off what is more."""
        size = {name: (self._folder / name).stat().st_size for name in FILES}
        rows = np.fromfile(self._folder / FRAMES, ROW, size[FRAMES] // ROW.itemsize)
        pictures, masks = _ends(rows["picture"]), _ends(rows["soft"] + rows["sharp"])
        fits = (pictures <= size[PICTURES]) & (masks <= size[MASKS])
        fits &= np.arange(len(rows) + 1) * LATENT_BYTES <= size[LATENTS]
        whole = int(np.flatnonzero(fits)[-1]) if self._is_same_packing(rows) else 0
        sizes = (int(pictures[whole]), int(masks[whole]), whole * ROW.itemsize, whole * LATENT_BYTES)
        for name, length in zip(FILES, sizes, strict=True):
            with (self._folder / name).open("r+b") as file:
                file.truncate(length)
        return rows[:whole]

    def _is_same_packing(self, rows: NDArray[np.void]) -> bool:
        """Tell whether what is there was packed as this draft packs: the limit may have been changed meanwhile."""
        plain_bytes = self._width * self._height * 3 // 2
        return bool(np.all((rows["picture"] == plain_bytes) == (self.packing == "plain")))


class Stored:
    """A prepared avatar; its files are mapped: the system keeps in RAM what is shown, shared by all processes.

    Raises:
        AvatarNotReady: The folder is damaged, or of another format.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            index = json.loads((folder / INDEX).read_text("utf-8"))
            if index["format"] != FORMAT:
                raise ValueError(f"format {index['format']}")
            self.width, self.height, self.count = (int(index[key]) for key in ("width", "height", "count"))
            self.is_compressed = index["packing"] != "plain"
            self._packing = PACKINGS[index["packing"]]
            self._rows = np.fromfile(folder / FRAMES, ROW)
            self._pictures, self._masks = (_mapped(folder / name) for name in (PICTURES, MASKS))
            lengths = np.stack([self._rows["soft"], self._rows["sharp"]], axis=1).ravel()
            self._picture_ends, self._mask_ends = _ends(self._rows["picture"]), _ends(lengths)
            self._check()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise damaged(f"{folder}: {error}") from error
        self.picture_bytes = self.width * self.height * 3 // 2
        """Of one picture, unpacked."""
        self.memory_bytes = len(self._pictures) + len(self._masks) + self._rows.nbytes + self.count * LATENT_BYTES
        """What is held in memory while everything is shown: the files, as long as they are."""

    def box(self, index: int) -> Box:
        """Return the face box of frame ``index``."""
        x0, y0, x1, y1 = self._rows["box"][index].tolist()
        return x0, y0, x1, y1

    def picture(self, index: int) -> Bytes:
        """Return the picture of frame ``index``, (H * 3 // 2, W) I420, read-only; see `reel` for compressed ones.

        Raises:
            AvatarNotReady: It is damaged.
        """
        stored = self._pictures[self._picture_ends[index] : self._picture_ends[index + 1]]
        return self._packing.picture(stored, (self.height * 3 // 2, self.width))

    def mask(self, index: int, sharp: bool = False) -> Bytes:
        """Return a mask of frame ``index``'s face box, (h, w) uint8: the soft one, or that of a film.

        Raises:
            AvatarNotReady: It is damaged.
        """
        x0, y0, x1, y1 = self.box(index)
        at = 2 * index + int(sharp)
        return self._packing.mask(self._masks[self._mask_ends[at] : self._mask_ends[at + 1]], (y1 - y0, x1 - x0))

    def latents(self) -> Floats:
        """Read the latents of all frames, (N, 8, 32, 32).

        Raises:
            AvatarNotReady: They are damaged.
        """
        try:
            latents = np.fromfile(self._folder / LATENTS, np.float32).reshape(self.count, *LATENT)
        except (OSError, ValueError) as error:
            raise damaged(f"{self._folder}: {error}") from error
        if not np.isfinite(latents).all():
            raise damaged(f"{self._folder}: latents are no numbers")
        return latents

    def _check(self) -> None:
        if not len(self._rows) == self.count > 0:
            raise ValueError(f"{len(self._rows)} frames instead of {self.count}")
        low, high = self._rows["box"][:, :2], self._rows["box"][:, 2:]
        if not (np.all(low >= 0) and np.all(low < high) and np.all(high <= (self.width, self.height))):
            raise ValueError("boxes leave the picture")
        lengths = np.stack([self._rows[name] for name in ("picture", "soft", "sharp")])
        ends = self._picture_ends[-1], self._mask_ends[-1]
        if lengths.min() < 1 or ends != (len(self._pictures), len(self._masks)):
            raise ValueError("pictures or masks do not fit")


def _mapped(path: Path) -> Bytes:
    return np.asarray(np.memmap(path, np.uint8, "r"))


def _mask_bytes(rows: NDArray[np.void]) -> int:
    return int(rows["soft"].sum() + rows["sharp"].sum())


def _ends(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each of some parts begins, and where the last one ends, (n + 1,)."""
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))
