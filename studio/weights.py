"""Judges the files in ``checkpoints/`` one by one against its manifest, in words; nothing is loaded or run.

Knows which files belong to which engine (`manifest`), not what the networks compute; names and shapes of their ends
are those of the engines' own tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.config import home
from studio.engines import checkpoints
from studio.engines.ditto import checkpoint as ditto
from studio.engines.musetalk import networks as musetalk
from studio.engines.network import Port, Shape, shown
from studio.engines.onnxheader import read_header
from studio.errors import AvatarNotReady

ENGINES_WITH_WEIGHTS = ("ditto", "musetalk")
LEAST_PART = 0.9
"""A network with fewer numbers than this part of the real one's is another."""
MOST_PART = 2.0
"""And one with more: Ditto's speech network holds 1.2 times its published parameters (a baked-in context)."""

End = tuple[tuple[str, ...], Shape]
"""One end of a network: its names, and its shape with None for any length."""


@dataclass(frozen=True, slots=True)
class Weight:
    """One file that belongs to an engine."""

    engine: str
    paths: tuple[str, ...]
    """Below the engine's folder; the first that is there is taken."""
    role: str
    """The network's name in the engine's table; empty for what is no network."""
    what: str
    needed: str
    """``live``, ``preparation``, ``offline`` or ``optional``."""
    numbers: float
    """Weights of the real network; 0 where unknown."""
    licence: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one file."""

    weight: Weight
    name: str
    """Of the file that is there, or of the one that should be."""
    there: bool
    good: bool
    text: str


def manifest(engine: str) -> tuple[Weight, ...]:
    """Return the files of an engine, empty if it needs none."""
    section = _sections().get(engine, {"file": ()})
    return tuple(_weight(engine, section, given) for given in section["file"])


def folder_of(engine: str, options: Mapping[str, object]) -> Path:
    """Return the folder of an avatar's networks; ``options`` are the avatar's own."""
    usual = f"checkpoints/{_sections()[engine]['folder']}"
    return checkpoints.folder_of(str(options.get("checkpoint", usual)))


def judge(weight: Weight, folder: Path, allow_small: bool = False) -> Verdict:
    """Look at one file; takes a fraction of a second however large it is.

    Args:
        weight: Of `manifest`.
        folder: Of its engine, `folder_of`.
        allow_small: Take networks with fewer numbers than the real one: stand-ins for tests.
    """
    path = next((folder / path for path in weight.paths if (folder / path).is_file()), None)
    if path is None:
        return Verdict(weight, Path(weight.paths[0]).name, False, False, f"is missing; it {weight.what}.")
    try:
        text = _network(weight, path, allow_small) if weight.role else _configuration(weight, folder)
    except AvatarNotReady as error:
        return Verdict(weight, path.name, True, False, error.message)
    licence = f"; {weight.licence}" if weight.licence else ""
    return Verdict(weight, path.name, True, True, text + licence)


def _sections() -> Mapping[str, Any]:
    return tomllib.loads((home() / "checkpoints" / "manifest.toml").read_text("utf-8"))


def _weight(engine: str, section: Mapping[str, Any], given: Mapping[str, Any]) -> Weight:
    path = Path(given["path"])
    paths = [str(path.with_name(path.stem + variant + path.suffix)) for variant in section["variants"]]
    paths += [given["instead"]] if "instead" in given else []
    role = given.get("role", path.stem if path.suffix == ".onnx" else "")
    numbers = given.get("numbers", 0.0) * 1e6
    return Weight(engine, tuple(paths), role, given["what"], given["needed"], numbers, given.get("licence", ""))


def _configuration(weight: Weight, folder: Path) -> str:
    """Return what is good about Ditto's options.

    Raises:
        AvatarNotReady: The file is damaged, not trusted, or says something that cannot be.
    """
    info = ditto.read_info(folder, online=weight.needed == "live")
    return f"{len(info.defaults)} options"


def _network(weight: Weight, path: Path, allow_small: bool) -> str:
    """Return what is good about a network's file.

    Raises:
        AvatarNotReady: It is damaged, incomplete, or another network.
    """
    header = read_header(path)
    lacking = [name for name in header.data if not (path.parent / name).is_file()]
    if lacking:
        raise AvatarNotReady(f"{path.name} is incomplete: {lacking[0][:80]}, which holds its weights, is missing.")
    size = sum(part.stat().st_size for part in (path, *(path.parent / name for name in header.data)))
    too_large = weight.numbers and header.numbers > MOST_PART * weight.numbers
    too_small = max(header.numbers, size) < LEAST_PART * weight.numbers and not allow_small
    if too_large or too_small:
        have, want = f"{header.numbers / 1e6:.4g}", f"{weight.numbers / 1e6:.4g}"
        sort = "another network" if too_large else "a simplified network or a stand-in"
        raise AvatarNotReady(f"{path.name} is {sort}: {have} million numbers instead of {want} million.")
    inputs, outputs = _ends(weight)
    wrong = _misfit(header.inputs, inputs) or _misfit(header.outputs, outputs)
    if wrong:
        raise AvatarNotReady(f"{path.name} is another network: {wrong}.")
    if header.custom:
        known = "; take warp_network_ori.onnx instead" if weight.role == "warp_network" else ""
        raise AvatarNotReady(f"{path.name} needs the operator {header.custom[0]}, which only a plug-in has{known}.")
    return f"{size / 1e6:.4g} MB, {header.numbers / 1e6:.4g} million numbers, opset {header.opset}"


def _ends(weight: Weight) -> tuple[list[End], list[End]]:
    """Return inputs and outputs as the engine's table has them."""
    if weight.engine == "ditto":
        plain = ditto.NETWORKS[weight.role]
        return _named(plain.inputs), _named(plain.outputs)
    aliased = musetalk.ROLES[weight.role]
    return [(end.names, end.shape) for end in aliased.inputs], [(end.names, end.shape) for end in aliased.outputs]


def _named(side: Mapping[str, Shape]) -> list[End]:
    return [((name,), shape) for name, shape in side.items()]


def _misfit(ports: Sequence[Port], ends: Sequence[End]) -> str:
    """Return what is wrong with a network's ends, empty if nothing: each is known by a name, else by its shape."""
    left = list(ports)
    for names, shape in ends:
        named = [port for port in left if port.name in names]
        fitting = [port for port in named or left if _fits(port, shape)]
        if not fitting:
            there = ", ".join(map(str, named or ports))[:120]
            return f"it lacks {names[0]} {shown(shape)}, and has {there}"
        left.remove(fitting[0])
    return ""


def _fits(port: Port, shape: Shape) -> bool:
    """Tell whether a port has a shape, as far as the file says; a decoder may give finished pictures instead."""
    return port.fits(shape) or (port.dtype.kind == "u" and port.fits(musetalk.BAKED))
