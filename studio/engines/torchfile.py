"""Reads what ``torch.save`` wrote, without PyTorch: tensors, alone or in lists and dictionaries, as NumPy arrays.

The file's pickle is read by the machine of `opcodes`, so nothing in it is ever run. Tensors are read from the file
when they are asked for, one at a time; where they lived (``cuda:0``, ``cpu``) does not matter. Formats: the zip format
of PyTorch 1.6 and newer. Not read: the older format, sparse and quantised tensors, whole modules, scripts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.nesting import USUAL, Limits
from studio.engines.opcodes import Machine, Maker, Word
from studio.engines.storedzip import StoredZip
from studio.engines.unpickle import MOST_AXES, WORDS, read_bytes
from studio.errors import AvatarNotReady

LARGEST_STORAGE_BYTES = 2_000_000_000
STORAGES: Mapping[str, str] = {
    "torch.FloatStorage": "f4",
    "torch.HalfStorage": "f2",
    "torch.BFloat16Storage": "bfloat16",
    "torch.DoubleStorage": "f8",
    "torch.LongStorage": "i8",
    "torch.IntStorage": "i4",
    "torch.ShortStorage": "i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "b1",
    "torch.ComplexFloatStorage": "c8",
    "torch.ComplexDoubleStorage": "c16",
}
"""Kind of storage -> numbers in it; bfloat16 is unknown to NumPy and becomes float32."""
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_BEGINNINGS: Mapping[bytes, str] = {
    _LEGACY: "was written by a PyTorch older than 1.6; load and save it once with a newer one",
    b"\x80": "is a plain pickle, not a file that torch.save wrote",
    b"version https://git-lfs": "is only a pointer of Git LFS; fetch the file itself with `git lfs pull`",
    b"<": "is a web page, not the file itself; download it again",
}
"""How files begin that people take for one of PyTorch's."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A row of numbers in the file, shared by the tensors that are views of it."""

    entry: str
    kind: str
    """As in `STORAGES`."""
    count: int


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies; `TorchFile.read` fetches its numbers."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] = field(repr=False)
    """In numbers, not bytes."""
    offset: int = field(repr=False)
    storage: Storage = field(repr=False)

    @property
    def count(self) -> int:
        """Numbers in it."""
        return math.prod(self.shape)


class TorchFile:
    """An open file of PyTorch; close it, or use it in a ``with``.

    Args:
        path: The file, any name.
        limits: What reading its pickle may cost; tensors are not counted.

    Raises:
        AvatarNotReady: Missing, of another format, damaged, or it asks for anything but tensors and plain values.
    """

    content: object
    """What was saved, with a `Tensor` wherever there was one: a list, a dictionary, a single tensor, ..."""

    def __init__(self, path: Path, limits: Limits = USUAL) -> None:
        refuse_others(path)
        self._zip = StoredZip(path)
        try:
            self._folder = self._find()
            self._order = self._byte_order()
            data = self._zip.read(f"{self._folder}/data.pkl", limits.file_bytes)
            leaves = (np.ndarray, np.generic, np.dtype, Tensor)
            self.content = Machine(data, path.name, {**WORDS, **TORCH_WORDS}, leaves, self._storage, limits).read()
        except BaseException:
            self._zip.close()
            raise
        self._last: tuple[str, bytes] = ("", b"")

    def read(self, tensor: Tensor) -> NDArray[Any]:
        """Return a tensor's numbers in its shape: a new array in this machine's byte order.

        bfloat16 becomes float32, everything else stays what it was.

        Raises:
            AvatarNotReady: The file is damaged.
        """
        storage = tensor.storage
        if self._last[0] != storage.entry:
            self._last = ("", b"")  # never two of them in memory
            self._last = (storage.entry, self._zip.read(storage.entry, LARGEST_STORAGE_BYTES))
        kind = "u2" if storage.kind == "bfloat16" else storage.kind
        numbers = np.dtype(kind)
        if not tensor.count:
            return np.empty(tensor.shape, np.float32 if storage.kind == "bfloat16" else numbers)
        row = np.frombuffer(self._last[1], numbers.newbyteorder(self._order))[tensor.offset :]
        strides = [stride * numbers.itemsize for stride in tensor.strides]
        array = np.lib.stride_tricks.as_strided(row, tensor.shape, strides, writeable=False).astype(numbers, order="C")
        return (array.astype(np.uint32) << np.uint32(16)).view(np.float32) if storage.kind == "bfloat16" else array

    def close(self) -> None:
        """Close the file; idempotent."""
        self._zip.close()
        self._last = ("", b"")

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _find(self) -> str:
        """Return the folder within the zip file, whose name is that of the file when it was written."""
        folders = [name.removesuffix("/data.pkl") for name in self._zip.entries if name.endswith("/data.pkl")]
        if len(folders) != 1:
            self._zip.refuse("is a zip file, but not one that torch.save wrote")
        return folders[0]

    def _byte_order(self) -> Any:
        """Return NumPy's sign for the file's byte order; files of older versions do not say theirs."""
        entry = f"{self._folder}/byteorder"
        word = self._zip.read(entry, 4096) if entry in self._zip.entries else b"little"
        if word not in (b"little", b"big"):
            self._zip.damaged()
        return "<" if word == b"little" else ">"

    def _storage(self, machine: Machine, arguments: tuple[object, ...]) -> object:
        """``("storage", kind, key, device, count)``: a row of numbers in an entry of its own."""
        match arguments:
            case ((str(what), Word(kind), str(key), str(), int(count)),) if what == "storage" and kind in STORAGES:
                entry = f"{self._folder}/data/{key}"
                size = 2 if STORAGES[kind] == "bfloat16" else np.dtype(STORAGES[kind]).itemsize
                if entry not in self._zip.entries or self._zip.entries[entry].size != count * size:
                    machine.damaged()
                return Storage(entry, STORAGES[kind], count)
        machine.damaged()


