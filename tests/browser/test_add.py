"""A visitor adds a face in the page: it is sent, prepared by a real studio, shown to all, and taken away."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio.errors import BadPortrait
from studio.spec import AvatarSpec, ServerSpec, StudioSpec
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.page import STATE
from tests.browser.tab import Tab
from tests.browser.test_demo import ASTRONAUT, choose, text
from tests.conftest import need
from tests.inside import CARDS, Inside, inside
from tests.integration.test_avatars import Gate, gate, plain_cards

pytestmark = pytest.mark.browser
__all__ = ["gate", "plain_cards"]

REFUSED = "status of 415"
"""Chromium itself reports what a studio refuses; no page can keep it from doing so."""
IDS = "[...document.querySelectorAll('#cards input')].map((radio) => radio.value)"


@pytest.fixture
async def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    if find_chromium() is None:
        need("chromium", "chromium")
    monkeypatch.setattr("studio.library.BEST_FIRST", ("testcard",))
    async with inside(StudioSpec(CARDS, cache=tmp_path / "cache")) as one:
        yield one


@pytest.fixture
async def tabs(studio: Inside) -> AsyncIterator[tuple[Tab, Tab]]:
    """Two visitors' pages."""
    async with Chromium.launch() as browser:
        both = await browser.open(studio.url("/")), await browser.open(studio.url("/"))
        for tab in both:
            await tab.wait_for(f"{IDS}.length === 2")
            await tab.wait_for("document.querySelector('#add').checkVisibility()")
        yield both
        for tab in both:
            assert [error for error in tab.errors if REFUSED not in error] == []
            assert {url.split("/")[2] for url in tab.requests if url.startswith("http")} == {f"127.0.0.1:{studio.port}"}


async def test_face_is_added_shown_to_everybody_and_removed(gate: Gate, tabs: tuple[Tab, Tab], tmp_path: Path) -> None:
    mine, other = tabs
    picture = tmp_path / "My_Aunt  Ada.png"
    picture.write_bytes(ASTRONAUT.read_bytes())
    await mine.evaluate("document.querySelector('#cards input:checked').focus()")
    await choose(mine, "#portrait", picture)
    await mine.wait_for("document.querySelector('#adding').textContent.startsWith('Preparing My Aunt Ada: ')")
    assert await mine.evaluate("document.querySelector('#add').ariaDisabled") == "true"
    for tab in tabs:
        await tab.wait_for(f"{IDS}.at(-1) === 'my-aunt-ada'")
        assert await tab.evaluate("document.querySelector('input[value=my-aunt-ada]').disabled")
    assert await mine.evaluate("document.activeElement.value") == "ada", "the keyboard stays where it was"
    gate.opens.set()
    for tab in tabs:
        await tab.wait_for("!document.querySelector('input[value=my-aunt-ada]').disabled")
    await mine.wait_for("document.querySelector('#adding').textContent === ''")
    assert await text(mine, "#cards label:last-child b") == "My Aunt Ada"
    await choose(mine, "#portrait", picture)
    await mine.wait_for(f"{IDS}.at(-1) === 'my-aunt-ada-2'")
    await other.evaluate("document.querySelector('button[value=my-aunt-ada]').click()")
    for tab in tabs:
        await tab.wait_for(f"{IDS}.join() === 'ada,bob,my-aunt-ada-2'")
    await mine.evaluate("document.querySelector('input[value=my-aunt-ada-2]').click()")
    assert await text(mine, "#name") == "My Aunt Ada"
    await mine.evaluate("document.querySelector('button[value=my-aunt-ada-2]').click()")
    await mine.wait_for("document.querySelector('#name').textContent === 'Ada'")


