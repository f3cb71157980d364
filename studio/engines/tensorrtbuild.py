"""Makes engines of TensorRT out of ONNX files, and proves each before anybody uses it.

Knows no engine of the studio's: what is to be built comes as an `Order`. Networks are strongly typed: precision is
written in the graph, half precision by `onnxhalf`, float32 is float32 (no TF32). An engine appears under its name only
after it has computed, from real inputs, what the ONNX graph computes on the CPU.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engine import Progress
from studio.engines.cudamemory import CudaMemory
from studio.engines.network import Model, Port
from studio.engines.onnxgraph import read, write
from studio.engines.onnxgrid import without_volume_sampling
from studio.engines.onnxhalf import in_half
from studio.engines.onnxmodel import OnnxBackend
from studio.engines.tensorrtcache import engine_path
from studio.engines.tensorrtmodel import TensorrtBackend, journal, load_library
from studio.errors import AvatarNotReady, BadNetwork, StudioError

ROWS = (1, 4, 8)
"""Fewest, usual and most rows of a call where the first axis is free."""
HALF_LIMIT, FLOAT_LIMIT = 0.03, 1e-3
"""Largest error of an output, relative to how much it varies: root mean squares of both. Half precision of the released
warp network and decoder measured 59 and 78 dB (`specs/ditto.md`, section 11): 1.1e-3 and 1.3e-4 of the full range."""
PARSED, PROVED = 0.1, 0.9
"""Fractions of the work after which the graph is written, and the engine is built."""

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""Smallest, usual and largest."""
Feeds = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Order:
    """One network of which an engine is wanted."""

    network: Path
    """Its ONNX file."""
    half: bool
    """True: float16 inside."""
    probe: Callable[[], Feeds]
    """Returns real inputs, one row."""
    rows: tuple[int, int, int] = ROWS
    """Smallest, usual and largest count of rows, where the first axis is free."""
    lengths: Mapping[str, Mapping[int, tuple[int, int, int]]] = field(default_factory=dict)
    """Input -> free axis, other than the first -> smallest, usual and largest length."""


def build(order: Order, memory: CudaMemory, report: Progress) -> Path:
    """Return the engine of a network, made and proved if it is not there yet.

    Raises:
        AvatarNotReady: A library is missing, or the folder cannot be written.
        BadNetwork: TensorRT cannot build it, or what it built computes something else.
    """
    library = load_library()
    target = engine_path(order.network, memory.name, library.__version__)
    if target.is_file():
        return target
    name = order.network.stem
    part = target.with_name(f"{target.stem}.{secrets.token_hex(4)}.part")
    graph = part.with_suffix(".part.onnx")
    began = time.monotonic()
    try:
        report(0.0, f"{name}: reading")
        reference = OnnxBackend(order.network, os.cpu_count() or 1)  # damaged files end here
        write(typed(order), graph)
        report(PARSED, f"{name}: building, which takes minutes")
        shapes = {port.name: profile(port, order) for port in reference.inputs}
        with memory.turn():
            plan = compiled(library, graph, shapes, lambda done: report(PARSED + (PROVED - PARSED) * done, name))
        part.write_bytes(plan)
        report(PROVED, f"{name}: comparing it with the original")
        errors = compare(Model(name, reference), Model(name, TensorrtBackend(part, memory)), order.probe())
        judge(name, errors, order.half)
        note = {
            "network": order.network.name, "gpu": memory.name, "compute": list(memory.capability),
            "tensorrt": library.__version__, "precision": "float16" if order.half else "float32",
            "errors": errors, "seconds": round(time.monotonic() - began, 1),
        }  # fmt: skip
        target.with_suffix(".json").write_text(json.dumps(note, indent=2) + "\n", "utf-8")
        part.replace(target)
    except OSError as error:
        raise AvatarNotReady(f"{target.parent} cannot be written: {error.strerror}.", str(error)) from error
    finally:
        for rest in (part, graph, graph.with_name(graph.name + ".data")):
            with contextlib.suppress(OSError):
                rest.unlink()
    report(1.0, f"{name}: done")
    return target


def typed(order: Order) -> Any:
    """Return the graph as TensorRT gets it: in its precision, without samplings of volumes.

    These are replaced last, so that no step in them is rounded to half precision.
    """
    return without_volume_sampling(in_half(order.network) if order.half else read(order.network))


def profile(port: Port, order: Order) -> Shapes | None:
    """Return the shapes that an input may have; None where all axes are fixed.

    Raises:
        BadNetwork: It has a free axis of which the order says nothing.
    """
    free = [number for number, axis in enumerate(port.shape or ()) if axis is None]
    if port.shape is not None and not free:
        return None
    known = {0: order.rows, **order.lengths.get(port.name, {})}
    if port.shape is None or not set(free) <= set(known):
        raise BadNetwork(f"{order.network.name} has an input with free axes that nobody knows: {port}.")
    axes = [known[n] if axis is None else (axis, axis, axis) for n, axis in enumerate(port.shape)]
    smallest, usual, largest = zip(*axes, strict=True)
    return smallest, usual, largest


