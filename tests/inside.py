"""A studio inside the test's own process and event loop, on a real socket: tests can look at it and talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from studio.config import home
from studio.spec import AvatarSpec, LimitsSpec, StudioSpec
from studio.web.app import make_app, make_runner
from studio.web.keys import HOST

CARDS = tuple(AvatarSpec(id, Path("/nowhere"), id.title(), "testcard") for id in ("ada", "bob"))


@dataclass(frozen=True)
class Inside:
    """A running studio."""

    app: web.Application
    port: int
    client: aiohttp.ClientSession

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def socket(self, **how: Any) -> contextlib.AbstractAsyncContextManager[aiohttp.ClientWebSocketResponse]:
        """Open the signaling socket."""
        return self.client.ws_connect(self.url("/ws"), **how)

    async def is_empty(self, limit: float = 3.0) -> bool:
        """Wait until no seat is taken, or ``limit`` seconds."""
        deadline = time.monotonic() + limit
        while self.app[HOST].capacity().taken and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
        return self.app[HOST].capacity().taken == 0


def spec_of(folder: Path, avatars: tuple[AvatarSpec, ...] = CARDS, **limits: Any) -> StudioSpec:
    """Return a configuration with its cache beside ``folder``, where all tests of a run share it."""
    return dataclasses.replace(StudioSpec(avatars), cache=folder.parent / "cards", limits=LimitsSpec(**limits))


@contextlib.asynccontextmanager
async def inside(spec: StudioSpec, static: Path | None = None) -> AsyncIterator[Inside]:
    """Run a studio until the block ends."""
    runner = make_runner(make_app(spec, static or home()))
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as client:
            yield Inside(runner.app, port, client)
    finally:
        await runner.cleanup()


async def heard(socket: aiohttp.ClientWebSocketResponse, *kinds: str, limit: float = 10.0) -> dict[str, Any]:
    """Return the next message of one of ``kinds``; others, which the studio pushes, are skipped."""
    async with asyncio.timeout(limit):
        while True:
            message = await socket.receive()
            assert message.type is aiohttp.WSMsgType.TEXT, f"{message.type!r} {message.data!r}"
            body: dict[str, Any] = json.loads(message.data)
            if body["type"] in kinds:
                return body
