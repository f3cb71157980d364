"""Reads avatars that MuseTalk's own real-time script prepared, or LiveTalking: one frame after the other, as they are.

Such a folder holds ``latents.pt``, ``coords.pkl`` and ``mask_coords.pkl`` (one entry for each frame), the pictures
``full_imgs`` and ``mask``, and ``avator_info.json`` (spelt so; LiveTalking writes less into it). MuseTalk stores every
frame twice, forwards and then backwards; only the first half is read. Nothing in the folder is trusted or run.
Specification 7.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from studio.engines.imagefile import Header, probe, read_bytes
from studio.engines.musetalk.types import LATENT, LEAST_FACE, Box, Bytes, Floats, Frame
from studio.engines.nesting import Limits
from studio.engines.torchfile import Tensor, TorchFile
from studio.engines.unpickle import read_pickle
from studio.errors import AvatarNotReady, BadPortrait

LATENTS, BOXES, CROPS = "latents.pt", "coords.pkl", "mask_coords.pkl"
PICTURES, MASKS, INFO = "full_imgs", "mask", "avator_info.json"
SUFFIXES = (".png", ".jpg", ".jpeg")
FLOATS = ("f2", "f4", "f8", "bfloat16")
"""Kinds of numbers that latents may be, as of `torchfile.STORAGES`."""
MOST_FRAMES = 60_000
"""Entries of a folder: 20 minutes, stored twice."""
MOST_LOST = 0.2
"""Part of the frames that may be without a face."""
MOST_LATENT = 100.0
"""Latents of real networks stay within 8; whatever exceeds this is none."""
_INFO_BYTES = 65_536
_LIMITS = Limits(file_bytes=32_000_000, steps=4_000_000)


@dataclass(frozen=True, slots=True)
class Info:
    """What ``avator_info.json`` tells; nothing of it is needed."""

    avatar_id: str = ""
    video_path: str = ""
    version: str = ""
    """``v15``; empty where the writer did not say."""
    bbox_shift: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """Where the parts of one frame lie."""

    picture: Path
    mask: Path
    box: Box
    crop: Box
    latents: Tensor


def is_upstream(folder: Path) -> bool:
    """Does the folder look like an avatar that MuseTalk prepared?"""
    return (folder / LATENTS).is_file() and (folder / BOXES).is_file()


class Upstream:
    """A prepared avatar of upstream's, open; close it, or use it in a ``with``.

    Everything but the pixels is looked at before the first frame is read.

    Args:
        folder: As `is_upstream` recognises it.
        max_pixels: Width times height of a picture that is refused undecoded.
        max_bytes: Length of a picture file that is refused unread.

    Raises:
        BadPortrait: Parts are missing, damaged or do not fit each other; the sentence says which.
    """

    info: Info
    count: int
    """Frames that `frames` gives."""
    left_out: int
    """Frames without a face, which are left out."""
    width: int
    height: int

    def __init__(self, folder: Path, max_pixels: int, max_bytes: int) -> None:
        self._folder, self._max_pixels, self._max_bytes = folder, max_pixels, max_bytes
        with _as_portrait():
            boxes, crops = (_boxes(name, read_pickle(folder / name, _LIMITS)) for name in (BOXES, CROPS))
            self.info = _info(folder / INFO)
            self._file = TorchFile(folder / LATENTS, _LIMITS)
        try:
            with _as_portrait():
                self._entries = self._joined(boxes, crops)
            self.count = len(self._entries)
            first = self._header(self._entries[0].picture)
            self.width, self.height = first.width, first.height
            for entry in self._entries:
                self._judge(entry)
        except BaseException:
            self._file.close()
            raise

    def agree(self, bbox_shift: int) -> None:
        """Refuse boxes that were moved as v1.5 never moves them, unless the avatar's options say that they were.

        Raises:
            BadPortrait: With what to do; upstream asks on its terminal.
        """
        if self.info.bbox_shift not in (0, bbox_shift):
            told = f"This avatar was prepared with bbox_shift {self.info.bbox_shift}, and v1.5 has none"
            remedy = f"Set bbox_shift: {self.info.bbox_shift} to take it as it is, or prepare it from its video"
            raise BadPortrait(f"{told}. {remedy}.")

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order; one is in memory at a time.

        Raises:
            BadPortrait: A picture or a latent is damaged, or of another size than the first.
        """
        for entry in self._entries:
            x0, y0, x1, y1 = entry.box
            box = (max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height))
            picture = self._pixels(entry.picture, cv2.IMREAD_COLOR, (self.height, self.width))
            sides = (entry.crop[3] - entry.crop[1], entry.crop[2] - entry.crop[0])
            mask = self._pixels(entry.mask, cv2.IMREAD_GRAYSCALE, sides)
            yield Frame(picture, box, entry.crop, mask, self._latents(entry.latents))

    def close(self) -> None:
        """Close the files; idempotent."""
        self._file.close()

    def __enter__(self) -> Upstream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _joined(self, boxes: list[Box], crops: list[Box]) -> list[_Entry]:
        """Put the parts of each frame together."""
        pictures, masks = (_pictures(self._folder / name) for name in (PICTURES, MASKS))
        counts = {BOXES: len(boxes), CROPS: len(crops), PICTURES: len(pictures), MASKS: len(masks)}
        if len(set(counts.values())) > 1:
            told = ", ".join(f"{count} in {name}" for name, count in counts.items())
            raise BadPortrait(f"This avatar does not have as many entries everywhere: {told}. Copy it again.")
        latents = self._file.content
        if type(latents) is not list or not all(isinstance(latent, Tensor) for latent in latents):
            raise BadPortrait(f"{LATENTS} does not hold a list of tensors.")
        seen = [index for index, box in enumerate(boxes) if any(box)]
        if len(latents) not in (len(seen), len(boxes)):
            told = f"{len(latents)} latents for {len(boxes)} frames, {len(boxes) - len(seen)} of them without a face"
            raise BadPortrait(f"{LATENTS} has {told}. Prepare the avatar again.")
        places = range(len(boxes)) if len(latents) == len(boxes) else seen
        of_frame = dict(zip(places, latents, strict=True))
        half = len(boxes) // 2 if self._is_mirrored(boxes, crops, of_frame) else len(boxes)
        kept = [index for index in seen if index < half]
        self.left_out = half - len(kept)
        if not kept or self.left_out > MOST_LOST * half:
            raise BadPortrait(f"{self.left_out} of this avatar's {half} frames have no face. Use another video.")
        return [_Entry(pictures[k], masks[k], boxes[k], crops[k], of_frame[k]) for k in kept]

    def _is_mirrored(self, boxes: list[Box], crops: list[Box], latents: dict[int, Tensor]) -> bool:
        """Is the second half the first one backwards, in boxes and, where a still head has equal ones, in latents?"""
        count = len(boxes)
        if count % 2 or boxes != boxes[::-1] or crops != crops[::-1]:
            return False
        pairs = [(k, count - 1 - k) for k in {0, count // 4, count // 2 - 1} if k in latents]
        return all(np.array_equal(self._latents(latents[a]), self._latents(latents[b])) for a, b in pairs)

    def _judge(self, entry: _Entry) -> None:
        """Refuse boxes that make no sense for pictures of this size."""
        x0, y0, x1, y1 = entry.box
        inside = (max(x0, 0), max(y0, 0), min(x1, self.width), min(y1, self.height))
        name = entry.picture.name
        if min(inside[2] - inside[0], inside[3] - inside[1]) < LEAST_FACE:
            raise BadPortrait(f"The face box {list(entry.box)} of {name} lies outside of the picture or is too small.")
        left, top, right, bottom = entry.crop
        if not (left <= inside[0] and top <= inside[1] and right >= inside[2] and bottom >= inside[3]):
            raise BadPortrait(f"The mask's box {list(entry.crop)} of {name} does not cover its face box.")
        if max(right - left, bottom - top) > 4 * max(self.width, self.height):
            raise BadPortrait(f"The mask's box {list(entry.crop)} of {name} is larger than any face.")

    def _header(self, path: Path, data: bytes = b"") -> Header:
        header = probe(data or read_bytes(path, self._max_bytes), path.name)
        if header.width * header.height > self._max_pixels:
            limit = f"{self._max_pixels / 1e6:.0f} megapixels"
            raise BadPortrait(f"{path.name} has {header.width} × {header.height} pixels; the limit is {limit}.")
        if not header.whole:
            raise BadPortrait(f"{path.name} is cut off: the end of the file is missing. Copy it again.")
        return header

    def _pixels(self, path: Path, how: int, sides: tuple[int, int]) -> Bytes:
        """Return the pixels of a picture that must have ``sides`` (height, width)."""
        data = read_bytes(path, self._max_bytes)
        header = self._header(path, data)
        if sides != (header.height, header.width):
            size = f"{header.width} × {header.height} pixels instead of {sides[1]} × {sides[0]}"
            raise BadPortrait(f"{path.parent.name}/{path.name} has {size}. Copy the avatar again.")
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how)
        except cv2.error as error:
            raise BadPortrait(f"{path.name} is damaged and cannot be opened.", detail=str(error)) from error
        if pixels is None or pixels.shape[:2] != sides:
            raise BadPortrait(f"{path.name} is damaged and cannot be opened.")
        return np.asarray(pixels, np.uint8)

    def _latents(self, tensor: Tensor) -> Floats:
        """Return a frame's latents, (8, 32, 32)."""
        if tensor.shape not in (LATENT, (1, *LATENT)):
            raise BadPortrait(f"{LATENTS} holds a tensor of shape {list(tensor.shape)[:6]} instead of {[1, *LATENT]}.")
        if tensor.storage.kind not in FLOATS:
            raise BadPortrait(f"{LATENTS} holds numbers of kind {tensor.storage.kind}; MuseTalk writes floats.")
        with _as_portrait(), np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused below
            latents = np.asarray(self._file.read(tensor), np.float32).reshape(LATENT)
        if not np.abs(latents).max() <= MOST_LATENT:  # also refuses what is no number
            raise BadPortrait(f"{LATENTS} holds values that no network of MuseTalk makes. Prepare the avatar again.")
        return latents


@contextmanager
def _as_portrait() -> Iterator[None]:
    """Tell what is wrong with a file as what is wrong with the avatar's source."""
    try:
        yield
    except AvatarNotReady as error:
        raise BadPortrait(error.message, error.detail) from error


def _boxes(name: str, content: object) -> list[Box]:
    """Return a list of boxes; Python's and NumPy's numbers may be mixed."""
    if type(content) is not list or not 0 < len(content) <= MOST_FRAMES:
        raise BadPortrait(f"{name} does not hold a list of 1 to {MOST_FRAMES} boxes.")
    return [_box(name, index, entry) for index, entry in enumerate(content)]


def _box(name: str, index: int, entry: object) -> Box:
    if isinstance(entry, list | tuple) and len(entry) == 4:
        sides = [side.item() if isinstance(side, np.generic) else side for side in entry]
        if all(type(side) in (int, float) and math.isfinite(side) and side == int(side) for side in sides):
            x0, y0, x1, y1 = map(int, sides)
            return x0, y0, x1, y1
    raise BadPortrait(f"Entry {index} of {name} is not a box of four whole numbers.")


def _pictures(folder: Path) -> list[Path]:
    """Return the pictures of a folder in the order of their numbers."""
    if not folder.is_dir():
        raise BadPortrait(f"The avatar's folder {folder.name} is missing. Copy it again.")
    numbered: dict[int, Path] = {}
    for path in folder.iterdir():
        if path.suffix.lower() not in SUFFIXES or path.name.startswith("."):
            continue
        if not (path.stem.isascii() and path.stem.isdigit() and len(path.stem) <= 12):
            raise BadPortrait(f"{folder.name}/{path.name[:60]} is not named by a number as MuseTalk names pictures.")
        if int(path.stem) in numbered:
            raise BadPortrait(f"{folder.name} has two pictures of number {int(path.stem)}.")
        numbered[int(path.stem)] = path
    return [numbered[number] for number in sorted(numbered)]


def _info(path: Path) -> Info:
    """Return what the description tells; a missing one is no fault, a damaged one is."""
    if not path.is_file():
        return Info()
    try:
        body = json.loads(read_bytes(path, _INFO_BYTES))
    except (ValueError, RecursionError) as error:
        raise BadPortrait(f"{path.name} is damaged. Copy the avatar again.", str(error)) from error
    if not isinstance(body, dict):
        raise BadPortrait(f"{path.name} is damaged. Copy the avatar again.")
    avatar_id, video_path, version = (str(body.get(key) or "")[:200] for key in ("avatar_id", "video_path", "version"))
    shift = body.get("bbox_shift")
    return Info(avatar_id, video_path, version, shift if type(shift) is int else 0)
