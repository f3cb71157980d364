"""Avatars that are added while the studio runs, over HTTP: kept, prepared, watched, removed, found again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest

from studio.engine import Finding, Progress
from studio.engines.testcard import TestcardEngine
from studio.errors import BadPortrait
from studio.spec import AvatarSpec, ServerSpec, StudioSpec
from studio.web import avatars
from studio.web.keys import ADDITIONS, HOST, LIBRARY
from tests.inside import Inside, heard, inside, spec_of
from tests.unit.test_footage import write_video

TOKEN = "a-token-of-some-length"


def picture(side: int = 96) -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (side, side, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


def form(**fields: str | bytes) -> aiohttp.FormData:
    """Return what ``POST /api/avatars`` wants; bytes are files."""
    data = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            data.add_field(name, value, filename="me.mp4" if name == "video" else "me.png")
        else:
            data.add_field(name, value)
    return data


def me(**more: str | bytes) -> aiohttp.FormData:
    return form(**{"id": "me", "name": "Me", "engine": "testcard", "image": picture(), **more})


@dataclasses.dataclass
class Desk:
    """A studio and its cache."""

    studio: Inside
    cache: Path

    async def add(self, data: aiohttp.FormData, **how: Any) -> tuple[int, dict[str, Any]]:
        return await self.ask("POST", "/api/avatars", data=data, **how)

    async def ask(self, method: str, path: str, **how: Any) -> tuple[int, dict[str, Any]]:
        async with self.studio.client.request(method, self.studio.url(path), **how) as answer:
            body = await answer.read()
            return answer.status, json.loads(body) if body else {}

    async def events(self, avatar_id: str = "me", limit: float = 10.0) -> list[tuple[str, dict[str, Any]]]:
        """Listen until the studio ends it."""
        async with asyncio.timeout(limit):
            async with self.studio.client.get(self.studio.url(f"/api/avatars/{avatar_id}/events")) as answer:
                assert answer.status == 200 and answer.content_type == "text/event-stream"
                text = (await answer.read()).decode()
        blocks = [block.split("\n") for block in text.split("\n\n") if block.startswith("event: ")]
        return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]

    @property
    def left(self) -> set[str]:
        """What is kept of added avatars, and of uploads."""
        kept = {path.name for path in (self.cache / "added").glob("*")}
        prepared = {path.name for path in (self.cache / "avatars").glob("*")} - {"ada", "bob"}
        return kept | prepared | {path.name for path in (self.cache / "uploads").glob("*")}


def configuration(folder: Path, **limits: Any) -> StudioSpec:
    return dataclasses.replace(spec_of(folder, **limits), cache=folder / "cache")


@contextlib.asynccontextmanager
async def opened(spec: StudioSpec) -> AsyncIterator[Desk]:
    async with inside(spec) as studio:
        yield Desk(studio, spec.cache)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with opened(configuration(tmp_path, added_avatars=3)) as it:
        yield it


@pytest.fixture(autouse=True)
def plain_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing moves in the gallery: drawing that would take most of the time."""
    monkeypatch.setattr("studio.library._loop", lambda *_: b"")


class Gate:
    """Preparations wait within it, and say how far they are."""

    def __init__(self) -> None:
        self.opens, self.entered = threading.Event(), threading.Event()
        self.prepared: list[str] = []

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        if spec.id in ("ada", "bob"):
            return ()
        self.prepared.append(spec.id)
        report(0.25, "looking for a face")
        self.entered.set()
        while not self.opens.wait(0.01):
            report(0.5, "waiting")
        if spec.id == "bad":
            raise BadPortrait("There is no face in it.")
        return (Finding("size", False, "The face is small."),)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    it = Gate()
    monkeypatch.setattr(TestcardEngine, "prepare", lambda _, *how: it.prepare(*how))
    yield it
    it.opens.set()


async def test_avatar_is_added_prepared_watched_and_played(desk: Desk, gate: Gate) -> None:
    async with desk.studio.client.post(desk.studio.url("/api/avatars"), data=me()) as answer:
        assert (answer.status, answer.headers["Location"]) == (202, "/api/avatars/me")
        state = await answer.json()
    assert (state["id"], state["name"], state["ready"], state["added"]) == ("me", "Me", False, True)
    assert state["state"] in ("queued", "preparing") and state["video_path"] == "source.png"
    watching = asyncio.create_task(desk.events())
    await asyncio.to_thread(gate.entered.wait, 5)
    status, state = await desk.ask("GET", "/api/avatars/me")
    assert (status, state["state"]) == (200, "preparing") and 0.2 < state["progress"] < 1
    gate.opens.set()
    kinds, states = zip(*await watching, strict=True)
    assert set(kinds) == {"state"} and states[-1]["state"] == "ready" and states[-1]["progress"] == 1.0
    assert [one["progress"] for one in states] == sorted(one["progress"] for one in states)
    assert states[-1]["findings"] == [{"subject": "size", "good": False, "text": "The face is small."}]
    assert states[-1]["ready"] and states[-1]["thumbnail"]
    assert gate.prepared == ["me"] and desk.left == {"me"}
    status, gallery = await desk.ask("GET", "/api/avatars")
    assert [card["id"] for card in gallery["avatars"]] == ["ada", "bob", "me"] and gallery["may_add"] is True
    assert desk.studio.app[HOST]._library.get("me").spec.name == "Me"


