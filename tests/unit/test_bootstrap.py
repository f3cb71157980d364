"""Setting up: who needs it, what is said when it cannot be done. Nothing is installed here."""

from __future__ import annotations

import ast
import importlib.util
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from studio import bootstrap

ROOT = Path(bootstrap.ROOT)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DISTRIBUTIONS = {
    "aiohttp_cors": "aiohttp-cors",
    "cv2": "opencv-python-headless",
    "xdist": "pytest-xdist",
    "yaml": "pyyaml",
}


@pytest.fixture
def venv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty environment, and a bootstrap that uses it."""
    folder = tmp_path / ".venv"
    folder.mkdir()
    monkeypatch.setattr(bootstrap, "VENV", str(folder))
    monkeypatch.setattr(sys, "argv", ["start_studio.py"])
    return folder


def names(requirements: list[str]) -> set[str]:
    """Return the bare names of requirements."""
    return {requirement.split(">")[0].split("=")[0].lower() for requirement in requirements}


def test_modules_are_those_that_the_project_depends_on() -> None:
    assert {DISTRIBUTIONS.get(name, name) for name in bootstrap.MODULES} == names(PROJECT["dependencies"])
    wanted = names(PROJECT["optional-dependencies"]["test"])
    assert {DISTRIBUTIONS.get(name, name.replace("_", "-")) for name in bootstrap.TEST_MODULES} == wanted


def test_carrier_is_the_one_that_check_recommends() -> None:
    from studio.checks import CARRIER_ARGUMENTS

    assert bootstrap.CARRIER in CARRIER_ARGUMENTS


def test_files_can_be_read_by_a_python_that_is_too_old() -> None:
    """An old one must get as far as the sentence."""
    for name in ("start_studio.py", "studio/bootstrap.py", "studio/__init__.py"):
        ast.parse((ROOT / name).read_text(), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 0), (3, 10, 14)])
def test_old_python_is_told_what_is_needed(version: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", version)
    with pytest.raises(SystemExit, match=r"needs Python 3\.11 or newer; this is \d"):
        bootstrap.ensure()


def test_missing_venv_module_is_told_with_the_package_that_has_it(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt install python3-venv"):
        bootstrap.make_environment()


def test_stamp_says_what_was_installed(venv: Path) -> None:
    assert bootstrap.read_stamp(str(venv)) is None
    assert not bootstrap.is_current(str(venv), False)
    bootstrap.write_stamp(str(venv), bootstrap.UNFINISHED)
    assert not bootstrap.is_current(str(venv), False)
    bootstrap.write_stamp(str(venv), bootstrap.fingerprint(False))
    assert bootstrap.is_current(str(venv), False)
    assert not bootstrap.is_current(str(venv), True)
    bootstrap.write_stamp(str(venv), bootstrap.fingerprint(True))
    assert bootstrap.is_current(str(venv), True)
    assert bootstrap.is_current(str(venv), False)


def test_interrupted_installation_is_taken_up_again(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "pip", lambda python, what, arguments: said.append(arguments))
    monkeypatch.setattr(bootstrap, "make_environment", lambda: pytest.fail("it is there already"))
    python = venv / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    bootstrap.write_stamp(str(venv), bootstrap.UNFINISHED)
    bootstrap.set_up(str(python), False)
    assert said == [["-e", bootstrap.ROOT], ["--no-deps", bootstrap.CARRIER]]
    assert bootstrap.is_current(str(venv), False)


def test_failed_installation_stays_unfinished_and_says_what_to_do(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`false` stands in for a pip that finds no network."""
    python = venv / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 'ERROR: no route to host'\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(SystemExit) as caught:
        bootstrap.set_up(str(python), False)
    assert "ERROR: no route to host" in str(caught.value)
    assert "pip could not install the libraries. Is the network there? The same command goes on." in str(caught.value)
    assert bootstrap.read_stamp(str(venv)) == bootstrap.UNFINISHED


def test_environment_of_somebody_else_is_believed(tmp_path: Path) -> None:
    assert bootstrap.is_complete(str(tmp_path), True)


def test_environment_of_ours_that_is_unfinished_is_not(venv: Path) -> None:
    bootstrap.write_stamp(str(venv), bootstrap.UNFINISHED)
    assert not bootstrap.is_complete(str(venv), False)


def test_ready_environment_is_entered_with_the_same_arguments(venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered: list[tuple[str, list[str]]] = []
    monkeypatch.setattr(bootstrap, "is_complete", lambda prefix, for_tests: False)
    monkeypatch.setattr(bootstrap, "is_current", lambda prefix, for_tests: True)
    monkeypatch.setattr(os, "execv", lambda path, arguments: entered.append((path, arguments)))
    monkeypatch.setattr(sys, "argv", ["start_studio.py", "check", "--verbose"])
    bootstrap.ensure()
    python = str(venv / "bin" / "python")
    assert entered == [(python, [python, "start_studio.py", "check", "--verbose"])]


def test_interrupted_set_up_ends_without_a_traceback(tmp_path: Path) -> None:
    """Ctrl-C while pip runs: one line, exit code 130."""
    code = (
        "import sys, studio.bootstrap as b\n"
        "def stop(*_): raise KeyboardInterrupt\n"
        "b.is_complete = lambda *_: False\nb.is_current = lambda *_: False\nb.set_up = stop\nb.ensure()\n"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 130
    assert result.stderr.strip() == "Stopped. The same command goes on where it was."
