"""Photograph the page in each state and size, to be looked at: ``python -m tests.browser.shots OUT [--pictures FOLDER] [--only WORD]``.

Uses the cardboard studio of `stub`, so that every state holds still.
"""

from __future__ import annotations

import argparse
import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.browser.chromium import Chromium
from tests.browser.stub import Stub
from tests.browser.tab import Tab

CAPACITY = {"code": "capacity", "message": "All seats are taken. Please try again shortly.", "fatal": False, "retryable": True}
IS_LIVE = "document.documentElement.dataset.state === 'live' && document.querySelector('#video').dataset.firstFrameMs"
Act = Callable[[Stub, Tab], Awaitable[None]]


async def stay(stub: Stub, tab: Tab) -> None:
    """Leave the page as it loads."""


async def connect(stub: Stub, tab: Tab) -> None:
    """Press Start and get no answer."""
    stub.is_silent = True
    await tab.click("#start")
    await tab.wait_for("document.documentElement.dataset.state === 'connecting'")
    await asyncio.sleep(0.5)


async def live(stub: Stub, tab: Tab) -> None:
    """Press Start and listen."""
    await tab.click("#start")
    await tab.wait_for(IS_LIVE)
    await asyncio.sleep(0.5)


async def speak(stub: Stub, tab: Tab) -> None:
    """Be live and speaking."""
    await live(stub, tab)
    await stub.push({"type": "state", "connection": "live", "speaking": True, "avatar_id": "mira"})
    await asyncio.sleep(0.5)


async def measure(stub: Stub, tab: Tab) -> None:
    """Be live with the drawer open long enough for a few points of each line."""
    await speak(stub, tab)
    await tab.click("#statistics")
    for second in range(12):
        wave = math.sin(second)
        body: dict[str, Any] = {"fps": 25, "queue_depth": round(4 + 3 * wave), "beat_lateness_ms": 1.6 + wave, "engine_ms": 3 + wave / 2}
        await stub.push({"type": "stats", "dropped": 0, **body})
        await asyncio.sleep(1)


async def fail(stub: Stub, tab: Tab) -> None:
    """Be refused."""
    stub.refusal = CAPACITY
    await tab.click("#start")
    await tab.wait_for("document.documentElement.dataset.state === 'failed'")
    await asyncio.sleep(0.6)


async def lack(stub: Stub, tab: Tab) -> None:
    """Two avatars cannot run here."""
    stub.not_ready = {"robot", "astronaut"}
    await tab.goto(stub.url)


async def empty(stub: Stub, tab: Tab) -> None:
    """No avatars at all."""
    stub.is_empty = True
    await tab.goto(stub.url)


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph."""

    name: str
    act: Act
    width: int = 1440
    height: int = 900
    scheme: Literal["light", "dark"] = "light"
    grants_microphone: bool = True


SHOTS = (
    Shot("idle-light", stay),
    Shot("idle-dark", stay, scheme="dark"),
    Shot("connecting-light", connect),
    Shot("live-light", live),
    Shot("speaking-dark", speak, scheme="dark"),
    Shot("refused-microphone-light", live, grants_microphone=False),
    Shot("failed-light", fail),
    Shot("failed-dark", fail, scheme="dark"),
    Shot("drawer-light", measure),
    Shot("drawer-dark", measure, scheme="dark"),
    Shot("unready-light", lack),
    Shot("empty-light", empty),
    Shot("phone-idle-light", stay, 390, 844),
    Shot("phone-speaking-dark", speak, 390, 844, "dark"),
    Shot("phone-refused-light", live, 390, 844, grants_microphone=False),
    Shot("phone-failed-light", fail, 390, 844),
    Shot("phone-drawer-light", measure, 390, 844),
    Shot("phone-landscape-dark", speak, 844, 390, "dark"),
    Shot("small-phone-light", stay, 320, 568),
    Shot("tablet-light", speak, 820, 1180),
    Shot("tablet-landscape-dark", speak, 1180, 820, "dark"),
    Shot("wide-light", speak, 1920, 1080),
    Shot("wide-drawer-dark", measure, 1920, 1080, "dark"),
    Shot("ultra-wide-light", speak, 3440, 1440),
)


async def take(browser: Chromium, shot: Shot, out: Path, pictures: Path | None) -> list[str]:
    """Take one photograph; return the console's errors."""
    async with Stub(pictures).serve() as stub:
        tab = await browser.open(width=shot.width, height=shot.height)
        await tab.prefer(shot.scheme)
        await tab.goto(stub.url)
        await tab.wait_for("document.querySelector('#cards').childElementCount", 3.0)
        await shot.act(stub, tab)
        await asyncio.sleep(0.3)
        await tab.screenshot(out / f"{shot.name}.png")
        await tab.close()
        return tab.errors


async def main() -> None:
    """Take all photographs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for grants in (True, False):
        shots = [shot for shot in SHOTS if shot.grants_microphone is grants and options.only in shot.name]
        if not shots:
            continue
        async with Chromium.launch(grants_microphone=grants) as browser:
            for shot in shots:
                for error in await take(browser, shot, options.out, options.pictures):
                    (options.out / "errors.txt").open("a").write(f"{shot.name}: {error}\n")


if __name__ == "__main__":
    asyncio.run(main())
