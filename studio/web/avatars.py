"""Avatars that come while the studio runs (wire contract E): added, watched while they are prepared, removed.

Only the operator may add and remove, unless the configuration lets every visitor. Whoever sees the gallery may watch.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path

from aiohttp import web

from studio.additions import Addition, State
from studio.errors import AvatarNotFound, BadMessage, StudioFull
from studio.uploads import ending_of
from studio.web.bulletin import BULLETIN, PAUSE
from studio.web.forms import FileField, in_thread, read_form
from studio.web.gallery import avatar_card
from studio.web.guard import caller, check_operator
from studio.web.keys import ADDITIONS, FILES, LIBRARY, SPEC, STORE
from studio.web.patience import ReaderStalled, patiently

LISTENERS, LISTENERS_EACH = 256, 16
"""Who may watch preparations at once, in all and from one visitor."""
HEARTBEAT_SECONDS = 15.0
"""Between signs of life to who watches."""
LISTENING = web.AppKey("LISTENING", Counter[str])
"""Who watches, by who asked."""


def state_of(app: web.Application, avatar_id: str) -> dict[str, object]:
    """Return what is told of one avatar: its card, and how its preparation goes or went.

    Raises:
        AvatarNotFound: There is none of that id.
    """
    shelf, addition = app[LIBRARY].shelf(avatar_id), app[ADDITIONS].find(avatar_id)
    state = State.READY if shelf.loaded else State.FAILED
    done, phrase = float(shelf.loaded is not None), shelf.reason or "ready"
    if addition:
        state, done, phrase = addition.state, addition.done, addition.phrase
    return dataclasses.asdict(avatar_card(shelf)) | {
        "state": str(state),
        "progress": round(done, 3),
        "phrase": phrase,
        "findings": [dataclasses.asdict(finding) for finding in shelf.findings],
    }


async def add(request: web.Request) -> web.Response:
    """Answer ``POST /api/avatars`` when the picture or video was checked and kept; its preparation goes on."""
    app = request.app
    check_operator(request, is_open=app[SPEC].server.visitors_add_avatars)
    store, limits = app[STORE], app[SPEC].limits
    files = {
        "image": FileField(store.keep_portrait, limits.picture_bytes),
        "video": FileField(store.keep_film, limits.video_bytes),
    }
    form = await read_form(request, files, ("id", "name", "engine"))
    uploads = [
        await in_thread(app, find, form[field])
        for field, find in (("image", store.portrait), ("video", store.film))
        if field in form
    ]
    try:
        addition = _reserve(app, form, uploads)
    except BaseException:
        for upload in uploads:
            app[FILES].submit(upload.unlink, True)
        raise
    await asyncio.wrap_future(_keep(app, addition, uploads[0]))
    avatar_id = addition.shelf.spec.id
    place = f"{app[SPEC].server.base}/api/avatars/{avatar_id}"
    return web.json_response(state_of(app, avatar_id), status=202, headers={"Location": place})


def _reserve(app: web.Application, form: Mapping[str, str], uploads: list[Path]) -> Addition:
    if len(uploads) != 1 or not form.get("id"):
        raise BadMessage("Send an id, and one file: image or video.")
    ending = ending_of(uploads[0].name)
    return app[ADDITIONS].reserve(form["id"], form.get("name", ""), form.get("engine") or "auto", ending)


def _keep(app: web.Application, addition: Addition, upload: Path) -> Future[None]:
    """Have a source kept and its preparation begun, whether or not who sent it waits for that."""
    loop, additions = asyncio.get_running_loop(), app[ADDITIONS]

    def settle(kept: Future[None]) -> None:
        if kept.cancelled() or kept.exception():
            additions.withdraw(addition)
            app[FILES].submit(upload.unlink, True)
        else:
            additions.begin(addition)

    keeping = app[FILES].submit(additions.keep, addition, upload)
    keeping.add_done_callback(lambda kept: loop.call_soon_threadsafe(settle, kept))
    return keeping


async def show(request: web.Request) -> web.Response:
    """Answer ``GET /api/avatars/{id}``."""
    return web.json_response(state_of(request.app, request.match_info["id"]))


async def remove(request: web.Request) -> web.Response:
    """Answer ``DELETE /api/avatars/{id}``; visits that play it go on with it until they end or choose another."""
    check_operator(request, is_open=request.app[SPEC].server.visitors_add_avatars)
    request.app[ADDITIONS].remove(request.match_info["id"])
    return web.Response(status=204)


async def events(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /api/avatars/{id}/events``: Server-Sent Events until the avatar is ready, has failed or is removed.

    Raises:
        AvatarNotFound: There is none of that id.
        StudioFull: Too many watch.
    """
    app, who = request.app, caller(request)
    state_of(app, request.match_info["id"])
    listening = app[LISTENING]
    if listening.total() >= LISTENERS or (who and listening[who] >= LISTENERS_EACH):
        raise StudioFull("Too many watch at once. Please try again shortly.")
    listening[who] += 1
    headers = {"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"}  # nginx would keep them for itself
    response = web.StreamResponse(headers=headers)
    try:
        await response.prepare(request)
        await _tell(app, request.match_info["id"], response)
    except (ConnectionError, ReaderStalled):
        return response
    finally:
        listening[who] -= 1
        if not listening[who]:
            del listening[who]
    return response


async def _tell(app: web.Application, avatar_id: str, response: web.StreamResponse) -> None:
    """Send an avatar's state whenever it has changed, a few times a second at most, until nothing more will come."""
    told = ""
    while True:
        rung = app[BULLETIN].next()
        try:
            state = state_of(app, avatar_id)
        except AvatarNotFound:
            await patiently(response.write(b"event: removed\ndata: {}\n\n"))
            return
        if (text := json.dumps(state)) != told:
            told = text
            await patiently(response.write(f"event: state\ndata: {text}\n\n".encode()))
        if state["state"] in (State.READY, State.FAILED):
            return
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await rung.wait()
            await asyncio.sleep(PAUSE)
        except TimeoutError:
            await patiently(response.write(b":\n\n"))


def add_avatars(app: web.Application) -> None:
    """Add the routes; after the gallery, which lists them all."""
    base = app[SPEC].server.base
    app[LISTENING] = Counter()
    app.router.add_post(base + "/api/avatars", add)
    app.router.add_get(base + "/api/avatars/{id}", show)
    app.router.add_delete(base + "/api/avatars/{id}", remove)
    app.router.add_get(base + "/api/avatars/{id}/events", events, allow_head=False)
