"""Networks in ONNX files, run by ONNX Runtime on the CPU.

Knows no engine. The library is imported when the first file is opened: it is not part of a plain installation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from studio.config import pip_told
from studio.engines.device import Array, Memory, host
from studio.engines.network import Feeds, Port
from studio.errors import AvatarNotReady, BadNetwork, EngineFault

DTYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int8)": np.int8, "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}  # fmt: skip
"""ONNX Runtime's names of the element types that a network may have at its ends."""
FATAL_ONLY = 4
"""Severity of ONNX Runtime's own log to stderr: it tells of output shapes that a file declares otherwise, and of every
error that it raises as well."""


def load_library() -> Any:
    """Return the module ``onnxruntime``.

    Raises:
        AvatarNotReady: It is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        remedy = f"{pip_told('onnxruntime')}, or -e '.[cuda]' for a GPU"
        sentence = f"ONNX Runtime is missing, which runs networks: {remedy}"
        raise AvatarNotReady(sentence, str(error)) from error
    return onnxruntime


class OnnxBackend:
    """One ONNX file on the CPU; any number of threads may call it.

    Args:
        path: The file.
        threads: That one call may use; 1 leaves the other cores to other lanes.

    Raises:
        AvatarNotReady: ONNX Runtime is missing.
        BadNetwork: The file cannot be loaded.
    """

    most_rows: int | None = None
    memory: Memory | None = None

    def __init__(self, path: Path, threads: int = 1) -> None:
        library = load_library()
        options = library.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = FATAL_ONLY
        # Spinning threads of one lane would take the cores of the others.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        with refusals(path):
            self._session: Any = library.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.title = f"ONNX Runtime {library.__version__} on the CPU"
        self.inputs = tuple(port_of(one, path) for one in self._session.get_inputs())
        self.outputs = tuple(port_of(one, path) for one in self._session.get_outputs())
        self._names = [port.name for port in self.outputs]

    def call(self, feeds: Feeds, keep: bool) -> dict[str, Array]:
        """Run once; ``keep`` changes nothing here: the host is where the arrays stay."""
        if self._session is None:
            raise EngineFault(detail="the network was closed")
        try:
            values = self._session.run(self._names, {name: host(value) for name, value in feeds.items()})
        except faults() as error:
            raise EngineFault(detail=str(error)) from error
        return dict(zip(self._names, values, strict=True))

    def close(self) -> None:
        """Give the session back."""
        self._session = None


def port_of(described: Any, path: Path) -> Port:
    """Read one end of a graph as ONNX Runtime describes it: a name, a type, a list of numbers and names of axes.

    Raises:
        BadNetwork: It is of a type that no engine has.
    """
    dtype = DTYPES.get(described.type)
    if dtype is None:
        raise BadNetwork(f"{path.name} is not a network of this engine: {described.name} is a {described.type}.")
    shape = tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in described.shape or ())
    return Port(described.name, np.dtype(dtype), shape or None)


@contextlib.contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turn what ONNX Runtime says of a file that it cannot load into a sentence.

    Raises:
        BadNetwork: With that sentence.
    """
    try:
        yield
    except faults() as error:
        text = str(error)
        if "Protobuf parsing failed" in text or "INVALID_PROTOBUF" in text:
            why = "is damaged or incomplete; fetch it again"
        elif any(words in text for words in ("not a registered function/op", "No Op registered", "NOT_IMPLEMENTED")):
            why = "needs an operator that ONNX Runtime does not have"
        else:
            why = "cannot be loaded by ONNX Runtime; fetch it again"
        raise BadNetwork(f"{path.name} {why}.", f"{path}: {text}") from error


def faults() -> tuple[type[Exception], ...]:
    """Return every exception of ONNX Runtime's that a file or a call can cause; they have no base of their own."""
    state = load_library().capi.onnxruntime_pybind11_state
    own = (
        state.EPFail, state.EngineError, state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
        state.ModelLoaded, state.NoModel, state.NoSuchFile, state.NotImplemented, state.RuntimeException,
    )  # fmt: skip
    return (*own, RuntimeError, ValueError)
