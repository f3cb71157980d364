"""``client``: visit a studio, measure what it sends, say in words and by the exit code whether that is good enough."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

from studio.cli.terminal import Progress, complain, say, table
from studio.client import summary
from studio.client.film import ENDINGS, Film
from studio.client.intake import Intake
from studio.client.order import Order, Outcome, base_url
from studio.client.report import write_report
from studio.client.result import COULD_NOT, Result, conclude
from studio.client.screen import Screen
from studio.client.visit import check, measure
from studio.client.watching import look_at_lips
from studio.errors import ConfigError, StudioError

log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    """Measure; the exit code is `Result.exit_code`, 2 where nothing could be measured.

    Raises:
        ConfigError: The arguments ask for what cannot be.
    """
    order = order_of(arguments)
    check(order)
    check_outputs(arguments)
    logging.getLogger("aioice").setLevel(logging.ERROR)
    try:
        result, screen = _measured(arguments, order)
    except ConfigError:
        raise
    except StudioError as error:
        complain(error.message)
        log.debug("%s", error.detail)
        return COULD_NOT
    say(table(summary.rows(result)))
    say()
    for verdict in result.verdicts:
        say(f"{'✓' if verdict.passed else '✗'} {verdict.text}")
    for sentence in summary.remarks(result, screen.complaint):
        complain(sentence)
    _write(arguments, result, screen)
    return result.exit_code


def _measured(arguments: argparse.Namespace, order: Order) -> tuple[Result, Screen]:
    intake, progress, started = Intake(), Progress(), datetime.now(UTC)
    film = _film(arguments, order)
    screen = Screen(arguments.save_frames, film)
    try:
        asyncio.run(measure(order, intake, screen, lambda phrase: progress.show(_done(intake, order), phrase)))
    except KeyboardInterrupt:
        intake.end(Outcome.INTERRUPTED, "stopped by Ctrl-C")
        if not intake.pictures:
            raise
    finally:
        progress.end()
        screen.close()
    lips = look_at_lips(order, intake, screen, lambda done: progress.show(done, f"looking at the lips, {done:.0%}"))
    progress.end()
    return conclude(order, intake, screen, lips, started), screen


def _film(arguments: argparse.Namespace, order: Order) -> Film | None:
    path: Path | None = arguments.record_file
    return Film(path, order.audio_file if order.transport != "webrtc" else None) if path else None


def _done(intake: Intake, order: Order) -> float:
    """Return how much of the stream has come, 0..1."""
    if intake.expected:
        return min(1.0, len(intake.pictures) / intake.expected)
    return min(1.0, (intake.clock() - intake.asked_at) / order.timeout) if intake.asked_at else 0.0


def _write(arguments: argparse.Namespace, result: Result, screen: Screen) -> None:
    """Write what was asked for.

    Raises:
        ConfigError: A file cannot be written.
    """
    try:
        if arguments.json:
            text = json.dumps(result.as_json(), indent=2, ensure_ascii=False, allow_nan=False)
            arguments.json.write_text(text + "\n", "utf-8")
            say(f"The numbers are in {arguments.json}.")
        if arguments.report:
            write_report(arguments.report, result, screen.shots)
            say(f"The report is {arguments.report}.")
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be written: {error.strerror}") from error
    if arguments.record_file and not screen.complaint:
        say(f"The film is {arguments.record_file}.")
    if arguments.save_frames:
        say(f"{screen.saved} pictures are in {arguments.save_frames}.")


def order_of(arguments: argparse.Namespace) -> Order:
    """Return what the arguments ask for.

    Raises:
        ConfigError: The server's address is none.
    """
    setup: dict[str, object] = {}
    run: dict[str, object] = {}
    if arguments.sampling_timesteps is not None:
        setup["sampling_timesteps"] = arguments.sampling_timesteps
    if arguments.frame_scale is not None:
        run["frame_scale"] = arguments.frame_scale
    if arguments.chunk_config is not None:
        run["chunksize"] = list(arguments.chunk_config)
    given = {"client_id": arguments.client_id} if arguments.client_id else {}
    return Order(
        server=base_url(arguments.server),
        transport=arguments.transport,
        audio=arguments.audio_path or "",
        source=arguments.source_path or "",
        avatar=arguments.avatar or "",
        engine=arguments.engine or "",
        setup=setup,
        run=run,
        timeout=arguments.timeout,
        ca=arguments.tls_ca or "",
        token=_token(arguments.token_file),
        insecure=arguments.insecure,
        **given,
    )


def _token(path: Path | None) -> str:
    if path is None:
        return ""
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"--token-file: {path} cannot be read as a token") from error
    if not 0 < len(text) <= 4096 or not text.isprintable():
        raise ConfigError(f"--token-file: {path} holds no token: one line of plain characters")
    return text


def check_outputs(arguments: argparse.Namespace) -> None:
    """Look at what shall be written before anybody is called; the folder for pictures is made.

    Raises:
        ConfigError: It cannot be written.
    """
    files = {"--json": arguments.json, "--report": arguments.report, "--record-file": arguments.record_file}
    for option, path in files.items():
        if path is not None:
            _check_output(option, path)
    if arguments.record_file and arguments.record_file.suffix.lower() not in ENDINGS:
        raise ConfigError(f"--record-file: {arguments.record_file} is no name for a film; it ends in .webm or .mp4")
    folder: Path | None = arguments.save_frames
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--save_frames: {folder} cannot be made: {error.strerror}") from error


def _check_output(option: str, path: Path) -> None:
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{option}: {path} is a folder, or lies in none")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{option}: {path.parent} cannot be written")
