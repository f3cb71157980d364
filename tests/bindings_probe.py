"""Asks one package, in a process of its own, for the names that `tests.bindings` found; standard library alone."""

from __future__ import annotations

import ctypes
import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterator
from typing import Any


def complaint(package: Any, use: dict[str, Any]) -> str:
    """Return what is wrong with one use, empty if nothing is."""
    place = f"{use['where']} {use['name']}"
    thing = package
    for part in use["name"].split("."):
        owner = thing
        thing = inspect.getattr_static(owner, part, None) if inspect.isclass(owner) else getattr(owner, part, None)
        if thing is None:
            thing = getattr(owner, part, None)
        if thing is None:
            return f"{place} does not exist"
    if use["kind"] == "write" and getattr(thing, "fset", None) is None:
        return f"{place} cannot be set"
    if use["kind"] == "call":
        target = getattr(owner, use["name"].rpartition(".")[2])
        if not callable(target):
            return f"{place} cannot be called"
        ranges = list(arities(target))
        if use["arguments"] >= 0 and not any(low <= use["arguments"] <= high for low, high in ranges):
            return f"{place} takes {ranges} arguments, gets {use['arguments']}"
    return ""


def arities(target: Any) -> Iterator[tuple[int, int]]:
    """Yield fewest and most arguments of each form that a function has, from its docstring or its signature."""
    if inspect.isclass(target):
        target = target.__init__
    name = target.__name__
    found = re.findall(rf"^(?:\d+\. )?{re.escape(name)}\((.*?)\)(?: -> .*)?$", target.__doc__ or "", re.MULTILINE)
    forms = [list(parts(one)) for one in found if one != "*args, **kwargs"]
    for form in forms:
        mine = [one for one in form if not one.startswith("self")]
        yield sum("=" not in one for one in mine), len(mine)
    if not forms:
        parameters = [one for one in inspect.signature(target).parameters.values() if one.name != "self"]
        yield sum(one.default is one.empty for one in parameters), len(parameters)


def parts(written: str) -> Iterator[str]:
    """Yield the arguments of a signature: split at commas that are in no brackets."""
    depth, start = 0, 0
    for at, letter in enumerate(written):
        depth += (letter in "[(<") - (letter in "])>")
        if letter == "," and depth == 0:
            yield written[start:at].strip()
            start = at + 1
    if written[start:].strip():
        yield written[start:].strip()


def main() -> None:
    """Read the question from standard input, write the complaints as JSON."""
    question = json.load(sys.stdin)
    sys.path.insert(0, sys.argv[1])
    for library in question["libraries"]:
        ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    package = importlib.import_module(question["module"])
    json.dump([text for text in (complaint(package, use) for use in question["uses"]) if text], sys.stdout)


if __name__ == "__main__":
    main()
