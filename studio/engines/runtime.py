"""Opens a network's file with the best runtime that this machine has: `open_model(path).run({...})`.

Knows which runtimes there are and in which order they are tried, not what the networks compute.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.config import pip_told, told
from studio.engines.cudamemory import cuda_memory
from studio.engines.device import Array, DeviceArray, host, is_finite, join, rows_of
from studio.engines.network import Backend, Model, Port, Shape, shown
from studio.engines.onnxcuda import OnnxCudaBackend, usable
from studio.engines.onnxmodel import OnnxBackend
from studio.engines.onnxmodel import load_library as load_onnxruntime
from studio.engines.tensorrtcache import built_engine
from studio.engines.tensorrtmodel import TensorrtBackend
from studio.engines.tensorrtmodel import load_library as load_tensorrt
from studio.errors import AvatarNotReady, BadNetwork, ConfigError

log = logging.getLogger(__name__)

__all__ = [
    "RUNTIMES", "Array", "Available", "DeviceArray", "Model", "Port", "Shape",
    "available", "host", "is_finite", "join", "open_model", "rows_of",
]  # fmt: skip

RUNTIMES = ("tensorrt", "cuda", "cpu")
"""Best first; ``auto`` tries them in this order."""


@dataclass(frozen=True, slots=True)
class Available:
    """Whether a runtime can be used on this machine."""

    name: str
    good: bool
    text: str
    """What it is and on what it runs, or a sentence why it cannot be used."""


def available() -> list[Available]:
    """Return for each of `RUNTIMES` whether it can be used here; imports those that are installed."""
    return [_tried(name, probe) for name, probe in (("tensorrt", _tensorrt), ("cuda", _cuda), ("cpu", _cpu))]


def open_model(
    path: Path,
    *,
    inputs: Mapping[str, Shape] | None = None,
    outputs: Mapping[str, Shape] | None = None,
    threads: int = 1,
    runtime: str = "auto",
) -> Model:
    """Load a network and see that it is the one that is wanted.

    Args:
        path: An ``.onnx`` file, for which `built_engine` may know an engine of TensorRT, or an ``.engine`` file.
        inputs: Expected names and shapes, all of them; None: not looked at.
        outputs: Expected names and shapes; further outputs do not disturb.
        threads: That one call may use on the CPU.
        runtime: ``auto``: the first of `RUNTIMES` that can run this file; or one of them.

    Raises:
        AvatarNotReady: The runtime is missing.
        BadNetwork: The file is missing, damaged, or another network than expected.
        ConfigError: There is no runtime of that name.
    """
    if not path.is_file():
        raise BadNetwork(f"{path.name} is missing; it belongs into {told(path.parent)}.", str(path))
    if runtime not in ("auto", *RUNTIMES):
        raise ConfigError(f"There is no runtime called {runtime!r}; known: auto, {', '.join(RUNTIMES)}.")
    if path.suffix == ".engine":
        model = Model(path.stem, TensorrtBackend(path, cuda_memory()), "It is an engine of TensorRT.")
    elif runtime == "auto":
        model = _best(path, threads)
    else:
        model = Model(path.stem, _opened(runtime, path, threads), "It was asked for.")
    try:
        _compare(model, path, inputs or {}, outputs or {})
    except BadNetwork:
        model.close()
        raise
    log.log(
        logging.INFO if runtime == "auto" else logging.DEBUG, "%s runs on %s. %s", path.name, model.title, model.why
    )
    return model


def _best(path: Path, threads: int) -> Model:
    """Open a network with the first runtime that can; the model says why those before it could not.

    Raises:
        AvatarNotReady: None can; the sentence is the last one's.
    """
    passed: list[str] = []
    for name in RUNTIMES[:-1]:
        try:
            backend = _opened(name, path, threads)
        except AvatarNotReady as error:
            passed.append(f"{name}: {error.message}")
        else:
            return Model(path.stem, backend, " ".join(passed))
    return Model(path.stem, _opened(RUNTIMES[-1], path, threads), " ".join(passed))


def _opened(name: str, path: Path, threads: int) -> Backend:
    """Open an ONNX file with one runtime.

    Raises:
        AvatarNotReady: The runtime is missing here.
        BadNetwork: The file cannot be loaded, or there is no engine of it.
    """
    if name == "cpu":
        return OnnxBackend(path, threads)
    if name == "cuda":
        _cuda()
        return OnnxCudaBackend(path, cuda_memory())
    version, memory = load_tensorrt().__version__, cuda_memory()
    return TensorrtBackend(built_engine(path, memory.name, version), memory)


def _tensorrt() -> str:
    return f"TensorRT {load_tensorrt().__version__} on {cuda_memory().name}"


def _cuda() -> str:
    library = load_onnxruntime()
    if not usable(library):
        remedy = pip_told("-e '.[cuda]'")
        raise AvatarNotReady(f"This ONNX Runtime has no CUDA: {remedy}")
    return f"ONNX Runtime {library.__version__} on {cuda_memory().name}"


def _cpu() -> str:
    return f"ONNX Runtime {load_onnxruntime().__version__} on the CPU"


def _tried(name: str, probe: Callable[[], str]) -> Available:
    try:
        return Available(name, True, probe())
    except AvatarNotReady as error:
        return Available(name, False, error.message)


def _compare(model: Model, path: Path, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> None:
    """See that a network has the ends that its engine expects.

    Raises:
        BadNetwork: It has others; the sentence names the first that differs.
    """
    surplus = {port.name for port in model.inputs} - set(inputs) if inputs else set()
    for kind, wanted, there in (("input", inputs, model.inputs), ("output", outputs, model.outputs)):
        ports = {port.name: port for port in there}
        for name, shape in wanted.items():
            port = ports.get(name)
            if port is None:
                raise _stranger(path, f"it has no {kind} {name!r}", f"{kind}s: {', '.join(map(str, there))}")
            if not port.fits(shape):
                raise _stranger(path, f"its {kind} {port} should be {shown(shape)}", "")
    if surplus:
        raise _stranger(path, f"it has an unknown input {min(surplus)!r}", "")


def _stranger(path: Path, why: str, detail: str) -> BadNetwork:
    return BadNetwork(f"{path.name} is not the network that belongs there: {why}.", f"{path} {detail}")
