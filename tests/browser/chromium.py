"""Drive a real Chromium over the DevTools protocol: launch, look, click, listen, and leave nothing behind.

Needs no npm and no WebDriver, only aiohttp. Every wait has a limit; the browser is ended by its own process id. Flags
as measured in specs/platform.md D: fake microphone, loopback peers, no traffic of the browser's own.

    async with Chromium.launch(speech=Path("speech.wav")) as browser:
        tab = await browser.open("http://127.0.0.1:8080/")
        await tab.click("#start")
        await tab.wait_for("document.documentElement.dataset.state === 'live'")
        assert not tab.errors
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp

from tests.browser.devtools import BrowserError, DevTools
from tests.browser.tab import Tab

START_LIMIT = 30.0
"""Seconds until the browser must listen."""
POLL = 0.02
MESSAGE_BYTES = 256 * 1024 * 1024
"""A screenshot is one message."""
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--password-store=basic",
    "--autoplay-policy=no-user-gesture-required",
    "--mute-audio",
    "--hide-scrollbars",
    "--use-fake-device-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome on this machine (``CHROMIUM`` in the environment wins), or None."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
    candidates = [os.environ.get("CHROMIUM", ""), *names, mac, "/Applications/Chromium.app/Contents/MacOS/Chromium"]
    return next((path for name in candidates if name and (path := shutil.which(name))), None)


class Chromium:
    """One browser with one profile folder that vanishes with it."""

    def __init__(self, devtools: DevTools, process: asyncio.subprocess.Process) -> None:
        self._devtools, self._process = devtools, process

    @property
    def pid(self) -> int:
        """Process id of the browser."""
        return self._process.pid

    @classmethod
    @contextlib.asynccontextmanager
    async def launch(
        cls, speech: Path | None = None, grants_microphone: bool = True, flags: tuple[str, ...] = ()
    ) -> AsyncIterator[Chromium]:
        """Start a headless browser and end it again.

        Args:
            speech: WAV file that the fake microphone plays once; None: beeps.
            grants_microphone: False: every request for it is refused, as if the visitor had pressed "Block".
            flags: More command line flags.

        Raises:
            BrowserError: There is no Chromium, or it did not start.
        """
        path = find_chromium()
        if path is None:
            raise BrowserError("No Chromium found. On Debian: apt install chromium")
        wanted = [*FLAGS, *flags]
        wanted.append("--use-fake-ui-for-media-stream" if grants_microphone else "--deny-permission-prompts")
        if speech:
            wanted.append(f"--use-file-for-fake-audio-capture={speech}%noloop")
        async with contextlib.AsyncExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
            profile = Path(stack.enter_context(folder))
            log = stack.enter_context((profile / "stderr.log").open("wb"))
            process = await asyncio.create_subprocess_exec(
                path, *wanted, f"--user-data-dir={profile}", "about:blank", stdout=log, stderr=log
            )
            stack.push_async_callback(end, process)
            url = await address(process, profile)
            http = await stack.enter_async_context(aiohttp.ClientSession())
            socket = await stack.enter_async_context(http.ws_connect(url, max_msg_size=MESSAGE_BYTES))
            devtools = DevTools(socket)
            reader = asyncio.create_task(devtools.run())
            stack.push_async_callback(finish, reader)
            yield cls(devtools, process)
            with contextlib.suppress(BrowserError):
                await devtools.call("Browser.close", limit=5.0)

    async def open(self, url: str = "", width: int = 1280, height: int = 800) -> Tab:
        """Open a tab that shares nothing with the others; load ``url`` if given."""
        call = self._devtools.call
        context = (await call("Target.createBrowserContext", {"disposeOnDetach": True}))["browserContextId"]
        size = {"url": "about:blank", "browserContextId": context, "width": width, "height": height}
        target = (await call("Target.createTarget", size))["targetId"]
        session = (await call("Target.attachToTarget", {"targetId": target, "flatten": True}))["sessionId"]
        tab = Tab(self._devtools, target, context, session)
        for domain in ("Page", "Runtime", "Network", "Log", "Inspector"):
            await tab.call(f"{domain}.enable")
        await tab.viewport(width, height)
        if url:
            await tab.goto(url)
        return tab


async def address(process: asyncio.subprocess.Process, profile: Path) -> str:
    """Return the DevTools WebSocket's URL as soon as the browser has written it down."""
    note = profile / "DevToolsActivePort"
    deadline = time.monotonic() + START_LIMIT
    while time.monotonic() < deadline and process.returncode is None:
        lines = note.read_text().split() if note.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        await asyncio.sleep(POLL)
    said = (profile / "stderr.log").read_text(errors="replace")[-2000:]
    raise BrowserError(f"Chromium did not start:\n{said}")


async def end(process: asyncio.subprocess.Process) -> None:
    """End the browser: wait for it, then ask, then insist."""
    for insist in (None, process.terminate, process.kill):
        if process.returncode is None:
            if insist:
                insist()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await process.wait()


async def finish(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for it."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
