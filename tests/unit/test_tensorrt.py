"""Engines of TensorRT: which are loaded, which are refused, and how they are run. The library is `tests.unit.gpu`'s."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines import runtime, tensorrtmodel
from studio.engines.device import DeviceArray
from studio.engines.onnxmodel import load_library
from studio.engines.runtime import host, open_model
from studio.engines.tensorrtcache import engine_path
from studio.errors import AvatarNotReady, BadNetwork, ConfigError, EngineFault
from tests.unit import gpu, graphs

X = np.arange(20, dtype=np.float32).reshape(5, 4)


def doubled(x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The network of these tests."""
    return {"y": x.astype(np.float16) * 2}


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[gpu.Tensorrt]:
    """A machine with a GPU and TensorRT."""
    fake = gpu.Tensorrt({"x": (np.float32, (-1, 4))}, {"y": (np.float16, (-1, 4))}, doubled)
    memory, _ = gpu.memory()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(runtime, "cuda_memory", lambda: memory)
    tensorrtmodel.journal.cache_clear()
    yield fake
    tensorrtmodel.journal.cache_clear()


def test_engine_runs_in_as_few_calls_as_its_profile_allows(library: gpu.Tensorrt, tmp_path: Path) -> None:
    model = open_model(gpu.plan(tmp_path / "net.engine"), inputs={"x": (1, 4)}, outputs={"y": (1, 4)})
    assert (model.title, model.max_batch) == ("TensorRT 10.13.3.9 on Testing GPU", 4)
    y = model.run({"x": X})["y"]
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, X * 2)
    assert library.calls == [4, 1]
    model.close()
    model.close()
    with pytest.raises(EngineFault):
        model.run({"x": X})


def test_kept_arrays_stay_on_the_device(library: gpu.Tensorrt, tmp_path: Path) -> None:
    library.outputs = {"y": (np.float32, (-1, 4))}
    library.work = lambda x: {"y": x * 2}
    model = open_model(gpu.plan(tmp_path / "net.engine"))
    there = model.put("x", X)
    first = model.run_kept({"x": there})["y"]
    assert isinstance(first, DeviceArray)
    np.testing.assert_array_equal(host(model.run_kept({"x": first})["y"]), X * 4)
    np.testing.assert_array_equal(host(there), X)


def test_fixed_engine_is_called_for_every_row(library: gpu.Tensorrt, tmp_path: Path) -> None:
    library.inputs, library.outputs = {"x": (np.float32, (2, 4))}, {"y": (np.float16, (2, 4))}
    model = open_model(gpu.plan(tmp_path / "net.engine"))
    np.testing.assert_array_equal(model.run({"x": X})["y"], X * 2)
    assert library.calls == [2, 2, 2]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (
            (8, 6, 1, 6),
            r"net\.engine was made by TensorRT 8\.6\.1, and here is 10\.13\.3\. Run `start_studio\.py build`",
        ),
        ((10, 16, 1, 11), r"made by TensorRT 10\.16\.1, and here is 10\.13\.3"),
    ],
)
def test_engine_of_another_version_is_refused(
    library: gpu.Tensorrt, tmp_path: Path, version: tuple[int, int, int, int], words: str
) -> None:
    """The released engines are of 8.6.1."""
    with pytest.raises(BadNetwork, match=words):
        open_model(gpu.plan(tmp_path / "net.engine", version))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            "The engine plan file is generated on an incompatible device, expecting compute 9.0 got compute 8.6, "
            "please rebuild.",
            r"for a GPU of another generation \(compute 8\.6; this one has 9\.0\)\. Run `start_studio\.py build`",
        ),
        (
            "The engine plan file is not compatible with this version of TensorRT, expecting library version 10.13.3 "
            "got 10.13.2, please rebuild.",
            "made by another version of TensorRT. Run",
        ),
        ("Version tag does not match. Note: Current Version: 237, Serialized Engine Version: 239", "another version"),
        ("Trying to load an engine created with incompatible serialization version (239 != 237).", "another version"),
        ("Internal error", "cannot be loaded by TensorRT. Run"),
    ],
)
def test_what_tensorrt_refuses_is_a_sentence(library: gpu.Tensorrt, tmp_path: Path, said: str, words: str) -> None:
    library.refuses = said
    with pytest.raises(BadNetwork, match=words) as caught:
        open_model(gpu.plan(tmp_path / "net.engine"))
    assert said in caught.value.detail


