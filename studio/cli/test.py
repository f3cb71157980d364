"""``test``: run the tests with this interpreter; says how to get what is missing for the browser tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from studio.checks import chromium
from studio.cli.terminal import complain
from studio.config import home

PURE = ("tests/acceptance", "tests/conformance", "tests/unit")
"""Tests that only compute: as many at once as there are processors."""
SIDE_BY_SIDE = ("-n", "logical", "--maxprocesses", "8", "--durations", "8")


def run(arguments: argparse.Namespace) -> int:
    """Run pytest on the whole house or on what the arguments say; return 0 or the first exit code that is not."""
    browser = chromium()
    if not browser.good:
        complain(f"{browser.text} {browser.remedy}")
        is_ci = os.environ.get("CI") == "true"
        complain("In CI nothing may be skipped." if is_ci else "Only the browser tests are skipped.")
    rounds = [arguments.arguments] if arguments.arguments else [(*SIDE_BY_SIDE, *PURE), _others()]
    codes = [
        subprocess.run([sys.executable, "-m", "pytest", *some], cwd=home(), check=False).returncode for some in rounds
    ]
    return next((code for code in codes if code), 0)


def _others() -> list[str]:
    """Return the folders of tests that talk to servers and browsers in real time: one after another, undisturbed."""
    folders = sorted(f"tests/{path.parent.name}" for path in (home() / "tests").glob("*/test_*.py"))
    return [folder for folder in dict.fromkeys(folders) if folder not in PURE]
