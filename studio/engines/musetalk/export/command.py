"""Makes every network of a folder of released weights, one after the other; what is there already stays.

A network appears under its name only when it is whole and compared; what fails is told and does not keep the others
from being made.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from studio.engine import Progress
from studio.engines.musetalk.export.networks import build
from studio.engines.musetalk.export.probes import probes
from studio.engines.musetalk.export.sources import Found, find
from studio.engines.musetalk.export.tracing import LIMIT, Figures, export
from studio.engines.musetalk.networks import ROLES, Network, Networks
from studio.engines.onnxheader import read_header
from studio.errors import AvatarNotReady, BadNetwork, EngineFault


def make(role: str, weights: Path, folder: Path, allow_small: bool, report: Progress) -> str:
    """Make one network; return a sentence about it.

    Args:
        role: One of `sources.SOURCES`.
        weights: Folder of the released files.
        folder: Where the network belongs.
        allow_small: Take networks that are much too small: stand-ins for tests.
        report: Is told what is being done.

    Raises:
        AvatarNotReady: The folder cannot be written.
        BadNetwork: A file is missing, damaged or another network's, or the graph computes something else.
    """
    there = Networks(folder, allow_small, "cpu").path(role)
    if there is not None:
        return f"{there.name} is there already; remove it to have it made anew."
    found = find(role, weights)
    with _workshop(folder) as part:
        if found.is_graph:
            report(0.1, f"{role}: looking at {found.weights.name}")
            sentence = _taken(role, found, part, allow_small)
        else:
            report(0.1, f"{role}: from {found.weights.name}, which takes minutes")
            began = time.monotonic()
            target = part / f"{role}.onnx"
            figures = export(role, lambda: build(role, found, allow_small), ROLES[role], probes(role), target)
            sentence = _said(figures, time.monotonic() - began)
        _deliver(part, folder)
    return sentence


@contextlib.contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Yield a new folder beside the networks, which goes whatever happens.

    Raises:
        AvatarNotReady: It cannot be made, or what is in it cannot be written.
    """
    part = folder / f"export.{secrets.token_hex(4)}.part"
    try:
        part.mkdir(parents=True)
        yield part
    except OSError as error:
        raise AvatarNotReady(f"{folder} cannot be written: {error.strerror}.", str(error)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _taken(role: str, found: Found, part: Path, allow_small: bool) -> str:
    """Copy somebody's export and see that it is the network that belongs there.

    Raises:
        BadNetwork: It is damaged, incomplete, or another one.
    """
    header = read_header(found.weights)
    target = part / (found.weights.name if found.weights.stem.startswith(role) else f"{role}.onnx")
    for name, place in [(found.weights.name, target), *((name, part / name) for name in header.data)]:
        source = found.weights.parent / name
        if not source.is_file():
            raise BadNetwork(f"{found.weights.name} is incomplete: {name[:80]}, which holds its weights, is missing.")
        shutil.copyfile(source, place)
    networks = Networks(part, allow_small, "cpu")
    network: Network = networks.get(role)
    try:
        network.run(probes(role)[0])
    except EngineFault as error:
        raise BadNetwork(f"{target.name} cannot be run, or computes no numbers.", error.detail) from error
    finally:
        networks.close()
    return f"{target.name} was taken as it is: {header.numbers / 1e6:.4g} million weights."


def _deliver(part: Path, folder: Path) -> None:
    """Move a network to its place, its weights first; what a network before it left of its own may be written over.

    Raises:
        BadNetwork: Another file has the name that it gives its weights.
    """
    files = [path for path in part.iterdir() if path.is_file()]
    own = {f"{path.name}.data" for path in files}
    for path in files:
        if path.name not in own and (folder / path.name).exists():
            raise BadNetwork(f"{path.name[:80]} would be written over in {folder}; move it away first.")
    for path in sorted(files, key=lambda path: path.suffix == ".onnx"):
        path.replace(folder / path.name)


def _said(figures: Figures, seconds: float) -> str:
    rows = ", ".join(map(str, figures.rows))
    size = f"{figures.numbers / 1e6:.4g} million weights"
    error = f"error {figures.error:.1e} at {rows} rows, {LIMIT:g} allowed"
    return f"{figures.path.name}: {size}, {error}; {seconds:.0f} s."
