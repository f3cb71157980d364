"""Logs: who is heard from which level on, and a line for machines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from studio.cli.logs import LEVELS, JsonFormatter, TextFormatter, set_up_logs


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Put logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LEVELS}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.mark.parametrize(
    ("verbose", "heard"),
    [
        (False, {"studio": "INFO", "aioice.ice": "WARNING", "aiohttp.access": "WARNING"}),
        (True, {"studio": "DEBUG", "aioice.ice": "WARNING", "aiortc.rtcpeerconnection": "WARNING",
                "aiohttp.access": "INFO"}),
    ],
)  # fmt: skip
def test_libraries_that_say_a_lot_are_heard_from_their_level_on(verbose: bool, heard: dict[str, str]) -> None:
    set_up_logs(verbose, "text")
    levels = {name: logging.getLevelName(logging.getLogger(name).getEffectiveLevel()) for name in heard}
    assert levels == heard


def test_line_for_machines_is_one_json_object() -> None:
    record = logging.LogRecord("studio.web", logging.ERROR, __file__, 1, "no\n%s", ("seat",), None)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    body = json.loads(line)
    assert (body["level"], body["logger"], body["message"]) == ("error", "studio.web", "no\nseat")
    assert body["time"].endswith("Z")


ODD = 'called "\x1b[2Jx\n17:00:00 INFO    forged\x9b\u202e\ud800é"'
"""What clears a terminal, begins a line, turns the direction of writing, and is half a character."""


@pytest.mark.parametrize("formatter", [TextFormatter("%(levelname)s %(message)s"), JsonFormatter()])
def test_words_of_strangers_stay_on_their_line_and_print(formatter: logging.Formatter) -> None:
    line = formatter.format(logging.LogRecord("studio.web", logging.INFO, __file__, 1, "nobody is %s", (ODD,), None))
    assert line.isprintable() and "forged" in line


def test_tracebacks_keep_their_lines() -> None:
    record = logging.LogRecord(
        "studio.web", logging.ERROR, __file__, 1, "failed", (), (ValueError, ValueError(1), None)
    )
    assert TextFormatter("%(message)s").format(record) == "failed\nValueError: 1"
