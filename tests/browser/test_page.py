"""The page alone, in real Chromium against a studio of cardboard: what it shows and says in each state."""

from __future__ import annotations

import asyncio

import pytest

from tests.browser.chromium import Chromium
from tests.browser.page import SEEN, STATE, Page
from tests.browser.stub import CAPACITY, ENGINE_FAILED, REASON, Stub

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]


async def test_page_loaded_shows_everybody_and_says_what_to_do(page: Page) -> None:
    assert await page.tab.evaluate(STATE) == "idle"
    names = "[...document.querySelectorAll('#cards b')].map((b) => b.textContent)"
    assert await page.tab.evaluate(names) == ["Mira", "Omar", "Robot", "Astronaut"]
    assert await page.tab.evaluate("document.querySelector('#cards input:checked').value") == "mira"
    assert await page.text("#sentence") == "Press Start and speak: Mira says it with you."
    assert await page.shown("start", "stop", "again", "drawer") == ["start"]
    await page.tab.wait_for("[...document.images].every((image) => image.complete && image.naturalWidth)")


@pytest.mark.parametrize(("width", "shape"), [(900, 0.94), (947, 1.0), (1260, 1.41)])
async def test_page_stage_of_any_shape_shows_the_picture_before_its_backdrop(
    page: Page, width: int, shape: float
) -> None:
    await page.tab.viewport(width, 860)
    stage = "const {left, top, width, height} = document.querySelector('#stage').getBoundingClientRect()"
    assert await page.tab.evaluate(f"{{ {stage}; width / height }}") == pytest.approx(shape, abs=0.02)
    seen = f"{{ {stage}; document.elementFromPoint(left + width / 2, top + height / 3).id }}"
    assert await page.tab.evaluate(seen) == "video"


async def test_page_started_connects_lives_speaks_and_stops(page: Page) -> None:
    page.stub.is_silent = True
    await page.tab.click("#start")
    await page.until("connecting")
    assert await page.text("#condition") == "Connecting"
    assert await page.shown("start", "stop") == ["stop"]
    await page.tab.click("#stop")
    await page.until("idle")
    page.stub.is_silent = False
    await page.start()
    await page.tab.wait_for("document.querySelector('#condition').textContent === 'Listening'")
    assert await page.text("#heard") == "Mira is live."
    await page.stub.push({"type": "state", "connection": "live", "speaking": True, "avatar_id": "mira"})
    await page.tab.wait_for("document.documentElement.hasAttribute('data-speaking')")
    assert await page.text("#condition") == "Speaking"
    await page.tab.click("#interrupt")
    await page.tab.click("#stop")
    await page.until("idle")
    assert page.stub.count("interrupt") == 1
    assert not await page.tab.evaluate("document.documentElement.hasAttribute('data-speaking')")
    assert await page.tab.evaluate("document.documentElement.dataset.microphone") == "off"


async def test_page_muted_says_so_and_keeps_the_visit(page: Page) -> None:
    await page.start()
    await page.tab.wait_for("document.documentElement.dataset.microphone === 'on'")
    await page.tab.wait_for("document.querySelector('#level').ariaValueNow > 0")
    await page.tab.click("#mute")
    await page.tab.wait_for("document.querySelector('#condition').textContent === 'You are muted'")
    assert await page.tab.evaluate("document.querySelector('#mute').ariaLabel") == "Unmute microphone"
    await page.tab.click("#sound")
    assert await page.tab.evaluate("document.querySelector('video').muted")
    assert await page.tab.evaluate("document.querySelector('#sound').ariaLabel") == "Unmute sound"
    assert await page.tab.evaluate(STATE) == "live"


async def test_page_refused_microphone_shows_the_face_and_takes_a_change_of_mind(page: Page) -> None:
    await page.tab.permit(setting="denied")
    await page.start()
    await page.says("the microphone is blocked")
    await page.tab.permit(setting="granted")
    await page.tab.click("#mute")
    await page.tab.wait_for("document.documentElement.dataset.microphone === 'on'")
    assert await page.text("#sentence") == ""
    assert page.stub.count("offer") == 1


async def test_page_studio_gone_says_so_and_goes_on_when_it_is_back(page: Page) -> None:
    await page.start()
    await page.stub.vanish()
    await page.until("failed")
    assert await page.text("#sentence") == "The connection to the studio broke. Reconnecting."
    assert await page.text("#condition") == "Reconnecting"
    assert await page.shown("start", "stop") == ["stop"]
    await page.stub.appear()
    await page.tab.wait_for(SEEN, 15)
    assert await page.text("#sentence") == ""


async def test_page_studio_gone_can_be_given_up(page: Page) -> None:
    await page.start()
    await page.stub.vanish()
    await page.until("failed")
    await page.tab.click("#stop")
    await page.until("idle")
    await page.stub.appear()
    await page.says("Press Start")
    await page.start()


