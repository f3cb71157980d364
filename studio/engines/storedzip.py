"""Reads zip files whose entries are stored as they are, without compression, as PyTorch writes them.

Nothing is ever unpacked to disk, and a name in the file is only a key. Strict where Python's ``zipfile`` is lenient:
compressed, encrypted, doubled or overlapping entries and sizes that lie are refused, and the directory is bounded
before it is read. Source: PKWARE APPNOTE 6.3.10, sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16, 4.5.3.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from studio.errors import AvatarNotReady

MOST_ENTRIES = 100_000
MOST_DIRECTORY_BYTES = 32_000_000
_END = struct.Struct("<4s4H2IH")
_END64_PLACE = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_LOCAL = struct.Struct("<4s5H3I2H")
_LARGE = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Entry:
    """One file within the zip file."""

    name: bytes
    offset: int
    """Of its local header, in bytes from the start."""
    size: int
    crc: int


class StoredZip:
    """An open zip file; close it, or use it in a ``with``.

    Args:
        path: The file.

    Raises:
        AvatarNotReady: It cannot be read, or is no zip file of stored entries; the sentence says why.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise AvatarNotReady(f"{path.name} cannot be read: {error.strerror}.", str(error)) from error
        try:
            self._bytes = os.fstat(self._file.fileno()).st_size
            self._end = self._bytes
            self.entries = self._directory()
        except BaseException:
            self._file.close()
            raise

    def read(self, name: str, most_bytes: int) -> bytes:
        """Return an entry's content.

        Raises:
            AvatarNotReady: There is no such entry, it is longer than ``most_bytes``, or it is damaged.
        """
        entry = self.entries.get(name)
        if entry is None:
            self.damaged()
        if entry.size > most_bytes:
            self.refuse(
                f"holds a part of {entry.size / 1e6:.0f} MB; the longest one allowed has {most_bytes / 1e6:.0f}"
            )
        header = self._at(entry.offset, _LOCAL.size)
        mark, *_, name_bytes, extra_bytes = _LOCAL.unpack(header)
        start = entry.offset + _LOCAL.size
        if mark != b"PK\3\4" or self._at(start, name_bytes) != entry.name:
            self.damaged()
        content = self._at(start + name_bytes + extra_bytes, entry.size)
        if zlib.crc32(content) != entry.crc:
            self.damaged()
        return content

    def refuse(self, reason: str) -> NoReturn:
        """Raise the sentence that begins with the file's name."""
        raise AvatarNotReady(f"{self.name} {reason}.")

    def damaged(self) -> NoReturn:
        """Raise the sentence for what makes no sense."""
        self.refuse("is damaged or cut off; copy it again")

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    def __enter__(self) -> StoredZip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _at(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes that lie before the directory."""
        if offset < 0 or offset + count > self._end:
            self.damaged()
        self._file.seek(offset)
        data = self._file.read(count)
        if len(data) != count:
            self.damaged()
        return data

    def _directory(self) -> dict[str, Entry]:
        count, size, offset = self._end_record()
        if count > MOST_ENTRIES or size > MOST_DIRECTORY_BYTES:
            self.refuse(f"has more than {MOST_ENTRIES} parts; that is no file of this kind")
        data = self._at(offset, size)
        self._end = offset
        entries: dict[str, Entry] = {}
        at = 0
        for _ in range(count):
            if at + _CENTRAL.size > len(data):
                self.damaged()
            entry, at = self._entry(data, at)
            name = entry.name.decode("utf-8", "backslashreplace")
            if name in entries:
                self.damaged()
            entries[name] = entry
        if sum(entry.size for entry in entries.values()) > self._end:
            self.damaged()
        return entries

    def _end_record(self) -> tuple[int, int, int]:
        """Return the directory's entries, bytes and offset."""
        tail_bytes = min(self._bytes, _END.size + 0xFFFF)
        tail = self._at(self._bytes - tail_bytes, tail_bytes)
        found = tail.rfind(b"PK\5\6")
        if found < 0 or found + _END.size > len(tail):
            self.damaged()
        _, _, _, _, count, size, offset, _ = _END.unpack_from(tail, found)
        place = self._bytes - tail_bytes + found - _END64_PLACE.size
        if place >= 0:
            mark, _, end64, _ = _END64_PLACE.unpack(self._at(place, _END64_PLACE.size))
            if mark == b"PK\6\7":
                mark, *_, count, size, offset = _END64.unpack(self._at(end64, _END64.size))
                if mark != b"PK\6\6":
                    self.damaged()
        return count, size, offset

    def _entry(self, data: bytes, at: int) -> tuple[Entry, int]:
        """Return the directory's entry at ``at`` and where the next one begins."""
        fields = _CENTRAL.unpack_from(data, at)
        mark, flags, method, crc, packed, size = fields[0], fields[3], fields[4], fields[7], fields[8], fields[9]
        name_bytes, extra_bytes, comment_bytes, offset = fields[10], fields[11], fields[12], fields[16]
        name_at = at + _CENTRAL.size
        extra_at = name_at + name_bytes
        end = extra_at + extra_bytes + comment_bytes
        if mark != b"PK\1\2" or end > len(data):
            self.damaged()
        if flags & 1 or method:
            self.refuse("is compressed or encrypted, which PyTorch's files never are, and was not opened")
        size, packed, offset = self._large(data[extra_at : extra_at + extra_bytes], size, packed, offset)
        if size != packed or offset + size > self._end:
            self.damaged()
        return Entry(data[name_at:extra_at], offset, size, crc), end

    def _large(self, extra: bytes, *fields: int) -> list[int]:
        """Return the fields, those that are too large for 32 bits from the extra record of kind 1."""
        at, wide = 0, b""
        while at + 4 <= len(extra):
            kind, length = struct.unpack_from("<HH", extra, at)
            if kind == 1:
                wide = extra[at + 4 : at + 4 + length]
            at += 4 + length
        result = []
        for field in fields:
            if field == _LARGE:
                if len(wide) < 8:
                    self.damaged()
                field, wide = int.from_bytes(wide[:8], "little"), wide[8:]
            result.append(field)
        return result
