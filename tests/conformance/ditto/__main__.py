"""``python -m tests.conformance.ditto DIR [--only NAME]``: one line for each array, exit code 1 when one fails."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from studio.errors import StudioError
from tests.conformance.ditto.faces import face_units
from tests.conformance.ditto.golden import scenarios
from tests.conformance.ditto.scenario import crew_of, verdicts
from tests.conformance.ditto.units import motion_units
from tests.conformance.verdict import Verdict


def unit_verdicts(folder: Path) -> Iterator[Verdict]:
    """Compare single functions."""
    with np.load(folder / "units.npz") as file:
        units = {name: file[name] for name in file.files}
    yield from motion_units(units)
    yield from face_units(folder, units)


def every_verdict(folder: Path, only: str) -> Iterator[Verdict]:
    """Compare what ``only`` names: ``units``, a scenario, or everything where it is empty."""
    if only in ("", "units"):
        yield from unit_verdicts(folder)
    with closing(crew_of(folder)) as crew:
        for scenario in scenarios(folder):
            if only in ("", scenario.name):
                try:
                    yield from verdicts(scenario, crew)
                except StudioError as error:
                    yield Verdict(scenario.name, float("inf"), 0.0, error.message)


def main() -> int:
    """Print the verdicts and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.ditto", description=__doc__)
    parser.add_argument("folder", type=Path, help="in the format of shared/golden/ditto/README.md")
    parser.add_argument("--only", default="", metavar="NAME", help="a scenario, or units")
    arguments = parser.parse_args()
    failed = count = 0
    for verdict in every_verdict(arguments.folder, arguments.only):
        print(verdict, flush=True)
        count, failed = count + 1, failed + (not verdict.passes)
    print(f"{count} compared, {failed} failed")
    return 1 if failed or not count else 0


if __name__ == "__main__":
    sys.exit(main())
