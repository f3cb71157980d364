"""YAML and environment -> `StudioSpec`.

`tree` parses and keeps the lines, `values` judges single values, `reader` puts the specs together.
"""

from studio.config.reader import home, read_spec, workplace

__all__ = ["home", "read_spec", "workplace"]
