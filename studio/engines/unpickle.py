"""Reads the pickles that other programs left behind: plain containers, texts, numbers and NumPy arrays, nothing else.

Python's own reader is never used, because whoever writes a pickle chooses what it runs. Here a pickle is only read
(`opcodes`), and the six words that NumPy writes have the meaning given below. Formats: NumPy 1 and 2
(``numpy.core`` and ``numpy._core``), pickle protocols 2 to 5; arrays of truth values, integers, real and complex
numbers of any byte order. Arrays of objects, texts, dates or records are refused.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from studio.engines.nesting import USUAL, Limits
from studio.engines.opcodes import Machine, Maker, Word
from studio.errors import AvatarNotReady

NUMBERS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"))
"""Kinds of numbers that an array may hold, as NumPy spells them."""
ORDERS = ("<", ">", "|", "=")
MOST_AXES = 16


def read_pickle(path: Path, limits: Limits = USUAL) -> object:
    """Return what the pickle at ``path`` holds: None, bool, int, float, str, bytes, list, tuple, dict, array, scalar.

    Args:
        path: A file of pickle protocol 2 to 5.
        limits: What the reading may cost; the defaults suit files of some megabytes.

    Raises:
        AvatarNotReady: Missing, too large, damaged, or it asks for anything else; the sentence names what.
    """
    return parse(read_bytes(path, limits.file_bytes), path.name, limits)


def parse(data: bytes, name: str, limits: Limits = USUAL) -> object:
    """Return what the pickle in ``data`` holds; ``name`` is what the sentences call it.

    Raises:
        AvatarNotReady: Damaged, or it asks for anything but numbers and containers.
    """
    return Machine(data, name, WORDS, (np.ndarray, np.generic, np.dtype), limits=limits).read()


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Return the file at ``path``.

    Raises:
        AvatarNotReady: Missing, no file, unreadable, empty or longer than ``max_bytes``.
    """
    if not path.is_file():
        raise AvatarNotReady(f"There is no file {path.name} in {path.parent.name or path.parent}.", str(path))
    try:
        with path.open("rb") as file:
            data = file.read(max_bytes + 1)
    except OSError as error:
        raise AvatarNotReady(f"{path.name} cannot be read: {error.strerror}.", str(error)) from error
    if not data:
        raise AvatarNotReady(f"{path.name} is empty; copy it again.")
    if len(data) > max_bytes:
        raise AvatarNotReady(f"{path.name} is larger than {max_bytes / 1e6:.0f} MB; that is no file of this kind.")
    return data


def _dtype(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``numpy.dtype(code, align, copy)``; its byte order follows as state."""
    match arguments:
        case (str(code), int(), int()) if code in NUMBERS:
            dtype = np.dtype(np.dtype(code), align=False, copy=True)
            machine.await_state(dtype, lambda m, state: _order(m, dtype, state))
            return dtype
        case (str(code), *_):
            machine.refuse(f"holds an array of kind {code[:20]!r}; only arrays of numbers are read")
    machine.damaged()


def _order(machine: Machine, dtype: np.dtype[Any], state: object) -> None:
    match state:
        case (int(version), str(order), None, None, None, int(), int(), int()) if version == 3 and order in ORDERS:
            cast(Any, dtype).__setstate__((3, order, None, None, None, -1, -1, 0))
        case _:
            machine.refuse("holds an array of records or of foreign numbers; only arrays of plain numbers are read")


def _blank_array(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``_reconstruct(ndarray, (0,), b"b")``: an array whose shape and numbers follow as state.

    Arguments of this module's words are matched by type and never compared: an array is equal to nothing in one word.
    """
    match arguments:
        case (Word("numpy.ndarray"), (int(),), bytes()):
            array = np.empty(0, np.int8)
            machine.await_state(array, lambda m, state: _fill(m, array, state))
            return array
    machine.damaged()


def _fill(machine: Machine, array: NDArray[Any], state: object) -> None:
    match state:
        case (int(version), tuple(shape), np.dtype() as dtype, int(by_column), bytes(raw)) if version == 1:
            _check(machine, shape, dtype, raw)
            cast(Any, array).__setstate__((1, shape, dtype, bool(by_column), raw))
        case _:
            machine.refuse("holds an array that is not made of plain numbers; only arrays of numbers are read")


def _scalar(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``scalar(dtype, raw)``: one number."""
    match arguments:
        case (np.dtype() as dtype, bytes(raw)):
            _check(machine, (), dtype, raw)
            number: object = np.frombuffer(raw, dtype)[0]
            return number
    machine.damaged()


def _whole_array(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``_frombuffer(raw, dtype, shape, order[, axes])``, as protocol 5 writes arrays."""
    match arguments:
        case (bytes() | bytearray() as raw, np.dtype() as dtype, tuple(shape), str(order)) if order in ("C", "F"):
            _check(machine, shape, dtype, raw)
            return np.frombuffer(raw, dtype).reshape(shape, order="F" if order == "F" else "C").copy("K")
        case (bytes() | bytearray() as raw, np.dtype() as dtype, tuple(shape), str(), tuple(axes)):
            _check(machine, shape, dtype, raw)
            if any(type(axis) is not int for axis in axes) or sorted(axes) != list(range(len(shape))):
                machine.damaged()
            return np.frombuffer(raw, dtype).reshape(shape).transpose(axes).copy("K")
    machine.damaged()


def _check(machine: Machine, shape: tuple[Any, ...], dtype: np.dtype[Any], raw: bytes | bytearray) -> None:
    """Refuse an array before it is made unless its shape accounts for every byte of ``raw``."""
    if len(shape) > MOST_AXES or any(type(side) is not int or side < 0 for side in shape):
        machine.damaged()
    whole = math.prod(max(side, 1) for side in shape) * dtype.itemsize
    if whole > machine.limits.made_bytes:
        machine.refuse(f"claims an array of {whole / 1e6:.0f} MB; that is no file of ours")
    if math.prod(shape) * dtype.itemsize != len(raw) or not machine.is_finished(dtype):
        machine.damaged()
    machine.spend(len(raw))


def encoded(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``_codecs.encode(text, "latin1")``: bytes, as protocol 2 writes them."""
    match arguments:
        case (str(text), str(codec)) if codec == "latin1":
            machine.spend(len(text))
            try:
                return text.encode("latin1")
            except UnicodeEncodeError:
                machine.damaged()
    machine.refuse("asks for _codecs.encode with something else than bytes, and was not opened. Do not trust this file")


def no_bytes(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``bytes()``: how protocol 2 writes no bytes at all."""
    return b"" if not arguments else machine.damaged()


WORDS: Mapping[str, Maker | None] = {
    "numpy.ndarray": None,
    "numpy.dtype": _dtype,
    "numpy.core.multiarray._reconstruct": _blank_array,
    "numpy._core.multiarray._reconstruct": _blank_array,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.numeric._frombuffer": _whole_array,
    "numpy._core.numeric._frombuffer": _whole_array,
    "_codecs.encode": encoded,
    "__builtin__.bytes": no_bytes,
    "builtins.bytes": no_bytes,
}
"""Every word that a pickle of numbers may use."""
