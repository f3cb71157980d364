"""Bodies of requests: texts in UTF-8, whatever a header claims; what stops half-way, or is broken, is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from studio.errors import BadMessage, TooLarge
from studio.jsontext import read_object

PATIENCE = 30.0
"""Seconds in which a body, or another piece of an upload, must come."""
BROKEN = (HttpProcessingError, web.RequestPayloadError)
"""What aiohttp raises about bodies that are not packed as their headers say, and about parts' own headers."""


async def read_json(request: web.Request) -> Mapping[str, object]:
    """Return the body, one JSON object; raises as `read_text`, and `BadJson` where it is none."""
    return read_object(await read_text(request))


async def read_text(request: web.Request) -> str:
    """Return the body, a text.

    Raises:
        BadMessage: It does not come, or is none.
        TooLarge: It is longer than any request of that kind.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            return (await request.read()).decode()
    except web.HTTPRequestEntityTooLarge as error:
        raise TooLarge from error
    except TimeoutError:
        raise BadMessage("The request has stopped half-way. Send it again.") from None
    except (UnicodeDecodeError, *BROKEN) as error:
        raise BadMessage("This cannot be read as text.", detail=type(error).__name__) from error