def _tensor(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``_rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks[, metadata])``."""
    match arguments:
        case (Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), dict()):
            _check(machine, storage, offset, shape, strides)
            return Tensor(shape, strides, offset, storage)
        case (Storage(), _, _, _, _, _, _):
            machine.refuse("holds a tensor that is kept negated or conjugated; save it with .resolve_neg() once")
    machine.damaged()


def _check(
    machine: Machine, storage: Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]
) -> None:  # fmt: skip
    """Refuse a tensor that leaves its storage or claims more numbers than that has."""
    plain = all(type(side) is int and side >= 0 for side in (offset, *shape, *strides))
    if not plain or len(shape) != len(strides) or len(shape) > MOST_AXES:
        machine.damaged()
    count = math.prod(shape)
    last = offset + sum((side - 1) * stride for side, stride in zip(shape, strides, strict=True))
    if count > storage.count or (count and last >= storage.count) or max((*shape, *strides, 0)) > 2**40:
        machine.refuse("holds a tensor that claims more numbers than the file has; copy it again")


def _parameter(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``_rebuild_parameter(tensor, requires_grad, hooks)``: the tensor itself."""
    match arguments:
        case (Tensor() as tensor, bool(), dict()):
            return tensor
    machine.damaged()


def _ordered(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``OrderedDict()``; the versions of modules that PyTorch keeps beside the tensors are dropped."""
    if arguments:
        machine.damaged()
    result: dict[object, object] = {}
    machine.await_state(result, _drop_metadata, required=False)
    return result


def _drop_metadata(machine: Machine, state: object) -> None:
    if type(state) is not dict or set(state) - {"_metadata"}:
        machine.damaged()


def _size(machine: Machine, arguments: tuple[object, ...]) -> object:
    """``torch.Size(sides)``: a tuple."""
    match arguments:
        case (tuple(sides),):
            return sides
    machine.damaged()


def refuse_others(path: Path, allow_old: bool = False) -> None:
    """Refuse files that are none of PyTorch's, each with its sentence.

    Args:
        path: The file.
        allow_old: Let the format pass that PyTorch wrote before 1.6, which `TorchFile` does not read.

    Raises:
        AvatarNotReady: It begins like something else.
    """
    if path.is_file() and path.stat().st_size > len(_LEGACY):
        with path.open("rb") as file:
            beginning = file.read(64)
    else:
        beginning = read_bytes(path, len(_LEGACY))
    if beginning.startswith(b"PK") or (allow_old and beginning.startswith(_LEGACY)):
        return
    said = next((text for start, text in _BEGINNINGS.items() if beginning.startswith(start)), "")
    raise AvatarNotReady(f"{path.name} {said or 'is not a file that torch.save wrote, or damaged; copy it again'}.")


TORCH_WORDS: Mapping[str, Maker | None] = {
    **dict.fromkeys(STORAGES),
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch.Size": _size,
    "collections.OrderedDict": _ordered,
}
"""What PyTorch's pickles may say besides NumPy's words."""
