"""A visitor adds a face in the page: it is sent, prepared by a real studio, shown to all, and taken away."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio.errors import BadPortrait
from studio.spec import ServerSpec, StudioSpec
from tests.browser.chromium import Chromium, find_chromium
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
