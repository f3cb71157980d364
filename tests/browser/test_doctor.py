"""The connection check with a real studio and a real browser: ticks where things work, a remedy where they do not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bench.measure import CARD
from tests.browser.chromium import Chromium, find_chromium
from tests.browser.tab import Tab
from tests.conftest import need
from tests.integration.test_turn import SECRET, Turn, turn
from tests.server import Server, studio
from tests.visitor import make_speech

__all__ = ["turn"]
pytestmark = pytest.mark.browser

STEPS = ("secure", "microphone", "signaling", "path", "relay", "media")
DONE = "['good', 'bad'].includes(document.documentElement.dataset.state)"


@asynccontextmanager
async def surgery(
    tmp: Path,
    monkeypatch: pytest.MonkeyPatch,
    granted: bool = True,
    ice: dict[str, Any] | None = None,
    secret: str = SECRET,
) -> AsyncIterator[tuple[Server, Tab]]:
    """Run a studio and a browser that has the check open."""
    if find_chromium() is None:
        need("chromium", "chromium")
    need("espeak-ng", "espeak-ng")
    monkeypatch.setenv("STUDIO_ICE_TURN_SECRET", secret)
    config = {"avatars": [CARD], "cache": str(tmp / "cache"), "ice": ice or {}}
    speech = make_speech(tmp / "speech.wav", repeat=4)
    async with studio(tmp, config) as server, Chromium.launch(speech, granted) as browser:
        yield server, await browser.open(f"{server.http}/static/doctor.html")


async def examine(tab: Tab) -> dict[str, tuple[str, str]]:
    """Press the button, wait for the verdict; return mark and sentence of each step."""
    await tab.click("#run")
    await tab.wait_for(DONE, 90)
    look = "((row) => [row.dataset.state, row.querySelector('p').textContent])(document.getElementById('step-{}'))"
    return {step: tuple(await tab.evaluate(look.format(step))) for step in STEPS}


def flows(found: dict[str, tuple[str, str]]) -> bool:
    """Say whether media came; on a machine that does other things as well it may stutter, and the check says so."""
    mark, text = found["media"]
    return "pictures a second" in text and (mark == "good" or "stutters" in text)


async def taken(server: Server) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"{server.http}/api/sessions") as response:
        return int((await response.json())["taken"])


async def test_everything_that_works_is_ticked_and_the_seat_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with surgery(tmp_path, monkeypatch) as (server, tab):
        found = await examine(tab)
        marks = {step: mark for step, (mark, _) in found.items()}
        assert marks | {"media": ""} == dict.fromkeys(STEPS, "good") | {"relay": "skipped", "media": ""}, found
        assert "hears something" in found["microphone"][1] and "directly over UDP" in found["path"][1]
        assert flows(found) and "ice.turn" in found["relay"][1]
        assert ("works" if marks["media"] == "good" else "✗") in await tab.evaluate(
            "document.getElementById('verdict').textContent"
        )
        async with asyncio.timeout(5):
            while await taken(server):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.1)
        assert not tab.errors


async def test_refused_microphone_is_crossed_with_a_remedy_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with surgery(tmp_path, monkeypatch, granted=False) as (_, tab):
        found = await examine(tab)
        assert found["microphone"][0] == "bad" and "allow the microphone" in found["microphone"][1]
        assert found["path"][0] == "good" and flows(found), found
        assert "first ✗" in await tab.evaluate("document.getElementById('verdict').textContent")


async def test_studio_that_is_gone_is_told_and_the_check_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with surgery(tmp_path, monkeypatch) as (server, tab):
        server.child.kill()
        await server.child.wait()
        found = await examine(tab)
        assert found["signaling"][0] == "bad" and "Is it running?" in found["signaling"][1]
        assert (found["path"][0], found["media"][0]) == ("skipped", "skipped")


async def test_relay_that_works_is_ticked_and_carries_a_studio_that_wants_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: Turn
) -> None:
    ice = {"turn": list(turn.ice().turn), "relay_only": True}
    async with surgery(tmp_path, monkeypatch, ice=ice) as (_, tab):
        found = await examine(tab)
        assert found["relay"][0] == "good", found
        assert found["path"][0] == "good" and "through a relay" in found["path"][1], found
        assert flows(found), found


async def test_relay_with_another_secret_is_crossed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, turn: Turn
) -> None:
    ice = {"turn": list(turn.ice().turn)}
    async with surgery(tmp_path, monkeypatch, ice=ice, secret="south wind") as (_, tab):
        found = await examine(tab)
        assert found["relay"][0] == "bad" and "turn_secret" in found["relay"][1], found
        assert found["path"][0] == "good"
