"""Networks in TensorRT's ``.engine`` files.

Knows no engine of the studio's. Written against what TensorRT 10 and 11 have in common (`specs/platform.md` B); a test
compares every name used here with the real bindings of both. The library is imported when the first file is opened.
"""

from __future__ import annotations

import logging
import mmap
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from studio.config import pip_told
from studio.engines.cudamemory import CudaMemory
from studio.engines.device import Array, DeviceArray
from studio.engines.network import Feeds, Port
from studio.errors import AvatarNotReady, BadNetwork, DeviceFull, EngineFault

log = logging.getLogger(__name__)

REMEDY = "Run `start_studio.py build` to make one for this machine."
PLAN_TAG, PLAN_BYTES, PLAN_VERSION_AT = b"ftrt", 28, 24
"""A plan begins with this tag, a serialization version (0), and has four bytes of library version here (TensorRT's
own sample ``trtexec --getPlanVersionOnly`` reads them so)."""
OTHER_DEVICE = re.compile(r"expecting compute (\d+\.\d+) got compute (\d+\.\d+)")
OTHER_VERSION = re.compile(
    r"expecting library version ([\d.]+) got ([\d.]*)|[Vv]ersion tag does not match|serialization version"
)


def load_library() -> Any:
    """Return the module ``tensorrt``.

    Raises:
        AvatarNotReady: It is not installed, or its libraries are not.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as error:
        remedy = pip_told("-e '.[tensorrt]'")
        raise AvatarNotReady(f"TensorRT is not installed: {remedy}", str(error)) from error
    return tensorrt


@cache
def journal() -> Any:
    """Return the process's logger for TensorRT: it forwards to ours, and remembers errors until they are asked for."""
    library = load_library()
    base: Any = library.ILogger
    severity = base.Severity

    class Journal(base):  # type: ignore[misc]  # the base is known at run time only
        """TensorRT's log."""

        def __init__(self) -> None:
            base.__init__(self)
            self._errors: list[str] = []

        def log(self, level: Any, message: str) -> None:
            """Take one line; called from TensorRT's threads."""
            if level in (severity.ERROR, severity.INTERNAL_ERROR):
                self._errors.append(message)
            log.debug("TensorRT: %s", message)

        def errors(self) -> str:
            """Return and forget what went wrong."""
            said, self._errors = " ".join(self._errors[-8:]), []
            return said

    return Journal()


