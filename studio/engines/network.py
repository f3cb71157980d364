"""One network, whatever runs it: named arrays in, named arrays out, any number of rows.

Knows no runtime: `Backend` is what one has to offer (ONNX Runtime in `onnxmodel`, TensorRT in `tensorrtmodel`), and
`Model` is what the engines see. The rule that makes a batch out of single calls, or single calls out of a batch, is
here and nowhere else: a batch of n gives what n single calls give.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from studio.engines.device import Array, DeviceArray, Memory, host, join
from studio.errors import EngineFault

Feeds: TypeAlias = Mapping[str, Array]
"""Name of an input -> its array, on the host or on the device."""
Shape: TypeAlias = Sequence[int | EllipsisType | None]
"""What is expected of an array's axes; None: any length, ``...``: any number of axes."""


@dataclass(frozen=True, slots=True)
class Port:
    """One input or output of a network."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None
    """None for a free axis; None as a whole where the file does not say."""

    def __str__(self) -> str:
        axes = "any shape" if self.shape is None else " x ".join("?" if n is None else str(n) for n in self.shape)
        return f"{self.name} [{axes}] {self.dtype}"

    @property
    def rows(self) -> int | None:
        """Length of the first axis; None where it is free or unknown, or where there is no axis."""
        return self.shape[0] if self.shape else None

    def fits(self, shape: Shape) -> bool:
        """Tell whether this end is as expected, as far as the file says."""
        if self.shape is None:
            return True
        wanted = list(shape)
        if ... in wanted:
            at = wanted.index(...)
            wanted[at : at + 1] = [None] * (len(self.shape) - len(wanted) + 1)
        axes = zip(self.shape, wanted, strict=False)
        return len(self.shape) == len(wanted) and all(None in pair or pair[0] == pair[1] for pair in axes)

    def admits(self, shape: Sequence[int]) -> bool:
        """Tell whether an array of ``shape`` fits; its first axis is not looked at."""
        if self.shape is None:
            return True
        axes = zip(self.shape[1:], shape[1:], strict=False)
        return len(shape) == len(self.shape) and all(want in (None, have) for want, have in axes)


def shown(shape: Shape) -> str:
    """Return a shape for people: ``[1 x ? x 1024]``."""
    words: Mapping[object, str] = {None: "?", ...: "..."}
    return f"[{' x '.join(words.get(axis, str(axis)) for axis in shape)}]"


class Backend(Protocol):
    """What a runtime has to offer: one loaded network."""

    @property
    def title(self) -> str:
        """Runtime and device, for people: ``ONNX Runtime 1.31 on the CPU``."""

    @property
    def inputs(self) -> tuple[Port, ...]:
        """In the file's order."""

    @property
    def outputs(self) -> tuple[Port, ...]:
        """In the file's order."""

    @property
    def most_rows(self) -> int | None:
        """Rows that one call may have where the first axis is free; None: any number."""

    @property
    def memory(self) -> Memory | None:
        """Where arrays can be kept between networks; None where that is the host."""

    def call(self, feeds: Feeds, keep: bool) -> dict[str, Array]:
        """Run once; the feeds are right in names, dtypes and shapes. Outputs stay on the device if ``keep``."""

    def close(self) -> None:
        """Give everything back; may be called twice."""


