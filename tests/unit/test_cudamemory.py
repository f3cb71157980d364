"""Memory of a GPU, and arrays in it; the two CUDA libraries behind the same calls."""

from __future__ import annotations

import gc
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from studio.engines import cudamemory
from studio.engines.cudadriver import CudaPythonDriver, PycudaDriver
from studio.engines.device import DeviceArray, host, join
from studio.errors import AvatarNotReady, DeviceFull, EngineFault
from tests.unit import gpu

X = np.arange(24, dtype=np.float32).reshape(4, 3, 2)


def test_arrays_come_back_as_they_went() -> None:
    memory, _ = gpu.memory()
    there = memory.upload(X)
    assert (there.shape, there.dtype, there.ndim, there.nbytes) == (X.shape, X.dtype, 3, X.nbytes)
    np.testing.assert_array_equal(host(there), X)
    np.testing.assert_array_equal(host(memory.upload(X.astype(np.float16))), X)
    assert host(memory.upload(X[:0])).shape == (0, 3, 2)


def test_slices_share_memory_and_keep_it() -> None:
    memory, driver = gpu.memory()
    part = memory.upload(X)[1:3]
    gc.collect()
    memory.upload(X * 0)  # would reuse the block if nobody held it
    np.testing.assert_array_equal(host(part), X[1:3])
    np.testing.assert_array_equal(host(part[1:2]), X[2:3])
    with pytest.raises(IndexError, match="without steps"):
        part[::2]
    assert len(driver.blocks) == 2


def test_join_happens_where_one_of_the_parts_is() -> None:
    memory, _ = gpu.memory()
    whole = join([memory.upload(X[:1]), X[1:3], memory.upload(X[3:])])
    assert isinstance(whole, DeviceArray)
    np.testing.assert_array_equal(host(whole), X)
    assert join([X]) is X
    np.testing.assert_array_equal(join([X, X])[4:], X)


def test_memory_that_nobody_holds_is_used_again() -> None:
    memory, driver = gpu.memory()
    for _ in range(100):
        memory.upload(X)
    assert len(driver.blocks) == 1
    kept = [memory.upload(X) for _ in range(3)]
    assert len(driver.blocks) == 3
    del kept
    memory.release()
    assert not driver.blocks


def test_full_memory_is_first_tidied_then_told() -> None:
    memory, driver = gpu.memory(limit=4096)
    memory.upload(np.zeros(3000, np.uint8))
    kept = memory.upload(np.zeros(2000, np.uint8))  # fits only when the first block is given back
    with pytest.raises(DeviceFull, match="The memory of the Testing GPU is full") as caught:
        memory.upload(np.zeros(3000, np.uint8))
    assert "2048 of 4096 are free" in caught.value.detail
    assert memory.room() == (2048, 4096)
    assert kept.nbytes == 2000
    assert driver.waits


@pytest.mark.parametrize("size", [1, 511, 512, 513, 5000, 8_388_608, 8_388_609])
def test_blocks_are_a_little_larger_than_asked(size: int) -> None:
    rounded = cudamemory._rounded(size)
    assert size <= rounded <= max(512, size * 9 // 8 + 512)
    assert rounded % 512 == 0


def fake_runtime(driver: gpu.HostDriver) -> Any:
    """The module ``cuda.bindings.runtime`` on host memory."""
    error = SimpleNamespace(cudaSuccess=0, cudaErrorMemoryAllocation=2, broken=700)
    kinds = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2, cudaMemcpyDeviceToDevice=3)

    def malloc(size: int) -> tuple[int, int]:
        address = driver.allocate(size)
        return (0, address) if address else (2, 0)

    def copy(target: int, source: int, size: int, kind: int, stream: int) -> tuple[int]:
        assert stream == 7
        assert kind in (1, 2, 3)
        if not source:
            return (700,)
        driver.within(target, source, size)
        return (0,)

    def free(address: int) -> tuple[int]:
        driver.free(address)
        return (0,)

    return SimpleNamespace(
        cudaError_t=error,
        cudaMemcpyKind=kinds,
        cudaGetDeviceCount=lambda: (0, 1),
        cudaGetDeviceProperties=lambda n: (0, SimpleNamespace(name=b"Testing GPU\0\0", major=9, minor=0)),
        cudaStreamCreate=lambda: (0, 7),
        cudaStreamSynchronize=lambda stream: (0,),
        cudaGetLastError=lambda: (0,),
        cudaMalloc=malloc,
        cudaFree=free,
        cudaMemcpyAsync=copy,
        cudaMemGetInfo=lambda: (0, *driver.room()),
    )


