"""Watching and speaking by plain HTTP (wire contract E): ``POST /whep/{avatar_id}``, ``POST /whip/{session_id}``.

WHEP (draft-ietf-wish-whep) brings an avatar's broadcast to a viewer, WHIP (RFC 9725) a microphone into a session; both
say it in the same way: an offer is answered with 201 and a ``Location``, where candidates are sent (``PATCH``) and the
connection is ended (``DELETE``). Knows nothing of connections.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from studio.errors import StudioError, TooLarge
from studio.lines import Lines, Opened
from studio.messages import MAX_SDP_CHARACTERS
from studio.speakers import Speakers
from studio.spec import IceSpec, ServerSpec
from studio.trickle import read_fragment
from studio.viewers import Viewers
from studio.web.bodies import read_text
from studio.web.gallery import ice_servers
from studio.web.guard import caller
from studio.web.keys import GUESTS, HOST, SPEC, STATS

VIEWERS = web.AppKey("VIEWERS", Viewers)
SPEAKERS = web.AppKey("SPEAKERS", Speakers)

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_FRAGMENT_CHARACTERS = 32_768
"""Browsers' fragments have one or two thousand."""
PREFLIGHT_SECONDS = 600
"""That a browser may remember what was allowed."""

Begin = Callable[[web.Application, str, str, str], Awaitable[Opened]]
"""Answers an offer: application, what the path names, SDP, who offers (`guard.caller`)."""
Handler = Callable[[web.Request], Awaitable[web.Response]]


class WrongType(StudioError):
    """The body is not of the type that the address takes."""

    code = "unsupported_media_type"
    status = 415
    default = f"Send the offer as {SDP}, candidates as {FRAGMENT}."


async def watch(app: web.Application, avatar_id: str, sdp: str, who: str) -> Opened:
    """Answer a viewer."""
    return await app[VIEWERS].watch(avatar_id, sdp, who)


async def speak(app: web.Application, session_id: str, sdp: str, who: str) -> Opened:
    """Answer a speaker."""
    return await app[SPEAKERS].speak(session_id, sdp, who)


def on_offer(family: str, begin: Begin) -> Handler:
    """Return what answers ``POST /whep/{id}`` or ``POST /whip/{id}``."""

    async def answer(request: web.Request) -> web.Response:
        spec = request.app[SPEC]
        sdp = await _read(request, SDP, MAX_SDP_CHARACTERS)
        opened = await begin(request.app, request.match_info["id"], sdp, caller(request))
        headers = {"Location": f"{spec.server.base}/{family}/sessions/{opened.id}", "ETag": opened.tag}
        response = web.Response(status=201, text=opened.sdp, content_type=SDP, headers=headers)
        response.headers["Accept-Patch"] = FRAGMENT
        return with_links(response, spec.ice)

    return answer


def on_candidates(lines: Callable[[web.Application], Lines]) -> Handler:
    """Return what answers ``PATCH``."""

    async def answer(request: web.Request) -> web.Response:
        text = await _read(request, FRAGMENT, MAX_FRAGMENT_CHARACTERS)
        tags = request.headers.get("If-Match", "")
        lines(request.app).trickle(request.match_info["id"], tags, read_fragment(text))
        return web.Response(status=204)

    return answer


def on_goodbye(lines: Callable[[web.Application], Lines]) -> Handler:
    """Return what answers ``DELETE``."""

    async def answer(request: web.Request) -> web.Response:
        await lines(request.app).close(request.match_info["id"])
        return web.Response(status=200)

    return answer


async def tell_offers(request: web.Request) -> web.Response:
    """Answer ``OPTIONS`` where offers go: which servers help with ICE, before anybody offers; also a preflight."""
    response = web.Response(status=204, headers={"Accept-Post": SDP, "Allow": "OPTIONS, POST"})
    return with_links(response, request.app[SPEC].ice)


async def tell_candidates(request: web.Request) -> web.Response:
    """Answer ``OPTIONS`` where candidates go."""
    return web.Response(status=204, headers={"Accept-Patch": FRAGMENT, "Allow": "OPTIONS, PATCH, DELETE"})


def with_links(response: web.Response, ice: IceSpec) -> web.Response:
    """Add a ``Link`` for each ICE server, with a password that expires (RFC 9725, 4.6)."""
    for server in ice_servers(ice, time.time()):
        login = ""
        if "username" in server:
            login = (
                f'; username="{server["username"]}"; credential="{server["credential"]}"; credential-type="password"'
            )
        urls = server["urls"]
        assert isinstance(urls, list)
        for url in urls:
            response.headers.add("Link", f'<{url}>; rel="ice-server"{login}')
    return response


async def allow_origin(request: web.Request, response: web.StreamResponse) -> None:
    """Let other sites' pages, where they are configured, read answers of these routes: also those that refuse."""
    server = request.app[SPEC].server
    origin = request.headers.get("Origin")
    if not request.path.startswith((f"{server.base}/whep/", f"{server.base}/whip/")):
        return
    response.headers.add("Vary", "Origin")
    if origin is None or not _is_allowed(origin, server):
        return
    response.headers["Access-Control-Allow-Origin"] = origin
    response.headers["Access-Control-Expose-Headers"] = "Accept-Patch, Accept-Post, ETag, Link, Location, Retry-After"
    if request.method == "OPTIONS":
        response.headers["Access-Control-Allow-Methods"] = "OPTIONS, POST, PATCH, DELETE"
        response.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        response.headers["Access-Control-Max-Age"] = str(PREFLIGHT_SECONDS)


def _is_allowed(origin: str, server: ServerSpec) -> bool:
    return origin in server.origins or "*" in server.origins


async def _read(request: web.Request, kind: str, most: int) -> str:
    """Return a body of a kind.

    Raises:
        WrongType: It is of another kind.
        TooLarge: It has more than ``most`` characters.
        BadMessage: It does not come, or is no text.
    """
    if request.content_type != kind:
        raise WrongType
    text = await read_text(request)
    if len(text) > most:
        raise TooLarge(f"That is longer than {most} characters.")
    return text


async def _connections(app: web.Application) -> AsyncIterator[None]:
    app[VIEWERS] = Viewers(app[HOST], app[GUESTS], app[SPEC], app[STATS])
    app[SPEAKERS] = Speakers(app[HOST], app[SPEC], app[STATS])
    yield
    await asyncio.gather(app[VIEWERS].aclose(), app[SPEAKERS].aclose())


def add_whep(app: web.Application) -> None:
    """Add the routes; after the session host, on which they depend, and after the others' CORS: theirs is their own."""
    base = app[SPEC].server.base
    for family, begin, lines in (
        ("whep", watch, lambda app: app[VIEWERS].lines),
        ("whip", speak, lambda app: app[SPEAKERS].lines),
    ):
        place, session = f"{base}/{family}/{{id}}", f"{base}/{family}/sessions/{{id}}"
        app.router.add_post(place, on_offer(family, begin))
        app.router.add_options(place, tell_offers)
        app.router.add_patch(session, on_candidates(lines))
        app.router.add_delete(session, on_goodbye(lines))
        app.router.add_options(session, tell_candidates)
    app.on_response_prepare.append(allow_origin)
    app.cleanup_ctx.append(_connections)
