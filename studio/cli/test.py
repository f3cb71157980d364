"""``test``: run the tests with this interpreter; says how to get what is missing for the browser tests."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from studio.checks import chromium
from studio.cli.terminal import complain
from studio.config import home


def run(arguments: argparse.Namespace) -> int:
    """Run pytest on the whole house or on what the arguments say; its exit code is ours."""
    browser = chromium()
    if not browser.good:
        complain(f"{browser.text} {browser.remedy}")
        is_ci = os.environ.get("CI") == "true"
        complain("In CI nothing may be skipped." if is_ci else "Only the browser tests are skipped.")
    command = [sys.executable, "-m", "pytest", *arguments.arguments]
    return subprocess.run(command, cwd=home(), check=False).returncode