async def test_avatar_is_found_again_after_a_restart_and_not_prepared_again(tmp_path: Path, gate: Gate) -> None:
    spec = configuration(tmp_path)
    gate.opens.set()
    async with opened(spec) as desk:
        assert (await desk.add(me()))[0] == 202
        await desk.events()
    async with opened(spec) as desk:
        assert (await desk.events())[-1][1]["state"] == "ready"
        assert (await desk.ask("GET", "/api/avatars/me"))[1]["name"] == "Me"
        assert gate.prepared == ["me"]


async def test_preparation_that_a_closing_studio_gives_up_goes_on_at_the_next_start(tmp_path: Path, gate: Gate) -> None:
    spec = configuration(tmp_path)
    async with opened(spec) as desk:
        await desk.add(me())
        await asyncio.to_thread(gate.entered.wait, 5)
    gate.opens.set()
    async with opened(spec) as desk:
        assert (await desk.events())[-1][1]["state"] == "ready" and gate.prepared == ["me", "me"]


async def test_taken_id_is_refused_and_nothing_is_prepared_twice(desk: Desk, gate: Gate) -> None:
    assert (await desk.add(me()))[0] == 202
    for taken in ("me", "ada"):
        status, body = await desk.add(me(id=taken))
        assert (status, body["error"]["code"]) == (409, "avatar_taken")
    gate.opens.set()
    await desk.events()
    assert gate.prepared == ["me"] and desk.left == {"me"}


async def test_removal_while_it_is_prepared_leaves_nothing(desk: Desk, gate: Gate) -> None:
    await desk.add(me())
    await desk.add(me(id="next"))
    watching = asyncio.create_task(desk.events())
    await asyncio.to_thread(gate.entered.wait, 5)
    for id in ("next", "me"):
        assert (await desk.ask("DELETE", f"/api/avatars/{id}"))[0] == 204
    assert (await watching)[-1][0] == "removed"
    await asyncio.to_thread(desk.studio.app[ADDITIONS]._worker.submit(int).result, 5)
    assert desk.left == set() and gate.prepared == ["me"]
    assert (await desk.ask("GET", "/api/avatars/me"))[0] == 404
    assert (await desk.ask("DELETE", "/api/avatars/me"))[0] == 404
    gate.opens.set()
    assert (await desk.add(me()))[0] == 202
    assert (await desk.events())[-1][1]["state"] == "ready"


async def test_avatar_of_the_configuration_stays(desk: Desk) -> None:
    status, body = await desk.ask("DELETE", "/api/avatars/ada")
    assert (status, body["error"]["code"]) == (409, "avatar_fixed")
    status, state = await desk.ask("GET", "/api/avatars/ada")
    assert (status, state["state"], state["added"]) == (200, "ready", False)
    assert (await desk.events("ada"))[-1][1]["state"] == "ready"


async def test_picture_that_will_not_do_says_why_until_it_is_removed(tmp_path: Path, gate: Gate) -> None:
    gate.opens.set()
    spec = configuration(tmp_path)
    async with opened(spec) as desk:
        await desk.add(me(id="bad"))
        state = (await desk.events("bad"))[-1][1]
        assert (state["state"], state["reason"], state["ready"]) == ("failed", "There is no face in it.", False)
        assert desk.left == set()
        assert (await desk.ask("DELETE", "/api/avatars/bad"))[0] == 204
        await desk.add(me(id="bad"))
        await desk.events("bad")
    async with opened(spec) as desk:
        assert (await desk.ask("GET", "/api/avatars/bad"))[0] == 404


