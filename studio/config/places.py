"""Where the studio's own files lie, where it may write, and by which Python it runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path


def _checkout() -> Path | None:
    folder = Path(__file__).resolve().parents[2]
    return folder if (folder / "static").is_dir() else None


def home() -> Path:
    """Return the folder of the studio's own files (``static``, ``configs``): the checkout, or what pip installed."""
    return _checkout() or Path(__file__).resolve().parents[1] / "shipped"


def workplace() -> Path:
    """Return the folder in which prepared avatars are kept: the checkout, else the current folder."""
    return _checkout() or Path.cwd()


def told(path: Path) -> str:
    """Return a path as a visitor may read it: from the workplace on; elsewhere its last part alone."""
    here = workplace()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) and path != here else path.name


def pip(what: str) -> str:
    """Return the command that installs something where this studio runs, whichever Python the shell finds first."""
    return _install(sys.executable, what)


def pip_told(what: str) -> str:
    """Return that command as a visitor may read it: with the interpreter's path as `told` has it."""
    return _install(told(Path(sys.executable)), what)


def _install(python: str, what: str) -> str:
    return f"{shlex.quote(python)} -m pip install {what}"
