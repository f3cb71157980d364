"""YAML and environment -> `StudioSpec`.

`tree` parses and keeps the lines, `values` judges single values, `reader` puts the specs together.
"""

from studio.config.places import home, pip, pip_told, told, workplace
from studio.config.reader import read_spec

__all__ = ["home", "pip", "pip_told", "read_spec", "told", "workplace"]
