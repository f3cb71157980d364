"""``prepare``: turns a portrait into an avatar, says in words how good it is, and what to write into the YAML."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from studio.cli import settings
from studio.cli.avatar import brought_in, chosen, engine_of
from studio.cli.portraits import check_picture, draw_sheet
from studio.cli.terminal import say
from studio.config import home, workplace
from studio.config.reader import ID, ID_RULE
from studio.engine import Finding
from studio.errors import ConfigError
from studio.spec import AvatarSpec, StudioSpec

_PLAIN = re.compile(r"[\w./][\w ./-]*\w")
"""Texts that YAML takes for texts without quotes."""
_OWN = Path("avatars.yaml")
"""What a configuration in the current folder is called."""
_ODD = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def run(arguments: argparse.Namespace) -> int:
    """Prepare, report, and draw the sheet if one is wanted."""
    studio = settings.read(arguments)
    spec = _wanted(studio, arguments)
    sheet: Path | None = arguments.sheet and arguments.sheet.expanduser()
    if sheet:
        check_picture("--sheet", sheet)
        if sheet.resolve() == spec.source.resolve():
            raise ConfigError(f"--sheet: {sheet} is the portrait itself and would be overwritten; choose another name")
    with engine_of(spec, studio) as engine:
        prepared, avatar, seconds = brought_in(engine, spec, studio)
        say(f"{spec.name or spec.id} is prepared ({seconds:.1f} s).")
        if prepared.findings:
            say(report(prepared.findings))
        if sheet:
            draw_sheet(avatar, sheet)
            say(f"\nWhat it can do is drawn in {sheet}.")
    if spec not in studio.avatars:
        say(invitation(spec, studio))
    return 0


def _wanted(studio: StudioSpec, arguments: argparse.Namespace) -> AvatarSpec:
    """Return what the command line describes.

    Raises:
        ConfigError: The id or the picture cannot be used.
    """
    if arguments.image is None:
        return chosen(studio, arguments.id)
    if not ID.fullmatch(arguments.id):
        raise ConfigError(f"--id: {arguments.id!r} cannot be an id; {ID_RULE}")
    image: Path = arguments.image.expanduser()
    try:
        image.stat()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ConfigError(f"--image: there is no file or folder {str(image)[:200]} ({why})") from error
    source = image.resolve()
    for known in studio.avatars:
        if known.id == arguments.id and known.source == source:
            return known
        if known.id == arguments.id:
            raise ConfigError(f"--id: {studio.file} already has an avatar called {known.id!r}; choose another id")
    name = arguments.name or arguments.id.replace("-", " ").replace("_", " ").title()
    file = _OWN if is_shipped(studio.file) else studio.file
    return AvatarSpec(arguments.id, source, name, configured_source=written_source(source, file))


def report(findings: Sequence[Finding]) -> str:
    """Return the findings in words: what is good, then what to improve."""
    good = [finding.text for finding in findings if finding.good]
    better = [finding.text for finding in findings if not finding.good]
    parts = [(title, texts) for title, texts in (("Good:", good), ("To improve:", better)) if texts]
    lines = [line for title, texts in parts for line in ("", title, *(f"  - {text}" for text in texts))]
    return "\n".join(lines if better else [*lines, "", "Nothing to improve."])


def invitation(spec: AvatarSpec, studio: StudioSpec) -> str:
    """Return the lines that put an avatar into the gallery, and where they belong."""
    lines = (f"  - id: {spec.id}", f"    name: {quoted(spec.name)}", f"    source: {quoted(spec.configured_source)}")
    where = f"To have it in the gallery, add these lines at the end of {studio.file}:"
    if is_shipped(studio.file):
        where = (
            f"To have it in the gallery, give the studio a configuration of your own: copy {studio.file}\n"
            f"to {_OWN}, add these lines at its end, and start the studio with --config {_OWN}:"
        )
    return "\n".join((f"\n{where}\n", *lines))


def is_shipped(file: Path | None) -> bool:
    """Return whether a YAML came with an installed package: the next installation would undo what is written there."""
    return file is not None and home() != workplace() and file.absolute().is_relative_to(home())


def written_source(source: Path, file: Path | None) -> str:
    """Return the path of a source as the YAML in ``file`` would best name it."""
    for base in (*((file.absolute().parent,) if file else ()), home()):
        if source.is_relative_to(base.resolve()):
            return source.relative_to(base.resolve()).as_posix()
    return str(source)


def quoted(text: str) -> str:
    """Return a text as YAML wants it: as it is, or in quotes where it would be read otherwise."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _ODD and not text[0].isdigit() else json.dumps(text)
