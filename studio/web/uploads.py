"""Files of visitors over HTTP: ``POST /upload``, how a preparation goes, and what paths in requests lead to."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence

from aiohttp import web

from studio.errors import AvatarNotFound
from studio.uploads import Sound
from studio.web.forms import BUSY, FileField, in_thread, read_form
from studio.web.guard import check_page, in_detail
from studio.web.keys import GUESTS, SPEC, STORE

FIELDS = {"audio": "audio_path", "source": "source_path"}
"""Field of the form -> what the answer calls its path."""
PREPARE_LIMIT = 60.0
"""Seconds that a request waits for a portrait's preparation."""


async def find_sound(app: web.Application, path: str) -> Sound:
    """Return the recording that a request names; see `uploads.Store.sound`."""
    return await in_thread(app, app[STORE].sound, path)


async def find_avatar(app: web.Application, path: str, engine: str = "auto", limit: float = PREPARE_LIMIT) -> str:
    """Return the id of the avatar that the portrait at ``path`` is; wait until it is prepared.

    Raises:
        BadMessage: The path's ending is no picture's, or there is no such engine.
        FileNotFound: There is no such file.
        BadPortrait: It cannot become an avatar.
        AvatarNotReady: It is not prepared within ``limit`` seconds, or cannot run here.
        StudioFull: Too many portraits wait to be prepared.
    """
    avatar_id = await invite(app, path, engine)
    await app[GUESTS].ready(avatar_id, limit)
    return avatar_id


async def invite(app: web.Application, path: str, engine: str = "auto") -> str:
    """Return the id of the avatar that the portrait at ``path`` is or becomes, without waiting for that.

    Raises:
        BadMessage: The path's ending is no picture's, or there is no such engine.
        FileNotFound: There is no such file.
        StudioFull: Too many portraits wait to be prepared.
    """
    return app[GUESTS].invite(await in_thread(app, app[STORE].portrait, path), engine)


@in_detail
async def upload(request: web.Request) -> web.Response:
    """Answer ``POST /upload``: keep what is a recording or a portrait, begin to prepare the latter.

    With ``?engine=`` it is prepared for that one.
    """
    app = request.app
    answer = await receive(request, tuple(FIELDS))
    if source := answer.get("source_path"):
        await invite(app, source, request.query.get("engine", "auto"))
    return web.json_response(answer)


async def receive(request: web.Request, names: Sequence[str]) -> dict[str, str]:
    """Keep the files of a form and return the paths to name them by, called as in `FIELDS`; raises as `read_form`.

    Args:
        request: With the form.
        names: Fields that it may have.
    """
    store, limits = request.app[STORE], request.app[SPEC].limits
    files = {
        "audio": FileField(store.keep_sound, limits.sound_bytes),
        "source": FileField(store.keep_portrait, limits.picture_bytes),
    }
    form = await read_form(request, {name: files[name] for name in names})
    return {FIELDS[name]: path for name, path in form.items()}


@in_detail
async def report(request: web.Request) -> web.Response:
    """Answer ``GET /api/portraits?source_path=``: how the preparation goes, and what came of it, in words."""
    check_page(request)  # asking begins it
    app, engine = request.app, request.query.get("engine", "auto")
    avatar_id = await invite(app, request.query.get("source_path", ""), engine)
    try:
        guest = app[GUESTS].guest(avatar_id)
    except AvatarNotFound:  # the portrait of an avatar of the gallery
        return web.json_response({"ready": True, "done": 1.0, "phrase": "ready", "reason": "", "findings": []})
    body = {
        "ready": guest.is_ready,
        "done": round(guest.done, 3),
        "phrase": guest.phrase,
        "reason": guest.reason,
        "engine": guest.spec.engine,
        "findings": [dataclasses.asdict(finding) for finding in guest.findings],
    }
    return web.json_response(body)


def add_uploads(app: web.Application) -> None:
    """Add the routes."""
    app[BUSY] = Counter()
    base = app[SPEC].server.base
    app.router.add_post(base + "/upload", upload)
    app.router.add_get(base + "/api/portraits", report)
