"""The memory of the first NVIDIA GPU, through pycuda or, where that is not installed, cuda-python.

Knows no network. There is one `CudaMemory` for the process, one stream in it, and one lock around both: everything
that is asked of the GPU happens in the order in which it was asked, so that memory whose last reader is queued may be
handed out again at once. Neither library is imported before `cuda_memory` is called.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections import defaultdict, deque
from collections.abc import Iterator
from functools import cache
from typing import Any

from numpy.typing import NDArray

from studio.config import pip_told
from studio.engines.cudadriver import CudaPythonDriver, Driver, PycudaDriver
from studio.engines.device import DeviceArray
from studio.errors import AvatarNotReady, DeviceFull

SMALLEST_BYTES = 512
"""What CUDA aligns to; smaller requests get as much."""


class CudaMemory:
    """Memory of one GPU; blocks that nobody holds any more are kept and handed out again.

    Args:
        driver: The library that does it.
    """

    def __init__(self, driver: Driver) -> None:
        self.name = driver.name
        self.capability = driver.capability
        self.stream = driver.stream
        self._driver = driver
        self._lock = threading.RLock()
        self._kept: defaultdict[int, deque[int]] = defaultdict(deque)

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Hold the GPU for one call: other threads wait, and its context is this thread's."""
        with self._lock, self._driver.current():
            yield

    def allocate(self, size_bytes: int) -> tuple[int, object]:
        """Return the address of memory and what holds it.

        Raises:
            DeviceFull: The GPU has no more.
        """
        size_bytes = _rounded(size_bytes)
        with self.turn():
            kept = self._kept[size_bytes]
            address = kept.pop() if kept else self._driver.allocate(size_bytes)
            if not address:
                self.release()
                address = self._driver.allocate(size_bytes)
        if not address:
            free, whole = self.room()
            detail = f"wanted {size_bytes} bytes, {free} of {whole} are free"
            raise DeviceFull(f"The memory of the {self.name} is full.", detail)
        lease = Lease()
        # Appending to a deque is atomic, which a finalizer needs: it may run in any thread, in the middle of anything.
        weakref.finalize(lease, self._kept[size_bytes].append, address).atexit = False
        return address, lease

    def upload(self, array: NDArray[Any]) -> DeviceArray:
        """Copy a contiguous host array into new memory."""
        address, owner = self.allocate(array.nbytes)
        with self.turn():
            self._driver.to_device(address, array)
            self._driver.wait()  # the caller may change its array
        return DeviceArray(self, address, array.shape, array.dtype, owner)

    def download(self, address: int, array: NDArray[Any]) -> None:
        """Copy into a contiguous host array, when everything queued before has happened."""
        with self.turn():
            self._driver.to_host(array, address)
            self._driver.wait()

    def copy(self, source: int, target: int, size_bytes: int) -> None:
        """Copy within the device."""
        with self.turn():
            self._driver.within(target, source, size_bytes)

    def wait(self) -> None:
        """Return when everything queued has happened."""
        with self.turn():
            self._driver.wait()

    def room(self) -> tuple[int, int]:
        """Return bytes free and bytes in all."""
        with self.turn():
            return self._driver.room()

    def release(self) -> None:
        """Give back to the GPU what is kept for the next call."""
        with self.turn():
            self._driver.wait()
            for addresses in list(self._kept.values()):
                while addresses:
                    self._driver.free(addresses.pop())


class Lease:
    """Holds a block as long as somebody refers to it."""

    __slots__ = ("__weakref__",)


def _rounded(size_bytes: int) -> int:
    """Return the size of the block for a request: steps of an eighth, so that similar requests share blocks."""
    step = max(SMALLEST_BYTES, 1 << max(size_bytes.bit_length() - 4, 0))
    return max(-(-size_bytes // step) * step, SMALLEST_BYTES)


@cache
def cuda_memory() -> CudaMemory:
    """Return the memory of the first GPU; always the same.

    Raises:
        AvatarNotReady: There is no GPU, no driver, or no library to speak to it; the sentence says which.
    """
    try:
        return CudaMemory(PycudaDriver())
    except ImportError:  # not installed, or installed where there is no driver
        pass_on = f"neither pycuda nor cuda-bindings is installed: {pip_told('cuda-bindings')}"
    try:
        return CudaMemory(CudaPythonDriver())
    except ImportError as error:
        raise AvatarNotReady(f"The GPU cannot be used: {pass_on}", str(error)) from error