class Model:
    """A loaded network. On the CPU any thread may run it, several at once; on a GPU they wait for each other.

    Args:
        name: For people: the file's stem.
        backend: What runs it; closed with the model.
        why: Why this runtime was chosen, a sentence.
    """

    def __init__(self, name: str, backend: Backend, why: str = "") -> None:
        self.name = name
        self.why = why
        self.inputs = backend.inputs
        self.outputs = backend.outputs
        self._backend = backend
        self._fixed_rows = _fixed_rows(backend.inputs)
        self._is_proven = False  # that n rows can be one call, as the file says
        self._shared = frozenset(port.name for port in backend.inputs if self._fixed_rows is None and port.rows == 1)

    @property
    def title(self) -> str:
        """Runtime and device, for people."""
        return self._backend.title

    @property
    def batches(self) -> bool:
        """True: n rows are one call of the network; False: its first axis is fixed, n rows are several calls."""
        return self._fixed_rows is None

    @property
    def max_batch(self) -> int | None:
        """Rows that one call of the network may have; None: any number."""
        return self._backend.most_rows if self._fixed_rows is None else self._fixed_rows

    def put(self, name: str, array: NDArray[Any]) -> Array:
        """Bring rows of input ``name`` that are used again and again to where the network runs, in its dtype.

        On the CPU they stay where they are. `device.rows_of` chooses among them, for one call or for many.

        Raises:
            EngineFault: They are not what the input wants.
            AvatarNotReady: The device has no room for them.
        """
        port = next((port for port in self.inputs if port.name == name), None)
        if port is None:
            raise self._misfit(f"has no input {name}")
        ready, memory = self._typed(port, array), self._backend.memory
        return ready if memory is None or isinstance(ready, DeviceArray) else memory.upload(np.ascontiguousarray(ready))

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Run the network on rows that are stacked along the first axis (`device.join` stacks them).

        Where the network cannot take that many rows at once it is called several times, and each output is joined
        along its first axis: n rows always give what n calls with one row each give.

        Args:
            feeds: Every input by name, on the host or on the device. An array with one row where others have n
                serves all of them.

        Returns:
            Every output by name, on the host; floats are float32.

        Raises:
            EngineFault: A name, shape or dtype is not the network's, or the runtime failed.
        """
        return {name: host(value) for name, value in self._whole(self._checked(feeds), keep=False).items()}

    def run_kept(self, feeds: Feeds) -> dict[str, Array]:
        """Do as `run`, but leave the outputs where they are, for the next network; `device.host` fetches them."""
        return self._whole(self._checked(feeds), keep=True)

    def warm_up(self, shapes: Mapping[str, Sequence[int]], times: int = 2) -> float:
        """Run on zeros of these shapes, so that no visitor waits for what happens only once.

        Returns:
            Seconds that the last of ``times`` runs took.
        """
        kinds = {port.name: port.dtype for port in self.inputs}
        feeds = {name: np.zeros(shape, kinds.get(name, np.float32)) for name, shape in shapes.items()}
        seconds = 0.0
        for _ in range(times):
            began = time.perf_counter()
            self.run(feeds)
            seconds = time.perf_counter() - began
        return seconds

    def close(self) -> None:
        """Give the network's memory back; may be called twice."""
        self._backend.close()

    def _whole(self, feeds: dict[str, Array], keep: bool) -> dict[str, Array]:
        """Call the network as often as the rows need it, and join the outputs."""
        rows = max((value.shape[0] for value in feeds.values() if value.ndim), default=1)
        singly = any(feeds[name].shape[0] > 1 for name in self._shared)
        most = 1 if singly else self.max_batch or rows
        parts = []
        for start in range(0, rows, most):
            count = min(most, rows - start)
            try:
                results = self._called(feeds, start, count, keep)
            except EngineFault:
                if count == 1 or not self.batches or self._is_proven:
                    raise
                results = {}
            if count > 1 and self.batches:
                if not _have_rows(results, count):
                    self._fixed_rows = 1  # the file promises a free axis that the graph does not have
                    return self._whole(feeds, keep)
                self._is_proven = True
            parts.append(results)
        return parts[0] if len(parts) == 1 else {name: join([part[name] for part in parts]) for name in parts[0]}

    def _called(self, feeds: dict[str, Array], start: int, count: int, keep: bool) -> dict[str, Array]:
        """Call the network once for some rows; where it wants more than there are, the last one is repeated."""
        wanted = self._fixed_rows or count
        mine = {
            name: value if not value.ndim else _taken(value, start, count, 1 if name in self._shared else wanted)
            for name, value in feeds.items()
        }
        results = self._backend.call(mine, keep)
        return results if wanted == count else {name: value[:count] for name, value in results.items()}

    def _checked(self, feeds: Feeds) -> dict[str, Array]:
        """Return the inputs in the network's order and dtypes.

        Raises:
            EngineFault: They do not fit.
        """
        names = {port.name for port in self.inputs}
        if set(feeds) != names:
            raise self._misfit(f"wants {sorted(names)}, got {sorted(feeds)}")
        ready = {port.name: self._typed(port, feeds[port.name]) for port in self.inputs}
        counts = {value.shape[0] for value in ready.values() if value.ndim}
        if len(counts - {1}) > 1 or 0 in counts:
            raise self._misfit(f"cannot stack {sorted(counts)} rows")
        return ready

    def _typed(self, port: Port, value: Array) -> Array:
        """Return one input in its port's dtype; only widths may differ, never kinds."""
        if not port.admits(value.shape):
            raise self._misfit(f"wants {port}, got {list(value.shape)}")
        if value.dtype == port.dtype:
            return value
        if isinstance(value, DeviceArray) or value.dtype.kind != port.dtype.kind:
            raise self._misfit(f"wants {port}, got {value.dtype}")
        return value.astype(port.dtype)

    def _misfit(self, detail: str) -> EngineFault:
        return EngineFault(detail=f"{self.name} {detail}")


def _taken(value: Array, start: int, count: int, wanted: int) -> Array:
    """Return some rows of an array, or its only one; the last is repeated until there are as many as wanted."""
    mine = value if value.shape[0] == 1 else value[start : start + count]
    have = mine.shape[0]
    return mine if have == wanted else join([mine, *[mine[have - 1 : have]] * (wanted - have)])


def _have_rows(results: Mapping[str, Array], count: int) -> bool:
    return bool(results) and all(value.ndim and value.shape[0] == count for value in results.values())


def _fixed_rows(inputs: Sequence[Port]) -> int | None:
    """Return how many rows each call must have; None where the first axis is free.

    An input with a single axis of one value (a time step for all rows) decides only where no other can.
    """
    rows = {port.rows for port in inputs if port.shape is None or len(port.shape) > 1}
    rows = rows or {port.rows for port in inputs if port.shape}
    return min((count for count in rows if count is not None), default=None)
