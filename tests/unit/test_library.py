"""The avatars on their shelves: prepared once, whole or not at all, and one that fails stops no other."""

from __future__ import annotations

import dataclasses
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from studio import library
from studio.engine import MEMORY, Engine, Finding, Prepared, Progress
from studio.errors import AvatarNotFound, AvatarNotReady, BadNetwork, BadPortrait, ConfigError, DeviceFull
from studio.library import Library, resolved
from studio.preparation import MARK, bring_in, found, prepare
from studio.spec import AvatarSpec, LimitsSpec, StudioSpec
from tests.fakes import FakeAvatar, FakeEngine

FINDING = Finding("size", True, "Large enough.")


class Painter(FakeEngine):
    """Counts its preparations; fails when told."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str] = []
        self.error: Exception | None = None
        self.damaged = 0
        self.complaint = AvatarNotReady("damaged")

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        report(0.5, "painting")
        self.prepared.append(spec.id)
        (folder / "picture").write_text(spec.id)
        if self.error and spec.id == "bad":
            raise self.error
        return [FINDING]

    def load(self, prepared: Prepared) -> FakeAvatar:
        assert (prepared.folder / "picture").read_text() == prepared.spec.id
        if self.damaged:
            self.damaged -= 1
            raise self.complaint
        return FakeAvatar()


@pytest.fixture
def painter(monkeypatch: pytest.MonkeyPatch) -> Painter:
    engine = Painter()
    monkeypatch.setattr(library, "load_engine", lambda name, limits: engine)
    return engine


def silent(*_: object) -> None:
    """Report to nobody."""


def spec(id: str, **how: object) -> AvatarSpec:
    return dataclasses.replace(AvatarSpec(id, Path("/nowhere"), engine="portrait"), **how)  # type: ignore[arg-type]


def shelves(tmp_path: Path, *avatars: AvatarSpec) -> Library[Engine]:
    return Library(StudioSpec(avatars, cache=tmp_path), lambda engine: engine)


def test_avatar_is_prepared_once(tmp_path: Path, painter: Painter) -> None:
    first, second = (prepare(painter, spec("a"), tmp_path, silent) for _ in range(2))
    assert painter.prepared == ["a"]
    assert first == second
    assert first.findings == (FINDING,)
    assert first.folder == tmp_path / "avatars" / "a" / "fake"
    prepare(painter, spec("a", preparation=True), tmp_path, silent)
    assert painter.prepared == ["a", "a"]
    assert [path.name for path in first.folder.parent.iterdir()] == ["fake"]


def test_what_an_avatar_keeps_in_memory_is_logged_at_start(
    tmp_path: Path, painter: Painter, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(painter, "prepare", lambda *_: [FINDING, Finding(MEMORY, True, "It keeps 12 MB.")])
    monkeypatch.setattr(painter, "load", lambda prepared: FakeAvatar())
    with caplog.at_level(logging.INFO, "studio.library"):
        shelves(tmp_path, spec("a")).load(silent)
    assert caplog.messages == ["avatar a is ready. It keeps 12 MB."]


def test_looking_into_the_cache_prepares_nothing(tmp_path: Path, painter: Painter) -> None:
    assert found(painter, spec("a"), tmp_path) is None
    made = prepare(painter, spec("a"), tmp_path, silent)
    assert found(painter, spec("a"), tmp_path) == made
    assert painter.prepared == ["a"]


@pytest.mark.parametrize("mark", ["", "{}", "[]", '{"findings": [{"x": 1}]}', "\x00"])
def test_damaged_preparation_is_made_anew(tmp_path: Path, painter: Painter, mark: str) -> None:
    folder = prepare(painter, spec("a"), tmp_path, silent).folder
    (folder / MARK).write_text(mark)
    assert prepare(painter, spec("a"), tmp_path, silent).findings == (FINDING,)
    assert painter.prepared == ["a", "a"]


def test_what_the_engine_cannot_load_is_prepared_once_more(tmp_path: Path, painter: Painter) -> None:
    painter.damaged = 1
    bring_in(painter, spec("a"), tmp_path, silent)
    assert painter.prepared == ["a", "a"]
    painter.damaged = 2
    with pytest.raises(AvatarNotReady):
        bring_in(painter, spec("a"), tmp_path, silent)


@pytest.mark.parametrize("complaint", [BadNetwork("unet.onnx is missing."), DeviceFull("The memory of it is full.")])
def test_what_another_preparation_would_not_change_is_no_reason_for_one(
    tmp_path: Path, painter: Painter, complaint: AvatarNotReady
) -> None:
    painter.damaged, painter.complaint = 1, complaint
    with pytest.raises(type(complaint)):
        bring_in(painter, spec("a"), tmp_path, silent)
    bring_in(painter, spec("a"), tmp_path, silent)
    assert painter.prepared == ["a"]


@pytest.mark.parametrize("error", [BadPortrait("No face."), RuntimeError("x"), KeyboardInterrupt()])
def test_failed_preparation_leaves_nothing(tmp_path: Path, painter: Painter, error: Exception) -> None:
    painter.error = error
    with pytest.raises(type(error)):
        prepare(painter, spec("bad"), tmp_path, silent)
    assert list(tmp_path.rglob("bad")) == []


def test_old_drafts_and_former_sources_are_swept(tmp_path: Path, painter: Painter) -> None:
    shelf = tmp_path / "avatars" / "a"
    for name, age in ((".draft-1", 90_000), ("former", 90_000), ("recent", 10)):
        (shelf / name).mkdir(parents=True)
        os.utime(shelf / name, (time.time() - age,) * 2)
    prepare(painter, spec("a"), tmp_path, silent)
    assert sorted(path.name for path in shelf.iterdir()) == ["fake", "recent"]


def test_cache_that_cannot_be_written_is_a_sentence(tmp_path: Path, painter: Painter) -> None:
    (tmp_path / "avatars").write_text("a file where a folder should be")
    with pytest.raises(AvatarNotReady, match="cannot write to its cache folder"):
        prepare(painter, spec("a"), tmp_path, silent)


def test_failing_avatar_stops_no_other(tmp_path: Path, painter: Painter) -> None:
    painter.error = BadPortrait("There is no face.")
    house = shelves(tmp_path, spec("bad"), spec("good", name="Good"))
    house.load(silent)
    assert house.first_id == "good"
    assert house.get("good").spec.name == "Good"
    assert house.shelf("good").thumbnail.startswith(b"\xff\xd8")
    assert house.shelf("good").reason == ""
    with pytest.raises(AvatarNotReady, match=r"bad is not ready on this server\. There is no face\."):
        house.get("bad")
    with pytest.raises(AvatarNotFound, match='There is no avatar called "nobody"'):
        house.get("nobody")
    assert house.engines == ("portrait",)
    house.close()
    assert painter.closed


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("/secret/path"), "It could not be loaded; the server's log says why."),
        (
            ModuleNotFoundError("no", name="onnx"),
            "Its engine needs the Python package onnx, which is not installed here.",
        ),
    ],
)
def test_unexpected_failure_is_logged_and_hidden(
    tmp_path: Path, painter: Painter, error: Exception, reason: str
) -> None:
    painter.error = error
    house = shelves(tmp_path, spec("bad"))
    house.load(silent)
    assert house.shelf("bad").reason == reason
    assert house.first_id == "bad"


def test_option_that_the_chosen_engine_lacks_is_a_configuration_mistake(tmp_path: Path, painter: Painter) -> None:
    painter.error = ConfigError("no such option")
    with pytest.raises(ConfigError, match="avatars: bad: no such option"):
        shelves(tmp_path, spec("bad"), spec("good")).load(silent)
    house = shelves(tmp_path, spec("bad", engine="auto"))
    house.load(silent)
    assert house.shelf("bad").reason == "no such option"


def test_stopped_library_gives_up_what_is_not_ready(tmp_path: Path, painter: Painter) -> None:
    house = shelves(tmp_path, spec("a"))
    house.stop()
    house.load(silent)
    assert house.shelf("a").reason == "The studio is closing."
    assert list(tmp_path.rglob("a")) == []


def test_auto_is_the_best_engine_there_is() -> None:
    assert resolved("auto") == "portrait"
    assert resolved("testcard") == "testcard"


def test_avatars_that_memory_cannot_hold_are_refused_in_words(tmp_path: Path, painter: Painter) -> None:
    config = StudioSpec((spec("a"), spec("b"), spec("c")), cache=tmp_path, limits=LimitsSpec(avatar_memory_mb=2))
    full: Library[Engine] = Library(config, lambda engine: engine)
    full.load(silent)
    refused = [shelf.reason for shelf in full.shelves.values() if shelf.loaded is None]
    assert refused == [
        "It needs 1 MB of memory, and 2 of the 2 MB that limits.avatar_memory_mb allows are taken by other avatars. "
        "Raise that limit, or make a source smaller or shorter."
    ]
    gone = next(id for id, shelf in full.shelves.items() if shelf.loaded)
    full.remove(gone)
    late = next(shelf for shelf in full.shelves.values() if shelf.loaded is None)
    full.bring(late, silent)
    assert late.loaded


def test_a_long_idle_loop_makes_a_short_animation(tmp_path: Path) -> None:
    asked: list[int] = []

    class Long(FakeAvatar):
        def idle(self, phase: int) -> NDArray[np.uint8]:
            asked.append(phase)
            return super().idle(phase)

    avatar = Long(idle_length=15_000)
    library._loop(avatar, tmp_path / "loop.webp")
    assert len(asked) == 100 and max(asked) < 150
    assert all(abs(one - other) <= 3 for one, other in zip(asked, [*asked[1:], asked[0]], strict=True))
