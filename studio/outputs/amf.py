"""AMF0, the notation of RTMP's commands: numbers, booleans, strings, null and objects of these.

What comes from a server is as untrusted as a visitor: depth and size are bounded, and what cannot be read is one error.
Source: Adobe, "Action Message Format -- AMF 0" (2007), 2.2 to 2.14.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

NUMBER, BOOLEAN, STRING, OBJECT, NULL, UNDEFINED, ECMA_ARRAY, OBJECT_END, STRICT_ARRAY, DATE, LONG_STRING = (
    0, 1, 2, 3, 5, 6, 8, 9, 10, 11, 12,
)  # fmt: skip
MAX_DEPTH: Final = 8
MAX_STRING: Final = 0xFFFF

Value = float | bool | str | None | Mapping[str, "Value"] | list["Value"]


class AmfError(ValueError):
    """These bytes are no AMF0 that the studio reads."""


def encode(*values: Value) -> bytes:
    """Return the values, one after the other.

    Raises:
        AmfError: A text longer than `MAX_STRING` bytes, or a list.
    """
    return b"".join(_encoded(value) for value in values)


def _encoded(value: Value) -> bytes:
    match value:
        case None:
            return bytes((NULL,))
        case bool():
            return bytes((BOOLEAN, value))
        case int() | float():
            return struct.pack(">Bd", NUMBER, value)
        case str():
            return bytes((STRING,)) + _text(value)
        case Mapping():
            pairs = b"".join(_text(key) + _encoded(item) for key, item in value.items())
            return bytes((OBJECT,)) + pairs + b"\0\0" + bytes((OBJECT_END,))
        case _:
            raise AmfError("lists are only read")


def _text(text: str) -> bytes:
    body = text.encode()
    if len(body) > MAX_STRING:
        raise AmfError("a text is too long")
    return struct.pack(">H", len(body)) + body


def decode(data: bytes) -> list[Value]:
    """Return all values of a message.

    Raises:
        AmfError: It cannot be read.
    """
    reader = _Reader(data)
    values = []
    while not reader.is_done:
        values.append(reader.value(MAX_DEPTH))
    return values


class _Reader:
    """Reads values one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def is_done(self) -> bool:
        return self._at >= len(self._data)

    def value(self, depth: int) -> Value:
        if depth == 0:
            raise AmfError("nested too deeply")
        kind = self._take(1)[0]
        match kind:
            case 0:
                return float(struct.unpack(">d", self._take(8))[0])
            case 1:
                return self._take(1) != b"\0"
            case 2:
                return self._text(2)
            case 12:
                return self._text(4)
            case 5 | 6:
                return None
            case 3:
                return self._pairs(depth)
            case 8:
                self._take(4)
                return self._pairs(depth)
            case 10:
                return self._list(depth)
            case 11:
                return float(struct.unpack(">d2x", self._take(10))[0])
            case _:
                raise AmfError(f"type {kind}")

    def _pairs(self, depth: int) -> dict[str, Value]:
        pairs: dict[str, Value] = {}
        while True:
            key = self._text(2)
            if not key and self._data[self._at : self._at + 1] == bytes((OBJECT_END,)):
                self._at += 1
                return pairs
            pairs[key] = self.value(depth - 1)

    def _list(self, depth: int) -> list[Value]:
        count = int.from_bytes(self._take(4), "big")
        if count > len(self._data):  # each value has a byte at least
            raise AmfError("a list longer than its message")
        return [self.value(depth - 1) for _ in range(count)]

    def _text(self, length_bytes: int) -> str:
        body = self._take(int.from_bytes(self._take(length_bytes), "big"))
        return body.decode("utf-8", "replace")

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise AmfError("cut short")
        self._at += count
        return taken
