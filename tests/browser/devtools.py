"""Chromium's DevTools protocol over its WebSocket: numbered calls, events to whoever listens.

Knows no browser and no page.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

Json = dict[str, Any]
Listener = Callable[[str, Json], None]

CALL_LIMIT = 30.0
"""Seconds that one call may take."""


class BrowserError(Exception):
    """Chromium or the page did not do what was asked of it; the text says what."""


class DevTools:
    """The WebSocket to the browser: numbered calls and their answers, events to whoever listens."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Json]] = {}
        self._listeners: dict[str, Listener] = {}

    async def call(
        self, method: str, params: Mapping[str, Any] | None = None, session: str = "", limit: float = CALL_LIMIT
    ) -> Json:
        """Call ``method``; return its result.

        Raises:
            BrowserError: Chromium refused, left, or took longer than ``limit`` seconds.
        """
        number = next(self._ids)
        message: Json = {"id": number, "method": method, "params": dict(params or {})}
        if session:
            message["sessionId"] = session
        answer: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            async with asyncio.timeout(limit):
                await self._socket.send_json(message)
                return await answer
        except TimeoutError as error:
            raise BrowserError(f"{method}: no answer within {limit} s") from error
        except (ConnectionError, aiohttp.ClientError) as error:
            raise BrowserError(f"{method}: the browser is gone") from error
        finally:
            del self._waiting[number]

    def listen(self, session: str, listener: Listener) -> None:
        """Give every event of ``session`` to ``listener(method, params)``."""
        self._listeners[session] = listener

    def forget(self, session: str) -> None:
        """Stop listening; right also when nobody did."""
        self._listeners.pop(session, None)

    async def run(self) -> None:
        """Read until the socket closes; then every waiting call fails."""
        async for message in self._socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._hand_out(json.loads(message.data))
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(BrowserError("the browser is gone"))

    def _hand_out(self, body: Json) -> None:
        if "id" not in body:
            listener = self._listeners.get(body.get("sessionId", ""))
            if listener:
                listener(body["method"], body.get("params", {}))
            return
        answer = self._waiting.get(body["id"])
        if answer is None or answer.done():
            return
        if "error" in body:
            answer.set_exception(BrowserError(str(body["error"].get("message", body["error"]))))
        else:
            answer.set_result(body.get("result", {}))
