"""What a file of values may cost, and whether somebody may safely walk what came out of it."""

from __future__ import annotations

from dataclasses import dataclass

KEYS: tuple[type, ...] = (str, int, bool, type(None))
"""Types of dictionary keys."""
LARGEST_KEY = 2**60
"""Integers from 2**61 - 1 on can be chosen to fall together in a dictionary, which then takes for ever."""
LEAVES: tuple[type, ...] = (*KEYS, float, bytes, bytearray)
"""Types of values that hold no others."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost."""

    file_bytes: int = 64_000_000
    steps: int = 2_000_000
    """Instructions; each makes at most one value."""
    made_bytes: int = 256_000_000
    """Bytes of all arrays together."""
    values: int = 2_000_000
    """Values seen by somebody who walks the whole result, shared ones counted each time."""
    depth: int = 32
    """Containers within containers."""


USUAL = Limits()
"""For files of some megabytes."""


def tangle(root: object, leaves: tuple[type, ...], limits: Limits) -> str:
    """Return why nobody should walk ``root``, empty if anybody may.

    Looks for loops, for values that are neither lists, tuples, dictionaries nor ``leaves``, for great depth, and for
    containers that hold one another so often that a walk would never end. Costs one visit for each container however
    often it is shared, and no recursion.
    """
    done: dict[int, tuple[int, int] | None] = {}  # values and depth of a container; None while it is open
    todo: list[tuple[object, bool]] = [(root, False)]
    while todo:
        value, leaving = todo.pop()
        inner = _inner(value)
        if inner is None:
            if not isinstance(value, leaves):
                return "is not made of numbers, texts and lists alone"
        elif leaving:
            parts = [done.get(id(part)) or (1, 0) for part in inner]
            size, depth = 1 + sum(part[0] for part in parts), 1 + max((part[1] for part in parts), default=0)
            if size > limits.values or depth > limits.depth:
                return "is nested more deeply or more often than anything the studio reads"
            done[id(value)] = size, depth
        elif id(value) not in done:
            done[id(value)] = None
            todo.append((value, True))
            todo.extend((part, False) for part in inner)
        elif done[id(value)] is None:
            return "holds a list that contains itself"
    return ""


def _inner(value: object) -> list[object] | tuple[object, ...] | None:
    """Return what a container holds, None for anything else; keys of dictionaries hold nothing."""
    if type(value) is dict:
        return list(value.values())
    return value if type(value) is list or type(value) is tuple else None
