"""``build``: makes TensorRT's engines of a checkpoint for this machine's GPU, and proves each before it is used."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import cast

from studio.cli.terminal import Progress, complain, say
from studio.config import workplace
from studio.engines.cudamemory import cuda_memory
from studio.engines.tensorrtbuild import Order, build_all
from studio.engines.tensorrtmodel import load_library

ORDERS: Mapping[str, tuple[str, str]] = {
    "ditto": ("studio.engines.ditto.orders", "checkpoints"),
    "musetalk": ("studio.engines.musetalk.orders", "checkpoints/musetalk"),
}
"""Engine -> module whose ``orders`` lists what is to be built, and the folder where its networks usually are."""


def run(arguments: argparse.Namespace) -> int:
    """Build what is not there yet; 0 if every network has its engine in the end, else 1.

    Raises:
        AvatarNotReady: There is no GPU, no TensorRT, or no checkpoint; the sentence says which.
    """
    library, memory = load_library(), cuda_memory()
    module, usual = ORDERS[arguments.engine]
    list_orders = cast(Callable[[Path], list[Order]], import_module(module).orders)
    folder: Path = arguments.checkpoint or workplace() / usual
    orders = list_orders(folder.expanduser())
    say(f"{len(orders)} networks, for {memory.name} and TensorRT {library.__version__}.")
    progress = Progress()
    failed = build_all(orders, memory, progress.show)
    progress.end()
    for sentence in failed.values():
        complain(sentence)
    say(f"{len(orders) - len(failed)} of {len(orders)} networks have an engine. Those without run as ONNX files.")
    return 1 if failed else 0
