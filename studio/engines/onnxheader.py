"""What an ONNX file says of itself, without loading it: ends, operators, and how many numbers it holds.

Reads the protobuf by hand and skips the weights, so that a file of gigabytes is judged in a fraction of a second and
no package is needed. Weights that lie in other files are looked for, not read. Source: onnx.proto of ONNX 1.17, and
the wire format of Protocol Buffers.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from studio.engines.network import Port
from studio.errors import BadNetwork

_MOST_FIELDS = 3_000_000
_MOST_AXES = 16
_MOST_NUMBERS = 10**13
_DTYPES = {
    1: np.float32, 2: np.uint8, 3: np.int8, 6: np.int32, 7: np.int64, 9: np.bool_, 10: np.float16, 11: np.float64,
}  # fmt: skip
"""ONNX's numbers of the element types that a network may have at its ends."""
_STANDARD = ("", "ai.onnx")
_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5

Span = tuple[int, int]
"""Begin and end of a message within the file."""


@dataclass(frozen=True, slots=True)
class Header:
    """A network as its file describes it."""

    inputs: tuple[Port, ...]
    """Without those that are weights."""
    outputs: tuple[Port, ...]
    numbers: int
    """Weights in all, those in other files included."""
    opset: int
    custom: tuple[str, ...]
    """Operators that ONNX does not define, in alphabetical order."""
    data: tuple[str, ...]
    """Names of the files beside this one that hold weights."""