class TensorrtBackend:
    """One ``.engine`` file on the first GPU; calls wait for each other.

    Args:
        path: The file.
        memory: Of the GPU.

    Raises:
        AvatarNotReady: TensorRT is missing.
        DeviceFull: The GPU's memory is.
        BadNetwork: The file is damaged, or was made by another TensorRT or for another generation of GPU.
    """

    def __init__(self, path: Path, memory: CudaMemory) -> None:
        library = load_library()
        check_version(path, library.__version__)
        self.memory = memory
        self._journal = journal()
        with memory.turn():
            self._runtime = library.Runtime(self._journal)  # must outlive its engine
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as plan:
                self._engine = self._runtime.deserialize_cuda_engine(plan)
            if self._engine is None:
                raise refusal(path, self._journal.errors())
            self._context: Any = self._engine.create_execution_context()
        if self._context is None:
            raise DeviceFull(f"The memory of the {memory.name} is full.", f"{path}: {self._journal.errors()}")
        self.title = f"TensorRT {library.__version__} on {memory.name}"
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        is_input = {name: self._engine.get_tensor_mode(name) == library.TensorIOMode.INPUT for name in names}
        ports = {name: self._port(library, name, path) for name in names}
        self.inputs = tuple(port for name, port in ports.items() if is_input[name])
        self.outputs = tuple(port for name, port in ports.items() if not is_input[name])
        self.most_rows = self._most_rows()

    def call(self, feeds: Feeds, keep: bool) -> dict[str, Array]:
        """Queue the network behind what is queued; outputs that are kept need not be ready on return."""
        if self._context is None:
            raise EngineFault(detail="the network was closed")
        with self.memory.turn():
            placed = {name: self._placed(value) for name, value in feeds.items()}
            for name, value in placed.items():
                self._agreed(self._context.set_input_shape(name, tuple(value.shape)), name)
                self._agreed(self._context.set_tensor_address(name, value.address), name)
            results = {port.name: self._room(port) for port in self.outputs}
            for name, value in results.items():
                self._agreed(self._context.set_tensor_address(name, value.address), name)
            self._agreed(self._context.execute_async_v3(self.memory.stream), "execution")
            # What was uploaded may be forgotten: its memory is reused by later work of the same stream only.
            return dict(results) if keep else {name: value.host() for name, value in results.items()}

    def close(self) -> None:
        """Give the engine back; may be called twice."""
        if self._context is not None:
            with self.memory.turn():
                self.memory.wait()
                self._context = self._engine = self._runtime = None

    def _port(self, library: Any, name: str, path: Path) -> Port:
        try:
            dtype = np.dtype(library.nptype(self._engine.get_tensor_dtype(name)))
        except TypeError as error:
            raise BadNetwork(f"{path.name} has numbers at {name!r} that NumPy does not know.", str(error)) from error
        axes = tuple(self._engine.get_tensor_shape(name))
        return Port(name, dtype, tuple(None if axis < 0 else int(axis) for axis in axes))

    def _most_rows(self) -> int | None:
        """Return the rows that the engine's profile allows where the first axis is free."""
        names = [port.name for port in self.inputs if port.shape and port.shape[0] is None]
        largest = (tuple(self._engine.get_tensor_profile_shape(name, 0)[2]) for name in names)
        return min((int(rows) for rows, *_ in largest), default=None)

    def _placed(self, value: Array) -> DeviceArray:
        return value if isinstance(value, DeviceArray) else self.memory.upload(np.ascontiguousarray(value))

    def _room(self, port: Port) -> DeviceArray:
        """Return memory for an output, as large as the shapes of the inputs make it."""
        shape = tuple(int(axis) for axis in self._context.get_tensor_shape(port.name))
        if any(axis < 0 for axis in shape):
            raise EngineFault(detail=f"the shape of {port.name} is not known before it is computed")
        array = np.empty(0, port.dtype)
        size_bytes = int(np.prod(shape, dtype=np.int64)) * array.itemsize
        address, owner = self.memory.allocate(size_bytes)
        return DeviceArray(self.memory, address, shape, port.dtype, owner)

    def _agreed(self, answer: bool, what: str) -> None:
        if not answer:
            raise EngineFault(detail=f"TensorRT refused {what}: {self._journal.errors()}")


def check_version(path: Path, version: str) -> None:
    """See that a plan is one, and of the installed TensorRT.

    Raises:
        BadNetwork: It is not; the sentence says what to run.
    """
    made_by = plan_version(path)
    here = tuple(int(number) for number in version.split(".")[:3])
    if made_by[:3] != here:
        theirs, ours = ".".join(map(str, made_by[:3])), ".".join(map(str, here))
        raise BadNetwork(f"{path.name} was made by TensorRT {theirs}, and here is {ours}. {REMEDY}", str(path))


def plan_version(path: Path) -> tuple[int, ...]:
    """Return which TensorRT made a plan: four numbers.

    Raises:
        BadNetwork: The file is no plan, or not a whole one.
    """
    with path.open("rb") as file:
        head = file.read(PLAN_BYTES)
    if len(head) < PLAN_BYTES or head[:4] != PLAN_TAG or struct.unpack_from("<I", head, 4) != (0,):
        raise BadNetwork(f"{path.name} is damaged, or no engine of TensorRT. {REMEDY}", str(path))
    return tuple(head[PLAN_VERSION_AT:PLAN_BYTES])


def refusal(path: Path, said: str) -> BadNetwork:
    """Return the sentence for a plan that TensorRT will not load, from what its log said."""
    if found := OTHER_DEVICE.search(said):
        words = f"was made for a GPU of another generation (compute {found[2]}; this one has {found[1]})"
    elif OTHER_VERSION.search(said):
        words = "was made by another version of TensorRT"
    else:
        words = "cannot be loaded by TensorRT"
    return BadNetwork(f"{path.name} {words}. {REMEDY}", f"{path}: {said}")
