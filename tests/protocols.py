"""Reads ``docs/protocols.md``: its tables as rows of cells, its transcripts as lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.server import ROOT

PAGE = ROOT / "docs" / "protocols.md"
ROW = re.compile(r"\|(.*)\|")


@dataclass(frozen=True)
class Field:
    """One field of a message."""

    kind: str
    """As the page writes it: ``text``, ``whole number``, ..."""
    may_be_missing: bool


Messages = dict[str, dict[str, Field]]
"""Type of a message -> its fields by name."""


def section(title: str) -> str:
    """Return what stands under a heading that begins with ``title``, to the next one of any kind."""
    found = re.search(rf"^#+ {re.escape(title)}.*?\n(.*?)(?=^#+ |\Z)", PAGE.read_text("utf-8"), re.M | re.S)
    assert found, f"{PAGE} has no section {title!r}"
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Return the cells of the section's table, without its head."""
    found = [ROW.fullmatch(line) for line in section(title).splitlines()]
    cells = [[cell.strip() for cell in row[1].split("|")] for row in found if row]
    assert len(cells) > 2, f"{title!r} has no table"
    return cells[2:]


def messages(title: str) -> Messages:
    """Return the messages of a section's table: one row for each field, the type only in the first."""
    found: Messages = {}
    kind = ""
    for first, name, type_, *_ in rows(title):
        kind = first.strip("`") or kind
        fields = found.setdefault(kind, {})
        if name:
            fields[name.strip("[]`")] = Field(type_, name.startswith("["))
    return found


def transcripts() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield address and lines of each transcript: who speaks, ``<`` or ``>``, and what."""
    for address, text in re.findall(r"^```transcript (\S+)\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S):
        yield address, [(line[0], line[2:]) for line in text.splitlines()]
