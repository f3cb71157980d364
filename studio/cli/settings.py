"""The configuration as the command line sees it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from studio.config import home, read_spec
from studio.engine import ENGINES
from studio.spec import StudioSpec


def read(arguments: argparse.Namespace) -> StudioSpec:
    """Read the configuration that ``--config`` names; without that option, the house's own.

    Raises:
        ConfigError: It is wrong.
    """
    chosen: Path | None = arguments.config
    return read_spec(_short(chosen or home() / "configs" / "avatars.yaml"), ENGINES, os.environ)


def _short(path: Path) -> Path:
    """Return the path as a person would type it from here."""
    absolute = path.expanduser().absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
