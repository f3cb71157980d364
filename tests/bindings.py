"""What the studio asks of TensorRT and of CUDA, compared with the real packages of every version it claims to support.

    python -m tests.bindings [--folder DIR]

fetches the packages' Python sides (25 MB in all; no GPU library is among them), reads from the studio's source which
names it uses and with how many arguments, and asks each package for them. TensorRT's bindings need three libraries to
be imported, of which nine symbols: they are compiled here, empty (`specs/platform.md` B).

pycuda is not compared: it is published as source only and cannot be imported without a driver.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENGINES = ROOT / "studio" / "engines"
PACKAGES: Mapping[str, tuple[str, ...]] = {
    "TensorRT 10.0.1": ("tensorrt-cu12-bindings==10.0.1",),
    "TensorRT 10.16.1": ("tensorrt-cu12-bindings==10.16.1.11",),
    "TensorRT 11.4.0": ("tensorrt-cu13-bindings==11.4.0.106",),
    "CUDA 12.9": ("cuda-bindings==12.9.10", "cuda-pathfinder==1.9.0"),
    "CUDA 13.5": ("cuda-bindings==13.5.0", "cuda-pathfinder==1.9.0"),
}
"""Oldest and newest of each generation, and what they need to be imported."""
MOST_BYTES = 40_000_000
FETCH_SECONDS, ASK_SECONDS = 120, 60
TENSORRT: Mapping[str, Mapping[str, str]] = {
    "tensorrtmodel": {
        "library": "", "base": "ILogger", "severity": "ILogger.Severity", "self._runtime": "Runtime",
        "self._engine": "ICudaEngine", "self._context": "IExecutionContext",
    },
    "tensorrtbuild": {
        "library": "", "base": "IProgressMonitor", "builder": "Builder", "parser": "OnnxParser",
        "parser.get_error(number)": "ParserError", "settings": "IBuilderConfig", "allowed": "IOptimizationProfile",
    },
}  # fmt: skip
"""Module -> expression in it -> the class of TensorRT it has; empty for the package itself."""
CUDA: Mapping[str, Mapping[str, str]] = {
    "cudadriver": {"runtime": "", "self._cuda": "", "properties": "cudaDeviceProp"},
}
STUB = "".join(
    f"void *{name}(void) {{ return 0; }}\n"
    for name in (
        "createInferBuilder_INTERNAL", "createInferRefitter_INTERNAL", "createInferRuntime_INTERNAL",
        "createNvOnnxParser_INTERNAL", "createNvOnnxParserRefitter_INTERNAL", "getBuilderPluginRegistry",
        "getPluginRegistry", "getNvOnnxParserVersion", "initLibNvInferPlugins",
    )
)  # fmt: skip
STUBBED = ("nvinfer", "nvinfer_plugin", "nvonnxparser")


@dataclass(frozen=True, order=True)
class Use:
    """One place where the studio uses a name of a package."""

    where: str
    """``file:line``."""
    name: str
    """``ICudaEngine.get_tensor_name``, as the package has it."""
    kind: str
    """``read``, ``write`` or ``call``."""
    arguments: int = -1
    """Of a call; -1 where the source does not tell."""


def uses(modules: Mapping[str, Mapping[str, str]], only: str = "") -> list[Use]:
    """Return what modules of the studio use, from their syntax trees.

    Args:
        modules: Such as `TENSORRT`.
        only: Name of the one class to look at; empty: all.
    """
    found: set[Use] = set()
    for module, receivers in modules.items():
        tree: ast.AST = ast.parse((ENGINES / f"{module}.py").read_text("utf-8"))
        if only:
            tree = next(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == only)
        found |= set(_uses_in(tree, module, receivers))
    return sorted(found)


OVERRIDES = (
    Use("tensorrtmodel.py", "ILogger.log", "call", 2),
    Use("tensorrtbuild.py", "IProgressMonitor.phase_start", "call", 3),
    Use("tensorrtbuild.py", "IProgressMonitor.step_complete", "call", 2),
    Use("tensorrtbuild.py", "IProgressMonitor.phase_finish", "call", 1),
)
"""What TensorRT calls in classes of ours."""


def _uses_in(tree: ast.AST, module: str, receivers: Mapping[str, str]) -> Iterator[Use]:
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        name = _name_of(node, receivers) if isinstance(node, ast.Attribute) else None
        if not name or not isinstance(node, ast.Attribute) or ast.unparse(node) in receivers:
            continue
        where = f"{module}.py:{node.lineno}"
        if call := called.get(id(node)):
            is_open = any(isinstance(one, ast.Starred) for one in call.args) or call.keywords
            count = len(call.args) - (ast.unparse(node).startswith("base.") and node.attr == "__init__")
            yield Use(where, name, "call", -1 if is_open else count)
        else:
            yield Use(where, name, "write" if isinstance(node.ctx, ast.Store) else "read")


def _name_of(node: ast.expr, receivers: Mapping[str, str]) -> str | None:
    """Return how a package calls an expression; None if it is none of its."""
    written = ast.unparse(node)
    if written in receivers:
        return receivers[written]
    if isinstance(node, ast.Attribute) and (owner := _name_of(node.value, receivers)) is not None:
        return f"{owner}.{node.attr}".lstrip(".")
    return None


def fetch(folder: Path) -> None:
    """Download and unpack every package into a folder of its own below ``folder``; what is there already stays.

    Raises:
        SystemExit: One cannot be had, or is larger than expected.
    """
    for label, names in PACKAGES.items():
        target = folder / label
        if (target / "complete").is_file():
            continue
        with tempfile.TemporaryDirectory() as wheels:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
            command += ["--only-binary=:all:", "--timeout=20", "--dest", wheels, *names]
            try:
                subprocess.run(command, check=True, timeout=FETCH_SECONDS, stdin=subprocess.DEVNULL)
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                raise SystemExit(f"{label} cannot be fetched: {error}") from error
            files = list(Path(wheels).iterdir())
            size_bytes = sum(file.stat().st_size for file in files)
            if size_bytes > MOST_BYTES:
                raise SystemExit(f"{label} is {size_bytes} bytes; {MOST_BYTES} were expected at most")
            for file in files:
                zipfile.ZipFile(file).extractall(target)
        if label.startswith("TensorRT"):
            compile_stubs(target, label.split()[1].partition(".")[0])
        (target / "complete").touch()


def compile_stubs(folder: Path, major: str) -> None:
    """Compile the libraries that the bindings import, without anything in them."""
    source = folder / "stub.c"
    source.write_text(STUB, "ascii")
    for name in STUBBED:
        library = f"lib{name}.so.{major}"
        command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", str(folder / library), str(source)]
        subprocess.run(command, check=True, timeout=ASK_SECONDS)


def complaints(folder: Path, label: str) -> list[str]:
    """Return what the studio uses and one package does not have, a line each."""
    is_tensorrt = label.startswith("TensorRT")
    wanted = [*uses(TENSORRT), *OVERRIDES] if is_tensorrt else uses(CUDA, only="CudaPythonDriver")
    module = "tensorrt_bindings" if is_tensorrt else "cuda.bindings.runtime"
    libraries = sorted(str(path) for path in (folder / label).glob("lib*.so.*"))
    question = {"module": module, "libraries": libraries, "uses": [asdict(one) for one in wanted]}
    answer = subprocess.run(
        [sys.executable, "-I", str(ROOT / "tests" / "bindings_probe.py"), str(folder / label)],
        input=json.dumps(question), capture_output=True, text=True, timeout=ASK_SECONDS, check=False,
    )  # fmt: skip
    if answer.returncode:
        return [f"{label} cannot be imported: {answer.stderr.strip()[-500:]}"]
    return [f"{label}: {line}" for line in json.loads(answer.stdout)]


def main() -> int:
    """Fetch, compare, and tell."""
    parser = argparse.ArgumentParser(description="Compare what the studio calls with the real GPU packages.")
    parser.add_argument("--folder", type=Path, default=ROOT / ".studio" / "bindings", help="where packages are kept")
    folder = parser.parse_args().folder
    fetch(folder)
    wrong = [line for label in PACKAGES for line in complaints(folder, label)]
    count = len(uses(TENSORRT)) + len(OVERRIDES) + len(uses(CUDA, only="CudaPythonDriver"))
    sys.stdout.write("\n".join([*wrong, f"{count} uses, {len(PACKAGES)} packages, {len(wrong)} complaints"]) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