async def test_video_is_taken_too(desk: Desk, tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mp4").read_bytes()
    assert (await desk.add(form(id="film", engine="testcard", video=film)))[0] == 202
    assert (await desk.events("film"))[-1][1]["state"] == "ready"
    assert (desk.cache / "added" / "film" / "source.mp4").read_bytes() == film


@pytest.mark.parametrize(
    ("fields", "status", "sentence"),
    [
        ({"id": "Me!"}, 400, "cannot be an id"), ({"id": "../me"}, 400, "cannot be an id"),
        ({"id": "guest-1"}, 400, "does not begin with guest-"), ({"id": ""}, 400, "Send an id"),
        ({"name": "x" * 65}, 400, "A name"), ({"name": "a\nb"}, 400, "A name"), ({"name": "\x1b[31m"}, 400, "A name"),
        ({"engine": "none"}, 400, "There is no engine"), ({"name": "x" * 2000}, 400, "too long"),
        ({"image": b"GIF89a"}, 415, "holds something else"), ({"image": b""}, 415, "empty"),
        ({"video": b"\0\0\0\x20ftypisom"}, 415, "damaged"), ({"nonsense": "1"}, 400, "may have the fields"),
    ],
)  # fmt: skip
async def test_form_that_will_not_do_is_refused_and_leaves_nothing(
    desk: Desk, fields: dict[str, str | bytes], status: int, sentence: str
) -> None:
    answered, body = await desk.add(me(**fields))
    assert answered == status and sentence in body["error"]["message"]
    assert (await desk.ask("GET", "/api/avatars/me"))[0] == 404
    assert not {name for name in desk.left if not name.endswith((".png", ".mp4"))}


async def test_two_files_or_none_are_refused(desk: Desk, tmp_path: Path) -> None:
    film = write_video(tmp_path / "a.mp4").read_bytes()
    assert (await desk.add(me(video=film)))[0] == 400
    assert (await desk.add(form(id="me")))[0] == 400


async def test_avatars_are_bounded(desk: Desk) -> None:
    for number in range(3):
        assert (await desk.add(me(id=f"a{number}")))[0] == 202
        await desk.events(f"a{number}")
    status, body = await desk.add(me())
    assert (status, body["error"]["code"]) == (503, "capacity") and "3 added avatars" in body["error"]["message"]
    await desk.ask("DELETE", "/api/avatars/a0")
    assert (await desk.add(me()))[0] == 202


async def test_too_few_wait(desk: Desk, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.additions.WAITING", 1)
    assert (await desk.add(me()))[0] == 202
    assert "wait to be prepared" in (await desk.add(me(id="b")))[1]["error"]["message"]


@pytest.mark.parametrize("open", [False, True])
async def test_who_may_add_is_the_operator_unless_everybody_may(tmp_path: Path, open: bool) -> None:
    server = ServerSpec(token=TOKEN, visitors_add_avatars=open)
    foreign = {"X-Forwarded-For": "192.0.2.1"}
    async with opened(dataclasses.replace(configuration(tmp_path), server=server)) as desk:
        for method, path in (("POST", "/api/avatars"), ("DELETE", "/api/avatars/me")):
            status, body = await desk.ask(method, path, headers=foreign, data=me() if method == "POST" else None)
            assert status == (401 if not open else 202 if method == "POST" else 204), body
        assert (await desk.ask("GET", "/api/avatars", headers=foreign))[1]["may_add"] is open
        told = foreign | {"Authorization": f"Bearer {TOKEN}"}
        assert (await desk.add(me(id="b"), headers=told))[0] == 202
        other = {"Origin": "https://evil.example"}
        assert (await desk.add(me(id="c"), headers=other))[0] == 403
        assert (await desk.ask("DELETE", "/api/avatars/b", headers=other))[0] == 403


async def test_nobody_adds_where_none_may_be(tmp_path: Path) -> None:
    async with opened(configuration(tmp_path, added_avatars=0)) as desk:
        assert (await desk.ask("GET", "/api/avatars"))[1]["may_add"] is False
        assert (await desk.add(me()))[0] == 503


async def test_pages_are_told_when_the_gallery_changes(desk: Desk) -> None:
    async with desk.studio.socket() as reader, desk.studio.socket() as silent:
        await reader.send_json({"type": "get_avatars"})
        assert len((await heard(reader, "avatars"))["avatars"]) == 2
        await desk.add(me())
        while not (cards := (await heard(reader, "avatars"))["avatars"])[-1]["ready"]:
            assert cards[-1]["id"] == "me"
        await desk.ask("DELETE", "/api/avatars/me")
        assert [card["id"] for card in (await heard(reader, "avatars"))["avatars"]] == ["ada", "bob"]
        await silent.send_json({"type": "ping", "timestamp": 1})
        assert (await silent.receive_json())["type"] == "pong", "who never asked is not told"


async def test_watchers_are_bounded(desk: Desk, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(avatars, "LISTENERS", 1)
    await desk.add(me())
    async with desk.studio.client.get(desk.studio.url("/api/avatars/me/events")) as watching:
        assert watching.status == 200
        assert (await desk.ask("GET", "/api/avatars/me/events"))[0] == 503
    assert (await desk.ask("GET", "/api/avatars/nobody/events"))[0] == 404


async def test_configured_avatar_goes_before_an_added_one_of_its_id(tmp_path: Path) -> None:
    spec = configuration(tmp_path)
    async with opened(spec) as desk:
        await desk.add(me())
        await desk.events()
    mine = AvatarSpec("me", Path("/nowhere"), "Mine", "testcard")
    async with opened(dataclasses.replace(spec, avatars=(*spec.avatars, mine))) as desk:
        assert (await desk.ask("GET", "/api/avatars/me"))[1]["name"] == "Mine"
        assert (await desk.ask("DELETE", "/api/avatars/me"))[0] == 409
    async with opened(spec) as desk:
        assert (await desk.events())[-1][1]["name"] == "Me"
        assert "me" in desk.studio.app[LIBRARY].shelves
