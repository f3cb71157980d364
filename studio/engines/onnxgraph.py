"""Changes to ONNX graphs: what a runtime cannot run as it was released is rewritten, once, beside the file.

Knows the ONNX format, not what the networks compute. The library ``onnx`` is imported when a graph is changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import secrets
from pathlib import Path
from typing import Any

from studio.config import pip_told, told
from studio.errors import AvatarNotReady, BadNetwork

BUILT = "built"
"""Folder beside the networks for everything that is made from them."""
CUDA_OPSET = 20
"""From here on the CUDA provider samples volumes; at 16 to 19 it refuses 5 axes (`specs/ditto.md`, section 11)."""
CHUNK_BYTES = 1 << 22
LARGEST_BYTES = 2_000_000_000
"""Of weights in one file: a message has at most 2^31 bytes, the names included."""


def load_library() -> Any:
    """Return the module ``onnx`` with the parts that are used.

    Raises:
        AvatarNotReady: It is not installed.
    """
    try:
        import onnx
        import onnx.version_converter
    except ImportError as error:
        raise AvatarNotReady(f"The package onnx is missing: {pip_told('onnx')}", str(error)) from error
    return onnx


def fingerprint(path: Path) -> str:
    """Return a hash of a network's file and of the weights that may lie beside it, 16 hexadecimal digits.

    About a second for each gigabyte.
    """
    hashed = hashlib.blake2b(digest_size=8)
    for part in (path, path.with_name(path.name + ".data")):
        if part.is_file():
            with part.open("rb") as file:
                while chunk := file.read(CHUNK_BYTES):
                    hashed.update(chunk)
    return hashed.hexdigest()


def read(path: Path) -> Any:
    """Return a graph with its weights.

    Raises:
        BadNetwork: The file cannot be read as one.
    """
    onnx = load_library()
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(str(path))
    except (DecodeError, OSError, ValueError) as error:
        raise BadNetwork(f"{path.name} is damaged or incomplete; fetch it again.", f"{path}: {error}") from error


def write(model: Any, path: Path) -> None:
    """Write a graph so that its file is there whole or not at all; weights past 2 GB go into ``<name>.data``.

    Raises:
        AvatarNotReady: It cannot be written.
    """
    onnx = load_library()
    part = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    data = path.with_name(path.name + ".data")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The parts one by one: the library cannot even count a message past the limit.
        parts = (*model.graph.initializer, *model.graph.node)
        large = sum(one.ByteSize() for one in parts) > LARGEST_BYTES
        if large:
            data.unlink(missing_ok=True)  # the library would append to it
        onnx.save(model, str(part), save_as_external_data=large, location=data.name)
        if large:
            data.chmod(part.stat().st_mode)  # the library lets nobody else read it
        os.replace(part, path)
    except OSError as error:
        raise AvatarNotReady(f"{told(path.parent)} cannot be written: {error.strerror}.", str(error)) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def for_cuda(path: Path) -> Path:
    """Return a file that ONNX Runtime's CUDA provider can run: the same one, or its conversion, made once.

    Raises:
        AvatarNotReady: It has to be converted, and that cannot be done here.
        BadNetwork: The file is damaged, or cannot be converted.
    """
    if not _mentions(path, b"GridSample"):
        return path
    target = path.parent / BUILT / f"{path.stem}-{fingerprint(path)}-opset{CUDA_OPSET}.onnx"
    if target.is_file():
        return target
    model = read(path)
    if not needs_conversion(model):
        return path
    onnx = load_library()
    try:
        converted = onnx.version_converter.convert_version(model, CUDA_OPSET)
        onnx.checker.check_model(converted)
    except (RuntimeError, ValueError, onnx.checker.ValidationError) as error:
        raise BadNetwork(f"{path.name} cannot be converted to opset {CUDA_OPSET}.", f"{path}: {error}") from error
    write(converted, target)
    return target


def _mentions(path: Path, word: bytes) -> bool:
    """Tell whether a file holds a word; does not bring it into memory."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
        return text.find(word) >= 0


def needs_conversion(model: Any) -> bool:
    """Tell whether a graph samples grids in a form older than the one for volumes."""
    opset = max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=0)
    return opset < CUDA_OPSET and any(node.op_type == "GridSample" for node in model.graph.node)