async def test_page_full_studio_says_so_and_lets_one_try_again(page: Page) -> None:
    page.stub.refusal = CAPACITY
    await page.tab.click("#start")
    await page.until("failed")
    assert await page.text("#sentence") == CAPACITY["message"]
    assert await page.tab.evaluate("document.querySelector('#sentence').closest('[role=status]').id") == "status"
    page.stub.refusal = None
    await page.tab.click("#again")
    await page.tab.wait_for(SEEN)
    assert await page.shown("again") == []


async def test_page_visit_that_the_studio_ends_is_begun_again(page: Page) -> None:
    await page.start()
    await page.stub.push({"type": "state", "connection": "closed", "speaking": False, "avatar_id": "mira"})
    await page.until("failed")
    assert await page.text("#condition") == "Reconnecting"
    await page.tab.wait_for(SEEN)
    assert page.stub.count("offer") == 2


async def test_page_broken_engine_says_so_and_lets_one_start_again(page: Page) -> None:
    await page.start()
    await page.stub.push({"type": "error", **ENGINE_FAILED})
    await page.until("failed")
    assert await page.text("#sentence") == ENGINE_FAILED["message"]
    assert await page.shown("start", "stop", "again") == ["start", "again"]
    assert await page.tab.evaluate("document.documentElement.dataset.microphone") == "off"


async def test_page_without_microphone_asks_for_none(page: Page) -> None:
    await page.tab.evaluate("document.querySelector('#microphone').value = 'none'")
    await page.start()
    assert await page.tab.evaluate("document.documentElement.dataset.microphone") == "off"
    assert await page.text("#sentence") == ""
    assert await page.text("#condition") == "Live"


async def test_page_computes_rates_from_totals(page: Page) -> None:
    before = {"time": 1000, "frames": 10, "video": 0, "audio": 0, "received": 100, "lost": 0, "jitter": 2, "rtt": 9}
    after = {**before, "time": 3000, "frames": 60, "video": 250_000, "audio": 8_000, "received": 190, "lost": 10}
    module = "import('/static/stats.js').then((stats) => stats.{})"
    rates = await page.tab.evaluate(module.format(f"derive({before}, {after})"))
    assert rates == {
        "fps": 25, "video_kbps": 1000, "audio_kbps": 32, "rtt_ms": 9, "jitter_ms": 2, "loss_percent": 10,
    }  # fmt: skip
    assert await page.tab.evaluate(module.format(f"derive({after}, {after})")) == {}
    points = await page.tab.evaluate(module.format("sparkline([0, 10], 118, 28)"))
    assert [tuple(map(float, point.split(","))) for point in points.split()] == [(116, 27), (118, 4.4)]


async def test_page_other_avatar_comes_without_a_new_offer_and_moves_in_the_gallery(page: Page) -> None:
    await page.start()
    await page.tab.click("input[value=omar]")
    await page.tab.wait_for("document.querySelector('#name').textContent === 'Omar'")
    await page.tab.wait_for("Boolean(document.querySelector('.card:has(:checked) canvas'))")
    assert [m["avatar_id"] for m in page.stub.heard if m["type"] == "select_avatar"] == ["omar"]
    assert page.stub.count("offer") == 1
    assert await page.tab.evaluate("document.querySelectorAll('canvas').length") == 1


async def test_page_avatar_that_is_refused_gives_the_stage_back(page: Page) -> None:
    page.stub.broken = {"omar"}
    await page.start()
    await page.tab.click("input[value=omar]")
    await page.says("not ready")
    assert await page.text("#name") == "Mira"
    assert await page.tab.evaluate("document.querySelector('#cards input:checked').value") == "mira"
    assert await page.tab.evaluate(STATE) == "live"


async def test_page_avatars_that_cannot_run_say_why(page: Page) -> None:
    page.stub.not_ready = {"mira", "robot"}
    await page.reload()
    assert await page.tab.evaluate("document.querySelector('#cards input:checked').value") == "omar"
    assert await page.tab.evaluate("document.querySelector('input[value=robot]').disabled")
    assert REASON in await page.text(".card:has([value=robot])")
    page.stub.is_empty = True
    await page.reload()
    assert await page.tab.evaluate("document.querySelector('#start').disabled")
    assert "configs/avatars.yaml" in await page.text("#sentence")


async def test_page_closed_leaves_at_once(browser: Chromium) -> None:
    async with Stub().serve() as stub:
        page = Page(stub, await browser.open())
        await page.tab.permit()
        await page.reload()
        await page.start()
        await page.tab.close()
        async with asyncio.timeout(1.0):
            await stub.left.wait()
