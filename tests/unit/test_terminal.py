"""Words for the person at the terminal."""

from __future__ import annotations

import io
import json
import logging
import time

import pytest

from studio.cli import terminal
from studio.cli.logs import JsonFormatter
from studio.cli.terminal import Preparation, Progress, bar, table


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_bar_fills() -> None:
    assert bar(0) == "░" * terminal.WIDTH
    assert bar(1) == bar(7) == "█" * terminal.WIDTH
    assert bar(0.5).count("█") == terminal.WIDTH // 2
    assert len(bar(-1)) == terminal.WIDTH


def test_table_aligns_all_but_the_last_column() -> None:
    assert table([("a", "bb", "x"), ("ccc", "d", "a long text")]) == "a    bb  x\nccc  d   a long text"


def test_progress_on_a_terminal_is_one_line_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1.0, 1.01, 2.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    screen = Screen()
    progress = Progress(screen)
    progress.show(0.1, "one")
    progress.show(0.2, "too soon")
    progress.show(0.3, "two")
    progress.end("done")
    text = screen.getvalue()
    assert "too soon" not in text
    assert "\n" not in text.removesuffix("done\n")
    assert text.endswith("\rdone\n")


def test_progress_elsewhere_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1.0, 1.5, 3.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    file = io.StringIO()
    progress = Progress(file)
    for phrase in ("one", "too soon", "two"):
        progress.show(0.5, phrase)
    progress.end()
    assert file.getvalue() == "  one\n  two\n"


def test_preparation_is_the_mean_of_its_avatars(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    preparation = Preparation(["a", "b"], screen)
    preparation.report("a", 0.5, "reading")
    assert " 25 %  a: reading" in screen.getvalue()
    preparation.end()


def test_log_line_for_machines_is_json() -> None:
    record = logging.LogRecord("studio.x", logging.WARNING, __file__, 1, "visit %s: é\n", ("a",), None)
    record.created, record.msecs = 0.5, 500.0
    assert json.loads(JsonFormatter().format(record)) == {
        "time": "1970-01-01T00:00:00.500Z", "level": "warning", "logger": "studio.x", "message": "visit a: é\n",
    }  # fmt: skip
