"""``POST /webrtc/offer`` (wire contract B): a portrait speaks a recording to a peer, then both are gone.

Under ``/offer`` and ``/api/offer`` recording and portrait may be missing: then it is a conversation, as over ``/ws``.
``PATCH`` brings candidates that were not in the offer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial

from aiohttp import web

from studio.errors import BadMessage
from studio.messages import Candidate, Fault, Offer, ServerMessage, read_candidate, read_offer
from studio.source import Recording
from studio.uploads import FileNotFound
from studio.web.bodies import read_json
from studio.web.guard import in_detail
from studio.web.keys import GUESTS, HOST, SPEC
from studio.web.uploads import PREPARE_LIMIT, find_sound, invite
from studio.web.wishes import Wish, needs, read_wish

log = logging.getLogger(__name__)

OPTIONED = frozenset({"ditto"})
"""Engines that ``setup_kwargs`` are meant for; others would refuse them, though no client means any harm."""
PATHS = ("/webrtc/offer", "/offer", "/api/offer")
AT_ONCE = 1.0
"""Seconds that an answer waits for a portrait; one that takes longer to prepare is seen when it is ready."""
MAX_CANDIDATES = 64
"""In one request."""


def engine_options(app: web.Application, avatar_id: str, wish: Wish) -> Mapping[str, object]:
    """Return what of the wish the avatar's engine understands."""
    return wish.setup if app[GUESTS].engine_name(avatar_id) in OPTIONED else {}


@in_detail
async def offer(request: web.Request) -> web.Response:
    """Answer ``POST /webrtc/offer`` at once: that media flows is waited for in the background."""
    app, body = request.app, await read_json(request)
    is_conversation = not request.path.endswith("/webrtc/offer") and not body.get("audio_path")
    wish = read_wish(body, required=() if is_conversation else needs(body))
    asked = read_offer(body)
    guests = app[GUESTS]
    try:
        avatar_id = asked.avatar_id or guests.first_id
        if wish.source_path:
            avatar_id = await invite(app, wish.source_path, wish.engine)
        sound = None if is_conversation else await find_sound(app, wish.audio_path)
        if is_ready := await guests.settled(avatar_id, AT_ONCE):
            await guests.ready(avatar_id, 0)
    except FileNotFound as error:
        raise BadMessage(error.message) from error
    source = Recording.of_file(sound.path, sound.container, app[SPEC].limits.sound_seconds) if sound else None
    session_id = app[HOST].open(_note, once=True)
    try:
        whole = Offer(asked.sdp, avatar_id, engine_options(app, avatar_id, wish))
        if is_ready:
            answer = await app[HOST].offer(session_id, whole, source, wish.scale)
        else:
            ready = partial(guests.ready, avatar_id, PREPARE_LIMIT)
            answer = await app[HOST].expect(session_id, whole, ready, source, wish.scale)
    except BaseException:
        await app[HOST].close(session_id)
        raise
    reply = {"sdp": answer.sdp, "type": answer.sdp_type, "session_id": session_id, "pc_id": session_id}
    return web.json_response(reply | ({"warnings": wish.warnings} if wish.warnings else {}))


@in_detail
async def candidates(request: web.Request) -> web.Response:
    """Answer ``PATCH``: add candidates to the peer that ``pc_id`` names."""
    body = await read_json(request)
    session_id = body.get("pc_id", body.get("session_id"))
    given = body.get("candidates", [body.get("candidate")])
    if not isinstance(session_id, str) or not isinstance(given, list) or len(given) > MAX_CANDIDATES:
        raise BadMessage("Send pc_id and a list of candidates.")
    for candidate in [_read(one) for one in given or [None]]:  # none: no more will come
        request.app[HOST].candidate(session_id, candidate)
    return web.json_response({"status": "success"})


def _read(given: object) -> Candidate:
    """Read a candidate in a browser's words, or in those of Python clients."""
    if isinstance(given, dict):
        names = {"sdp_mid": "sdpMid", "sdp_mline_index": "sdpMLineIndex"}
        given = {names.get(str(key), str(key)): value for key, value in given.items()}
    return read_candidate(given)


def _note(message: ServerMessage) -> None:
    """Nobody listens here but the log."""
    if isinstance(message, Fault):
        log.info("a visit without a socket: %s", message.message)


def add_oneshot(app: web.Application) -> None:
    """Add the routes."""
    base = app[SPEC].server.base
    for path in PATHS:
        app.router.add_post(base + path, offer)
        app.router.add_patch(base + path, candidates)
