"""Words for the person at the terminal: lines, progress bars and tables. Logs are not its business."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import TextIO

WIDTH = 24
"""Characters of a progress bar."""
PULSE_SECONDS = 0.1
"""A bar is drawn no oftener than that."""
LINE_SECONDS = 2.0
"""Where there is no terminal, lines about one thing come no oftener than that."""


def say(text: str = "", stream: TextIO | None = None) -> None:
    """Write one line, to standard output unless told otherwise."""
    stream = stream or sys.stdout
    stream.write(text + "\n")
    stream.flush()


def complain(text: str) -> None:
    """Write one line to standard error."""
    say(text, sys.stderr)


def bar(done: float) -> str:
    """Return a bar for a fraction 0..1."""
    filled = round(WIDTH * min(max(done, 0.0), 1.0))
    return "█" * filled + "░" * (WIDTH - filled)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return the rows with aligned columns; the last column is free."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(len, column)) for column in columns[:-1]]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )


class Progress:
    """One line that shows how far something is: redrawn on a terminal, a new line now and then elsewhere.

    Called from any thread.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._is_live = self._stream.isatty()
        self._lock = threading.Lock()
        self._drawn = 0.0
        self._length = 0

    def show(self, done: float, phrase: str) -> None:
        """Show a fraction 0..1 and what is being done."""
        now = time.monotonic()
        with self._lock:
            if self._is_live:
                if done >= 1 or now - self._drawn >= PULSE_SECONDS:
                    self._drawn = now
                    self._draw(f"{bar(done)} {100 * done:3.0f} %  {phrase}")
            elif not self._drawn or now - self._drawn >= LINE_SECONDS:
                self._drawn = now
                say(f"  {phrase}", self._stream)

    def end(self, line: str = "") -> None:
        """Remove the bar and leave ``line`` in its place."""
        with self._lock:
            if self._is_live and self._length:
                self._draw("")
                self._stream.write("\r")
            if line:
                say(line, self._stream)

    def _draw(self, text: str) -> None:
        self._stream.write("\r" + text.ljust(self._length))
        self._stream.flush()
        self._length = len(text)


class Preparation:
    """Progress of several avatars at once, on one line; silent for those that come from the cache quickly."""

    def __init__(self, ids: Sequence[str], stream: TextIO | None = None) -> None:
        self._progress = Progress(stream)
        self._lock = threading.Lock()
        self._done = dict.fromkeys(ids, 0.0)

    def report(self, avatar_id: str, done: float, phrase: str) -> None:
        """Take note of one avatar's progress; any thread."""
        with self._lock:
            self._done[avatar_id] = done
            whole = sum(self._done.values()) / len(self._done)
        self._progress.show(whole, f"{avatar_id}: {phrase}")

    def end(self) -> None:
        """Remove the bar."""
        self._progress.end()