def compiled(library: Any, graph: Path, shapes: Mapping[str, Shapes | None], report: Callable[[float], None]) -> Any:
    """Return the plan of a graph, as TensorRT's host memory.

    Raises:
        BadNetwork: TensorRT does not take the graph.
    """
    log = journal()
    builder = library.Builder(log)
    network = builder.create_network(1 << int(library.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = library.OnnxParser(network, log)
    if not parser.parse_from_file(str(graph)):
        said = "; ".join(parser.get_error(number).desc() for number in range(parser.num_errors))
        raise BadNetwork(f"TensorRT {library.__version__} cannot read {graph.name.partition('-')[0]}.", said)
    settings = builder.create_builder_config()
    settings.clear_flag(library.BuilderFlag.TF32)
    settings.progress_monitor = monitor(library, report)
    if any(shapes.values()):
        allowed = builder.create_optimization_profile()
        for name, three in shapes.items():
            if three is not None:
                allowed.set_shape(name, *three)
        settings.add_optimization_profile(allowed)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise BadNetwork(f"TensorRT {library.__version__} cannot build {graph.name.partition('-')[0]}.", log.errors())
    return plan


def monitor(library: Any, report: Callable[[float], None]) -> Any:
    """Return an observer of TensorRT's builder: the steps of its outermost phases make the fraction done."""
    base: Any = library.IProgressMonitor

    class Monitor(base):  # type: ignore[misc]  # the base is known at run time only
        """Called from the builder's threads."""

        def __init__(self) -> None:
            base.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            """Take note of how many steps an outermost phase has."""
            if not parent_phase:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            """Report; True lets the builder go on."""
            if steps := self._steps.get(phase_name):
                report(min((step + 1) / steps, 1.0))
            return True

        def phase_finish(self, phase_name: str) -> None:
            """Forget a phase."""
            self._steps.pop(phase_name, None)

    return Monitor()


def compare(original: Model, candidate: Model, probe: Feeds) -> dict[str, float]:
    """Return for each output how far the candidate is off, relative to how much the output varies.

    Where the candidate takes several rows at once, the same is asked of its fullest call: engines are known that are
    right for few rows and wrong for many (`specs/musetalk.md`, section 3.1).
    """
    wanted = original.run(probe)
    answers = [candidate.run(probe)]
    if candidate.batches and candidate.max_batch:
        rows = candidate.max_batch
        many = candidate.run({name: np.repeat(value, rows, axis=0) for name, value in probe.items()})
        answers += [{name: value[row : row + 1] for name, value in many.items()} for row in range(rows)]
    original.close()
    candidate.close()
    return {name: max(distance(answer[name], value) for answer in answers) for name, value in wanted.items()}


def judge(name: str, errors: Mapping[str, float], half: bool) -> None:
    """See that an engine computes what its network does.

    Raises:
        BadNetwork: It does not.
    """
    limit = HALF_LIMIT if half else FLOAT_LIMIT
    wrong = [f"{output}: {error:.2g}" for output, error in errors.items() if not error <= limit]
    if wrong:
        raise BadNetwork(f"The engine made of {name} is wrong by more than {limit:g}: {', '.join(wrong)}.")


def build_all(orders: Sequence[Order], memory: CudaMemory, report: Progress) -> dict[str, str]:
    """Build one engine after the other; one that fails does not keep the others from being built.

    Returns:
        Name of each network that has no engine now -> a sentence why.
    """
    failed: dict[str, str] = {}
    for number, order in enumerate(orders):

        def part(done: float, doing: str, number: int = number) -> None:
            report((number + done) / len(orders), doing)

        try:
            build(order, memory, part)
        except StudioError as error:
            failed[order.network.stem] = error.message
    return failed


def distance(answer: NDArray[Any], wanted: NDArray[Any]) -> float:
    """Return the error in root mean squares, as a part of how much ``wanted`` varies.

    Infinite for other shapes or for numbers that are none.
    """
    if answer.shape != wanted.shape:
        return math.inf
    error = np.linalg.norm(answer.astype(np.float64) - wanted)
    level = np.linalg.norm(wanted.astype(np.float64))
    spread = max(float(np.linalg.norm(wanted - np.mean(wanted, dtype=np.float64))), 0.1 * float(level))
    share = float(error) / max(spread, 1e-12)
    return share if math.isfinite(share) else math.inf
