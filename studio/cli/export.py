"""``export``: turns released weights of PyTorch into the ONNX files that an engine runs, and proves each."""

from __future__ import annotations

import argparse
import importlib.util
import logging
from pathlib import Path

from studio.cli.terminal import Progress, complain, say
from studio.config import pip, workplace
from studio.errors import AvatarNotReady, StudioError
from studio.weights import Weight, judge, manifest

PACKAGES = ("torch", "diffusers", "transformers", "safetensors", "onnx", "onnxruntime")
"""Of the extra ``export``."""
USUAL = "checkpoints/musetalk"


def run(arguments: argparse.Namespace) -> int:
    """Make what is not there yet; 0 if everything that is needed is there and good in the end, else 1.

    Raises:
        AvatarNotReady: A package or the folder of weights is missing; the sentence says which.
    """
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if lacking:
        remedy = pip("'.[export]'")
        raise AvatarNotReady(f"The export needs {', '.join(lacking)}: {remedy}")
    weights: Path = arguments.weights.expanduser()
    if not weights.is_dir():
        raise AvatarNotReady(f"There is no folder {weights}; checkpoints/README.md says how to fetch the weights.")
    folder: Path = (arguments.output or workplace() / USUAL).expanduser()
    say(f"From {weights} into {folder}:")
    wanted = manifest(arguments.engine)
    progress = Progress()
    failed = 0
    for number, weight in enumerate(wanted):
        is_good = _made(weight, weights, folder, arguments.allow_small_networks, progress, number / len(wanted))
        failed += not is_good and weight.needed != "optional"
    say("`start_studio.py check` says more; `start_studio.py build musetalk` makes engines for an NVIDIA GPU.")
    return 1 if failed else 0


def _made(weight: Weight, weights: Path, folder: Path, allow_small: bool, progress: Progress, done: float) -> bool:
    """Make one network, say what became of it, and tell whether it is good."""
    from studio.engines.musetalk.export.command import make  # PyTorch: seconds, and not in a plain installation

    try:
        sentence = make(weight.role, weights, folder, allow_small, lambda part, doing: progress.show(done, doing))
    except StudioError as error:
        progress.end()
        logging.getLogger(__name__).debug("%s", error.detail)
        complain(f"  {error.message}" + (" Preparation works without it." if weight.needed == "optional" else ""))
        return False
    progress.end(f"  {sentence}")
    verdict = judge(weight, folder, allow_small)
    if not verdict.good:
        complain(f"  {verdict.name} {verdict.text}")
    return verdict.good
