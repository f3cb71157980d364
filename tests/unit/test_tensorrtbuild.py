"""Engines are built once, proved, and appear whole or not at all. TensorRT is `tests.unit.gpu`'s."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from studio.cli import build as command
from studio.cli import main
from studio.engines import runtime, tensorrtmodel
from studio.engines.cudamemory import CudaMemory
from studio.engines.network import Port
from studio.engines.runtime import open_model
from studio.engines.tensorrtbuild import Order, build, build_all, profile, typed
from studio.errors import AvatarNotReady, BadNetwork
from tests.unit import gpu, graphs
from tests.unit.test_onnxgraph import sampling

X = np.arange(4, dtype=np.float32)[None] ** 2


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[gpu.Builder]:
    """A machine with TensorRT."""
    fake = gpu.Builder()
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    tensorrtmodel.journal.cache_clear()
    yield fake
    tensorrtmodel.journal.cache_clear()


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> CudaMemory:
    """A GPU."""
    found, _ = gpu.memory()
    monkeypatch.setattr(runtime, "cuda_memory", lambda: found)
    monkeypatch.setattr(command, "cuda_memory", lambda: found)
    return found


def ordered(path: Path, half: bool = False) -> Order:
    """Return an order for the usual small graph."""
    return Order(graphs.mean_subtracted(path / "net.onnx"), half, lambda: {"x": X})


@pytest.mark.parametrize("half", [False, True])
def test_engine_is_built_proved_and_found(library: gpu.Builder, memory: CudaMemory, tmp_path: Path, half: bool) -> None:
    shown: list[tuple[float, str]] = []
    order = ordered(tmp_path, half)
    path = build(order, memory, lambda done, doing: shown.append((done, doing)))
    assert path.parent == tmp_path / "built" / "testing-gpu-tensorrt-10.13.3.9"
    assert {one.suffix for one in path.parent.iterdir()} == {".engine", ".json"}
    assert [done for done, _ in shown] == sorted(done for done, _ in shown)
    assert shown[-1] == (1.0, "net: done")
    note = json.loads(path.with_suffix(".json").read_text())
    assert (note["precision"], note["compute"]) == ("float16" if half else "float32", [9, 0])
    assert 0 <= note["errors"]["y"] < (1e-3 if half else 1e-6)
    assert library.built[0].profiles[0].shapes == {"x": ((1, 4), (4, 4), (8, 4))}
    model = open_model(order.network)
    assert model.title.startswith("TensorRT")
    np.testing.assert_allclose(model.run({"x": X})["y"], X - X.mean(), atol=0.01)
    assert build(order, memory, lambda done, doing: None) == path
    assert len(library.built) == 1


def test_engine_that_computes_something_else_is_not_kept(
    library: gpu.Builder, memory: CudaMemory, tmp_path: Path
) -> None:
    library.error = 0.5
    with pytest.raises(BadNetwork, match=r"The engine made of net is wrong by more than 0\.001: y: "):
        build(ordered(tmp_path), memory, lambda done, doing: None)
    assert not [path for path in (tmp_path / "built").rglob("*") if path.is_file()]
    library.error = np.nan
    with pytest.raises(BadNetwork, match="y: inf"):
        build(ordered(tmp_path, half=True), memory, lambda done, doing: None)


def test_engine_that_is_wrong_for_many_rows_only_is_not_kept(
    library: gpu.Builder, memory: CudaMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = library._loaded

    def loaded(most: int, graph: bytes) -> gpu.Tensorrt:
        engine = real(most, graph)
        work = engine.work
        engine.work = lambda x: {"y": work(x=x)["y"] + (len(x) > 2)}
        return engine

    monkeypatch.setattr(library, "_loaded", loaded)
    with pytest.raises(BadNetwork, match="is wrong"):
        build(ordered(tmp_path), memory, lambda done, doing: None)


@pytest.mark.parametrize(
    ("complaint", "words"), [("parse", "TensorRT 10.13.3.9 cannot read net"), ("build", "cannot build net")]
)
def test_network_that_tensorrt_does_not_take_is_a_sentence(
    library: gpu.Builder, memory: CudaMemory, tmp_path: Path, complaint: str, words: str
) -> None:
    library.complaint = complaint
    with pytest.raises(BadNetwork, match=words):
        build(ordered(tmp_path), memory, lambda done, doing: None)
    assert not list((tmp_path / "built").rglob("*.part*"))


def test_one_failure_does_not_stop_the_others(library: gpu.Builder, memory: CudaMemory, tmp_path: Path) -> None:
    good = ordered(tmp_path)
    missing = Order(tmp_path / "missing.onnx", False, lambda: {})
    done: list[float] = []
    failed = build_all([missing, good], memory, lambda share, doing: done.append(share))
    assert list(failed) == ["missing"]
    assert "missing.onnx" in failed["missing"]
    assert done[-1] == 1.0
    assert open_model(good.network).title.startswith("TensorRT")


def test_folder_that_cannot_be_written_is_a_sentence(library: gpu.Builder, memory: CudaMemory, tmp_path: Path) -> None:
    order = ordered(tmp_path)
    (tmp_path / "built").touch()
    with pytest.raises(AvatarNotReady, match="cannot be written"):
        build(order, memory, lambda done, doing: None)


def test_profiles_cover_every_free_axis(tmp_path: Path) -> None:
    order = Order(tmp_path / "net.onnx", False, lambda: {}, (1, 1, 1), {"x": {1: (3, 6, 9)}})
    kind = np.dtype(np.float32)
    assert profile(Port("x", kind, (None, None, 2)), order) == ((1, 3, 2), (1, 6, 2), (1, 9, 2))
    assert profile(Port("x", kind, (1, 2)), order) is None
    for port in (Port("x", kind, (1, 2, None)), Port("z", kind, (1, None)), Port("z", kind, None)):
        with pytest.raises(BadNetwork, match="free axes that nobody knows"):
            profile(port, order)


def test_half_precision_spares_ends_and_samplings(tmp_path: Path) -> None:
    path = sampling(tmp_path / "net.onnx")
    changed = typed(Order(path, True, lambda: {}))
    onnx.checker.check_model(changed, full_check=True)
    assert {one.type.tensor_type.elem_type for one in (*changed.graph.input, *changed.graph.output)} == {1}
    assert not [one for one in changed.graph.initializer if one.data_type == onnx.TensorProto.FLOAT16]
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]


def test_half_precision_holds_weights_in_half(tmp_path: Path) -> None:
    weights = {"w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)}
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = graphs.save(tmp_path / "net.onnx", [node], [("x", ["n", 4])], [("y", ["n", 3])], weights)
    changed = typed(Order(path, True, lambda: {}))
    assert [one.data_type for one in changed.graph.initializer] == [onnx.TensorProto.FLOAT16]
    assert typed(Order(path, False, lambda: {})).graph.initializer[0].data_type == onnx.TensorProto.FLOAT


def test_command_without_gpu_is_a_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    assert main(["build", "ditto"]) == 1
    assert "TensorRT is not installed" in capsys.readouterr().err
