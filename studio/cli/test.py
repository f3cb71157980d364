"""``test``: run the tests with this interpreter; says how to get what is missing for the browser tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from studio.checks import chromium
from studio.cli.terminal import complain
from studio.config import home

ROUNDS = (
    (("-n", "logical", "--maxprocesses", "8"), ("acceptance", "conformance", "export", "unit")),
    (("-n", "2"), ("examples", "integration")),
    ((), ("browser", "soak")),
)
"""Folders of tests, and how many at once: some only compute, some mostly wait for servers, some must be undisturbed."""


def run(arguments: argparse.Namespace) -> int:
    """Run pytest on the whole house or on what the arguments say; return 0 or the first exit code that is not."""
    browser = chromium()
    if not browser.good:
        complain(f"{browser.text} {browser.remedy}")
        is_ci = os.environ.get("CI") == "true"
        complain("In CI nothing may be skipped." if is_ci else "Only the browser tests are skipped.")
    rounds = (
        [arguments.arguments]
        if arguments.arguments
        else [(*how, "--durations", "8", *(f"tests/{folder}" for folder in folders)) for how, folders in ROUNDS]
    )
    python = (sys.executable, "-m", "pytest")
    codes = [subprocess.run([*python, *words], cwd=home(), check=False).returncode for words in rounds]
    return next((code for code in codes if code), 0)
