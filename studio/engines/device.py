"""Arrays that stay on a device between two networks, beside those of the host.

Knows no GPU library: `Memory` is what one has to offer (`cudamemory` does), `Array` is what the engines hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


class Memory(Protocol):
    """A device's memory: bytes at addresses, and copies that have happened when the call returns."""

    def allocate(self, size_bytes: int) -> tuple[int, object]:
        """Return the address of new bytes and the owner that frees them when it is forgotten."""

    def upload(self, array: NDArray[Any]) -> DeviceArray:
        """Copy a contiguous host array into new memory."""

    def download(self, address: int, array: NDArray[Any]) -> None:
        """Copy from ``address`` into a contiguous host array."""

    def copy(self, source: int, target: int, size_bytes: int) -> None:
        """Copy within the device."""


class DeviceArray:
    """A contiguous array on a device; immutable by agreement. Parts of its first axis share its memory.

    Args:
        memory: Where it lies.
        address: Of its first byte.
        shape: At least one axis.
        owner: Kept as long as the array or a slice of it lives; frees the memory.
    """

    __slots__ = ("_owner", "address", "dtype", "memory", "shape")

    def __init__(self, memory: Memory, address: int, shape: Sequence[int], dtype: np.dtype[Any], owner: object) -> None:
        self.memory = memory
        self.address = address
        self.shape = tuple(shape)
        self.dtype = dtype
        self._owner = owner

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __getitem__(self, rows: slice | int) -> DeviceArray:
        """Return a view of some rows, ``[i:j]``, or of one, ``[i]``, without its axis."""
        if isinstance(rows, int):
            if not 0 <= rows < self.shape[0]:
                raise IndexError(f"row {rows} of {self.shape[0]}")
            one = self[rows : rows + 1]
            return DeviceArray(self.memory, one.address, self.shape[1:] or (1,), self.dtype, self._owner)
        start, stop, step = rows.indices(self.shape[0])
        if step != 1:
            raise IndexError("an array on the device is sliced without steps")
        row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        shape = (max(stop - start, 0), *self.shape[1:])
        return DeviceArray(self.memory, self.address + start * row_bytes, shape, self.dtype, self._owner)

    def host(self) -> NDArray[Any]:
        """Return a copy on the host."""
        array: NDArray[Any] = np.empty(self.shape, self.dtype)
        if array.size:
            self.memory.download(self.address, array)
        return array


Array: TypeAlias = NDArray[Any] | DeviceArray


def host(array: Array) -> NDArray[Any]:
    """Return an array on the host; floats as float32."""
    there = array.host() if isinstance(array, DeviceArray) else array
    return there.astype(np.float32) if there.dtype in (np.float16, np.float64) else there


def join(parts: Sequence[Array]) -> Array:
    """Stack arrays along their first axis: on the device if one of them is there. One alone is returned as it is.

    Args:
        parts: At least one; equal dtypes and equal shapes but for the first axis.
    """
    if len(parts) == 1:
        return parts[0]
    there = next((part for part in parts if isinstance(part, DeviceArray)), None)
    if there is None:
        return np.concatenate([part for part in parts if not isinstance(part, DeviceArray)])
    memory = there.memory
    placed = [part if isinstance(part, DeviceArray) else memory.upload(np.ascontiguousarray(part)) for part in parts]
    address, owner = memory.allocate(sum(part.nbytes for part in placed))
    shape = (sum(part.shape[0] for part in placed), *there.shape[1:])
    whole = DeviceArray(memory, address, shape, there.dtype, owner)
    for part in placed:
        memory.copy(part.address, address, part.nbytes)
        address += part.nbytes
    return whole


def rows_of(array: Array, rows: Sequence[int]) -> Array:
    """Return some rows of an array, in any order and any number of times, where it lies.

    On a device rows that follow each other are one copy, and no copy at all where they are all there is to take.

    Args:
        array: At least one axis.
        rows: At least one; 0 .. n - 1.
    """
    if not isinstance(array, DeviceArray):
        picked: NDArray[Any] = array[list(rows)]
        return picked
    runs: list[list[int]] = []
    for row in rows:
        if runs and runs[-1][1] == row:
            runs[-1][1] += 1
        else:
            runs.append([row, row + 1])
    return join([array[start:stop] for start, stop in runs])


def is_finite(array: NDArray[Any]) -> bool:
    """Tell whether a host array is free of NaN and infinity; two passes, nothing allocated."""
    return array.size == 0 or math.isfinite(float(array.min()) + float(array.max()))
