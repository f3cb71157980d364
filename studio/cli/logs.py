"""Logs on standard error, for people or for machines."""

from __future__ import annotations

import json
import logging
import time

LEVELS = {
    "aioice": logging.WARNING,  # a line for each pair of addresses that it tries
    "aiortc": logging.WARNING,
    "aiohttp.access": logging.INFO,
    "asyncio": logging.INFO,
    "numba": logging.INFO,
    "PIL": logging.INFO,
}
"""From which level on libraries that say a lot are heard with ``--verbose``; without it, from WARNING on."""


def visible(text: str) -> str:
    """Return a text with everything escaped that prints nothing: strangers' words can be in it.

    A newline would begin a line of their own in the log, an escape sequence rule the operator's terminal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(logging.Formatter):
    """A line for people, and the exception's lines if there is one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record.message = visible(record.message)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the exception if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        body = {
            "time": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            body["exception"] = self.formatException(record.exc_info)
        return json.dumps(body)


def set_up_logs(verbose: bool, log_format: str) -> None:
    """Send logs to standard error; ``log_format`` is ``text`` or ``json``."""
    handler = logging.StreamHandler()
    text = TextFormatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")
    handler.setFormatter(JsonFormatter() if log_format == "json" else text)
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(level if verbose else logging.WARNING)
