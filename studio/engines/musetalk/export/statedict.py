"""Reads tables of weights and puts them into networks; nothing in a file is ever run.

PyTorch's own reader is used in its restricted form (``weights_only``), because some released files have the format from
before PyTorch 1.6; a table whose names or shapes are not the network's is refused before a number of it is used.
"""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from studio.engines.torchfile import refuse_others
from studio.errors import AvatarNotReady, BadNetwork

LEAST_PART = 0.9
"""A table with fewer numbers than this part of the network's is called simplified."""
_FORBIDDEN = re.compile(r"(?:GLOBAL|class|function) ([\w.]{1,80})")
_COUNTER = "num_batches_tracked"
"""Normalisations count with it while they are trained; it changes nothing, and old files lack it."""
_DAMAGED = (
    torch.serialization.pickle.UnpicklingError, AssertionError, AttributeError, EOFError, LookupError, MemoryError,
    RuntimeError, TypeError, ValueError, struct.error,
)  # fmt: skip
"""What PyTorch's reader raises of files that are wrong; there is no base of their own."""

State = dict[str, Any]
"""Name -> tensor."""


def read_state(path: Path, prefixes: tuple[str, ...] = ()) -> State:
    """Return the weights in a file, half precision as float32.

    Args:
        path: ``.safetensors``, or whatever ``torch.save`` wrote, old format and new.
        prefixes: Where given, only what begins with the first of them that occurs, without it.

    Raises:
        BadNetwork: Missing, damaged, no table of weights, or it asks for anything but tensors.
    """
    table = _safe_tensors(path) if path.suffix == ".safetensors" else _torch_file(path)
    table = table["state_dict"] if isinstance(table, Mapping) and set(table) == {"state_dict"} else table
    if not isinstance(table, Mapping) or not all(_is_weight(name, value) for name, value in table.items()):
        raise BadNetwork(f"{path.name} holds something else than a network's weights.", str(path))
    state = {str(name): value.float() if value.is_floating_point() else value for name, value in table.items()}
    for prefix in prefixes:
        part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if part:
            return part
    return state


def fill(module: Any, state: State, name: str) -> None:
    """Put weights into a network that was made on the device ``meta``, where it has shapes and no numbers.

    Args:
        module: The network.
        state: Of `read_state`.
        name: What the sentences call the file.

    Raises:
        BadNetwork: They are another network's; the sentence names the first that differs.
    """
    wanted = module.state_dict()
    for key in wanted:
        if key.endswith(_COUNTER):
            state.setdefault(key, torch.tensor(0))
    have, want = (sum(value.numel() for value in table.values()) for table in (state, wanted))
    wrong = _difference(state, wanted)
    if wrong and have < LEAST_PART * want:
        sentence = f"{name} is a simplified network: {have / 1e6:.4g} million numbers instead of {want / 1e6:.4g}"
        raise BadNetwork(f"{sentence} million.", wrong)
    if wrong:
        raise BadNetwork(f"{name} is another network: {wrong}.")
    module.load_state_dict(state, strict=True, assign=True)
    module.eval().requires_grad_(False)


def _difference(state: State, wanted: State) -> str:
    """Return what is wrong with a table, empty if nothing."""
    for key, value in wanted.items():
        if key not in state:
            return f"it lacks {key}"
        if state[key].shape != value.shape:
            shapes = (" x ".join(map(str, one.shape)) or "one number" for one in (state[key], value))
            return f"its {key} is {' instead of '.join(shapes)}"
    surplus = sorted(set(state) - set(wanted))
    return f"it has {surplus[0][:80]}, which has no place in it" if surplus else ""


def _is_weight(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, torch.Tensor) and value.layout is torch.strided


def _safe_tensors(path: Path) -> object:
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise BadNetwork(f"{path.name} is damaged or cut off; fetch it again.", str(error)) from error


def _torch_file(path: Path) -> object:
    try:
        refuse_others(path, allow_old=True)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except AvatarNotReady as error:
        raise BadNetwork(error.message, str(path)) from error
    except (OSError, *_DAMAGED) as error:
        if asked := _FORBIDDEN.search(str(error)):
            sentence = f"{path.name} asks for {asked[1]}, which has no place in it, and was not opened."
            raise BadNetwork(sentence, str(error)) from error
        raise BadNetwork(f"{path.name} is damaged or cut off; fetch it again.", str(error)) from error
