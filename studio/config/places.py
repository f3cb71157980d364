"""Where the studio's own files lie, and where it may write."""

from __future__ import annotations

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
