"""The golden folder under pytest: every unit array and two scenarios always, the others with ``-m slow``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.engines.ditto.crew import Crew
from tests.conformance.ditto.__main__ import unit_verdicts
from tests.conformance.ditto.golden import scenarios
from tests.conformance.ditto.scenario import crew_of, verdicts
from tests.conformance.ditto.verdict import judge, judge_picture
from tests.conformance.verdict import Verdict

ALWAYS = ("online_image_defaults", "offline_video_images_chinfo_dict")
OTHERS = (
    "offline_image_defaults", "online_image_overlap75_plain", "online_image_long_trim", "offline_video_defaults",
    "online_video_options", "offline_image_options",
)  # fmt: skip


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Path:
    shared: Path = request.getfixturevalue("shared")
    return shared / "golden" / "ditto"


@pytest.fixture(scope="module")
def crew(golden: Path) -> Iterator[Crew]:
    with closing(crew_of(golden)) as opened:
        yield opened


def failures(found: Iterator[Verdict], least: int) -> list[str]:
    judged = list(found)
    assert len(judged) >= least
    return [str(verdict) for verdict in judged if not verdict.passes]


def test_every_unit_array_conforms(golden: Path) -> None:
    assert not failures(unit_verdicts(golden), 100)


def test_every_scenario_is_known_here(golden: Path) -> None:
    assert {scenario.name for scenario in scenarios(golden)} == {*ALWAYS, *OTHERS}


@pytest.mark.parametrize("name", ALWAYS)
def test_scenario_conforms(golden: Path, crew: Crew, name: str) -> None:
    played = next(scenario for scenario in scenarios(golden) if scenario.name == name)
    assert not failures(verdicts(played, crew), 40)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_other_scenario_conforms(golden: Path, crew: Crew, name: str) -> None:
    played = next(scenario for scenario in scenarios(golden) if scenario.name == name)
    assert not failures(verdicts(played, crew), 35)


def test_what_differs_fails() -> None:
    ones = np.ones((4, 3), np.float32)
    assert judge("a", "x_d", ones, ones).passes
    assert not judge("a", "x_d", ones + 1e-4, ones).passes
    assert not judge("a", "x_d", ones[:3], ones).passes
    assert not judge("a", "x_d", ones * np.nan, ones).passes
    assert not judge("a", "cond_idx", np.array([1]), np.array([2])).passes
    grey = np.full((16, 16, 3), 100, np.uint8)
    assert [one.passes for one in judge_picture("a", "frame", grey + np.uint8(1), grey, 0.18, 12)] == [True, False]
