"""A graph's twin in half precision: float16 inside, float32 at its ends, and float32 where sampling needs it.

Knows no network. The conversion is ONNX Runtime's own; TensorRT is given its result as a strongly typed network, so
that no runtime decides about precision (`specs/platform.md` B).
"""

from __future__ import annotations

import warnings
from typing import Any

from studio.engines.onnxgrid import MARK
from studio.errors import AvatarNotReady


def in_half(model: Any) -> Any:
    """Return the graph with float16 weights and sums, but for samplings of volumes and pictures.

    Args:
        model: A graph whose samplings of volumes were replaced already; left untouched.

    Raises:
        AvatarNotReady: The converter is missing.
    """
    try:
        from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
    except ImportError as error:
        raise AvatarNotReady("The package onnxruntime is missing: pip install onnxruntime", str(error)) from error
    twin = type(model)()
    twin.CopyFrom(model)
    precise = [node.name for node in twin.graph.node if node.name.startswith(MARK)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one line for each weight that rounds to zero
        return convert_float_to_float16(
            twin,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, "GridSample"],
            node_block_list=precise,
        )
