"""Reads a picture file that nobody vouches for: format, size and completeness first, pixels only then.

Knows nothing of faces. The size is taken from the header by hand, so that a small file that would unfold into
gigabytes is refused before anything is decoded. Sources: PNG third edition (W3C 2025), ITU-T T.81 annex B, RFC 9649
(WebP), GIF89a, Exif 2.32 section 4.6 (orientation). Colour profiles are ignored: everything counts as sRGB.
"""

from __future__ import annotations

import errno
import stat
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.errors import BadPortrait

READABLE = "JPEG, PNG, WebP, GIF or BMP"
SMALLEST = 96
"""Pixels of the shorter side from which a picture can hold a usable face."""
LONGEST = 4096
"""Pixels of the longer side to which larger pictures are reduced: no face needs more."""
BACKDROP = 190
"""Grey, 0..255, behind transparent pixels."""

Decoded = NDArray[np.integer | np.floating]
"""(H, W), (H, W, 3) BGR or (H, W, 4) BGRA; uint8 or uint16."""
Rgb = NDArray[np.uint8]

_FOREIGN = (
    (4, (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftyphevc"), "a HEIC"),
    (4, (b"ftypavif", b"ftypavis"), "an AVIF"),
    (4, (b"ftyp",), "a video"),
    (0, (b"II*\0", b"MM\0*"), "a TIFF or raw"),
    (0, (b"8BPS",), "a Photoshop"),
    (0, (b"%PDF",), "a PDF"),
    (0, (b"<svg", b"<?xml"), "an SVG"),
    (0, (b"\0\0\1\0",), "an icon"),
    (0, (b"\xff\x0a", b"\0\0\0\x0cJXL "), "a JPEG XL"),
)
"""Offset, beginnings, name with article: what people take for a picture and this module does not read."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself before its pixels are touched."""

    width: int
    height: int
    orientation: int = 1
    """Exif: 1 upright, 2 mirrored, 3 upside down, 6 and 8 on its side, ..."""
    whole: bool = True
    """False if the file ends before its picture does."""


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return the file at ``path``.

    Raises:
        BadPortrait: Missing, a folder, unreadable, empty or longer than ``max_bytes``; each in a sentence of its own.
    """
    name = path.name
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            raise BadPortrait(f"{name} is a folder, not a picture.")
        if not stat.S_ISREG(kind):
            raise BadPortrait(f"{name} is not a picture file.")
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise BadPortrait(f"There is no picture called {name}.", detail=str(error)) from error
    except PermissionError as error:
        raise BadPortrait(f"The studio has no permission to read {name}.", detail=str(error)) from error
    except ValueError as error:
        raise BadPortrait("The picture's file name holds characters that no file can have.", str(error)) from error
    except OSError as error:
        reasons = {errno.ELOOP: "is a link that leads to no file", errno.ENAMETOOLONG: "has too long a name"}
        reason = reasons.get(error.errno or 0, "cannot be read from the disk")
        raise BadPortrait(f"{name[:100]} {reason}.", detail=str(error)) from error
    if not data:
        raise BadPortrait(f"{name} is empty.")
    if len(data) > max_bytes:
        raise BadPortrait(f"{name} is larger than {max_bytes / 1e6:.0f} MB. Save it smaller.")
    return data


def decode(data: bytes, name: str, max_pixels: int, to_rgb: Callable[[Decoded], Rgb] | None = None) -> Rgb:
    """Return the picture in ``data`` as upright (H, W, 3) uint8 RGB; of an animation, the first frame.

    Args:
        data: A whole file.
        name: What the sentences call it.
        max_pixels: Width times height from which it is refused undecoded.
        to_rgb: `flatten`, the default, or `opaque`.

    Raises:
        BadPortrait: Not a picture, a foreign format, too large, too small, cut off or damaged.
    """
    header = probe(data, name)
    size = f"{header.width} × {header.height} pixels"
    if header.width * header.height > max_pixels:
        raise BadPortrait(f"{name} has {size}; the limit is {max_pixels / 1e6:.0f} megapixels. Make it smaller.")
    if min(header.width, header.height) < SMALLEST:
        raise BadPortrait(f"{name} has only {size}. Use a picture whose face alone is 200 pixels wide.")
    if not header.whole:
        raise BadPortrait(f"{name} is cut off: the end of the file is missing. Copy it again.")
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise BadPortrait(f"{name} is damaged and cannot be opened.", detail=str(error)) from error
    if pixels is None:
        raise BadPortrait(f"{name} is damaged and cannot be opened.")
    return upright((to_rgb or flatten)(np.asarray(pixels)), header.orientation)


def read_portrait(path: Path, max_pixels: int, max_bytes: int) -> NDArray[np.uint8]:
    """Return the picture at ``path`` as upright (H, W, 3) uint8 RGB, at most `LONGEST` pixels long.

    Raises:
        BadPortrait: It cannot be read; the sentence says why.
    """
    return decode(read_bytes(path, max_bytes), path.name, max_pixels)


def probe(data: bytes, name: str) -> Header:
    """Return what the header says.

    Raises:
        BadPortrait: Not one of the readable formats, or a header that makes no sense.
    """
    readers = {b"\x89PNG\r\n\x1a\n": _png, b"\xff\xd8\xff": _jpeg, b"GIF8": _gif, b"BM": _bmp, b"RIFF": _webp}
    reader = next((read for start, read in readers.items() if data.startswith(start)), None)
    if reader is None or (reader is _webp and data[8:12] != b"WEBP"):
        raise BadPortrait(_foreign(data, name))
    try:
        header = reader(data)
    except (struct.error, IndexError) as error:
        raise BadPortrait(f"{name} is cut off: the end of the file is missing. Copy it again.") from error
    if header.width <= 0 or header.height <= 0:
        raise BadPortrait(f"{name} is damaged and cannot be opened.", detail=f"{header}")
    return header


def _foreign(data: bytes, name: str) -> str:
    for offset, beginnings, kind in _FOREIGN:
        if data[offset:].lstrip(b"\xef\xbb\xbf \r\n\t")[:16].startswith(beginnings):
            return f"{name} is {kind} file, which the studio cannot read. Save the picture as JPEG or PNG."
    return f"{name} is not a picture. Use a {READABLE} file."


def _png(data: bytes) -> Header:
    width, height = struct.unpack_from(">II", data, 16)
    orientation, whole, at = 1, False, 8
    while at + 8 <= len(data) and not whole:
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            orientation = _orientation(data[at + 8 : at + 8 + length])
        at += 12 + length
        whole = kind == b"IEND"
    return Header(width, height, orientation, whole)


def _jpeg(data: bytes) -> Header:
    width = height = 0
    orientation, at = 1, 2
    while data[at + 1] != 0xDA:  # start of scan: the compressed picture follows
        if data[at] != 0xFF:
            return Header(0, 0)
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == 0xFF:
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, at + 5)
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            orientation = _orientation(data[at + 10 : at + 2 + length])
        at += 2 + length
    return Header(width, height, orientation, data.rfind(b"\xff\xd9") > at)


def _gif(data: bytes) -> Header:
    """The header, and by walking the blocks whether the first of its pictures is there to its end."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _palette_bytes(flags)
    while at < len(data):
        picture = data[at] == 0x2C
        at += 11 + _palette_bytes(data[at + 9]) if picture else 2
        while at < len(data) and data[at]:  # sub-blocks, each with its length before it; zero ends them
            at += 1 + data[at]
        if picture:
            return Header(width, height, whole=at < len(data))
        at += 1
    return Header(width, height, whole=False)


def _palette_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _bmp(data: bytes) -> Header:
    begin, kind = struct.unpack_from("<II", data, 10)
    if kind < 40:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", data, 18)
    rows = begin + (width * bits + 31) // 32 * 4 * abs(height)
    return Header(width, abs(height), whole=packed in (1, 2) or len(data) >= rows)


def _webp(data: bytes) -> Header:
    kind = data[12:16]
    orientation = 1
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        exif = next((body for name, body in _riff(data) if name == b"EXIF"), b"")
        orientation = _orientation(exif.removeprefix(b"Exif\0\0"))
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    return Header(width, height, orientation, len(data) >= 8 + struct.unpack_from("<I", data, 4)[0])


def _riff(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 12
    while at + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, at)
        yield name, data[at + 8 : at + 8 + length]
        at += 8 + length + length % 2


def _orientation(tiff: bytes) -> int:
    """Return the orientation tag of an Exif block, 1 if it has none or makes no sense."""
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        at = struct.unpack_from(order + "I", tiff, 4)[0]
        for entry in range(struct.unpack_from(order + "H", tiff, at)[0]):
            tag, _, _, value = struct.unpack_from(order + "HHIH", tiff, at + 2 + 12 * entry)
            if tag == 0x0112:
                return value if 1 <= value <= 8 else 1
    except struct.error:
        return 1
    return 1


def flatten(pixels: Decoded) -> Rgb:
    """Return any decoded picture as (H, W, 3) uint8 RGB: reduced to `LONGEST`, 8 bit, on a neutral backdrop.

    Args:
        pixels: (H, W), (H, W, 3) BGR or (H, W, 4) BGRA; uint8 or uint16.
    """
    factor = LONGEST / max(pixels.shape[:2])
    if factor < 1:
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA))
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return opaque(pixels)
    opacity = _eight_bit(pixels)[:, :, 3:].astype(np.float32) / 255
    return np.rint(opaque(pixels).astype(np.float32) * opacity + BACKDROP * (1 - opacity)).astype(np.uint8)


def opaque(pixels: Decoded) -> Rgb:
    """Return any decoded picture as (H, W, 3) uint8 RGB in its own size; transparency is left out.

    Args:
        pixels: As for `flatten`.
    """
    pixels = _eight_bit(pixels)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)
    code = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return np.asarray(cv2.cvtColor(pixels, code), np.uint8)


def _eight_bit(pixels: Decoded) -> Decoded:
    return (pixels // 257).astype(np.uint8) if pixels.dtype == np.uint16 else pixels


def upright(rgb: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Undo the Exif ``orientation`` (1..8) of ``rgb`` (H, W, 3)."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    return np.ascontiguousarray(rgb)
