"""YAML text -> a tree of values that know where they were written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from studio.errors import ConfigError

_DEPTH = 16
_NODES = 20_000
"""Values of one file, those counted anew that come again by an alias."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it was given."""

    value: object
    """Text, number, bool, None, ``dict[str, Given]`` or ``list[Given]``."""
    where: str
    """``avatars.yaml:12: avatars[1].fps`` or the name of an environment variable."""
    is_environment: bool = False
    """True: the value is the text of an environment variable."""

    def plain(self) -> object:
        """Return the value without the places."""
        if isinstance(self.value, dict):
            return {key: given.plain() for key, given in self.value.items()}
        if isinstance(self.value, list):
            return [given.plain() for given in self.value]
        return self.value


def read_tree(path: Path, complaints: list[str]) -> Given:
    """Read a YAML file; keys that are given twice or are no text are added to ``complaints``.

    Raises:
        ConfigError: There is no such file, or it is not YAML.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; choose one with --config") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    return _Tree(path, complaints).read(text)


class _Tree:
    """One reading of one file."""

    def __init__(self, path: Path, complaints: list[str]) -> None:
        self.path, self.complaints = path, complaints
        self.nodes = 0

    def read(self, text: str) -> Given:
        """Parse and convert the whole text."""
        try:
            self.loader = yaml.SafeLoader(text)
            node = self.loader.get_single_node()
            return Given({}, f"{self.path}:1") if node is None else self.given(node, "", 0)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ConfigError(f"{self.path}:{line}: this is not YAML: {error.problem}") from error
        except yaml.YAMLError as error:
            raise ConfigError(f"{self.path}: this is not YAML: {error}") from error

    def given(self, node: yaml.Node, key: str, depth: int, line: int = 0) -> Given:
        """Convert a node; ``key`` is its dotted name, ``line`` where that stands (by default where the node does)."""
        line = line or node.start_mark.line + 1
        where = f"{self.path}:{line}: {key}" if key else f"{self.path}:{line}"
        if depth > _DEPTH:
            raise ConfigError(f"{where}: nested too deeply")
        self.nodes += 1
        if self.nodes > _NODES:
            raise ConfigError(f"{where}: there is too much in this file")
        if isinstance(node, yaml.MappingNode):
            return Given(self.mapping(node, key, depth), where)
        if isinstance(node, yaml.SequenceNode):
            items: Sequence[yaml.Node] = node.value
            return Given([self.given(item, f"{key}[{i}]", depth + 1) for i, item in enumerate(items)], where)
        try:
            return Given(self.loader.construct_object(node), where)
        except ValueError as error:  # 2026-99-99 looks like a date
            raise ConfigError(f"{where}: {node.value!r} is no value; put it in quotes") from error

    def mapping(self, node: yaml.MappingNode, key: str, depth: int) -> dict[str, Given]:
        """Convert a mapping, ``<<`` merged in."""
        self.check_keys(node, key)
        self.loader.flatten_mapping(node)
        result: dict[str, Given] = {}
        for name_node, value in node.value:
            name = _printable(str(name_node.value))
            line = name_node.start_mark.line + 1
            result[name] = self.given(value, f"{key}.{name}" if key else name, depth + 1, line)
        return result

    def check_keys(self, node: yaml.MappingNode, key: str) -> None:
        """Complain about keys that are given twice or are no text."""
        seen: set[str] = set()
        for name_node, _ in node.value:
            word = _printable(str(name_node.value))
            name = f"{key}.{word}" if key else word
            where = f"{self.path}:{name_node.start_mark.line + 1}: {name}"
            if not isinstance(name_node, yaml.ScalarNode):
                raise ConfigError(f"{self.path}:{name_node.start_mark.line + 1}: a key must be a word")
            if name in seen:
                self.complaints.append(f"{where}: is given twice")
            seen.add(name)


def _printable(name: str) -> str:
    """Return a key as a complaint can show it."""
    return name if name.isprintable() and name else repr(name)
