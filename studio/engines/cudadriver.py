"""Two CUDA libraries behind the same few calls: pycuda, and cuda-python where that is not installed.

Knows neither networks nor who uses the memory. Each library is imported when its class is made.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

from studio.errors import AvatarNotReady, EngineFault


class Driver(Protocol):
    """The few calls that a CUDA library has to answer; copies are queued in the stream, in this order."""

    name: str
    """Of the GPU: ``NVIDIA H200``."""
    capability: tuple[int, int]
    """Its generation: 9.0 is Hopper, 8.x Ampere and Ada."""
    stream: int
    """Handle of the one stream."""

    def current(self) -> AbstractContextManager[None]:
        """Make the GPU's context the calling thread's, for the time of one call."""

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory; 0 if there is not enough."""

    def free(self, address: int) -> None:
        """Give memory back."""

    def to_device(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous host array."""

    def to_host(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy into a contiguous host array."""

    def within(self, target: int, source: int, size_bytes: int) -> None:
        """Queue a copy from device to device."""

    def wait(self) -> None:
        """Return when everything queued has happened."""

    def room(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""


class PycudaDriver:
    """pycuda's driver interface, on the context that CUDA's own libraries share.

    Raises:
        ImportError: pycuda is not installed, or finds no driver library.
        AvatarNotReady: There is no GPU.
    """

    def __init__(self) -> None:
        import pycuda.driver

        self._cuda = pycuda.driver
        try:
            self._cuda.init()
            device = self._cuda.Device(0)
        except self._cuda.Error as error:
            raise AvatarNotReady("There is no NVIDIA GPU that can be used.", str(error)) from error
        self._context = device.retain_primary_context()
        self.name = str(device.name())
        self.capability = device.compute_capability()
        self._allocations: dict[int, Any] = {}
        with self.current():
            self._stream = self._cuda.Stream()
        self.stream = int(self._stream.handle)

    @contextlib.contextmanager
    def current(self) -> Iterator[None]:
        """Push the context for this thread, and pop it; errors of CUDA become `EngineFault`."""
        self._context.push()
        try:
            yield
        except self._cuda.Error as error:
            raise EngineFault(detail=str(error)) from error
        finally:
            self._cuda.Context.pop()

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory; 0 if there is not enough."""
        try:
            allocation = self._cuda.mem_alloc(size_bytes)
        except self._cuda.MemoryError:
            return 0
        self._allocations[int(allocation)] = allocation
        return int(allocation)

    def free(self, address: int) -> None:
        """Give memory back."""
        self._allocations.pop(address).free()

    def to_device(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous host array."""
        self._cuda.memcpy_htod_async(address, array, self._stream)

    def to_host(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy into a contiguous host array."""
        self._cuda.memcpy_dtoh_async(array, address, self._stream)

    def within(self, target: int, source: int, size_bytes: int) -> None:
        """Queue a copy from device to device."""
        self._cuda.memcpy_dtod_async(target, source, size_bytes, self._stream)

    def wait(self) -> None:
        """Return when everything queued has happened."""
        self._stream.synchronize()

    def room(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""
        free, whole = self._cuda.mem_get_info()
        return int(free), int(whole)


class CudaPythonDriver:
    """The runtime interface of cuda-python (``cuda-bindings``), whose context is every CUDA library's.

    Raises:
        ImportError: It is not installed.
        AvatarNotReady: There is no GPU, or no driver.
    """

    def __init__(self) -> None:
        from cuda.bindings import runtime

        self._cuda = runtime
        error, count = runtime.cudaGetDeviceCount()
        if error != runtime.cudaError_t.cudaSuccess or not count:
            raise AvatarNotReady("There is no NVIDIA GPU that can be used.", str(error))
        properties = self._done(runtime.cudaGetDeviceProperties(0))
        self.name = bytes(properties.name).rstrip(b"\0").decode("utf-8", "replace")
        self.capability = (int(properties.major), int(properties.minor))
        self.stream = int(self._done(runtime.cudaStreamCreate()))

    def current(self) -> AbstractContextManager[None]:
        """Do nothing: the runtime interface brings its context to every thread by itself."""
        return contextlib.nullcontext()

    def allocate(self, size_bytes: int) -> int:
        """Return the address of new memory; 0 if there is not enough."""
        error, address = self._cuda.cudaMalloc(size_bytes)
        if error == self._cuda.cudaError_t.cudaErrorMemoryAllocation:
            self._cuda.cudaGetLastError()  # else the next call of any library would find it
            return 0
        return int(self._done((error, address)))

    def free(self, address: int) -> None:
        """Give memory back."""
        self._done(self._cuda.cudaFree(address))

    def to_device(self, address: int, array: NDArray[Any]) -> None:
        """Queue a copy of a contiguous host array."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._done(self._cuda.cudaMemcpyAsync(address, array.ctypes.data, array.nbytes, kind, self.stream))

    def to_host(self, array: NDArray[Any], address: int) -> None:
        """Queue a copy into a contiguous host array."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._done(self._cuda.cudaMemcpyAsync(array.ctypes.data, address, array.nbytes, kind, self.stream))

    def within(self, target: int, source: int, size_bytes: int) -> None:
        """Queue a copy from device to device."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        self._done(self._cuda.cudaMemcpyAsync(target, source, size_bytes, kind, self.stream))

    def wait(self) -> None:
        """Return when everything queued has happened."""
        self._done(self._cuda.cudaStreamSynchronize(self.stream))

    def room(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""
        error, free, whole = self._cuda.cudaMemGetInfo()
        self._done((error, None))
        return int(free), int(whole)

    def _done(self, answer: tuple[Any, ...]) -> Any:
        """Return what a call answered beside its error code.

        Raises:
            EngineFault: The code is one.
        """
        if answer[0] != self._cuda.cudaError_t.cudaSuccess:
            raise EngineFault(detail=f"CUDA: {answer[0]}")
        return answer[1] if len(answer) > 1 else None
