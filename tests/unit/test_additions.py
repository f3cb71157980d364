"""Avatars that are added: whole on disk or not at all, found again, bounded, and gone when they are removed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from studio import library
from studio.additions import CARD, FOLDER, Addition, Additions, AvatarFixed, AvatarTaken, State
from studio.engine import Finding, Progress
from studio.errors import AvatarNotFound, AvatarNotReady, BadMessage, BadPortrait, StudioError, StudioFull
from studio.library import Library
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec, LimitsSpec, StudioSpec
from studio.stats import Stats
from tests.fakes import FakeEngine

LIMITS = LimitsSpec(added_avatars=2)


class Atelier(FakeEngine):
    """Prepares what it is given, or says why not."""

    def __init__(self) -> None:
        super().__init__()
        self.error: Exception | None = None

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        report(0.5, "painting")
        if self.error:
            raise self.error
        return ()


class House:
    """A library of one avatar, and what is added to it; started anew at will."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.folder = folder / "cache", folder
        self.rings = 0
        self.start()

    def start(self) -> None:
        own = AvatarSpec("ada", self.folder / "ada.png", engine="testcard")
        self.library = Library(StudioSpec((own,), cache=self.cache), lambda engine: Scheduler(engine, Stats()))
        self.library.load(lambda *_: None)
        self.additions = Additions(self.library, self.cache, LIMITS, self.ring)
        self.additions.restore()

    def ring(self) -> None:
        self.rings += 1

    def stop(self) -> None:
        self.additions.close()
        self.library.close()

    def add(self, avatar_id: str = "me") -> Addition:
        upload = self.folder / "upload.png"
        upload.write_bytes(b"picture")
        addition = self.additions.reserve(avatar_id, "Me", "testcard", ".png")
        self.additions.keep(addition, upload)
        self.additions.begin(addition)
        return addition

    def settle(self) -> None:
        """Return when the worker has nothing to do."""
        self.additions._worker.submit(int).result(5)

    @property
    def kept(self) -> set[str]:
        return {path.name for path in (self.cache / FOLDER).glob("*")}

    @property
    def prepared(self) -> set[str]:
        return {path.name for path in (self.cache / "avatars").glob("*")} - {"ada"}


@pytest.fixture
def atelier(monkeypatch: pytest.MonkeyPatch) -> Atelier:
    engine = Atelier()
    monkeypatch.setattr(library, "load_engine", lambda name, limits: engine)
    monkeypatch.setattr(library, "_loop", lambda *_: b"")
    return engine


@pytest.fixture
def house(tmp_path: Path, atelier: Atelier) -> Iterator[House]:
    it = House(tmp_path)
    yield it
    with contextlib.suppress(RuntimeError):
        it.stop()


def test_avatar_is_kept_prepared_and_found_again(house: House) -> None:
    addition = house.add()
    house.settle()
    assert (addition.state, addition.done, addition.shelf.reason) == (State.READY, 1.0, "")
    assert house.library.get("me").spec.name == "Me" and house.rings >= 2
    assert house.kept == house.prepared == {"me"} and not (house.folder / "upload.png").exists()
    house.stop()
    house.start()
    house.settle()
    assert house.library.get("me").spec.source == house.cache / FOLDER / "me" / "source.png"
    assert house.library.shelf("me").is_added


def test_ids_are_given_once(house: House) -> None:
    house.add()
    for taken in ("me", "ada"):
        with pytest.raises(AvatarTaken):
            house.additions.reserve(taken, "", "auto", ".png")
    for impossible in ("", "Me", "../me", "guest-1", "a" * 65, "-a"):
        with pytest.raises(BadMessage):
            house.additions.reserve(impossible, "", "auto", ".png")
    with pytest.raises(BadMessage, match="no engine"):
        house.additions.reserve("b", "", "none", ".png")


def test_there_are_as_many_as_may_be(house: House) -> None:
    for avatar_id in ("a", "b"):
        house.add(avatar_id)
        house.settle()
    with pytest.raises(StudioFull, match="keeps 2"):
        house.add("c")
    house.additions.remove("a")
    house.add("c")


