"""Where the released files lie, as MuseTalk's own download script and old installs have them. Specification 1.

Knows names and addresses; opens nothing and imports no PyTorch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.engines.musetalk.networks import SUFFIXES
from studio.errors import BadNetwork

HOW = "checkpoints/README.md says how to fetch it"


@dataclass(frozen=True, slots=True)
class Source:
    """Where one network's released weights are looked for."""

    places: tuple[str, ...]
    """Files below the folder of weights, the usual one first; the first that is there is taken."""
    settings: str = ""
    """Name of the configuration beside it; empty: there is none."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is there of a network."""

    weights: Path
    settings: Path | None = None
    is_graph: bool = False
    """It is an ONNX file already."""


def _named(folders: str, files: str, settings: str = "") -> Source:
    """Return a source whose folders and files are written with spaces between them."""
    return Source(tuple(f"{folder}/{file}" for folder in folders.split() for file in files.split()), settings)


_VAE = _named("sd-vae sd-vae-ft-mse", "diffusion_pytorch_model.safetensors diffusion_pytorch_model.bin", "config.json")
SOURCES: Mapping[str, Source] = {
    "whisper_encoder": _named("whisper whisper-tiny", "model.safetensors pytorch_model.bin", "config.json"),
    "unet": _named("musetalkV15", "unet.safetensors unet.pth", "musetalk.json"),
    "vae_decoder": _VAE,
    "vae_encoder": _VAE,
    "face_parsing": _named("face-parse-bisent", "79999_iter.safetensors 79999_iter.pth"),
    "dwpose": _named("dwpose", "dw-ll_ucoco_384.onnx"),
    "s3fd": _named("s3fd .", "s3fd-619a316812.safetensors s3fd-619a316812.pth s3fd.pth"),
}
"""By the network's name, in the order in which they are made."""


def find(role: str, folder: Path) -> Found:
    """Return what a network is made of: its released weights, else somebody's export of it, taken as it is.

    Args:
        role: One of `SOURCES`.
        folder: With the released files below it.

    Raises:
        BadNetwork: Nothing is there; the sentence says what is missing.
    """
    source = SOURCES[role]
    places = [folder / place for place in source.places]
    if role == "s3fd":
        places.append(_where_upstream_keeps_it())
    for path in places:
        if path.is_file():
            settings = path.parent / source.settings if source.settings else None
            if settings is not None and not settings.is_file():
                raise BadNetwork(f"{settings.parent.name}/{settings.name} is missing beside {path.name}; {HOW}.")
            return Found(path, settings, path.suffix == ".onnx")
    for suffix in SUFFIXES:
        if (folder / f"{role}{suffix}.onnx").is_file():
            return Found(folder / f"{role}{suffix}.onnx", None, True)
    raise BadNetwork(f"{source.places[-1].removeprefix('./')} is missing below {folder}; {HOW}.")


def _where_upstream_keeps_it() -> Path:
    """Return where PyTorch puts what upstream fetches at its first use."""
    home = os.environ.get("TORCH_HOME") or Path.home() / ".cache" / "torch"
    return Path(home) / "hub" / "checkpoints" / "s3fd-619a316812.pth"
