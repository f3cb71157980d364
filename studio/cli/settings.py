"""The configuration as the command line sees it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import studio
from studio.config import home, read_spec
from studio.engine import ENGINES
from studio.spec import StudioSpec


def read(arguments: argparse.Namespace) -> StudioSpec:
    """Read the configuration that ``--config`` names; without that option, the house's own.

    Raises:
        ConfigError: It is wrong.
    """
    chosen: Path | None = arguments.config
    spec = read_spec(_short(chosen or home() / "configs" / "avatars.yaml"), ENGINES, os.environ)
    if not os.access(Path(studio.__file__).parent, os.W_OK):
        # As in a container: Numba, which keeps what it compiles beside the program or at home, refuses to work there.
        os.environ.setdefault("NUMBA_CACHE_DIR", str(spec.cache.absolute() / "compiled"))
    return spec


def _short(path: Path) -> Path:
    """Return the path as a person would type it from here."""
    absolute = path.expanduser().absolute()
    return absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute
