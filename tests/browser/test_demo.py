"""The demo's page as a visitor has it: files are chosen, a real studio prepares, and the portrait speaks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from studio.errors import BadPortrait
from studio.spec import StudioSpec
from studio.web.keys import HOST
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.page import STATE
from tests.browser.tab import Tab
from tests.conftest import need
from tests.fakes import speech
from tests.inside import CARDS, Inside, inside
from tests.integration.test_expecting import Preparation, preparation
from tests.server import ROOT
from tests.unit.test_recording import wav

pytestmark = pytest.mark.browser
__all__ = ["preparation"]

ASTRONAUT = ROOT / "static" / "avatars" / "astronaut.png"


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    if find_chromium() is None:
        need("chromium", "chromium")
    async with inside(StudioSpec(CARDS, cache=tmp_path / "cache")) as one:
        yield one


@pytest.fixture
async def tab(studio: Inside) -> AsyncIterator[Tab]:
    async with Chromium.launch() as browser:
        tab = await browser.open(studio.url("/demo"))
        yield tab
        assert tab.errors == []
        assert {url.split("/")[2] for url in tab.requests if url.startswith("http")} == {f"127.0.0.1:{studio.port}"}


async def choose(tab: Tab, selector: str, path: Path) -> None:
    """Put a file into a field, as the browser's dialog does."""
    root = await tab.call("DOM.getDocument")
    node = await tab.call("DOM.querySelector", {"nodeId": root["root"]["nodeId"], "selector": selector})
    await tab.call("DOM.setFileInputFiles", {"nodeId": node["nodeId"], "files": [str(path)]})


async def text(tab: Tab, selector: str) -> str:
    return str(await tab.evaluate(f"document.querySelector({selector!r}).textContent"))


async def test_portrait_speaks_and_the_page_says_when_it_is_over(studio: Inside, tab: Tab, tmp_path: Path) -> None:
    assert await tab.evaluate("document.querySelector('#start').disabled")
    await choose(tab, "#audio", wav(tmp_path / "talk.wav", speech(3.0)))
    await tab.wait_for("!document.querySelector('#start').disabled", 20)
    assert await tab.evaluate("document.querySelector('#sound').checkVisibility()")
    await tab.click("#start")
    await tab.wait_for(f"{STATE} === 'live' && document.querySelector('#video').videoWidth > 0", 90)
    assert studio.app[HOST].capacity().taken == 1
    assert await tab.evaluate("document.querySelector('#video').videoWidth") == 308
    assert await studio.is_empty(limit=30)
    over = f"{STATE} === 'idle' && document.querySelector('#sentence').textContent.startsWith('That')"
    await tab.wait_for(over, 3)  # told by the studio; that nothing comes any more shows twice as late


@pytest.fixture
def testcard_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Portraits are prepared in no time, once they may be."""
    monkeypatch.setattr("studio.library.BEST_FIRST", ("testcard",))


CONDITION = "document.querySelector('#condition').textContent"
SENTENCE = "document.querySelector('#sentence').textContent"


async def test_page_is_not_live_before_the_portrait_is(
    testcard_only: None, preparation: Preparation, tab: Tab, tmp_path: Path
) -> None:
    await choose(tab, "#audio", wav(tmp_path / "talk.wav", speech(30.0)))
    await tab.wait_for("!document.querySelector('#start').disabled", 20)
    await tab.click("#start")
    await tab.wait_for(f"{SENTENCE} === 'Preparing the portrait…'", 20)
    assert await tab.evaluate(f"{STATE} === 'connecting' && {CONDITION} === 'Preparing'")
    preparation.may_end.set()
    await tab.wait_for(f"{STATE} === 'live'", 20)
    assert await tab.evaluate(f"[{SENTENCE}, {CONDITION}, video.videoWidth > 0].join()") == ",Live,true"


async def test_portrait_that_never_comes_is_explained(
    testcard_only: None, preparation: Preparation, tab: Tab, tmp_path: Path
) -> None:
    preparation.error = BadPortrait("There is no face in this picture.")
    await choose(tab, "#audio", wav(tmp_path / "talk.wav", speech(3.0)))
    await tab.wait_for("!document.querySelector('#start').disabled", 20)
    await tab.click("#start")
    await tab.wait_for(f"{CONDITION} === 'Preparing'", 20)
    preparation.may_end.set()
    await tab.wait_for(f"{STATE} === 'failed'", 20)
    assert await text(tab, "#sentence") == "There is no face in this picture."


async def test_presets_move_the_sliders_and_a_slider_makes_it_ones_own(tab: Tab) -> None:
    values = "[document.querySelector('#scale').value, document.querySelector('#steps').value]"
    assert await tab.evaluate(values) == ["0.6", "15"]
    await tab.evaluate("document.querySelector('input[value=latency]').click()")
    assert await tab.evaluate(values) == ["0.3", "10"]
    assert [await text(tab, "#scale-shown"), await text(tab, "#steps-shown")] == ["0.30", "10"]
    await tab.evaluate("document.querySelector('#scale').focus()")
    await tab.press("ArrowRight")
    assert await tab.evaluate("document.querySelector('input[value=own]').checked")
    assert await text(tab, "#scale-shown") == "0.35"


async def test_portrait_gets_a_preview_and_a_report_in_words(tab: Tab) -> None:
    await choose(tab, "#source", ASTRONAUT)
    await tab.wait_for("document.querySelector('#portrait').src.startsWith('blob:')")
    assert await tab.evaluate("video.poster === document.querySelector('#portrait').src"), "the stage waits with it"
    await tab.wait_for("document.querySelector('#source-note').textContent === 'Prepared.'", 180)
    assert await tab.evaluate("document.querySelectorAll('#findings li').length") >= 3


async def test_files_that_will_not_do_get_a_sentence(tab: Tab, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF" + bytes(100))
    await choose(tab, "#audio", tmp_path / "bad.wav")
    await tab.wait_for("document.querySelector('#audio-note').classList.contains('fault')", 20)
    assert "no sound" in await text(tab, "#audio-note")
    assert await tab.evaluate("document.querySelector('#start').disabled")
    tab.errors.clear()  # Chromium itself reports every answer that is a refusal, and sounds it cannot play


async def test_stop_frees_the_seat(studio: Inside, tab: Tab, tmp_path: Path) -> None:
    await choose(tab, "#audio", wav(tmp_path / "talk.wav", speech(30.0)))
    await tab.wait_for("!document.querySelector('#start').disabled", 20)
    await tab.click("#start")
    await tab.wait_for(f"{STATE} === 'live'", 90)
    await tab.click("#stop")
    await tab.wait_for(f"{STATE} === 'idle'")
    async with asyncio.timeout(10):
        assert await studio.is_empty(limit=10)
