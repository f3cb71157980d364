"""Sampling of volumes in operators that every TensorRT has: its own GridSample takes pictures only.

Knows one operator of ONNX: GridSample on 5 axes, linear, ``align_corners`` 0, zeros or border outside. Computed in
float32 whatever surrounds it.

Formula: ONNX operators, GridSample-20; the eight corners of a cell, each weighted by the volume opposite to it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from studio.engines.onnxgraph import load_library
from studio.errors import BadNetwork

MARK = "volume_sample"
"""Begins the names of all nodes that are put in; they compute in float32."""


def without_volume_sampling(model: Any) -> Any:
    """Return a graph in which every GridSample on volumes is replaced; the same one if it has none.

    Raises:
        BadNetwork: A sampling of a kind that no released network has.
    """
    onnx = load_library()
    if not any(node.op_type == "GridSample" for node in model.graph.node):
        return model
    shapes = {info.name: info for info in onnx.shape_inference.infer_shapes(model).graph.value_info}
    shapes |= {info.name: info for info in model.graph.input}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    for number, node in enumerate(model.graph.node):
        if node.op_type == "GridSample" and _rank(shapes, node.input[0]) == 5:
            changed.graph.node.extend(_Sampling(onnx, changed.graph, f"{MARK}_{number}").nodes_for(node))
        else:
            changed.graph.node.append(node)
    return changed


def _rank(shapes: dict[str, Any], name: str) -> int:
    info = shapes.get(name)
    if info is None or not info.type.tensor_type.HasField("shape"):
        raise BadNetwork(f"The network samples {name!r}, of which nothing says how many axes it has.")
    return len(info.type.tensor_type.shape.dim)


class _Sampling:
    """The nodes for one GridSample, and its constants in the graph."""

    def __init__(self, onnx: Any, graph: Any, mark: str) -> None:
        self._onnx, self._graph, self._mark = onnx, graph, mark
        self._nodes: list[Any] = []
        self._count = 0

    def nodes_for(self, node: Any) -> list[Any]:
        """Return the replacement for ``node``.

        The volume (N, C, D, H, W) becomes rows of C numbers, one for each cell, and every corner of every sample
        fetches its row: N x P rows, P samples.
        """
        border = self._is_border(node)
        volume = self._op("Cast", node.input[0], to=self._onnx.TensorProto.FLOAT)
        grid = self._op("Cast", node.input[1], to=self._onnx.TensorProto.FLOAT)
        sizes = self._op("Shape", volume)
        cells = self._op("Transpose", self._op("Reshape", volume, self._ints(0, 0, -1)), perm=[0, 2, 1])
        points = self._op("Reshape", grid, self._ints(0, -1, 3))
        # The grid's last axis counts x, y, z; the volume's axes are z, y, x.
        extent = self._op("Gather", sizes, self._ints(4, 3, 2), axis=0)
        length = self._op("Cast", extent, to=self._onnx.TensorProto.FLOAT)
        one, half = self._floats(1.0), self._floats(0.5)
        scaled = self._op("Mul", self._op("Mul", self._op("Add", points, one), length), half)
        place = self._op("Sub", scaled, half)
        last = self._op("Sub", length, one)
        if border:
            place = self._inside(place, last)
        floor = self._op("Floor", place)
        beyond = self._op("Sub", place, floor)
        before = self._op("Sub", one, beyond)
        strides = self._strides(extent)
        total = None
        for corner in itertools.product((0.0, 1.0), repeat=3):
            at = self._op("Add", floor, self._floats(*corner))
            ends = self._floats(*corner)
            weight = self._op("Add", self._op("Mul", ends, beyond), self._op("Mul", self._op("Sub", one, ends), before))
            share = self._product(weight)
            nearest = self._inside(at, last)
            if not border:
                there = self._op("Cast", self._op("Equal", at, nearest), to=self._onnx.TensorProto.FLOAT)
                share = self._op("Mul", share, self._product(there))
            index = self._op("Mul", self._op("Cast", nearest, to=self._onnx.TensorProto.INT64), strides)
            row = self._op("ReduceSum", index, self._ints(2), keepdims=1)
            part = self._op("Mul", self._op("GatherND", cells, row, batch_dims=1), share)
            total = part if total is None else self._op("Add", total, part)
        outer = self._op("Slice", self._op("Shape", grid), self._ints(1), self._ints(4))
        channels = self._op("Slice", sizes, self._ints(0), self._ints(2))
        shape = self._op("Concat", channels, outer, axis=0)
        rows = self._op("Transpose", total, perm=[0, 2, 1])
        self._op("Reshape", rows, shape, out=node.output[0])
        return self._nodes

    def _is_border(self, node: Any) -> bool:
        options = {one.name: self._onnx.helper.get_attribute_value(one) for one in node.attribute}
        mode, outside = options.get("mode", b"bilinear"), options.get("padding_mode", b"zeros")
        if mode not in (b"bilinear", b"linear") or outside not in (b"zeros", b"border") or options.get("align_corners"):
            raise BadNetwork(f"The network samples volumes in a way that is not supported: {options}.")
        return bool(outside == b"border")

    def _strides(self, extent: str) -> str:
        """Return how many rows a step along x, y and z is: 1, W, W * H."""
        width = self._op("Slice", extent, self._ints(0), self._ints(1))
        height = self._op("Slice", extent, self._ints(1), self._ints(2))
        return self._op("Concat", self._ints(1), width, self._op("Mul", width, height), axis=0)

    def _inside(self, place: str, last: str) -> str:
        return self._op("Max", self._op("Min", place, last), self._floats(0.0))

    def _product(self, three: str) -> str:
        """Return the product along the last axis, which has 3 numbers, and keep that axis."""
        x, y, z = (self._op("Slice", three, self._ints(i), self._ints(i + 1), self._ints(2)) for i in range(3))
        return self._op("Mul", self._op("Mul", x, y), z)

    def _op(self, kind: str, *inputs: str | None, out: str = "", **attributes: Any) -> str:
        self._count += 1
        name = f"{self._mark}_{self._count}"
        out = out or name
        self._nodes.append(self._onnx.helper.make_node(kind, list(inputs), [out], name=name, **attributes))
        return out

    def _ints(self, *numbers: int) -> str:
        return self._constant(np.array(numbers, np.int64))

    def _floats(self, *numbers: float) -> str:
        return self._constant(np.array(numbers, np.float32))

    def _constant(self, value: Any) -> str:
        self._count += 1
        name = f"{self._mark}_{self._count}"
        self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))
        return name
