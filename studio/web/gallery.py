"""What the studio shows: avatars, thumbnails, sessions, and the servers that help browsers to find it."""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import hmac
import time

from aiohttp import web

from studio.errors import AvatarNotReady
from studio.library import Library, Shelf
from studio.messages import AvatarCard
from studio.scheduler import Scheduler
from studio.spec import IceSpec
from studio.visitors import Visit
from studio.web.guard import is_operator
from studio.web.keys import HOST, LIBRARY, SPEC
from studio.web.pages import asset, respond


def avatar_cards(library: Library[Scheduler]) -> tuple[AvatarCard, ...]:
    """Return the gallery, in the order of the configuration."""
    return tuple(avatar_card(shelf) for shelf in library.shelves.values())


def avatar_card(shelf: Shelf[Scheduler]) -> AvatarCard:
    """Return one entry of the gallery."""
    spec = shelf.spec
    return AvatarCard(
        id=spec.id,
        name=spec.name or spec.id,
        video_path=spec.configured_source,
        engine=shelf.engine_name,
        thumbnail=_link(spec.id, "thumbnail", shelf.thumbnail),
        still=_link(spec.id, "still", shelf.still),
        loop=_link(spec.id, "loop", shelf.loop),
        ready=shelf.loaded is not None,
        reason=shelf.reason,
        added=shelf.is_added,
    )


def _link(avatar_id: str, what: str, body: bytes) -> str:
    """Return where a picture is: relative to the page, so that it survives a reverse proxy; cacheable for ever."""
    return f"api/avatars/{avatar_id}/{what}?v={_tag(body)}" if body else ""


@functools.lru_cache(256)
def _tag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:12]


def ice_servers(ice: IceSpec, now: float) -> list[dict[str, object]]:
    """Return ``RTCConfiguration.iceServers`` for a page, with a password that expires.

    Args:
        ice: The configuration.
        now: Seconds since 1970.

    Source: coturn's ``use-auth-secret`` (draft-uberti-behave-turn-rest-00): the user is the second of expiry and a
    name, the password base64(HMAC-SHA1(secret, user)).
    """
    servers: list[dict[str, object]] = []
    if ice.stun:
        servers.append({"urls": list(ice.stun)})
    if ice.turn:
        user = f"{int(now + ice.turn_ttl)}:studio"
        digest = hmac.new(ice.turn_secret.encode(), user.encode(), hashlib.sha1).digest()
        password = base64.b64encode(digest).decode()
        servers.append({"urls": list(ice.turn), "username": user, "credential": password})
    return servers


async def list_avatars(request: web.Request) -> web.Response:
    """Answer ``GET /api/avatars``: the gallery, and whether who asks may add to it."""
    cards = avatar_cards(request.app[LIBRARY])
    return web.json_response({"avatars": [dataclasses.asdict(card) for card in cards], "may_add": may_add(request)})


def may_add(request: web.Request) -> bool:
    """Tell whether who asks may add avatars, and remove what was added."""
    spec = request.app[SPEC]
    return spec.limits.added_avatars > 0 and (spec.server.visitors_add_avatars or is_operator(request))


async def show_picture(request: web.Request) -> web.Response:
    """Answer ``GET /api/avatars/{id}/{thumbnail,still,loop}``."""
    shelf = request.app[LIBRARY].shelf(request.match_info["id"])
    what = request.match_info["picture"]
    body = {"thumbnail": shelf.thumbnail, "still": shelf.still, "loop": shelf.loop}[what]
    if not body:
        raise AvatarNotReady(shelf.reason)
    cache = "public, max-age=31536000, immutable" if "v" in request.query else "no-cache"
    return respond(request, asset(body, "image/webp" if what == "loop" else "image/jpeg"), cache)


async def list_sessions(request: web.Request) -> web.Response:
    """Answer ``GET /api/sessions``: how many seats there are, how many are taken, and the visits that go on.

    Who knows a visit's id may speak in it: ids are told to the operator only.
    """
    host, tells_ids = request.app[HOST], is_operator(request)
    rows = [({"id": id} if tells_ids else {}) | _row(visit) for id, visit in host.sessions().items()]
    return web.json_response(dataclasses.asdict(host.capacity()) | {"sessions": rows})


def _row(visit: Visit) -> dict[str, object]:
    return dataclasses.asdict(visit) | {"seconds": round(visit.seconds, 1)}


async def list_ice_servers(request: web.Request) -> web.Response:
    """Answer ``GET /api/ice-servers``."""
    return web.json_response({"iceServers": ice_servers(request.app[SPEC].ice, time.time())})


def add_gallery(app: web.Application) -> None:
    """Add the routes."""
    base = app[SPEC].server.base
    app.router.add_get(base + "/api/avatars", list_avatars)
    app.router.add_get(base + "/api/avatars/{id}/{picture:thumbnail|still|loop}", show_picture)
    app.router.add_get(base + "/api/sessions", list_sessions)
    app.router.add_get(base + "/api/ice-servers", list_ice_servers)
