"""Writes a PyTorch network as an ONNX graph, and sees that it computes the same.

The graph is made by tracing (``dynamo=False``): PyTorch's newer exporter took 121 s for a UNet at a tenth of its width
where tracing takes 5, for the same numbers. Tracing fixes what Python decides on the way, so every graph is compared at
other numbers of rows than it was traced with.
"""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from studio.engines.musetalk.export.probes import Feeds
from studio.engines.musetalk.networks import End, Ends
from studio.engines.network import Model
from studio.engines.onnxgraph import read, write
from studio.engines.onnxmodel import OnnxBackend
from studio.engines.tensorrtbuild import distance
from studio.errors import AvatarNotReady, BadNetwork, EngineFault

OPSET = 17
LIMIT = 1e-4
"""Largest error of an output, relative to how much it varies (root mean squares); measured are 3e-7 to 1e-5."""
FREE = {0: "rows", 2: "height", 3: "width"}
"""Axis -> what it is called where its length is free."""

Answers = list[dict[str, NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """What became of a network."""

    path: Path
    numbers: int
    """Weights."""
    error: float
    """The largest of all outputs and inputs."""
    rows: tuple[int, ...]
    """Numbers of rows it was compared at."""


def export(
    role: str, make: Callable[[], torch.nn.Module], ends: Ends, probes: Sequence[Feeds], target: Path
) -> Figures:  # fmt: skip
    """Write a network's graph and compare it.

    Args:
        role: What the graph is called.
        make: Returns the network; it is given back before the graph is loaded, so that one of them is in memory.
        ends: What it has to be called and shaped like.
        probes: Inputs that it is compared on; the second one has more than one row and is traced.
        target: The file; it is alone in its folder, which may be left in any state by a failure.

    Raises:
        AvatarNotReady: PyTorch cannot write the graph: the disk may be full.
        BadNetwork: The graph computes something else or takes other rows only, or the network gives no numbers.
    """
    module = make()
    numbers = sum(value.numel() for value in module.parameters())
    with torch.inference_mode():
        wanted = [_answers(module, ends, probe) for probe in probes]
    raw = target.parent / "traced" / target.name
    raw.parent.mkdir(parents=True)
    _trace(module, ends, probes[1], raw)
    del module
    graph = read(raw)
    shutil.rmtree(raw.parent)  # or twice the weights would lie on the disk
    _shape(graph.graph.input, ends.inputs)
    _shape(graph.graph.output, ends.outputs)
    graph.graph.name = role
    write(graph, target)
    del graph
    error = _compared(target, probes, wanted)
    if not error <= LIMIT:
        sentence = f"{target.name} computes something else than the weights do: error {error:.2g}, {LIMIT:g} allowed."
        raise BadNetwork(sentence)
    return Figures(target, numbers, error, tuple(sorted({len(next(iter(probe.values()))) for probe in probes})))


def _answers(module: torch.nn.Module, ends: Ends, probe: Feeds) -> dict[str, NDArray[Any]]:
    made = module(*_tensors(ends, probe))
    values = made if isinstance(made, tuple) else (made,)
    return {end.names[0]: value.numpy().copy() for end, value in zip(ends.outputs, values, strict=True)}


def _tensors(ends: Ends, probe: Feeds) -> tuple[torch.Tensor, ...]:
    return tuple(torch.tensor(probe[end.names[0]]) for end in ends.inputs)


def _trace(module: torch.nn.Module, ends: Ends, probe: Feeds, path: Path) -> None:
    names = [[end.names[0] for end in side] for side in (ends.inputs, ends.outputs)]
    free = {end.names[0]: _free(end) for end in (*ends.inputs, *ends.outputs)}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of tracing, for every size that Python looks at: comparing is the answer
        try:
            torch.onnx.export(
                module, _tensors(ends, probe), str(path), input_names=names[0], output_names=names[1],
                dynamic_axes=free, opset_version=OPSET, dynamo=False,
            )  # fmt: skip
        except RuntimeError as error:  # PyTorch's own are all of this kind, those of a full disk as well
            sentence = f"PyTorch {torch.__version__} cannot write {path.name}; is the disk full?"
            raise AvatarNotReady(sentence, str(error)) from error


def _free(end: End) -> Mapping[int, str]:
    """Return the names of an end's free axes; a time step is one for all rows."""
    if len(end.shape) == 1:
        return {}
    return {axis: FREE[axis] for axis, length in enumerate(end.shape) if length is None}


def _shape(ports: Any, ends: Sequence[End]) -> None:
    """Write into a graph what its ends are shaped like: the tracer often does not know."""
    for port, end in zip(ports, ends, strict=True):
        axes = port.type.tensor_type.shape.dim
        for axis, length in enumerate(end.shape):
            if isinstance(length, int):
                axes[axis].dim_value = length
            elif len(end.shape) > 1:
                within = port.name + "_" if axis and len(ends) > 1 else ""
                axes[axis].dim_param = within + FREE[axis]


def _compared(path: Path, probes: Sequence[Feeds], wanted: Sequence[Mapping[str, NDArray[Any]]]) -> float:
    """Return the largest error of a graph.

    Raises:
        BadNetwork: It does not take every number of rows.
    """
    model = Model(path.stem, OnnxBackend(path, os.cpu_count() or 1))
    errors = []
    try:
        for probe, answers in zip(probes, wanted, strict=True):
            made = model.run(probe)
            errors += [distance(made[name], value) for name, value in answers.items()]
        if not model.batches:  # the model would call it row by row and go on
            raise EngineFault(detail="only one row at a time")
    except EngineFault as error:
        raise BadNetwork(f"{path.name} does not take every number of rows.", error.detail) from error
    finally:
        model.close()
    return max(errors)
