"""Photograph the page in each state and size, to be looked at.

    python -m tests.browser.shots OUT [--pictures FOLDER] [--only WORD]
    python -m tests.browser.shots --readme static/screenshot.png

The first uses the cardboard studio of `stub`, so that every state holds still; the second takes one picture of a real
studio: Mira, speaking.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from tests.browser.chromium import Chromium
from tests.browser.page import SEEN, STATE
from tests.browser.stub import CAPACITY, Stub
from tests.browser.tab import Tab
from tests.loopback import isolate
from tests.server import ROOT, studio
from tests.visitor import make_speech

Act = Callable[[Stub, Tab], Awaitable[None]]
Scheme = Literal["light", "dark"]

SETTLE = 0.5
"""Seconds until every motion of the page has ended."""
SPEAKING = "document.documentElement.hasAttribute('data-speaking')"
WARM_SECONDS = 6.0
"""Until the video has the sharpness that its bitrate allows."""
TRIES = 24


async def idle(stub: Stub, tab: Tab) -> None:
    """The page as it loads."""


async def connecting(stub: Stub, tab: Tab) -> None:
    """Start was pressed and nobody answers."""
    stub.is_silent = True
    await tab.click("#start")
    await tab.wait_for(f"{STATE} === 'connecting'")


async def live(stub: Stub, tab: Tab) -> None:
    """Start was pressed; the avatar listens."""
    await tab.click("#start")
    await tab.wait_for(SEEN)


async def speaking(stub: Stub, tab: Tab) -> None:
    """The avatar speaks."""
    await live(stub, tab)
    await stub.push({"type": "state", "connection": "live", "speaking": True, "avatar_id": "mira"})


async def muted(stub: Stub, tab: Tab) -> None:
    """Microphone and sound are off."""
    await live(stub, tab)
    await tab.wait_for("document.documentElement.dataset.microphone === 'on'")
    await tab.click("#mute")
    await tab.click("#sound")


async def refused(stub: Stub, tab: Tab) -> None:
    """The visitor said no to the microphone."""
    await tab.permit(setting="denied")
    await live(stub, tab)


async def gone(stub: Stub, tab: Tab) -> None:
    """The studio has been killed in the middle of a visit."""
    await live(stub, tab)
    await stub.vanish()
    await tab.wait_for(f"{STATE} === 'failed'")


async def back(stub: Stub, tab: Tab) -> None:
    """The studio was away and has come back."""
    await gone(stub, tab)
    await stub.appear()
    await tab.wait_for(SEEN, 15)


async def full(stub: Stub, tab: Tab) -> None:
    """All seats are taken."""
    stub.refusal = CAPACITY
    await tab.click("#start")
    await tab.wait_for(f"{STATE} === 'failed'")


async def unready(stub: Stub, tab: Tab) -> None:
    """Two avatars cannot run here."""
    stub.not_ready = {"robot", "astronaut"}
    await tab.goto(stub.url)


async def bad(stub: Stub, tab: Tab) -> None:
    """An avatar was chosen that then turned out not to run."""
    stub.broken = {"omar"}
    await live(stub, tab)
    await tab.click("input[value=omar]")
    await tab.wait_for("document.querySelector('#status').classList.contains('fault')")


async def empty(stub: Stub, tab: Tab) -> None:
    """There are no avatars at all."""
    stub.is_empty = True
    await tab.goto(stub.url)


async def drawer(stub: Stub, tab: Tab) -> None:
    """The drawer is open, and has been for long enough to draw lines."""
    await speaking(stub, tab)
    await tab.click("#statistics")
    for second in range(14):
        wave = math.sin(second)
        body: dict[str, Any] = {
            "fps": 25,
            "queue_depth": round(4 + 3 * wave),
            "beat_lateness_ms": 1.6 + wave,
            "engine_ms": 3 + wave / 2,
        }
        await stub.push({"type": "stats", "dropped": 0, **body})
        await asyncio.sleep(1)


async def fullscreen(stub: Stub, tab: Tab) -> None:
    """The stage alone."""
    await speaking(stub, tab)
    await tab.click("#fullscreen")
    await tab.wait_for("Boolean(document.fullscreenElement)")


STATES: tuple[Act, ...] = (
    idle, connecting, live, speaking, muted, refused, gone, back, full, unready, bad, empty, drawer, fullscreen,
)  # fmt: skip
SIZES = {"phone": (390, 844), "laptop": (1280, 800), "wide": (1920, 1080)}
OTHER_SIZES = {
    "small": (320, 568),
    "landscape": (844, 390),
    "tablet": (820, 1180),
    "tablet-landscape": (1180, 820),
    "ultrawide": (3440, 1440),
}
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


@dataclass(frozen=True, slots=True)
class Shot:
    """One photograph of a state."""

    name: str
    width: int
    height: int
    scheme: Scheme


def shots_of(state: str) -> Iterator[Shot]:
    """Yield every size and scheme that a state is photographed in."""
    sizes = SIZES | OTHER_SIZES if state in ("idle", "speaking", "refused") else SIZES
    for size, (width, height) in sizes.items():
        for scheme in SCHEMES:
            yield Shot(f"{state}-{size}-{scheme}", width, height, scheme)


async def photograph(browser: Chromium, act: Act, shots: list[Shot], out: Path, pictures: Path | None) -> list[str]:
    """Bring the page into a state and photograph it; return the console's errors."""
    async with Stub(pictures).serve() as stub:
        tab = await browser.open()
        await tab.permit()
        await tab.goto(stub.url)
        await tab.wait_for("document.querySelector('#cards').childElementCount", 3.0)
        await act(stub, tab)
        for shot in shots:
            await tab.viewport(shot.width, shot.height)
            await tab.prefer(shot.scheme)
            await asyncio.sleep(SETTLE)
            await tab.screenshot(out / f"{shot.name}.png")
        await tab.close()
        return tab.errors


