"""Graphs that are rewritten for a runtime compute what they computed before."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from studio.engines import onnxgraph
from studio.engines.onnxgraph import fingerprint, for_cuda, read, write
from studio.engines.onnxgrid import MARK, without_volume_sampling
from studio.engines.runtime import open_model
from studio.errors import AvatarNotReady, BadNetwork
from tests.unit import graphs


def sampling(path: Path, outside: str = "zeros", mode: str = "bilinear", opset: int = 17, axes: int = 5) -> Path:
    """Write a graph that samples volumes (or pictures, with 4 axes)."""
    volume, places = [2, 3, 4, 5, 6], [2, 2, 7, 8, 3]
    if axes == 4:
        volume, places = [2, 3, 5, 6], [2, 7, 8, 2]
    node = helper.make_node("GridSample", ["x", "grid"], ["y"], mode=mode, padding_mode=outside, align_corners=0)
    shape = [*volume[:2], *places[1:-1]]
    return graphs.save(path, [node], [("x", volume), ("grid", places)], [("y", shape)], opset=opset)


@pytest.mark.parametrize("outside", ["zeros", "border"])
def test_volume_sampling_is_replaced_by_an_equal(tmp_path: Path, outside: str) -> None:
    path = sampling(tmp_path / "net.onnx", outside)
    changed = without_volume_sampling(read(path))
    onnx.checker.check_model(changed)
    assert not any(node.op_type == "GridSample" for node in changed.graph.node)
    assert all(node.name.startswith(MARK) for node in changed.graph.node)
    write(changed, tmp_path / "changed.onnx")
    random = np.random.default_rng(3)
    places = random.uniform(-1.4, 1.4, (2, 2, 7, 8, 3)).astype(np.float32)
    places[0, 0, 0, :, 0] = [-1, 1, 0, -1 - 1 / 6, 1 + 1 / 6, 1e6, -1e6, 0.5]  # edges, half a cell beyond, far away
    feeds = {"x": random.standard_normal((2, 3, 4, 5, 6), np.float32), "grid": places}
    wanted = open_model(path).run(feeds)["y"]
    np.testing.assert_allclose(open_model(tmp_path / "changed.onnx").run(feeds)["y"], wanted, atol=2e-6)


def test_picture_sampling_and_other_graphs_stay_as_they_are(tmp_path: Path) -> None:
    model = read(sampling(tmp_path / "net.onnx", axes=4))
    assert without_volume_sampling(model).SerializeToString() == model.SerializeToString()
    model = read(graphs.mean_subtracted(tmp_path / "net.onnx"))
    assert without_volume_sampling(model) is model


def test_sampling_that_no_released_network_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadNetwork, match="in a way that is not supported"):
        without_volume_sampling(read(sampling(tmp_path / "net.onnx", mode="nearest")))


def test_conversion_for_cuda_happens_when_needed(tmp_path: Path) -> None:
    plain = graphs.mean_subtracted(tmp_path / "plain.onnx")
    assert for_cuda(plain) == plain
    old = sampling(tmp_path / "old.onnx", opset=17)
    converted = for_cuda(old)
    assert converted.parent == tmp_path / "built"
    assert {one.version for one in read(converted).opset_import} == {20}
    assert for_cuda(old) == converted
    assert for_cuda(converted) == converted
    assert [path.name for path in converted.parent.iterdir()] == [converted.name]


def test_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    old = sampling(tmp_path / "old.onnx")
    (tmp_path / "built").touch()
    with pytest.raises(AvatarNotReady, match="built cannot be written: File exists"):
        for_cuda(old)


def test_failure_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = read(graphs.mean_subtracted(tmp_path / "net.onnx"))

    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(AvatarNotReady, match="No space left"):
        write(model, tmp_path / "made" / "net.onnx")
    assert not list((tmp_path / "made").iterdir())


def test_large_weights_go_into_a_file_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = {"w": np.arange(4096, dtype=np.float32)}
    node = helper.make_node("Add", ["x", "w"], ["y"])
    model = read(graphs.save(tmp_path / "net.onnx", [node], [("x", [1, 4096])], [("y", [1, 4096])], weights))
    monkeypatch.setattr(onnxgraph, "LARGEST_BYTES", 10_000)
    target = tmp_path / "large.onnx"
    write(model, target)
    assert target.stat().st_size < 10_000 < (tmp_path / "large.onnx.data").stat().st_size
    assert target.stat().st_mode == (tmp_path / "large.onnx.data").stat().st_mode
    np.testing.assert_array_equal(open_model(target).run({"x": np.zeros((1, 4096), np.float32)})["y"][0], weights["w"])
    before = fingerprint(target)
    (tmp_path / "large.onnx.data").write_bytes(bytes(16384))
    assert fingerprint(target) != before


def test_file_that_is_no_graph_is_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(b"GridSample" + bytes(range(256)))
    with pytest.raises(BadNetwork, match=r"net\.onnx is damaged"):
        for_cuda(path)


def test_missing_library_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(AvatarNotReady, match="pip install onnx"):
        onnxgraph.load_library()
