"""How long a socket's other side may take to read."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable

from aiohttp import web

PATIENCE = 10.0
"""Seconds in which a reader must take a message."""
UNSENT_BYTES = 65_536
"""That may wait in the system's buffer, which would take 4 MB, 8 s of pictures: their quality could not fall any more,
none could be let go, and nobody would notice for 8 s that they are not read."""


class ReaderStalled(Exception):
    """The other side does not read any more, or is gone."""


async def patiently(sending: Awaitable[None]) -> None:
    """Send one message.

    Raises:
        ReaderStalled: The reader has not taken it within `PATIENCE`, or is gone.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await sending
    except (TimeoutError, ConnectionError) as error:
        raise ReaderStalled from error


def hold_little(request: web.Request) -> None:
    """Let the system keep no more than `UNSENT_BYTES` of what has not left yet; what is on its way does not count."""
    if request.transport is not None and sys.platform != "win32":  # which has no such setting
        line = request.transport.get_extra_info("socket")
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
