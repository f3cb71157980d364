"""Files of visitors over HTTP: ``POST /upload``, how a preparation goes, and what paths in requests lead to."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from aiohttp import BodyPartReader, web

from studio.errors import AvatarNotFound, BadMessage, StudioFull
from studio.uploads import Sound, check_size
from studio.web.bodies import BROKEN, PATIENCE
from studio.web.guard import check_page, in_detail
from studio.web.keys import FILES, GUESTS, SPEC, STORE

log = logging.getLogger(__name__)

PIECE_BYTES = 1 << 18
"""Of an upload that are written at once."""
SLOWEST = 16_384
"""Bytes a second below which an upload is given up: it keeps others from theirs."""
UPLOADS = 8
"""Requests that may upload at once."""
FIELDS = {"audio": "audio_path", "source": "source_path"}
"""Field of the form -> what the answer calls its path."""
PREPARE_LIMIT = 60.0
"""Seconds that a request waits for a portrait's preparation."""

T = TypeVar("T")
BUSY = web.AppKey("BUSY", asyncio.Semaphore)


async def in_thread(app: web.Application, work: Callable[..., T], *arguments: object) -> T:
    """Run what touches files in the threads for that; cancelling stops waiting, not the work."""
    return await asyncio.get_running_loop().run_in_executor(app[FILES], work, *arguments)


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
    avatar_id = app[GUESTS].invite(await in_thread(app, app[STORE].portrait, path), engine)
    await app[GUESTS].ready(avatar_id, limit)
    return avatar_id


@in_detail
async def upload(request: web.Request) -> web.Response:
    """Answer ``POST /upload``: keep what is a recording or a portrait, begin to prepare the latter.

    With ``?engine=`` it is prepared for that one.
    """
    app = request.app
    answer = await receive(request, tuple(FIELDS))
    if source := answer.get("source_path"):
        app[GUESTS].invite(await in_thread(app, app[STORE].portrait, source), request.query.get("engine", "auto"))
    return web.json_response(answer)


async def receive(request: web.Request, fields: Sequence[str]) -> dict[str, str]:
    """Keep the files of a form and return the paths to name them by, under the names of `FIELDS`; at least one.

    Raises:
        BadMessage: It is no form, has other fields than ``fields``, or one twice, or it stopped half way.
        BadAudio: A recording is none.
        BadPortrait: A picture is none.
        TooLarge: A file is too large, or too long.
        StudioFull: Too many files are being uploaded, or were.
    """
    known = " or ".join(fields)
    if not request.content_type.startswith("multipart/"):
        raise BadMessage(f"Send a form (multipart/form-data) with a file in {known}.")
    busy = request.app[BUSY]
    if busy.locked():
        raise StudioFull("Too many files are being uploaded. Please try again shortly.")
    async with busy:
        try:
            answer = await _read_form(request, fields)
        except (ValueError, AssertionError, *BROKEN) as error:  # what aiohttp makes of forms that are none
            raise BadMessage("The form cannot be read.", detail=type(error).__name__) from error
        except TimeoutError:
            raise BadMessage("The upload has stopped. Send it again.") from None
    if not answer:
        raise BadMessage(f"Send a file in the field {known}.")
    return answer


async def _read_form(request: web.Request, fields: Sequence[str]) -> dict[str, str]:
    answer: dict[str, str] = {}
    form = await request.multipart()
    while True:
        async with asyncio.timeout(PATIENCE):
            part = await form.next()
        if part is None:
            return answer
        field = part.name if isinstance(part, BodyPartReader) else None
        if not isinstance(part, BodyPartReader) or field is None or field not in fields or FIELDS[field] in answer:
            raise BadMessage(f"The form may have the fields {' and '.join(fields)}, each once.")
        answer[FIELDS[field]] = await _keep(request.app, part, field)


async def _keep(app: web.Application, part: BodyPartReader, field: str) -> str:
    """Write a part to a draft and have it checked; whatever happens, no draft stays."""
    store, limits = app[STORE], app[SPEC].limits
    name = part.filename or ""
    limit, keep = (
        (limits.sound_bytes, store.keep_sound) if field == "audio" else (limits.picture_bytes, store.keep_portrait)
    )
    draft, loop = await in_thread(app, store.draft), asyncio.get_running_loop()
    try:
        count, began = 0, loop.time()
        while True:
            async with asyncio.timeout_at(min(loop.time(), began + count / SLOWEST) + PATIENCE):
                piece = await part.read_chunk(PIECE_BYTES)
            if not piece:
                break
            count += len(piece)
            check_size(count, limit)
            await in_thread(app, _append, draft, piece)
        return await in_thread(app, keep, draft, name)
    finally:
        app[FILES].submit(draft.unlink, True)


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)


@in_detail
async def report(request: web.Request) -> web.Response:
    """Answer ``GET /api/portraits?source_path=``: how the preparation goes, and what came of it, in words."""
    check_page(request)  # asking begins it
    app, engine = request.app, request.query.get("engine", "auto")
    path = await in_thread(app, app[STORE].portrait, request.query.get("source_path", ""))
    avatar_id = app[GUESTS].invite(path, engine)
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
    app[BUSY] = asyncio.Semaphore(UPLOADS)
    base = app[SPEC].server.base
    app.router.add_post(base + "/upload", upload)
    app.router.add_get(base + "/api/portraits", report)
