"""Small ONNX graphs, written for one test each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

End = tuple[str, Sequence[int | str]]
"""Name and shape of an input or output; a word for a free axis."""


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[End],
    outputs: Sequence[End],
    constants: dict[str, NDArray[Any]] | None = None,
    kinds: dict[str, int] | None = None,
    opset: int = 17,
) -> Path:
    """Write a graph; ends are float32 unless ``kinds`` says otherwise."""
    kinds = kinds or {}

    def described(ends: Sequence[End]) -> list[Any]:
        return [helper.make_tensor_value_info(n, kinds.get(n, TensorProto.FLOAT), list(shape)) for n, shape in ends]

    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "small", described(inputs), described(outputs), weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    onnx.save(model, str(path))
    return path


def mean_subtracted(path: Path, rows: int | str = "batch", declared: int | str | None = None) -> Path:
    """``y = x - mean of x's row``; ``x`` has 4 columns."""
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["x", "m"], ["y"]),
    ]
    return save(path, nodes, [("x", [rows, 4])], [("y", [rows if declared is None else declared, 4])])


def scaled(path: Path, rows: int | str = "batch", steps: int | str = "batch") -> Path:
    """``y = x * step``: int64 ``step`` has one number for each row, or one for all."""
    nodes = [
        helper.make_node("Cast", ["step"], ["s"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["s", "column"], ["c"]),
        helper.make_node("Mul", ["x", "c"], ["y"]),
    ]
    column = {"column": np.array([-1, 1])}
    ends: list[End] = [("x", [rows, 3]), ("step", [steps])]
    return save(path, nodes, ends, [("y", [rows, 3])], column, {"step": TensorProto.INT64})