async def photograph_all(out: Path, pictures: Path | None, only: str) -> None:
    """Take every photograph whose name holds ``only``; console errors go to ``errors.txt``."""
    async with Chromium.launch(grants_microphone=False) as browser:
        for act in STATES:
            shots = [shot for shot in shots_of(act.__name__) if only in shot.name]
            errors = await photograph(browser, act, shots, out, pictures) if shots else []
            with (out / "errors.txt").open("a") as file:
                file.writelines(f"{act.__name__}: {error}\n" for error in errors)


async def photograph_speaker(out: Path) -> None:
    """Write the README's picture: a real studio with the shipped avatars, laptop, light, the first one speaking.

    Of many photographs the one is kept whose mouth is the furthest from its rest.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = yaml.safe_load((ROOT / "configs/avatars.yaml").read_text())
        config["media"] = {"bitrate_bps": 2_500_000}  # what a good line reaches by itself after some seconds
        speech = make_speech(folder / "speech.wav", repeat=4)
        async with studio(folder, config, limit=300) as server, Chromium.launch(speech) as browser:
            tab = await browser.open(server.http)
            await tab.wait_for("document.querySelectorAll('#cards input:enabled').length")
            rest = read(await tab.screenshot(folder / "rest.png"))
            await tab.click("#start")
            await tab.wait_for(SEEN, 20)
            await asyncio.sleep(WARM_SECONDS)
            shots: list[NDArray[np.uint8]] = []
            for n in range(TRIES):
                await tab.wait_for(f"{SPEAKING} && !document.querySelector('#stage').getAnimations().length", 20)
                shot = read(await tab.screenshot(folder / f"{n}.png"))
                if await tab.evaluate(SPEAKING):
                    shots.append(shot)
    openings = [float(np.abs(mouth(shot) - mouth(rest)).mean()) for shot in shots]
    best = shots[int(np.argmax(openings))] & 0xFE  # nobody sees the last bit, and it is a quarter of the file
    cv2.imwrite(str(out), best, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def read(file: Path) -> NDArray[np.uint8]:
    """Return a photograph, (H, W, 3) uint8 BGR."""
    picture = cv2.imread(str(file))
    assert picture is not None
    return np.asarray(picture, np.uint8)


def mouth(shot: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the part of a laptop's photograph that a frontal face has its mouth in, (h, w, 3) float32."""
    height, width = shot.shape[:2]
    box = slice(round(0.58 * height), round(0.74 * height)), slice(round(0.48 * width), round(0.6 * width))
    return shot[box].astype(np.float32)


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", default=Path("shots"))
    parser.add_argument("--pictures", type=Path, help="folder of <avatar id>.png for the cardboard studio")
    parser.add_argument("--only", default="", help="part of the names wanted")
    parser.add_argument("--readme", type=Path, help="take the README's picture instead")
    options = parser.parse_args()
    isolate()
    if options.readme:
        asyncio.run(photograph_speaker(options.readme))
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        asyncio.run(photograph_all(options.out, options.pictures, options.only))


if __name__ == "__main__":
    main()
