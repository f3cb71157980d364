"""``check``: a table of what runs here, what is missing, and the remedy."""

from __future__ import annotations

import argparse

from studio.checks import Check, everything
from studio.cli import settings
from studio.cli.terminal import say, table


def run(arguments: argparse.Namespace) -> int:
    """Print the table; 0 if the studio can start here, else 1."""
    checks = everything(settings.read(arguments))
    say(table([_row(check) for check in checks]))
    remedies = [f"  {check.subject}: {check.remedy}" for check in checks if not check.good and check.remedy]
    if remedies:
        say("\nWhat to do:\n" + "\n".join(remedies))
    return 0 if all(check.good or not check.needed for check in checks) else 1


def _row(check: Check) -> tuple[str, str, str]:
    mark = "yes" if check.good else "NO" if check.needed else "no"
    return mark, check.subject, check.text
