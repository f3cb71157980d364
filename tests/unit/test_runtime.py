"""Networks are opened, looked at, and run on any number of rows."""

from __future__ import annotations

import builtins
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from studio.engines.network import Model
from studio.engines.runtime import host, is_finite, open_model
from studio.errors import AvatarNotReady, BadNetwork, EngineFault
from tests.unit import graphs

X = np.arange(20, dtype=np.float32).reshape(5, 4) ** 2


def singly(model: Model, **feeds: Any) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Run row after row."""
    rows = range(len(feeds["x"]))
    return np.concatenate([model.run({name: value[i : i + 1] for name, value in feeds.items()})["y"] for i in rows])


@pytest.mark.parametrize("rows", ["batch", 1, 2, 3, 8])
def test_batch_gives_what_single_calls_give(tmp_path: Path, rows: int | str) -> None:
    model = open_model(graphs.mean_subtracted(tmp_path / "net.onnx", rows))
    assert model.batches == (rows == "batch")
    assert model.max_batch == (None if rows == "batch" else rows)
    whole = model.run({"x": X})["y"]
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole, X - X.mean(1, keepdims=True))
    np.testing.assert_array_equal(whole, singly(model, x=X))


@pytest.mark.parametrize(("rows", "steps"), [("batch", "batch"), ("batch", 1), (1, 1)])
def test_each_row_has_its_own_step(tmp_path: Path, rows: int | str, steps: int | str) -> None:
    model = open_model(graphs.scaled(tmp_path / "net.onnx", rows, steps))
    x, step = X[:, :3], np.array([1, 2, 3, 4, 5])
    np.testing.assert_array_equal(model.run({"x": x, "step": step})["y"], x * step[:, None])
    np.testing.assert_array_equal(model.run({"x": x, "step": step[:1] + 6})["y"], x * 7)


def test_outputs_without_rows_are_found_out(tmp_path: Path) -> None:
    """A graph whose free axis is a promise: its output mixes the rows into one."""
    nodes = [helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)]
    path = graphs.save(tmp_path / "net.onnx", nodes, [("x", ["n", 4])], [("y", [1, 4])], {"axis": np.array([0])})
    model = open_model(path)
    assert model.batches
    np.testing.assert_array_equal(model.run({"x": X})["y"], X)
    assert not model.batches


def test_free_axis_that_a_graph_cannot_keep_is_found_out(tmp_path: Path) -> None:
    """The stand-ins of the landmark networks: one row is written into the graph."""
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = graphs.save(
        tmp_path / "net.onnx", nodes, [("x", ["n", 4])], [("y", [1, 2, 2])], {"shape": np.array([1, 2, 2])}
    )
    model = open_model(path)
    np.testing.assert_array_equal(model.run({"x": X})["y"], X.reshape(5, 2, 2))
    assert not model.batches


def test_rows_that_a_file_denies_are_used_all_the_same(tmp_path: Path) -> None:
    """The released landmark networks: a free axis at the input, 1 written at the output, n rows in truth."""
    model = open_model(graphs.mean_subtracted(tmp_path / "net.onnx", "n", declared=1))
    assert model.run({"x": X})["y"].shape == (5, 4)
    assert model.batches


def test_kept_outputs_feed_the_next_network(tmp_path: Path) -> None:
    model = open_model(graphs.mean_subtracted(tmp_path / "net.onnx"))
    kept = model.run_kept({"x": model.put("x", X)})["y"]
    np.testing.assert_array_equal(host(model.run_kept({"x": kept})["y"]), kept)


def test_ends_are_described(tmp_path: Path) -> None:
    model = open_model(graphs.scaled(tmp_path / "net.onnx", "batch", 1))
    assert [str(port) for port in model.inputs] == ["x [? x 3] float32", "step [1] int64"]
    assert "on the CPU" in model.title
    assert model.warm_up({"x": (2, 3), "step": (1,)}) > 0
    model.close()
    model.close()


@pytest.mark.parametrize(
    ("feeds", "words"),
    [
        ({}, "wants ['step', 'x'], got []"),
        ({"x": X[:, :3], "step": np.array([1]), "z": X}, "'z'"),
        ({"x": X, "step": np.array([1])}, "wants x [? x 3] float32, got [5, 4]"),
        ({"x": X[0, :3], "step": np.array([1])}, "got [3]"),
        ({"x": X[:, :3], "step": np.array([1.0])}, "wants step [?] int64, got float64"),
        ({"x": X[:, :3], "step": np.array([1, 2])}, "cannot stack [2, 5] rows"),
        ({"x": X[:0, :3], "step": np.array([1])}, "cannot stack"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(tmp_path: Path, feeds: dict[str, Any], words: str) -> None:
    model = open_model(graphs.scaled(tmp_path / "net.onnx"))
    with pytest.raises(EngineFault) as caught:
        model.run(feeds)
    assert words in caught.value.detail


def test_widths_of_numbers_are_adapted(tmp_path: Path) -> None:
    model = open_model(graphs.scaled(tmp_path / "net.onnx"))
    y = model.run({"x": X[:, :3].astype(np.float64), "step": np.array([2], np.int32)})["y"]
    np.testing.assert_array_equal(y, X[:, :3] * 2)


def test_fault_within_the_runtime_is_a_sentence(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = graphs.save(tmp_path / "net.onnx", nodes, [("x", ["n", 4])], [("y", [2, 6])], {"shape": np.array([2, 6])})
    with pytest.raises(EngineFault, match="lost its thread"):
        open_model(path).run({"x": X})


def test_expected_network_is_accepted(tmp_path: Path) -> None:
    path = graphs.scaled(tmp_path / "net.onnx")
    open_model(path, inputs={"x": (1, 3), "step": (None,)}, outputs={"y": (1, 3)})
    open_model(path, outputs={"y": (None, 3)})


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"x": (1, 4), "step": (1,)}, {}, r"its input x \[\? x 3\] float32 should be \[1 x 4\]"),
        ({"x": (1, 3, 1), "step": (1,)}, {}, r"its input x .* should be \[1 x 3 x 1\]"),
        ({"image": (1, 3)}, {}, "it has no input 'image'"),
        ({"x": (1, 3)}, {}, "it has an unknown input 'step'"),
        ({}, {"z": (1, 3)}, "it has no output 'z'"),
        ({}, {"y": (1, 2)}, "its output y"),
    ],
)
def test_another_network_is_refused(tmp_path: Path, inputs: Any, outputs: Any, words: str) -> None:
    path = graphs.scaled(tmp_path / "net.onnx")
    with pytest.raises(BadNetwork, match=r"net\.onnx is not the network that belongs there: " + words):
        open_model(path, inputs=inputs, outputs=outputs)


def test_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadNetwork, match=r"net\.onnx is missing; it belongs into"):
        open_model(tmp_path / "net.onnx")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_truncated_file_is_a_sentence(tmp_path: Path, share: float) -> None:
    path = graphs.mean_subtracted(tmp_path / "net.onnx")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BadNetwork, match=r"net\.onnx (is damaged|cannot be loaded|is not)"):
        open_model(path)


def test_unknown_operator_is_a_sentence(tmp_path: Path) -> None:
    """The released ``warp_network.onnx``."""
    nodes = [helper.make_node("GridSample3D", ["x"], ["y"])]
    path = graphs.save(tmp_path / "warp_network.onnx", nodes, [("x", [1, 4])], [("y", [1, 4])])
    with pytest.raises(BadNetwork, match="needs an operator that ONNX Runtime does not have"):
        open_model(path)


def test_missing_runtime_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = graphs.mean_subtracted(tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(AvatarNotReady, match="pip install onnxruntime"):
        open_model(path)


def test_runtimes_are_not_imported_before_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("studio.engines.")]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def watched(name: str, *args: Any, **kwargs: Any) -> Any:
        assert name.partition(".")[0] not in ("onnx", "onnxruntime", "tensorrt", "cuda", "pycuda")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", watched)
    import studio.engines.runtime  # noqa: F401


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_found(value: float) -> None:
    picture = np.ones((3, 64, 64), np.float32)
    assert is_finite(picture)
    assert is_finite(picture[:0])
    assert is_finite(np.array([3e38, 3e38], np.float32))
    picture[1, 2, 3] = value
    assert not is_finite(picture)


def test_stand_ins_of_ditto_load_and_run(shared: Path, tmp_path: Path) -> None:
    source = shared / "golden" / "ditto" / "standins" / "ditto_onnx" / "stitch_network.onnx"
    path = Path(shutil.copy(source, tmp_path))
    points = {"kp_source": (1, 21, 3), "kp_driving": (1, 21, 3)}
    model = open_model(path, inputs=points, outputs={"out": (1, 21, 3)})
    feeds = {name: np.random.default_rng(1).random((3, 21, 3), np.float32) for name in points}
    whole = model.run(feeds)["out"]
    assert not model.batches
    for i in range(3):
        one = model.run({name: value[i : i + 1] for name, value in feeds.items()})["out"]
        np.testing.assert_array_equal(whole[i : i + 1], one)