def test_id_is_given_back_when_the_disk_takes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    addition = house.additions.reserve("me", "", "testcard", ".png")
    with pytest.raises(AvatarNotReady, match="cannot keep it"):
        house.additions.keep(addition, house.folder / "nothing.png")
    assert house.kept == set()
    with pytest.raises(AvatarNotReady, match="just arriving"):
        house.additions.remove("me")
    house.additions.withdraw(addition)
    with pytest.raises(AvatarNotFound):
        house.additions.remove("me")
    house.add()


def test_removal_leaves_nothing_and_a_visit_goes_on(house: House) -> None:
    house.add()
    house.settle()
    loaded = house.library.get("me")
    house.additions.remove("me")
    assert "me" not in house.library.shelves and house.additions.find("me") is None
    house.settle()
    assert house.kept == house.prepared == set()
    assert loaded.avatar.idle(0) is not None
    with pytest.raises(AvatarFixed):
        house.additions.remove("ada")


@pytest.mark.parametrize(
    ("error", "kept"), [(BadPortrait("no face"), set()), (AvatarNotReady("no weights"), {"me"}), (OSError(), {"me"})]
)
def test_what_another_start_may_heal_is_kept(house: House, atelier: Atelier, error: Exception, kept: set[str]) -> None:
    atelier.error = error
    addition = house.add()
    house.settle()
    assert addition.state is State.FAILED and addition.shelf.reason and house.kept == kept
    if isinstance(error, StudioError):
        assert addition.shelf.reason == error.message
    house.stop()
    atelier.error = None
    house.start()
    house.settle()
    assert ("me" in house.library.shelves) is bool(kept)


@pytest.mark.parametrize(
    "change",
    [
        {"id": "other"}, {"id": "../me"}, {"source": "../../../etc/passwd"}, {"source": "nothing.png"},
        {"engine": "none"}, {"name": 7}, {"id": None},
    ],
)  # fmt: skip
def test_damaged_card_is_left_out_and_left_alone(house: House, change: dict[str, object]) -> None:
    house.add()
    house.settle()
    house.stop()
    card = house.cache / FOLDER / "me" / CARD
    card.write_text(json.dumps(json.loads(card.read_text()) | change))
    house.start()
    assert set(house.library.shelves) == {"ada"} and house.kept == {"me"}
    with pytest.raises(AvatarTaken, match="left out"):
        house.add()


def test_drafts_of_a_crash_are_removed(house: House) -> None:
    house.stop()
    for name in (".draft-1", "halfway"):
        (house.cache / FOLDER / name).mkdir(parents=True)
    house.start()
    assert house.kept == {"halfway"} and set(house.library.shelves) == {"ada"}


def test_no_more_are_restored_than_may_be(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for avatar_id in ("a", "b"):
        house.add(avatar_id)
    house.settle()
    house.stop()
    monkeypatch.setattr("tests.unit.test_additions.LIMITS", LimitsSpec(added_avatars=1))
    house.start()
    assert len(house.library.shelves) == 2 and house.kept == {"a", "b"}


def test_avatar_that_the_disk_does_not_let_go_stays(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add()
    house.settle()

    def rename(path: Path, to: Path) -> None:
        raise OSError(30, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename)
        with pytest.raises(AvatarNotReady, match="cannot remove it: Read-only file system"):
            house.additions.remove("me")
    assert house.library.get("me") and house.kept == {"me"}
    house.additions.remove("me")
    house.settle()
    assert not house.kept and "me" not in house.library.shelves


def test_source_that_comes_while_the_studio_closes_is_there_at_the_next_start(house: House) -> None:
    upload = house.folder / "upload.png"
    upload.write_bytes(b"picture")
    addition = house.additions.reserve("me", "Me", "testcard", ".png")
    house.stop()
    house.additions.keep(addition, upload)
    house.additions.begin(addition)
    house.start()
    house.settle()
    assert house.library.get("me").spec.name == "Me"
