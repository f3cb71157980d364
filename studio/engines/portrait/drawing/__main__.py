"""Draws all characters anew: ``python -m studio.engines.portrait.drawing static/avatars [mira omar robot]``.

Each goes into a folder of its own name. The same versions of resvg and OpenCV give the same bytes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from studio.engines.portrait.drawing import mira, omar, robot
from studio.engines.portrait.drawing.files import Artwork, write_character

SITTERS: Mapping[str, Callable[[], Artwork]] = {"mira": mira.artwork, "omar": omar.artwork, "robot": robot.artwork}
"""Name -> what draws the finished character."""


def main() -> None:
    """Draw what the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m studio.engines.portrait.drawing", description="Draw the characters."
    )
    parser.add_argument("folder", type=Path, help="where the characters' folders are, usually static/avatars")
    parser.add_argument("names", nargs="*", help=f"who to draw: {', '.join(SITTERS)}; everybody if not given")
    given = parser.parse_args()
    strangers = set(given.names) - set(SITTERS)
    if strangers:
        parser.error(f"nobody is called {', '.join(sorted(strangers))}")
    for name in given.names or SITTERS:
        write_character(given.folder / name, SITTERS[name]())


if __name__ == "__main__":
    main()