@pytest.mark.parametrize("content", [b"", b"ftrt", b"PK" + bytes(100), b"ftrt" + b"\1" + bytes(99)])
def test_what_is_no_engine_is_a_sentence(library: gpu.Tensorrt, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.engine"
    path.write_bytes(content)
    with pytest.raises(BadNetwork, match="damaged, or no engine of TensorRT"):
        open_model(path)


def test_shape_that_depends_on_the_data_is_refused(library: gpu.Tensorrt, tmp_path: Path) -> None:
    library.outputs = {"y": (np.float32, (-1, -2))}
    with pytest.raises(EngineFault) as caught:
        open_model(gpu.plan(tmp_path / "net.engine")).run({"x": X})
    assert "is not known before" in caught.value.detail


def test_numbers_that_numpy_does_not_know_are_refused(library: gpu.Tensorrt, tmp_path: Path) -> None:
    library.outputs = {"y": (np.void, (-1, 4))}
    with pytest.raises(BadNetwork, match="NumPy does not know"):
        open_model(gpu.plan(tmp_path / "net.engine"))


def test_engine_without_tensorrt_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setattr(runtime, "cuda_memory", lambda: gpu.memory()[0])
    with pytest.raises(AvatarNotReady, match=r"pip install -e '\.\[tensorrt\]'"):
        open_model(gpu.plan(tmp_path / "net.engine"))


def test_auto_takes_the_built_engine_of_this_gpu(library: gpu.Tensorrt, tmp_path: Path) -> None:
    network = graphs.mean_subtracted(tmp_path / "net.onnx")
    gpu.plan(engine_path(network, "Testing GPU", library.__version__))
    assert open_model(network).title.startswith("TensorRT")


def test_auto_says_why_it_did_not_take_the_better_ones(library: gpu.Tensorrt, tmp_path: Path) -> None:
    network = graphs.mean_subtracted(tmp_path / "net.onnx")
    gpu.plan(engine_path(network, "Another GPU", library.__version__))
    model = open_model(network)
    assert model.title.endswith("on the CPU")
    assert (
        "tensorrt: No engine of net was built for this GPU and TensorRT 10.13.3.9; `start_studio.py build`" in model.why
    )
    assert "cuda: This ONNX Runtime has no CUDA" in model.why
    gpu.plan(engine_path(network, "Testing GPU", library.__version__), (10, 9, 0, 34))
    assert "made by TensorRT 10.9.0" in open_model(network).why


def test_engine_of_a_changed_network_is_not_taken(library: gpu.Tensorrt, tmp_path: Path) -> None:
    network = graphs.mean_subtracted(tmp_path / "net.onnx")
    gpu.plan(engine_path(network, "Testing GPU", library.__version__))
    graphs.mean_subtracted(network, rows=1)
    assert open_model(network).title.endswith("on the CPU")


def test_runtime_can_be_asked_for(library: gpu.Tensorrt, tmp_path: Path) -> None:
    network = graphs.mean_subtracted(tmp_path / "net.onnx")
    assert open_model(network, runtime="cpu").why == "It was asked for."
    with pytest.raises(AvatarNotReady, match="No engine of net"):
        open_model(network, runtime="tensorrt")
    with pytest.raises(AvatarNotReady, match="has no CUDA"):
        open_model(network, runtime="cuda")
    with pytest.raises(ConfigError, match="no runtime called 'gpu'; known: auto, tensorrt, cuda, cpu"):
        open_model(network, runtime="gpu")


def test_runtimes_of_a_machine_are_listed(library: gpu.Tensorrt, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {one.name: one for one in runtime.available()}
    assert list(names) == ["tensorrt", "cuda", "cpu"]
    assert (names["tensorrt"].good, names["tensorrt"].text) == (True, "TensorRT 10.13.3.9 on Testing GPU")
    assert (names["cuda"].good, names["cpu"].good) == (False, True)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert not any(one.good for one in runtime.available())


class OnTheHost:
    """ONNX Runtime whose GPU is the host: real sessions and real bindings, on the CPU."""

    def __init__(self) -> None:
        self._library = load_library()
        self.__version__ = self._library.__version__
        self.SessionOptions, self.capi = self._library.SessionOptions, self._library.capi
        self.works = True
        self.settings: dict[str, str] = {}

    def preload_dlls(self) -> None:
        """Nothing to do."""

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path: str, options: Any, providers: list[Any]) -> Any:
        session = self._library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        if providers == ["CPUExecutionProvider"]:
            return session
        self.settings = providers[0][1]
        return _Session(session, self.works)


class _Session:
    def __init__(self, session: Any, works: bool) -> None:
        self._session, self._works = session, works
        self.get_inputs, self.get_outputs = session.get_inputs, session.get_outputs

    def get_providers(self) -> list[str]:
        return ["CUDAExecutionProvider"] if self._works else ["CPUExecutionProvider"]

    def io_binding(self) -> Any:
        return _Binding(self._session.io_binding())

    def run_with_iobinding(self, binding: Any) -> None:
        self._session.run_with_iobinding(binding.real)


class _Binding:
    def __init__(self, real: Any) -> None:
        self.real = real
        self.get_outputs = real.get_outputs

    def bind_input(self, name: str, device: str, number: int, kind: Any, shape: list[int], address: int) -> None:
        assert (device, number) == ("cuda", 0)
        self.real.bind_input(name, "cpu", 0, kind, shape, address)

    def bind_output(self, name: str, device: str, number: int) -> None:
        assert device in ("cuda", "cpu")
        self.real.bind_output(name, "cpu", number)


@pytest.fixture
def onnxruntime(monkeypatch: pytest.MonkeyPatch) -> OnTheHost:
    """A machine with a GPU and onnxruntime-gpu, without TensorRT."""
    fake = OnTheHost()
    memory, _ = gpu.memory()
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    monkeypatch.setattr(runtime, "cuda_memory", lambda: memory)
    return fake


def test_cuda_is_next_and_reads_arrays_where_they_lie(onnxruntime: OnTheHost, tmp_path: Path) -> None:
    model = open_model(graphs.mean_subtracted(tmp_path / "net.onnx"))
    assert model.title.endswith("on Testing GPU")
    assert model.why.startswith("tensorrt: TensorRT is not installed")
    assert onnxruntime.settings["user_compute_stream"] == "7"
    wanted = X - X.mean(1, keepdims=True)
    np.testing.assert_array_equal(model.run({"x": X})["y"], wanted)
    kept = model.run_kept({"x": model.put("x", X)})["y"]
    assert isinstance(kept, DeviceArray)
    np.testing.assert_array_equal(host(kept[1:3]), wanted[1:3])
    np.testing.assert_allclose(model.run({"x": kept})["y"], wanted, atol=1e-6)
    model.close()
    with pytest.raises(EngineFault):
        model.run({"x": X})


def test_cuda_that_cannot_load_its_libraries_is_passed_over(onnxruntime: OnTheHost, tmp_path: Path) -> None:
    onnxruntime.works = False
    network = graphs.mean_subtracted(tmp_path / "net.onnx")
    with pytest.raises(AvatarNotReady, match="cannot load its CUDA provider"):
        open_model(network, runtime="cuda")


def test_volume_sampling_is_converted_once_for_cuda(onnxruntime: OnTheHost, shared: Path, tmp_path: Path) -> None:
    name = "warp_network_ori.onnx"
    network = tmp_path / name
    network.write_bytes((shared / "golden" / "ditto" / "standins" / "ditto_onnx" / name).read_bytes())
    first = open_model(network, runtime="cuda")
    converted = list((tmp_path / "built").iterdir())
    assert [path.name[-13:] for path in converted] == ["-opset20.onnx"]
    before = converted[0].stat().st_mtime_ns
    open_model(network, runtime="cuda")
    assert converted[0].stat().st_mtime_ns == before
    random = np.random.default_rng(0)
    feeds: dict[str, Any] = {
        name: random.standard_normal((2, 21, 3), np.float32) * 0.3 for name in ("kp_source", "kp_driving")
    }
    feeds["feature_3d"] = random.standard_normal((1, 32, 16, 64, 64), np.float32)
    wanted = open_model(network, runtime="cpu").run(feeds)["out"]
    np.testing.assert_allclose(first.run(feeds)["out"], wanted, atol=1e-5)
