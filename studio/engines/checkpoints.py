"""What engines with released weights share: whose checkpoint is where, opened once, and what an avatar was made of.

Knows no network: an engine says what it opens and which files make its avatars.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from studio.config import workplace
from studio.errors import BadPortrait

_BLOCK = 1 << 20


class Closing(Protocol):
    """Something that is given back."""

    def close(self) -> None:
        """Give it back; may be called twice."""


K = TypeVar("K", bound=Hashable)
T = TypeVar("T", bound=Closing)


class Opened(Generic[K, T]):
    """What is opened when it is first asked for, shared by all who ask for the same, and closed with the engine.

    Args:
        open: Makes what belongs to a key; fast: others wait for it.
    """

    def __init__(self, open: Callable[[K], T]) -> None:
        self._open = open
        self._lock = threading.Lock()
        self._there: dict[K, T] = {}

    def get(self, key: K) -> T:
        """Return what belongs to a key; any thread. Raises whatever opening does."""
        with self._lock:
            if key not in self._there:
                self._there[key] = self._open(key)
            return self._there[key]

    def close(self) -> None:
        """Close everything; may be called twice."""
        with self._lock:
            there, self._there = self._there, {}
        for one in there.values():
            one.close()


def folder_of(checkpoint: str) -> Path:
    """Return the folder of a checkpoint; relative ones are below the studio's workplace."""
    return workplace() / Path(checkpoint).expanduser()


def fingerprint(head: Sequence[object], networks: Iterable[Path], source: Path) -> str:
    """Return the name of an avatar's preparation: it changes with everything that it was made of.

    Args:
        head: Engine, version, id and options: JSON can write it.
        networks: Files of the checkpoint; their names and sizes count.
        source: The file or folder; a file's bytes count, a folder's names, sizes and times.

    Raises:
        BadPortrait: The source cannot be read.
    """
    made = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
    for path in networks:
        made.update(f"{path.name} {path.stat().st_size if path.is_file() else 0}\n".encode())
    made.update(_digest(source))
    return made.hexdigest()[:16]


def _digest(source: Path) -> bytes:
    made = hashlib.sha256()
    try:
        if source.is_dir():
            for path in sorted(path for path in source.rglob("*") if path.is_file()):
                state = path.stat()
                made.update(f"{path.relative_to(source)} {state.st_size} {state.st_mtime_ns}\n".encode())
        else:
            with source.open("rb") as file:
                while block := file.read(_BLOCK):
                    made.update(block)
    except OSError as error:
        raise BadPortrait(f"{source.name[:100]} cannot be read: {error.strerror}.", str(error)) from error
    return made.digest()
