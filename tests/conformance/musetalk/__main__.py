"""``python -m tests.conformance.musetalk DIR``: see the package."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.conformance.musetalk import face, film, sound
from tests.conformance.musetalk.golden import Golden
from tests.conformance.verdict import Verdict


def verdicts(folder: Path) -> Iterator[Verdict]:
    """Yield a verdict for everything that a folder holds."""
    golden = Golden(folder)
    for stage in (sound, face, film):
        yield from stage.check(golden)


def main() -> int:
    """Print one line for each array; 1 if one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.musetalk", description=__doc__)
    parser.add_argument("folder", type=Path, help="in the format of shared/golden/musetalk/README.md")
    folder: Path = parser.parse_args().folder
    if not (folder / "options.json").is_file():
        parser.error(f"{folder} holds no options.json")
    failed = count = 0
    for verdict in verdicts(folder):
        sys.stdout.write(f"{verdict}\n")
        failed += not verdict.passes
        count += 1
    sys.stdout.write(f"{count - failed} of {count} passed\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
