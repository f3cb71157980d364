"""Where engines of TensorRT lie: beside the networks they were made from, one folder for each GPU and version.

Knows names only. A key holds whatever makes an engine another one: the GPU's name, TensorRT's version, the network's
bytes; a change of any of them is a name that does not exist yet.
"""

from __future__ import annotations

import re
from pathlib import Path

from studio.engines.onnxgraph import BUILT, fingerprint
from studio.errors import AvatarNotReady

RECIPE = "1"
"""Counted up when engines are built in another way."""


def engine_path(network: Path, gpu: str, version: str) -> Path:
    """Return where the engine of a network belongs, there or not.

    Args:
        network: The ONNX file; it is read for its hash.
        gpu: The GPU's name.
        version: TensorRT's.
    """
    folder = f"{re.sub('[^a-z0-9]+', '-', gpu.lower()).strip('-')}-tensorrt-{version}"
    return network.parent / BUILT / folder / f"{network.stem}-{fingerprint(network)}-{RECIPE}.engine"


def built_engine(network: Path, gpu: str, version: str) -> Path:
    """Return the engine of a network.

    Raises:
        AvatarNotReady: None was built for this GPU and TensorRT.
    """
    if (network.parent / BUILT).is_dir():
        path = engine_path(network, gpu, version)
        if path.is_file():
            return path
    what = f"No engine of {network.stem} was built for this GPU and TensorRT {version}"
    raise AvatarNotReady(f"{what}; `start_studio.py build` makes it.", str(network))
