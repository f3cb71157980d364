"""``render``: an avatar of the configuration speaks a sound file into an mp4."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from studio.cli import settings
from studio.cli.avatar import brought_in, chosen, engine_of
from studio.cli.terminal import Progress, say
from studio.errors import ConfigError
from studio.outputs.movie import RenderReport, render_movie


def run(arguments: argparse.Namespace) -> int:
    """Render, with a progress bar, and say how fast it went."""
    audio, output = arguments.audio.expanduser(), arguments.output.expanduser()
    check_paths(audio, output)
    studio = settings.read(arguments)
    spec = chosen(studio, arguments.avatar)
    with engine_of(spec) as engine:
        _, avatar, _ = brought_in(engine, spec, studio)
        progress = Progress()
        try:
            report = render_movie(avatar, engine, audio, output, progress.show)
        finally:
            progress.end()
    say(summary(output, report))
    return 0


def check_paths(audio: Path, output: Path) -> None:
    """Look at the paths before anything is prepared.

    Raises:
        ConfigError: Nothing can be read there, or written.
    """
    if not audio.is_file():
        raise ConfigError(f"--audio: there is no sound file {audio}")
    if output.suffix.lower() != ".mp4" or output.is_dir():
        raise ConfigError(f"--output: {output} is no name for a film; it ends in .mp4")
    if not output.parent.is_dir():
        raise ConfigError(f"--output: there is no folder {output.parent}")
    if not os.access(output.parent, os.W_OK):
        raise ConfigError(f"--output: {output.parent} cannot be written")


def summary(output: Path, report: RenderReport) -> str:
    """Return one line about a film."""
    factor = report.real_time_factor
    return f"{output}: {report.seconds:.1f} s, real-time factor {factor:.2f} ({1 / factor:.1f} times as fast as speech)"
