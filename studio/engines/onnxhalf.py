"""A graph's twin in half precision: float16 inside, float32 at its ends, and float32 where sampling needs it.

Knows no network. The conversion is ONNX Runtime's own; TensorRT is given its result as a strongly typed network, so
that no runtime decides about precision (`specs/platform.md` B).
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from studio.config import pip_told
from studio.errors import AvatarNotReady


def in_half(path: Path) -> Any:
    """Return a network's graph with float16 weights and sums; GridSample stays float32, in and out.

    Args:
        path: An ONNX file, of any size; a temporary file is written beside it.

    Raises:
        AvatarNotReady: The converter is missing.
    """
    try:
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    except ImportError as error:
        sentence = f"The package onnxruntime is missing: {pip_told('onnxruntime')}"
        raise AvatarNotReady(sentence, str(error)) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each weight that rounds to zero
        spared = [*DEFAULT_OP_BLOCK_LIST, "GridSample"]
        twin = convert_float_to_float16(str(path), keep_io_types=True, op_block_list=spared)
    _sort(twin.graph)
    return twin


def _sort(graph: Any) -> None:
    """Bring every node behind those whose outputs it reads; the converter appends its casts at the end."""
    makers = {name: node for node in graph.node for name in node.output}
    ordered: list[Any] = []
    placed: set[str] = set()

    def place(node: Any) -> None:
        if placed.issuperset(node.output) and node.output:
            return
        placed.update(node.output)
        for name in node.input:
            if name not in placed and name in makers:
                place(makers[name])
        ordered.append(type(node).FromString(node.SerializeToString()))

    for node in graph.node:
        place(node)
    del graph.node[:]
    graph.node.extend(ordered)