async def test_picture_that_will_not_do_is_told_and_leaves_no_card(
    gate: Gate, tabs: tuple[Tab, Tab], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise BadPortrait("There is no face in this picture.")

    mine, _ = tabs
    monkeypatch.setattr(gate, "prepare", refuse)
    await choose(mine, "#portrait", ASTRONAUT)
    await mine.wait_for("document.querySelector('#adding').textContent === 'There is no face in this picture.'")
    await mine.wait_for(f"{IDS}.length === 2")
    assert await mine.evaluate("document.querySelector('#add').ariaDisabled") == "false"
    (tmp_path / "a.png").write_bytes(b"GIF89a")
    await choose(mine, "#portrait", tmp_path / "a.png")
    await mine.wait_for("document.querySelector('#adding').textContent.includes('holds something else')")


MANY = tuple(AvatarSpec(f"c{n}", Path("/nowhere"), f"Card {n}", "testcard") for n in range(6))
IN_VIEW = """(() => {
  const [one, pane] = ["#adding", "#gallery"].map((name) => document.querySelector(name).getBoundingClientRect());
  return one.height > 0 && one.top >= pane.top && one.bottom <= Math.min(pane.bottom, innerHeight);
})()"""
SAYS = "document.querySelector('#adding').textContent"


async def test_what_is_said_of_a_new_face_is_in_view_below_many(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_chromium() is None:
        need("chromium", "chromium")
    monkeypatch.setattr("studio.library.BEST_FIRST", ("testcard",))
    gate.opens.set()
    async with inside(StudioSpec(MANY, cache=tmp_path / "cache")) as studio, Chromium.launch() as browser:
        tab = await browser.open(studio.url("/"))
        await tab.viewport(1280, 800)
        await tab.wait_for("document.querySelectorAll('#cards input:enabled').length === 6")
        await tab.wait_for("document.querySelector('#add').checkVisibility()")
        assert await tab.evaluate("gallery.scrollTop === 0 && gallery.scrollHeight > gallery.clientHeight + 80")
        gate.opens.clear()
        await choose(tab, "#portrait", ASTRONAUT)
        await tab.wait_for(f"{SAYS}.startsWith('Preparing') && {IDS}.length === 7", 30)
        assert await tab.evaluate(IN_VIEW)
        assert await tab.evaluate("document.querySelector('#cards input:checked').value") == "c0"
        gate.opens.set()
        await tab.wait_for("document.querySelector('#name').textContent === 'astronaut'", 30)
        assert await tab.evaluate("document.querySelector('#cards input:checked').value") == "astronaut"
        (tmp_path / "a.png").write_bytes(b"GIF89a")
        await tab.evaluate("gallery.scrollTo(0, 0)")
        await choose(tab, "#portrait", tmp_path / "a.png")
        await tab.wait_for(f"{SAYS}.includes('holds something else')", 30)
        assert await tab.evaluate(IN_VIEW)
        await tab.evaluate("document.querySelector('#cards input').click()")
        await tab.evaluate("document.querySelector('#start').click()")
        await tab.wait_for(f"{STATE} === 'live'", 60)
        await choose(tab, "#portrait", ASTRONAUT)
        await tab.wait_for("document.querySelector('input[value=astronaut-2]:enabled') !== null", 30)
        await tab.wait_for(f"{SAYS} === ''")
        assert await tab.evaluate("document.querySelector('#cards input:checked').value") == "c0", "somebody is live"
        assert [error for error in tab.errors if REFUSED not in error] == []


async def test_who_may_not_add_sees_no_way_to(studio: Inside, tmp_path: Path) -> None:
    spec = dataclasses.replace(
        StudioSpec(CARDS, ServerSpec(origins=("http://shop.example",))), cache=tmp_path / "cache"
    )
    async with inside(spec) as closed, Chromium.launch() as browser:
        tab = await browser.open(closed.url("/"))
        await tab.wait_for(f"{IDS}.length === 2")
        await asyncio.sleep(0.3)
        assert not await tab.evaluate("document.querySelector('#add').checkVisibility()")
        assert tab.errors == []
