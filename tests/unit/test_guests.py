from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from studio.engine import ENGINES
from studio.engines.testcard import TestcardEngine
from studio.errors import AvatarNotFound, AvatarNotReady, BadMessage, BadPortrait, StudioFull
from studio.guests import PREFIX, WAITING, Guests
from studio.library import Library, LoadedAvatar
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec, StudioSpec
from studio.stats import Stats

MOST = 2


class Party:
    """A library of one avatar, and the guests before it; the worker waits when told to."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.portrait = folder / "cache", folder / "a.png"
        self.portrait.write_bytes(b"picture")
        own = AvatarSpec("ada", folder / "ada.png", engine="testcard")
        self.library = Library(StudioSpec((own,), cache=self.cache), lambda engine: Scheduler(engine, Stats()))
        self.library.load(lambda *_: None)
        self.guests = Guests(self.library, self.cache, MOST, 60)
        self.gate = threading.Event()

    def other(self, name: str) -> Path:
        path = self.portrait.with_name(name)
        path.write_bytes(name.encode())
        return path

    @property
    def shelves(self) -> set[str]:
        return {path.name for path in (self.cache / "avatars").glob(PREFIX + "*")}

    def hold(self) -> None:
        """Keep the worker busy until `gate` opens."""
        self.guests._worker.submit(self.gate.wait, 5)


@pytest.fixture
def party(tmp_path: Path) -> Iterator[Party]:
    it = Party(tmp_path)
    with contextlib.closing(it.guests):
        yield it
        it.gate.set()
    it.library.close()


async def test_portrait_is_prepared_once_and_played_like_any_avatar(party: Party) -> None:
    guest = party.guests.invite(party.portrait, "testcard")
    await party.guests.ready(guest, 5)
    loaded = party.guests.get(guest)
    assert loaded.spec.source == party.portrait and loaded.engine.name == "testcard"
    assert party.guests.guest(guest).is_ready and party.guests.guest(guest).done == 1.0
    assert party.guests.invite(party.portrait, "testcard") == guest
    assert party.guests.get(guest) is loaded
    assert guest not in party.library.shelves, "no gallery shows it"
    assert party.shelves == {guest}


async def test_own_avatars_are_served_as_ever(party: Party) -> None:
    assert party.guests.first_id == "ada" and party.guests.get("ada").spec.id == "ada"
    assert party.guests.invite(party.portrait.with_name("ada.png")) == "ada"
    await party.guests.ready("ada", 5)
    for ask in (party.guests.get, party.guests.guest):
        with pytest.raises(AvatarNotFound):
            ask(PREFIX + "0" * 24)


async def test_unknown_engine_is_refused_with_those_there_are(party: Party) -> None:
    with pytest.raises(BadMessage, match="testcard"):
        party.guests.invite(party.portrait, "dall-e")


async def test_guest_that_waits_is_not_ready_yet(party: Party) -> None:
    party.hold()
    guest = party.guests.invite(party.portrait, "testcard")
    with pytest.raises(AvatarNotReady, match="still being prepared"):
        party.guests.get(guest)
    with pytest.raises(AvatarNotReady, match="still being prepared"):
        await party.guests.ready(guest, 0.01)
    party.gate.set()
    await party.guests.ready(guest, 5)


async def test_waiting_room_is_small(party: Party) -> None:
    party.hold()
    for i in range(WAITING):
        party.guests.invite(party.other(f"{i}.png"), "testcard")
    with pytest.raises(StudioFull):
        party.guests.invite(party.portrait, "testcard")
    assert party.guests.invite(party.other("0.png"), "testcard"), "who waits already is not refused"


async def test_one_that_was_used_longest_ago_makes_room(party: Party) -> None:
    ids = []
    for name in ("a.png", "b.png"):
        ids.append(party.guests.invite(party.other(name), "testcard"))
        await party.guests.ready(ids[-1], 5)
    party.guests.get(ids[0])
    ids.append(party.guests.invite(party.other("c.png"), "testcard"))
    await party.guests.ready(ids[-1], 5)
    assert party.guests.get(ids[0]) and party.guests.get(ids[2])
    with pytest.raises(AvatarNotFound):
        party.guests.get(ids[1])
    assert party.shelves == {ids[0], ids[2]}


class Picky(TestcardEngine):
    """Likes no picture."""

    def fingerprint(self, spec: AvatarSpec) -> str:
        raise BadPortrait("There is no face in this picture.")


async def test_portrait_that_cannot_become_an_avatar_says_why_once_and_for_all(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cast(dict[str, str], ENGINES), "picky", f"{__name__}:Picky")
    wrong = party.guests.invite(party.portrait, "picky")
    with pytest.raises(BadPortrait):
        await party.guests.ready(wrong, 5)
    assert "no face" in party.guests.guest(wrong).reason and not party.guests.guest(wrong).is_ready
    with pytest.raises(AvatarNotReady, match="no face"):
        party.guests.get(wrong)
    first = party.guests.guest(wrong).task
    assert party.guests.invite(party.portrait, "picky") == wrong
    assert party.guests.guest(wrong).task is first


async def test_failure_that_was_not_the_pictures_may_try_again(party: Party) -> None:
    guest = party.guests.invite(party.portrait, "testcard")
    await party.guests.ready(guest, 5)
    broken: Future[LoadedAvatar[Scheduler]] = Future()
    broken.set_exception(OSError("disk"))
    party.guests.guest(guest).task = broken
    with pytest.raises(AvatarNotReady):
        await party.guests.ready(guest, 5)
    assert party.guests.invite(party.portrait, "testcard") == guest
    await party.guests.ready(guest, 5)


async def test_preparations_of_former_processes_are_removed_when_old(party: Party) -> None:
    old, young = (party.cache / "avatars" / f"{PREFIX}{name}" for name in ("old", "young"))
    for folder in (old, young):
        folder.mkdir()
    os.utime(old, (1, 1))
    party.guests.sweep()
    assert party.shelves == {young.name}
