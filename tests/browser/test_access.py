"""The page for everybody: keyboard, names and roles, contrast, window sizes, calm, and a strict policy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.browser.page import SEEN, Page
from tests.browser.stub import CAPACITY

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
STATIC = Path(__file__).parents[2] / "static"
SIZES = ((320, 568), (390, 844), (844, 390), (820, 1180), (1280, 800), (1920, 1080))


async def test_page_works_by_keyboard_alone(page: Page) -> None:
    walk = []
    for _ in range(8):
        await page.tab.press("Tab")
        walk.append(await page.focused())
    assert walk[:6] == ["statistics", "mira", "microphone", "start", "sound", "fullscreen"], walk
    await page.tab.evaluate("document.querySelector('#cards input:checked').focus()")
    for key, chosen in (("ArrowDown", "omar"), ("ArrowRight", "robot"), ("ArrowUp", "omar")):
        await page.tab.press(key)
        assert await page.text("#name") == chosen.capitalize()
    await page.tab.evaluate("document.querySelector('#start').focus()")
    await page.tab.press("Space")
    await page.tab.wait_for(SEEN)
    assert await page.focused() == "stop"
    assert await page.tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    await page.tab.press("Enter")
    await page.until("idle")
    assert await page.focused() == "start"
    assert [m["avatar_id"] for m in page.stub.heard if m["type"] == "offer"] == ["omar"]


async def test_page_drawer_shows_numbers_and_shuts_on_escape(page: Page) -> None:
    await page.tab.evaluate("document.querySelector('#statistics').focus()")
    await page.tab.press("Enter")
    assert await page.tab.evaluate("document.querySelector('#statistics').ariaExpanded") == "true"
    assert await page.focused() == "drawer"
    await page.start()
    for _ in range(2):
        await page.stub.push(
            {"type": "stats", "fps": 25, "queue_depth": 5, "beat_lateness_ms": 1.25, "engine_ms": 3, "dropped": 0}
        )
    metric = "document.querySelector('[data-metric={}] {}')"
    await page.tab.wait_for(metric.format("queue_ms", ".value") + ".textContent === '200'")
    await page.tab.wait_for(f"Number({metric.format('fps', '.value')}.textContent) > 0")
    line = await page.tab.evaluate(metric.format("beat_lateness_ms", "polyline") + ".getAttribute('points')")
    assert len(line.split()) == 2
    await page.tab.press("Escape")
    assert await page.shown("drawer") == []
    assert await page.focused() == "statistics"


async def test_page_every_control_has_a_name_and_a_role(page: Page) -> None:
    await page.start()
    tree = (await page.tab.call("Accessibility.getFullAXTree"))["nodes"]
    nodes: list[tuple[str, str]] = [
        (node.get("role", {}).get("value", ""), str(node.get("name", {}).get("value", ""))) for node in tree
    ]
    controls = [node for node in nodes if node[0] in ("button", "radio", "combobox", "meter", "Video")]
    assert len(controls) >= 12
    assert [role for role, name in controls if not name] == []
    assert ("group", "Avatar") in nodes
    assert ("radio", "Mira") in nodes
    assert sum(role == "status" for role, _ in nodes) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_page_has_contrast(page: Page, scheme: Any) -> None:
    await page.tab.prefer(scheme, is_motion_reduced=True)
    page.stub.not_ready = {"robot"}
    await page.reload()
    await page.tab.evaluate(CONTRAST)

    async def check() -> None:
        seen = await page.tab.evaluate("faint()")
        assert seen["count"] > 8
        assert seen["faint"] == []

    await check()
    page.stub.refusal = CAPACITY
    await page.tab.click("#start")
    await page.until("failed")
    await check()
    page.stub.refusal = None
    await page.start()
    await page.tab.wait_for("document.documentElement.dataset.microphone === 'on'")
    await page.tab.click("#statistics")
    await page.tab.click("#mute")
    await page.tab.click("#sound")
    await check()


async def test_page_fits_every_window(page: Page) -> None:
    controls = "['statistics', 'mute', 'microphone', 'start', 'interrupt', 'sound', 'fullscreen']"
    boxes = f"{controls}.map((id) => [id, document.getElementById(id).getBoundingClientRect().toJSON()])"
    for width, height in SIZES:
        await page.tab.viewport(width, height)
        assert await page.tab.evaluate("document.scrollingElement.scrollWidth") <= width, (width, height)
        for id, box in await page.tab.evaluate(boxes):
            assert box["left"] >= 0 and box["right"] <= width, (id, width, box)
            assert box["width"] >= 40 and box["height"] >= 40, (id, width, box)
        await page.tab.click("input[value=astronaut]")
        await page.tab.click("#sound")


async def test_page_that_takes_faces_is_as_good(page: Page) -> None:
    page.stub.may_add = True
    await page.reload()
    await page.tab.wait_for("document.querySelector('#add').checkVisibility()")
    await page.tab.evaluate("document.querySelector('#adding').textContent = 'Preparing My Aunt: 40 %'")
    tree = (await page.tab.call("Accessibility.getFullAXTree"))["nodes"]
    names = {str(node["name"]["value"]) for node in tree if node.get("role", {}).get("value") == "button"}
    assert {"Add a face", "Remove Astronaut"} <= names and not {"Remove Mira", ""} & names
    await page.tab.evaluate(CONTRAST)
    assert (await page.tab.evaluate("faint()"))["faint"] == []
    for width, height in SIZES:
        await page.tab.viewport(width, height)
        assert await page.tab.evaluate("document.scrollingElement.scrollWidth") <= width, (width, height)
        await page.tab.evaluate("document.querySelector('#add').scrollIntoView()")
        box = await page.tab.evaluate("document.querySelector('#add').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["right"] <= width, (width, box)


async def test_page_keeps_still_for_who_wants_that(page: Page) -> None:
    await page.tab.prefer("light", is_motion_reduced=True)
    page.stub.is_silent = True
    await page.tab.click("#start")
    await page.until("connecting")
    assert await page.tab.evaluate("document.getAnimations().length") == 0


async def test_page_source_has_nothing_inline_and_nothing_foreign() -> None:
    for file in [*STATIC.glob("*.html"), *STATIC.glob("*.js"), *STATIC.glob("*.css")]:
        text = file.read_text()
        for forbidden in ("style=", "innerHTML", "alert(", "onclick", "https://", "@import"):
            assert forbidden not in text, f"{file.name}: {forbidden}"
