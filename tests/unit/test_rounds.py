from __future__ import annotations

import argparse
import subprocess
from pathlib import Path

import pytest

from studio.checks import Check
from studio.cli import test as command

TESTS = Path(__file__).resolve().parents[1]


def test_each_folder_of_tests_runs_in_one_round() -> None:
    named = [folder for _, folders in command.ROUNDS for folder in folders]
    assert sorted(named) == sorted({path.relative_to(TESTS).parts[0] for path in TESTS.glob("*/**/test_*.py")})


@pytest.mark.parametrize(("codes", "whole"), [((0, 0, 0), 0), ((0, 1, 0), 1), ((2, 1, 5), 2)])
def test_every_round_runs_and_none_fails_unseen(
    monkeypatch: pytest.MonkeyPatch, codes: tuple[int, ...], whole: int
) -> None:
    left = list(codes)

    def run(words: list[str], **how: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(words, left.pop(0))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(command, "chromium", lambda: Check("browser for tests", True, "here"))
    assert (command.run(argparse.Namespace(arguments=[])), left) == (whole, [])
