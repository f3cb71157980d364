"""The command line: serve, render, prepare, check, test. Exit codes: 0, 1 failure, 2 usage or configuration."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from studio.cli.arguments import parse
from studio.cli.logs import set_up_logs
from studio.cli.terminal import complain
from studio.errors import ConfigError, StudioError

FAILURE, USAGE, INTERRUPTED = 1, 2, 130
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    set_up_logs(arguments.verbose, arguments.log_format)
    # Imported when it is its turn: `check` must run where what the server needs is missing.
    command = cast(Command, import_module(f"studio.cli.{arguments.command}").run)
    try:
        return command(arguments)
    except ConfigError as error:
        complain(error.message)
        return USAGE
    except StudioError as error:
        complain(error.message)
        logging.getLogger(__name__).debug("%s", error.detail)
        return FAILURE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `check | head`
        sys.stdout = None
        return FAILURE
