"""The report: one HTML file with everything inside, plots as inline SVG; nothing in it points anywhere else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import jinja2

import studio
from studio import picture
from studio.beat import FPS
from studio.client import plots, summary
from studio.client.figures import FPS_LIMIT, INTERVAL_LIMIT_MS
from studio.client.result import Result
from studio.client.screen import Shot, strip

STRIP = 6
"""Pictures shown on top."""


def write_report(path: Path, result: Result, shots: Sequence[Shot]) -> None:
    """Write the page.

    Args:
        path: Replaced if it exists.
        result: What was measured.
        shots: Some pictures.

    Raises:
        OSError: It cannot be written.
    """
    path.write_text(render(result, shots), "utf-8")


def render(result: Result, shots: Sequence[Shot]) -> str:
    """Return the page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    limits = {"wanted": 1000 / FPS, "limit": INTERVAL_LIMIT_MS}
    return environment.get_template("report.html").render(
        result=result,
        rows=summary.rows(result),
        remarks=summary.remarks(result, ""),
        version=studio.__version__,
        pictures=[f"data:image/jpeg;base64,{_jpeg(shot)}" for shot in strip(shots, STRIP)],
        histogram=plots.histogram(result.intervals_ms, limits),
        fps=plots.bars(result.rates.fps, FPS, FPS_LIMIT),
        bitrate=plots.bars(result.rates.kbps, None),
    )


def _jpeg(shot: Shot) -> str:
    return base64.b64encode(picture.jpeg(shot.picture, 80)).decode()
