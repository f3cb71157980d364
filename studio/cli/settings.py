"""The configuration as the command line sees it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from studio.config import home, read_spec, workplace
from studio.engine import ENGINES
from studio.spec import StudioSpec


def read(arguments: argparse.Namespace, needed: bool = True) -> StudioSpec:
    """Read the configuration that ``--config`` names; without that option, the house's own.

    Args:
        arguments: The command line.
        needed: False: where the house has none, one without avatars will do.

    Raises:
        ConfigError: It is wrong.
    """
    chosen: Path | None = arguments.config
    own = _short(home() / "configs" / "avatars.yaml")
    if chosen is None and not needed and not own.exists():
        return StudioSpec((), cache=workplace() / ".studio", file=own)
    return read_spec(_short(chosen) if chosen else own, ENGINES, os.environ)


def _short(path: Path) -> Path:
    """Return the path as a person would type it from here."""
    absolute = path.expanduser().absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
