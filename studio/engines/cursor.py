"""A place in a row of bytes that moves on as they are read, and never past their end."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NoReturn

LINE_BYTES = 256
"""Longest line that is read."""


class Cursor:
    """Reads from the beginning of ``data``.

    Args:
        data: All there is.
        damaged: Called, and must raise, where ``data`` ends too early or is no text.
    """

    def __init__(self, data: bytes, damaged: Callable[[], NoReturn]) -> None:
        self._data, self._damaged, self._at = data, damaged, 0

    @property
    def left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Return the next bytes."""
        if count > self.left:
            self._damaged()
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, layout: str) -> int:
        """Return the next whole number; ``layout`` as of `struct`."""
        (value,) = struct.unpack(layout, self.take(struct.calcsize(layout)))
        return int(value)

    def text(self, count: int) -> str:
        """Return the next bytes as UTF-8."""
        try:
            return self.take(count).decode()
        except UnicodeDecodeError:
            self._damaged()

    def line(self) -> str:
        """Return the text up to the next line break, which is passed over."""
        end = self._data.find(b"\n", self._at, self._at + LINE_BYTES)
        if end < 0:
            self._damaged()
        text = self.text(end - self._at)
        self._at += 1
        return text
