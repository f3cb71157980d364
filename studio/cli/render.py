"""``render``: an avatar of the configuration speaks a sound file into an mp4, or into a plot of what its face does."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from studio.cli import settings
from studio.cli.avatar import brought_in, chosen, engine_of
from studio.cli.portraits import check_picture, draw_curves
from studio.cli.terminal import Progress, say
from studio.engine import Avatar, Engine
from studio.errors import ConfigError
from studio.outputs.movie import RenderReport, render_movie


def run(arguments: argparse.Namespace) -> int:
    """Render, with a progress bar, and say how fast it went."""
    audio: Path = arguments.audio.expanduser()
    film, plot = (path and path.expanduser() for path in (arguments.output, arguments.debug_curves))
    check_paths(audio, film, plot)
    studio = settings.read(arguments)
    spec = chosen(studio, arguments.avatar)
    with engine_of(spec, studio) as engine:
        _, avatar, _ = brought_in(engine, spec, studio)
        if plot:
            draw_curves(avatar, audio, plot)
            say(f"What the face does is drawn in {plot}.")
        if film:
            say(summary(film, _film(avatar, engine, audio, film, arguments.mode == "offline")))
    return 0


def _film(avatar: Avatar, engine: Engine, audio: Path, output: Path, beforehand: bool) -> RenderReport:
    progress = Progress()
    try:
        return render_movie(avatar, engine, audio, output, progress.show, beforehand=beforehand)
    finally:
        progress.end()


def check_paths(audio: Path, film: Path | None, plot: Path | None) -> None:
    """Look at the paths before anything is prepared.

    Raises:
        ConfigError: Nothing can be read there, or written, or nothing is asked for.
    """
    if not audio.is_file():
        raise ConfigError(f"--audio: there is no sound file {audio}")
    if film is None and plot is None:
        raise ConfigError("render makes a film (--output OUT.mp4), a plot (--debug-curves OUT.png), or both: say which")
    if plot:
        check_picture("--debug-curves", plot)
    if film is None:
        return
    if film.suffix.lower() != ".mp4" or film.is_dir():
        raise ConfigError(f"--output: {film} is no name for a film; it ends in .mp4")
    if not film.parent.is_dir():
        raise ConfigError(f"--output: there is no folder {film.parent}")
    if not os.access(film.parent, os.W_OK):
        raise ConfigError(f"--output: {film.parent} cannot be written")


def summary(output: Path, report: RenderReport) -> str:
    """Return one line about a film."""
    factor = report.real_time_factor
    return f"{output}: {report.seconds:.1f} s, real-time factor {factor:.2f} ({1 / factor:.1f} times as fast as speech)"