def fake_pycuda(driver: gpu.HostDriver) -> Any:
    """The module ``pycuda.driver`` on host memory; its context has to be pushed in every thread."""
    pushed: list[int] = []

    class Error(Exception):
        """Base of all of its errors."""

    class MemoryError(Error):
        """No memory left."""

    class Allocation:
        def __init__(self, address: int) -> None:
            self.address = address

        def __int__(self) -> int:
            return self.address

        def free(self) -> None:
            driver.free(self.address)

    def mem_alloc(size: int) -> Allocation:
        assert pushed
        address = driver.allocate(size)
        if not address:
            raise MemoryError
        return Allocation(address)

    def within(target: int, source: int, size: int, stream: Any) -> None:
        assert pushed
        if not source:
            raise Error("an illegal address")
        driver.within(target, source, size)

    context = SimpleNamespace(push=lambda: pushed.append(1))
    device = SimpleNamespace(
        name=lambda: "Testing GPU", compute_capability=lambda: (9, 0), retain_primary_context=lambda: context
    )
    return SimpleNamespace(
        Error=Error,
        MemoryError=MemoryError,
        init=lambda: None,
        Device=lambda number: device,
        Context=SimpleNamespace(pop=pushed.pop),
        Stream=lambda: SimpleNamespace(handle=7, synchronize=lambda: None),
        mem_alloc=mem_alloc,
        mem_get_info=driver.room,
        memcpy_htod_async=lambda target, array, stream: driver.to_device(target, array),
        memcpy_dtoh_async=lambda array, source, stream: driver.to_host(array, source),
        memcpy_dtod_async=within,
    )


@pytest.fixture(params=["pycuda", "cuda"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> gpu.HostDriver:
    """One of the two CUDA libraries, installed; the other one is not."""
    below = gpu.HostDriver(limit=8192)
    cudamemory.cuda_memory.cache_clear()
    for name in ("pycuda", "pycuda.driver", "cuda", "cuda.bindings", "cuda.bindings.runtime"):
        monkeypatch.setitem(sys.modules, name, None)
    package: Any = ModuleType(request.param)
    module = fake_pycuda(below)
    if request.param == "pycuda":
        package.driver = module
        monkeypatch.setitem(sys.modules, "pycuda", package)
        monkeypatch.setitem(sys.modules, "pycuda.driver", module)
    else:
        bindings: Any = ModuleType("cuda.bindings")
        bindings.runtime = fake_runtime(below)
        monkeypatch.setitem(sys.modules, "cuda", package)
        monkeypatch.setitem(sys.modules, "cuda.bindings", bindings)
    request.addfinalizer(cudamemory.cuda_memory.cache_clear)
    return below


def test_both_libraries_answer_the_same_calls(library: gpu.HostDriver) -> None:
    memory = cudamemory.cuda_memory()
    assert memory is cudamemory.cuda_memory()
    assert (memory.name, memory.capability, memory.stream) == ("Testing GPU", (9, 0), 7)
    whole = join([memory.upload(X), memory.upload(X + 1)])
    np.testing.assert_array_equal(host(whole), np.concatenate([X, X + 1]))
    memory.wait()
    with pytest.raises(AvatarNotReady, match="full"):
        memory.allocate(10_000)
    with pytest.raises(EngineFault):
        memory.copy(0, 0, 10)
    del whole
    memory.release()
    assert memory.room() == (8192, 8192)


def test_machine_without_library_or_gpu_is_a_sentence(library: gpu.HostDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.modules["cuda"] is not None:
        bindings: Any = sys.modules["cuda.bindings"]
        monkeypatch.setattr(bindings.runtime, "cudaGetDeviceCount", lambda: (35, None))
    else:
        driver: Any = sys.modules["pycuda.driver"]

        def init() -> None:
            raise driver.Error("no device")

        monkeypatch.setattr(driver, "init", init)
    with pytest.raises(AvatarNotReady, match="There is no NVIDIA GPU that can be used"):
        cudamemory.cuda_memory()
    for name in ("pycuda", "pycuda.driver", "cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AvatarNotReady, match="pip install cuda-bindings"):
        cudamemory.cuda_memory()
    for driver_class in (PycudaDriver, CudaPythonDriver):
        with pytest.raises(ImportError):
            driver_class()
