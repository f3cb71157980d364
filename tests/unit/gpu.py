"""A GPU and its libraries made of host memory: enough of each interface for what the studio asks of it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.cudamemory import CudaMemory
from studio.engines.tensorrtmodel import PLAN_TAG


class HostDriver:
    """A driver whose device is the host; ``limit`` bytes of it."""

    name = "Testing GPU"
    capability = (9, 0)
    stream = 7

    def __init__(self, limit: int = 1 << 26) -> None:
        self.limit = limit
        self.blocks: dict[int, Any] = {}
        self.waits = 0

    def current(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    @property
    def used(self) -> int:
        return sum(ctypes.sizeof(block) for block in self.blocks.values())

    def allocate(self, size_bytes: int) -> int:
        if self.used + size_bytes > self.limit:
            return 0
        block = (ctypes.c_char * size_bytes)()
        self.blocks[ctypes.addressof(block)] = block
        return ctypes.addressof(block)

    def free(self, address: int) -> None:
        del self.blocks[address]

    def to_device(self, address: int, array: NDArray[Any]) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def to_host(self, array: NDArray[Any], address: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def within(self, target: int, source: int, size_bytes: int) -> None:
        ctypes.memmove(target, source, size_bytes)

    def wait(self) -> None:
        self.waits += 1

    def room(self) -> tuple[int, int]:
        return self.limit - self.used, self.limit


def memory(limit: int = 1 << 26) -> tuple[CudaMemory, HostDriver]:
    """Return a GPU's memory and what is below it."""
    driver = HostDriver(limit)
    return CudaMemory(driver), driver


def plan(path: Path, version: tuple[int, int, int, int] = (10, 13, 3, 9)) -> Path:
    """Write a file that begins as TensorRT's do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(PLAN_TAG + bytes(20) + bytes(version) + bytes(100))
    return path


Ends = Mapping[str, tuple[type[np.generic], tuple[int, ...]]]
"""Name -> dtype and shape; -1 for a free axis."""
Work = Callable[..., dict[str, NDArray[Any]]]
"""Inputs by name -> outputs by name."""


class Tensorrt:
    """The module ``tensorrt`` for one network: ``work`` turns inputs into outputs, by name."""

    __version__ = "10.13.3.9"
    TensorIOMode = SimpleNamespace(INPUT="in", OUTPUT="out")

    class ILogger:
        Severity = SimpleNamespace(ERROR="error", INTERNAL_ERROR="internal", WARNING="warning")

    def __init__(
        self, inputs: Ends, outputs: Ends, work: Callable[..., dict[str, NDArray[Any]]], most: int = 4
    ) -> None:
        self.inputs, self.outputs, self.work, self.most = inputs, outputs, work, most
        self.refuses = ""
        self.calls: list[int] = []

    def nptype(self, kind: type[np.generic]) -> type[np.generic]:
        if kind is np.void:
            raise TypeError("no such type in NumPy")
        return kind

    def Runtime(self, logger: Any) -> Any:
        def deserialize_cuda_engine(plan: Any) -> Any:
            assert bytes(plan[:4]) == PLAN_TAG
            if self.refuses:
                logger.log("error", self.refuses)
                return None
            return _Engine(self)

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)


class _Engine:
    def __init__(self, library: Tensorrt) -> None:
        self._library = library
        self._ends = {**library.inputs, **library.outputs}
        self.num_io_tensors = len(self._ends)

    def get_tensor_name(self, number: int) -> str:
        return list(self._ends)[number]

    def get_tensor_mode(self, name: str) -> str:
        return "in" if name in self._library.inputs else "out"

    def get_tensor_dtype(self, name: str) -> Any:
        return self._ends[name][0]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self._ends[name][1]

    def get_tensor_profile_shape(self, name: str, profile: int) -> list[tuple[int, ...]]:
        assert profile == 0
        return [tuple(rows if n < 0 else n for n in self._ends[name][1]) for rows in (1, 2, self._library.most)]

    def create_execution_context(self) -> Any:
        return _Context(self._library)


class _Context:
    def __init__(self, library: Tensorrt) -> None:
        self._library = library
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shapes[name] = shape
        return shape[0] <= self._library.most

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        rows = next(iter(self._shapes.values()))[0]
        return tuple(rows if n == -1 else n for n in self._library.outputs[name][1])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostDriver.stream
        kinds = {name: kind for name, (kind, _) in self._library.inputs.items()}
        feeds = {name: at(self._addresses[name], self._shapes[name], kind) for name, kind in kinds.items()}
        self._library.calls.append(len(next(iter(feeds.values()))))
        for name, value in self._library.work(**feeds).items():
            at(self._addresses[name], value.shape, value.dtype.type)[...] = value
        return True


def at(address: int, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Return the array at an address of this process."""
    size_bytes = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))
    return memory.view(kind).reshape(shape)
