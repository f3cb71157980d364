"""A GPU and its libraries made of host memory: enough of each interface for what the studio asks of it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from studio.engines.cudamemory import CudaMemory
from studio.engines.onnxmodel import DTYPES
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
        self.infers = False  # shapes of outputs, by computing them; else -1 is the number of rows
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


class Builder(Tensorrt):
    """TensorRT that also builds: a plan is the graph itself, and ONNX Runtime computes it on the CPU.

    Args:
        error: Is added to every output of what it builds.
    """

    NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1)
    BuilderFlag = SimpleNamespace(TF32="TF32")

    class IProgressMonitor:
        def __init__(self) -> None:
            """Nothing to do."""

    def __init__(self, error: float = 0.0) -> None:
        super().__init__({}, {}, lambda: {})
        self.error = error
        self.built: list[Any] = []
        self.complaint = ""

    def Builder(self, logger: Any) -> Any:
        def create_network(flags: int) -> Any:
            assert flags == 2
            return SimpleNamespace()

        def create_builder_config() -> Any:
            settings = SimpleNamespace(flags={"TF32"}, progress_monitor=None, profiles=[])
            settings.clear_flag = settings.flags.remove
            settings.add_optimization_profile = settings.profiles.append
            return settings

        def create_optimization_profile() -> Any:
            shapes: dict[str, Any] = {}

            def set_shape(name: str, *three: tuple[int, ...]) -> None:
                shapes[name] = three

            return SimpleNamespace(shapes=shapes, set_shape=set_shape)

        def build_serialized_network(network: Any, settings: Any) -> bytes | None:
            assert not settings.flags
            monitor = settings.progress_monitor
            monitor.phase_start("all", "", 2)
            monitor.phase_start("inner", "all", 9)
            assert monitor.step_complete("inner", 8)
            assert monitor.step_complete("all", 0)
            monitor.phase_finish("all")
            self.built.append(settings)
            head = PLAN_TAG + bytes(20) + bytes(int(number) for number in self.__version__.split("."))
            rows = [three[2][0] for profile in settings.profiles for three in profile.shapes.values()]
            return None if self.complaint == "build" else head + bytes([min(rows, default=1)]) + network.graph

        return SimpleNamespace(
            create_network=create_network,
            create_builder_config=create_builder_config,
            create_optimization_profile=create_optimization_profile,
            build_serialized_network=build_serialized_network,
        )

    def OnnxParser(self, network: Any, logger: Any) -> Any:
        def parse_from_file(path: str) -> bool:
            network.graph = Path(path).read_bytes()
            return self.complaint != "parse"

        error = SimpleNamespace(desc=lambda: "unknown operator")
        return SimpleNamespace(parse_from_file=parse_from_file, num_errors=1, get_error=lambda number: error)

    def Runtime(self, logger: Any) -> Any:
        return SimpleNamespace(deserialize_cuda_engine=lambda plan: _Engine(self._loaded(plan[28], bytes(plan[29:]))))

    def _loaded(self, most: int, graph: bytes) -> Tensorrt:
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])

        def ends(described: Any) -> Ends:
            shapes = {one.name: tuple(n if isinstance(n, int) else -1 for n in one.shape) for one in described}
            return {one.name: (DTYPES[one.type], shapes[one.name]) for one in described}

        def work(**feeds: Any) -> dict[str, NDArray[Any]]:
            names = [one.name for one in session.get_outputs()]
            return {name: value + self.error for name, value in zip(names, session.run(names, feeds), strict=True)}

        loaded = Tensorrt(ends(session.get_inputs()), ends(session.get_outputs()), work, most)
        loaded.infers = True
        return loaded


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
        if self._library.infers:
            return self._library.work(**self._feeds())[name].shape
        rows = next(iter(self._shapes.values()))[0]
        return tuple(rows if n == -1 else n for n in self._library.outputs[name][1])

    def set_tensor_address(self, name: str, address: int) -> bool:
        self._addresses[name] = address
        return True

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == HostDriver.stream
        feeds = self._feeds()
        self._library.calls.append(len(next(iter(feeds.values()))))
        for name, value in self._library.work(**feeds).items():
            at(self._addresses[name], value.shape, value.dtype.type)[...] = value
        return True

    def _feeds(self) -> dict[str, NDArray[Any]]:
        kinds = {name: kind for name, (kind, _) in self._library.inputs.items()}
        return {name: at(self._addresses[name], self._shapes[name], kind) for name, kind in kinds.items()}


def at(address: int, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """Return the array at an address of this process."""
    size_bytes = int(np.prod(shape)) * np.dtype(kind).itemsize
    memory = np.ctypeslib.as_array((ctypes.c_uint8 * size_bytes).from_address(address))
    return memory.view(kind).reshape(shape)
