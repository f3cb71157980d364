"""Opens a network's file with the best runtime that this machine has: `open_model(path).run({...})`.

Knows which runtimes there are, not what the networks compute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from studio.engines.device import Array, DeviceArray, host, is_finite, join
from studio.engines.network import Model, Port
from studio.engines.onnxmodel import OnnxBackend
from studio.errors import BadNetwork

__all__ = ["Array", "DeviceArray", "Model", "Port", "Shape", "host", "is_finite", "join", "open_model"]

Shape = Sequence[int | None]
"""What an engine expects of an axis; None: any length."""


def open_model(
    path: Path,
    *,
    inputs: Mapping[str, Shape] | None = None,
    outputs: Mapping[str, Shape] | None = None,
    threads: int = 1,
) -> Model:
    """Load a network and see that it is the one that is wanted.

    Args:
        path: An ``.onnx`` file.
        inputs: Expected names and shapes, all of them; None: not looked at.
        outputs: Expected names and shapes; further outputs do not disturb.
        threads: That one call may use on the CPU.

    Raises:
        AvatarNotReady: The runtime is missing.
        BadNetwork: The file is missing, damaged, or another network than expected.
    """
    if not path.is_file():
        raise BadNetwork(f"{path.name} is missing; it belongs into {path.parent}.", str(path))
    model = Model(path.stem, OnnxBackend(path, threads))
    _compare(model, path, inputs or {}, outputs or {})
    return model


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
            if not _fits(port, shape):
                expected = " x ".join("?" if axis is None else str(axis) for axis in shape)
                raise _stranger(path, f"its {kind} {port} should be [{expected}]", "")
    if surplus:
        raise _stranger(path, f"it has an unknown input {min(surplus)!r}", "")


def _fits(port: Port, shape: Shape) -> bool:
    """Tell whether a network's axis is free or as long as expected, for all axes."""
    if port.shape is None:
        return True
    axes = zip(port.shape, shape, strict=False)
    return len(port.shape) == len(shape) and all(have in (None, want) or want is None for have, want in axes)


def _stranger(path: Path, why: str, detail: str) -> BadNetwork:
    return BadNetwork(f"{path.name} is not the network that belongs there: {why}.", f"{path} {detail}")
