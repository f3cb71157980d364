"""Networks in ONNX files, run by ONNX Runtime on an NVIDIA GPU, with arrays bound where they lie.

Knows no engine. Written against the signatures of onnxruntime-gpu; see the README for what has run on which GPU.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from studio.engines.cudamemory import CudaMemory
from studio.engines.device import Array, DeviceArray
from studio.engines.network import Feeds
from studio.engines.onnxgraph import for_cuda
from studio.engines.onnxmodel import FATAL_ONLY, faults, load_library, port_of, refusals
from studio.errors import AvatarNotReady, EngineFault

PROVIDER = "CUDAExecutionProvider"


class OnnxCudaBackend:
    """One ONNX file on the first GPU; calls wait for each other.

    Args:
        path: The file; graphs that the provider cannot run are converted first, once.
        memory: Of the GPU.

    Raises:
        AvatarNotReady: The library is missing, or cannot use the GPU.
        BadNetwork: The file cannot be loaded.
    """

    most_rows: int | None = None

    def __init__(self, path: Path, memory: CudaMemory) -> None:
        library = load_library()
        library.preload_dlls()  # CUDA's and cuDNN's own libraries, where pip has put them
        options = library.SessionOptions()
        options.log_severity_level = FATAL_ONLY
        settings = {"device_id": "0", "user_compute_stream": str(memory.stream)}
        with refusals(path), memory.turn():
            self._session: Any = library.InferenceSession(
                str(for_cuda(path)), options, providers=[(PROVIDER, settings), "CPUExecutionProvider"]
            )
        if PROVIDER not in self._session.get_providers():
            raise AvatarNotReady(
                "ONNX Runtime cannot load its CUDA provider: CUDA's libraries are missing or of another version.",
                f"{path}: {self._session.get_providers()}",
            )
        self.title = f"ONNX Runtime {library.__version__} on {memory.name}"
        self.inputs = tuple(port_of(one, path) for one in self._session.get_inputs())
        self.outputs = tuple(port_of(one, path) for one in self._session.get_outputs())
        self.memory = memory

    def call(self, feeds: Feeds, keep: bool) -> dict[str, Array]:
        """Run once; inputs that are on the device are read where they lie, outputs stay there if ``keep``."""
        if self._session is None:
            raise EngineFault(detail="the network was closed")
        with self.memory.turn():
            binding = self._session.io_binding()
            placed = {name: self._placed(value) for name, value in feeds.items()}
            for name, value in placed.items():
                binding.bind_input(name, "cuda", 0, value.dtype.type, list(value.shape), value.address)
            for port in self.outputs:
                binding.bind_output(port.name, "cuda" if keep else "cpu", 0)
            try:
                self._session.run_with_iobinding(binding)
            except faults() as error:
                raise EngineFault(detail=str(error)) from error
            values = dict(zip((port.name for port in self.outputs), binding.get_outputs(), strict=True))
        if not keep:
            return {name: value.numpy() for name, value in values.items()}
        return {port.name: self._kept(port.dtype, values[port.name]) for port in self.outputs}

    def close(self) -> None:
        """Give the session and its memory back; may be called twice."""
        self._session = None

    def _placed(self, value: Array) -> DeviceArray:
        return value if isinstance(value, DeviceArray) else self.memory.upload(np.ascontiguousarray(value))

    def _kept(self, dtype: np.dtype[Any], value: Any) -> DeviceArray:
        """Wrap an array of ONNX Runtime's, which goes back to its arena when nobody holds it."""
        return DeviceArray(self.memory, value.data_ptr(), value.shape(), dtype, value)


def usable(library: Any) -> bool:
    """Tell whether this ONNX Runtime was built with CUDA."""
    return PROVIDER in library.get_available_providers()
