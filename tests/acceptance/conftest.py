"""Every shipped avatar's face, prepared once."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from studio.engines.portrait.bases import build_geometry
from studio.engines.portrait.character import load_character
from studio.engines.portrait.photo import portrait_source
from studio.engines.portrait.renderer import Face
from studio.engines.portrait.screen import ScreenMouth, screen_geometry
from studio.spec import LimitsSpec
from tests.acceptance.measures import Eyewitness

ROOT = Path(__file__).resolve().parents[2]


def shipped() -> dict[str, Path]:
    """Return the sources in ``configs/avatars.yaml`` that are in this checkout, by avatar."""
    entries = yaml.safe_load((ROOT / "configs" / "avatars.yaml").read_text())["avatars"]
    sources = {entry["id"]: ROOT / entry["source"] for entry in entries}
    return {avatar: source for avatar, source in sources.items() if source.exists()}


@functools.cache
def prepared(source: Path) -> Face:
    """Return the face of a photo or of a drawn character's folder."""
    if not source.is_dir():
        limits = LimitsSpec()
        portrait, _ = portrait_source(source, limits.picture_pixels, limits.picture_bytes)
        return Face.prepare(portrait, build_geometry(portrait, _unheard), _unheard)
    drawn = load_character(source)
    if isinstance(drawn.mouth, ScreenMouth):
        left, right = drawn.eyes
        geometry = screen_geometry((left.box, right.box), drawn.mouth.box, drawn.source.person)
        return Face.screen(drawn.source, geometry, drawn.eyes, drawn.mouth)
    return Face.drawn(drawn.source, build_geometry(drawn.source, _unheard), drawn.eyes, drawn.mouth)


def _unheard(done: float, doing: str) -> None:
    """Hear a progress that nobody follows."""


@pytest.fixture(scope="session", params=list(shipped().items()), ids=lambda item: item[0])
def face(request: pytest.FixtureRequest) -> Face:
    """A shipped avatar."""
    return prepared(request.param[1])


@pytest.fixture
def human(face: Face) -> Face:
    """A shipped avatar with lips and lids."""
    if isinstance(face.mouth, ScreenMouth):
        pytest.skip("a screen has no lips; its own test measures the same on its lights")
    return face


@pytest.fixture
def robot(face: Face) -> Face:
    """A shipped avatar with a screen for a face."""
    if not isinstance(face.mouth, ScreenMouth):
        pytest.skip("only for faces on screens, where the detector finds nothing")
    return face


@pytest.fixture(scope="session")
def eyewitness() -> Iterator[Eyewitness]:
    """The detector that saw none of the rig."""
    yield Eyewitness()
