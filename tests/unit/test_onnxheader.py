"""What ONNX files say of themselves, read without ONNX; the library writes the files and confirms what was read."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from studio.engines.onnxheader import read_header
from studio.errors import BadNetwork


def network(custom: bool = False, listed: bool = False) -> Any:
    """Return a network of 12 numbers: x [?, 3] -> y [?, 4]."""
    weights = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(3, 4), "w")
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    if custom:
        nodes.append(helper.make_node("GridSample3D", ["y"], ["z"], domain="custom"))
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT16, ["n", 3])]
    if listed:
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 4]))
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])]
    graph = helper.make_graph(nodes, "g", inputs, outputs, [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("custom", 1)])


def saved(path: Path, model: Any) -> Path:
    """Write a network."""
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("listed", [False, True])
def test_ends_weights_and_version_are_read(tmp_path: Path, listed: bool) -> None:
    header = read_header(saved(tmp_path / "x.onnx", network(listed=listed)))
    assert [str(port) for port in header.inputs] == ["x [? x 3] float16"]
    assert [str(port) for port in header.outputs] == ["y [? x 4] float32"]
    assert (header.numbers, header.opset, header.custom, header.data) == (12, 17, (), ())


def test_foreign_operators_are_named(tmp_path: Path) -> None:
    assert read_header(saved(tmp_path / "x.onnx", network(custom=True))).custom == ("custom.GridSample3D",)


def test_weights_beside_the_file_are_counted_and_named(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    onnx.save(network(), str(path), save_as_external_data=True, location="x.onnx.data", size_threshold=0)
    header = read_header(path)
    assert (header.numbers, header.data) == (12, ("x.onnx.data",))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "..", "a/../../b", "c:\\b", ""])
def test_weights_elsewhere_are_refused(tmp_path: Path, location: str) -> None:
    model = network()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.external_data.add(key="location", value=location)
    with pytest.raises(BadNetwork):
        read_header(saved(tmp_path / "x.onnx", model))


def described(values: Sequence[Any]) -> list[tuple[str, tuple[int | None, ...]]]:
    """Return names and shapes as the library reads them."""
    return [(v.name, tuple(d.dim_value or None for d in v.type.tensor_type.shape.dim)) for v in values]


def test_golden_networks_read_as_the_library_reads_them(shared: Path) -> None:
    files = sorted((shared / "golden").rglob("*.onnx"))
    assert len(files) >= 20
    for file in files:
        model, header = onnx.load(str(file)), read_header(file)
        assert [(port.name, port.shape) for port in header.inputs] == described(model.graph.input)
        assert [(port.name, port.shape) for port in header.outputs] == described(model.graph.output)
        assert header.numbers == sum(int(np.prod(tensor.dims)) for tensor in model.graph.initializer)
        assert header.opset == 17


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"\0" * 100, "damaged or no ONNX file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "pointer of Git LFS"),
        (b"<!DOCTYPE html><html></html>", "a web page"),
        (b"\x3a\xff\xff\xff\xff\x7f", "damaged or no ONNX file"),
        (b"\x80" * 100, "damaged or no ONNX file"),
    ],
)
def test_other_files_are_told(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(BadNetwork, match=expected):
        read_header(path)


def test_endless_dimensions_are_refused(tmp_path: Path) -> None:
    for packed in (True, False):
        sides = b"\xff" * 9 + b"\x01"
        tensor = b"\x0a\xe8\x07" + sides * 100 if packed else (b"\x08" + sides) * 100
        graph = b"\x2a" + bytes([len(tensor) % 128 + 128, len(tensor) // 128]) + tensor
        path = tmp_path / "x.onnx"
        path.write_bytes(b"\x3a" + bytes([len(graph) % 128 + 128, len(graph) // 128]) + graph)
        with pytest.raises(BadNetwork):
            read_header(path)


def test_more_numbers_than_any_network_has_are_refused(tmp_path: Path) -> None:
    model = network()
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend([2**62] * 16)
    with pytest.raises(BadNetwork):
        read_header(saved(tmp_path / "x.onnx", model))


def test_missing_file_and_folder_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadNetwork, match=r"x\.onnx is missing"):
        read_header(tmp_path / "x.onnx")
    with pytest.raises(BadNetwork, match="cannot be read"):
        read_header(tmp_path)


def test_every_truncation_is_refused_or_read(tmp_path: Path) -> None:
    data = network().SerializeToString()
    path = tmp_path / "x.onnx"
    refused = 0
    for end in range(1, len(data)):
        path.write_bytes(data[:end])
        try:
            read_header(path)
        except BadNetwork:
            refused += 1
    assert refused > len(data) * 0.9  # what follows the graph is short and not needed


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_files_are_read_or_refused(tmp_path: Path, seed: int, count: int) -> None:
    draw = random.Random(seed)
    data = bytearray(network(custom=True, listed=True).SerializeToString())
    for _ in range(count):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path = tmp_path / "x.onnx"
    path.write_bytes(data)
    try:
        read_header(path)
    except BadNetwork as error:
        assert error.message.startswith("x.onnx ")
