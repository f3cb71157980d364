"""One page of a browser: go, look, click, press, listen. Every wait has a limit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tests.browser.devtools import CALL_LIMIT, BrowserError, DevTools, Json

POLL = 0.02
"""Seconds between two looks of `Tab.wait_for`."""
POINT = """(selector) => {
  const element = document.querySelector(selector);
  if (!element) return "no such element";
  element.scrollIntoView({block: "nearest", inline: "nearest", behavior: "instant"});
  const {left, top, width, height} = element.getBoundingClientRect();
  if (!width || !height) return "not visible";
  const [x, y] = [left + width / 2, top + height / 2];
  const hit = document.elementFromPoint(x, y);
  if (!hit) return "outside the window";
  if (element.contains(hit) || hit.contains(element) || element.labels?.length) return [x, y];
  return `covered by ${hit.outerHTML.slice(0, 80)}`;
}"""
"""The middle of an element, or what is wrong with it in words."""
KEYS = {
    "Tab": 9, "Enter": 13, "Escape": 27, "Space": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
}  # fmt: skip
"""Virtual key codes of the named keys."""


class Tab:
    """One page, in a browser context of its own."""

    def __init__(self, devtools: DevTools, target: str, context: str, session: str) -> None:
        self._devtools, self._target, self._context, self._session = devtools, target, context, session
        self.errors: list[str] = []
        """What went to the console as an error, and every uncaught exception."""
        self.console: list[str] = []
        """Everything that went to the console, errors included."""
        self.requests: list[str] = []
        """URL of every request, WebSockets included."""
        self._loaded = asyncio.Event()
        devtools.listen(session, self._on_event)

    async def goto(self, url: str, limit: float = CALL_LIMIT) -> None:
        """Load ``url`` and wait for its ``load`` event."""
        self._loaded.clear()
        result = await self._call("Page.navigate", {"url": url})
        if result.get("errorText"):
            raise BrowserError(f"{url}: {result['errorText']}")
        try:
            async with asyncio.timeout(limit):
                await self._loaded.wait()
        except TimeoutError as error:
            raise BrowserError(f"{url}: not loaded within {limit} s") from error

    async def evaluate(self, expression: str, limit: float = CALL_LIMIT) -> Any:
        """Return the JSON value of ``expression``; a promise is awaited.

        Raises:
            BrowserError: It threw, or took longer than ``limit`` seconds.
        """
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = await self._call("Runtime.evaluate", params, limit)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression[:120]}: {describe_exception(answer['exceptionDetails'])}")
        return answer["result"].get("value")

    async def wait_for(self, expression: str, limit: float = 10.0) -> Any:
        """Wait until ``expression`` is truthy, looking at it every 20 ms; return its value."""
        deadline = time.monotonic() + limit
        while time.monotonic() < deadline:
            if value := await self.evaluate(expression, max(POLL, deadline - time.monotonic() + 1)):
                return value
            await asyncio.sleep(POLL)
        raise BrowserError(f"not true within {limit} s: {expression}")

    async def click(self, selector: str) -> None:
        """Click the middle of an element with a real mouse, as a person would: it must be there, visible and on top."""
        point = await self.evaluate(f"({POINT})({json.dumps(selector)})")
        if isinstance(point, str):
            raise BrowserError(f"{selector}: {point}")
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            await self._call("Input.dispatchMouseEvent", {"type": kind, "x": point[0], "y": point[1], **button})

    async def press(self, key: str, modifiers: int = 0) -> None:
        """Press one key: a `KEYS` name such as ``Tab``, or a character; modifiers: 1 alt, 2 ctrl, 4 meta, 8 shift."""
        code = KEYS.get(key, ord(key.upper()[0]))
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        body = {
            "key": " " if key == "Space" else key,
            "code": key,
            "windowsVirtualKeyCode": code,
            "modifiers": modifiers,
        }
        await self._call("Input.dispatchKeyEvent", {"type": "keyDown", **body, **({"text": text} if text else {})})
        await self._call("Input.dispatchKeyEvent", {"type": "keyUp", **body})

    async def screenshot(self, path: Path) -> Path:
        """Write a PNG of the viewport."""
        answer = await self._call("Page.captureScreenshot", {"format": "png"})
        await asyncio.to_thread(path.write_bytes, base64.b64decode(answer["data"]))
        return path

    async def viewport(self, width: int, height: int, scale: float = 1.0, is_mobile: bool = False) -> None:
        """Give the page this size in CSS pixels; ``scale`` is the device's pixel ratio."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": is_mobile}
        await self._call("Emulation.setDeviceMetricsOverride", size)

    async def prefer(self, scheme: Literal["light", "dark"], is_motion_reduced: bool = False) -> None:
        """Set what the visitor prefers: colours and motion."""
        motion = "reduce" if is_motion_reduced else "no-preference"
        features = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        wanted = [{"name": name, "value": value} for name, value in features.items()]
        await self._call("Emulation.setEmulatedMedia", {"features": wanted})

    async def permit(
        self, name: str = "microphone", setting: Literal["granted", "denied", "prompt"] = "granted"
    ) -> None:
        """Answer the browser's question for this tab, before or after the page asks.

        Counts in a browser that was launched with ``grants_microphone=False``.
        """
        permission = {"permission": {"name": name}, "setting": setting, "browserContextId": self._context}
        await self._devtools.call("Browser.setPermission", permission)

    async def call(self, method: str, params: Mapping[str, Any] | None = None) -> Json:
        """Call any DevTools method on this tab."""
        return await self._call(method, params)

    async def close(self) -> None:
        """Close it as a visitor closes a tab (``pagehide`` runs); may be called twice."""
        self._devtools.forget(self._session)
        with contextlib.suppress(BrowserError):
            await self._devtools.call("Target.closeTarget", {"targetId": self._target})
        with contextlib.suppress(BrowserError):
            await self._devtools.call("Target.disposeBrowserContext", {"browserContextId": self._context})

    async def _call(self, method: str, params: Mapping[str, Any] | None = None, limit: float = CALL_LIMIT) -> Json:
        return await self._devtools.call(method, params, self._session, limit)

    def _on_event(self, method: str, params: Json) -> None:
        match method:
            case "Page.loadEventFired":
                self._loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.webSocketCreated":
                self.requests.append(params["url"])
            case "Runtime.consoleAPICalled":
                text = " ".join(str(a.get("value", a.get("description", ""))) for a in params["args"])
                self._note(text, params["type"] in ("error", "assert"))
            case "Runtime.exceptionThrown":
                self._note(describe_exception(params["exceptionDetails"]), is_error=True)
            case "Log.entryAdded":
                entry = params["entry"]
                self._note(f"{entry['text']} {entry.get('url', '')}".strip(), entry["level"] == "error")
            case "Inspector.targetCrashed":
                self._note("the tab crashed", is_error=True)

    def _note(self, text: str, is_error: bool) -> None:
        self.console.append(text)
        if is_error:
            self.errors.append(text)


def describe_exception(details: Json) -> str:
    """Return an exception of the page in one text."""
    exception = details.get("exception", {})
    return str(exception.get("description") or exception.get("value") or details.get("text", "unknown"))
