"""Writes files as PyTorch does, without PyTorch, honest ones and others."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage", "int64": "LongStorage"}


class Global:
    """Pickles as a bare name."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call(Global):
    """Pickles as a call of a name."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        super().__init__(module, name)
        self.arguments = arguments


class Reference:
    """Pickles as a persistent id."""

    def __init__(self, key: Any) -> None:
        self.key = key


class Pickler(pickle._Pickler):
    """Python's own, slow pickler, which can be taught to write names that nobody has."""

    def persistent_id(self, obj: Any) -> Any:
        return obj.key if isinstance(obj, Reference) else None

    def save(self, obj: Any, save_persistent_id: bool = True) -> None:
        if isinstance(obj, Global):
            self.write(f"c{obj.module}\n{obj.name}\n".encode())  # type: ignore[attr-defined]
            if isinstance(obj, Call):
                self.save(obj.arguments)
                self.write(b"R")  # type: ignore[attr-defined]
            return
        super().save(obj, save_persistent_id)  # type: ignore[misc]


def pickled(value: object) -> bytes:
    """Return a pickle of protocol 2."""
    out = io.BytesIO()
    Pickler(out, 2).dump(value)
    return out.getvalue()


def storage(key: str = "0", count: Any = 4, kind: str = "FloatStorage", what: str = "storage") -> Reference:
    """Return a reference to a storage."""
    return Reference((what, Global("torch", kind), key, "cpu", count))


def tensor(row: Reference, offset: Any = 0, shape: Any = (4,), strides: Any = (1,)) -> Call:
    """Return a tensor that may lie."""
    return Call("torch._utils", "_rebuild_tensor_v2", row, offset, shape, strides, False, {})


def written(path: Path, value: object, **entries: bytes) -> Path:
    """Write a zip file as PyTorch does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("x/data.pkl", value if isinstance(value, bytes) else pickled(value))
        for key, content in {"data/0": np.arange(4, dtype=np.float32).tobytes(), **entries}.items():
            file.writestr(f"x/{key}", content)
    return path


def save_list(path: Path, arrays: Sequence[NDArray[Any]]) -> Path:
    """Write a list of tensors, each in a storage of its own."""
    tensors = []
    for index, array in enumerate(arrays):
        row = storage(str(index), array.size, STORAGES[array.dtype.name])
        strides = tuple(step // array.itemsize for step in array.strides)
        tensors.append(tensor(row, 0, array.shape, strides))
    return written(path, tensors, **{f"data/{index}": array.tobytes() for index, array in enumerate(arrays)})
