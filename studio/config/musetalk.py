"""What is different in a configuration that was written for MuseTalk's own real-time script: ``realtime.yaml``.

Its top level has a section for each avatar, whose key is the id. MuseTalk names files from its own folder and keeps its
configuration two folders deeper.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from studio.config.tree import Given

KEYS = ("preparation", "video_path", "bbox_shift", "audio_clips", "name", "engine", "options")
"""Of one avatar; the last three are ours."""
_ROOTS = ("", "..", "../..")
"""Where MuseTalk's folder may be, from the configuration's."""
_PREPARED = "results/v15/avatars"
"""Where it keeps what it prepared, each avatar in a folder of its id."""


def is_film(given: Given) -> bool:
    """Does a section at top level describe an avatar of MuseTalk's?"""
    return isinstance(given.value, dict) and "video_path" in given.value


def film(path: Path, key: str, body: Mapping[str, Given]) -> Given:
    """Return what an avatar is made of: its ``video_path``, or what MuseTalk prepared unless ``preparation`` is true.

    Args:
        path: Of the configuration.
        key: The id, empty if it cannot be one.
        body: The avatar's section.
    """
    given = body["video_path"]
    names = [given.value] if isinstance(given.value, str) and "\0" not in given.value else []
    preparation = body.get("preparation")
    if key and not (preparation and preparation.value):
        names.insert(0, f"{_PREPARED}/{key}")
    for name in names:
        for root in _ROOTS:
            found = path.resolve().parent / root / name
            if os.path.exists(found) and (name is given.value or (found / "latents.pt").is_file()):
                return Given(f"{root}/{name}" if root else name, given.where)
    return given
