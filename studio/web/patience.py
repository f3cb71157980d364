"""How long a socket's other side may take to read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

PATIENCE = 10.0
"""Seconds in which a reader must take a message."""


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