def read_header(path: Path) -> Header:
    """Return what the file at ``path`` says.

    Raises:
        BadNetwork: Missing, empty, or no ONNX file; the sentence says what it looks like instead.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
            if not start:
                raise BadNetwork(f"{path.name} is empty; fetch it again.", str(path))
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(data).header()
    except FileNotFoundError as error:
        raise BadNetwork(f"{path.name} is missing.", str(error)) from error
    except OSError as error:
        raise BadNetwork(f"{path.name} cannot be read: {error.strerror}.", str(error)) from error
    except (_NotOnnx, UnicodeDecodeError) as error:
        raise BadNetwork(f"{path.name} {_looks_like(start)}", str(path)) from error


class _NotOnnx(ValueError):
    """The bytes are no protobuf message of this kind."""


def _looks_like(start: bytes) -> str:
    if start.startswith(b"version https://git-lfs"):
        return "is only a pointer of Git LFS; fetch the file itself with `git lfs pull`."
    if start.lstrip().startswith(b"<"):
        return "is a web page, not a network; download the file itself."
    return "is damaged or no ONNX file; fetch it again."


class _Reader:
    """One reading of one file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._fields = 0
        self._ends: tuple[list[Port], list[Port]] = ([], [])
        self._weights: set[str] = set()
        self._numbers = 0
        self._custom: set[str] = set()
        self._files: set[str] = set()

    def header(self) -> Header:
        """Read the whole file."""
        opset = 0
        graphs = 0
        for number, value in self._message((0, len(self._data))):
            if number == 7 and isinstance(value, tuple):
                self._graph(value)
                graphs += 1
            elif number == 8 and isinstance(value, tuple):
                opset = max(opset, self._opset(value))
        if graphs != 1 or not self._ends[1]:
            raise _NotOnnx
        inputs = tuple(port for port in self._ends[0] if port.name not in self._weights)
        custom, files = tuple(sorted(self._custom)), tuple(sorted(self._files))
        return Header(inputs, tuple(self._ends[1]), self._numbers, opset, custom, files)

    def _graph(self, span: Span) -> None:
        for number, value in self._message(span):
            if not isinstance(value, tuple):
                continue
            if number == 1:
                self._node(value)
            elif number == 5:
                self._weight(value)
            elif number in (11, 12):
                self._ends[number - 11].append(self._port(value))

    def _node(self, span: Span) -> None:
        fields = {number: value for number, value in self._message(span) if number in (4, 7)}
        domain = self._text(fields.get(7, (0, 0)))
        if domain not in _STANDARD:
            self._custom.add(f"{domain}.{self._text(fields.get(4, (0, 0)))}"[:80])

    def _weight(self, span: Span) -> None:
        """Count a tensor's numbers by its dimensions; its values are skipped."""
        sides: list[int] = []
        for number, value in self._message(span):
            if number == 1:
                sides += [value] if isinstance(value, int) else self._varints(value)
            elif number == 8:
                self._weights.add(self._text(value))
            elif number == 13 and isinstance(value, tuple):
                pair = dict(self._message(value))
                if self._text(pair.get(1, (0, 0))) == "location":
                    self._files.add(_beside(self._text(pair.get(2, (0, 0)))))
            if len(sides) > _MOST_AXES:
                raise _NotOnnx
        self._numbers += math.prod(sides)
        if self._numbers > _MOST_NUMBERS:
            raise _NotOnnx

    def _port(self, span: Span) -> Port:
        fields = dict(self._message(span))
        tensor = self._inner(self._inner(fields.get(2)).get(1))
        element = tensor.get(1)
        if not isinstance(element, int) or element not in _DTYPES:
            raise _NotOnnx
        shape: list[int | None] = []
        shape_span = tensor.get(2)
        for number, value in self._message(shape_span) if isinstance(shape_span, tuple) else ():
            if number == 1 and isinstance(value, tuple):
                side = dict(self._message(value)).get(1)
                shape.append(side if isinstance(side, int) and side > 0 else None)
        kind = np.dtype(_DTYPES[element])
        return Port(self._text(fields.get(1, (0, 0))), kind, tuple(shape) if shape_span is not None else None)

    def _opset(self, span: Span) -> int:
        fields = dict(self._message(span))
        version = fields.get(2, 0)
        standard = self._text(fields.get(1, (0, 0))) in _STANDARD
        return version if standard and isinstance(version, int) else 0

    def _inner(self, value: int | Span | None) -> dict[int, int | Span]:
        """Return the fields of a message within a message, nothing if it is none."""
        return dict(self._message(value)) if isinstance(value, tuple) else {}

    def _text(self, value: int | Span) -> str:
        if not isinstance(value, tuple) or value[1] - value[0] > 4096:
            raise _NotOnnx
        return self._data[value[0] : value[1]].decode()

    def _varints(self, span: Span) -> list[int]:
        """Return packed whole numbers."""
        numbers: list[int] = []
        at = span[0]
        while at < span[1] and len(numbers) <= _MOST_AXES:
            value, at = self._varint(at, span[1])
            numbers.append(value)
        return numbers

    def _message(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """Yield the fields of a message: numbers as they are, everything longer as its span; floats are left out."""
        at, end = span
        while at < end:
            self._fields += 1
            if self._fields > _MOST_FIELDS:
                raise _NotOnnx
            key, at = self._varint(at, end)
            kind = key & 7
            if kind == _VARINT:
                value, at = self._varint(at, end)
                yield key >> 3, value
            elif kind == _BYTES:
                size, at = self._varint(at, end)
                if size > end - at:
                    raise _NotOnnx
                yield key >> 3, (at, at + size)
                at += size
            elif kind in (_EIGHT, _FOUR):
                at += 8 if kind == _EIGHT else 4
            else:
                raise _NotOnnx
        if at != end:
            raise _NotOnnx

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        result = 0
        for shift in range(0, 70, 7):
            if at >= end:
                raise _NotOnnx
            byte = self._data[at]
            at += 1
            result |= (byte & 0x7F) << shift
            if byte < 0x80:
                return result, at
        raise _NotOnnx


def _beside(location: str) -> str:
    """Return the name of a file of weights; it must lie beside the network."""
    if not location or len(PurePosixPath(location).parts) != 1 or location in (".", "..") or "\\" in location:
        raise _NotOnnx
    return location
