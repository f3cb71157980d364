"""Forms with files of strangers (multipart/form-data): each file checked and kept, each text bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from aiohttp import BodyPartReader, web

from studio.errors import BadMessage, RateLimited, StudioFull
from studio.uploads import check_size
from studio.web.bodies import BROKEN, PATIENCE
from studio.web.guard import caller
from studio.web.keys import FILES, STORE

PIECE_BYTES = 1 << 18
"""Of an upload that are written at once."""
SLOWEST = 16_384
"""Bytes a second below which an upload is given up: it keeps others from theirs."""
UPLOADS, UPLOADS_EACH = 8, 3
"""Requests that may upload at once, and of these from one visitor."""
TEXT_BYTES = 1024
"""Of a field that is no file."""

T = TypeVar("T")
BUSY = web.AppKey("BUSY", Counter[str])
"""Requests that upload, by who sends them."""


@dataclass(frozen=True, slots=True)
class FileField:
    """A field that holds a file."""

    keep: Callable[[Path, str], str]
    """Checks a draft and its name, and returns the path to name it by: `Store.keep_sound` or one of its kind."""
    most: int
    """Bytes."""


async def in_thread(app: web.Application, work: Callable[..., T], *arguments: object) -> T:
    """Run what touches files in the threads for that; cancelling stops waiting, not the work."""
    return await asyncio.get_running_loop().run_in_executor(app[FILES], work, *arguments)


async def read_form(
    request: web.Request, files: Mapping[str, FileField], texts: tuple[str, ...] = ()
) -> dict[str, str]:
    """Return the fields of a form: of files the paths to name them by. At least one file is among them.

    Raises:
        BadMessage: It is no form, has other fields, or one twice, or it stopped half way.
        BadAudio: A recording is none.
        BadPortrait: A picture or a video is none.
        TooLarge: A file is too large, or too long.
        StudioFull: Too many files are being uploaded, or were.
        RateLimited: Too many come from there, or came.
    """
    known = " or ".join(files)
    if not request.content_type.startswith("multipart/"):
        raise BadMessage(f"Send a form (multipart/form-data) with a file in {known}.")
    busy, owner = request.app[BUSY], caller(request)
    if busy.total() >= UPLOADS:
        raise StudioFull("Too many files are being uploaded. Please try again shortly.")
    if owner and busy[owner] >= UPLOADS_EACH:
        raise RateLimited("Too many of your files are being uploaded. Send one after the other.")
    busy[owner] += 1
    try:
        fields = await _read(request, files, texts, owner)
    except (ValueError, AssertionError, *BROKEN) as error:  # what aiohttp makes of forms that are none
        raise BadMessage("The form cannot be read.", detail=type(error).__name__) from error
    except TimeoutError:
        raise BadMessage("The upload has stopped. Send it again.") from None
    finally:
        busy[owner] -= 1
        if not busy[owner]:
            del busy[owner]
    if not fields.keys() & files.keys():
        raise BadMessage(f"Send a file in the field {known}.")
    return fields


async def _read(
    request: web.Request, files: Mapping[str, FileField], texts: tuple[str, ...], owner: str
) -> dict[str, str]:
    fields: dict[str, str] = {}
    form = await request.multipart()
    while True:
        async with asyncio.timeout(PATIENCE):
            part = await form.next()
        if part is None:
            return fields
        name = part.name if isinstance(part, BodyPartReader) else None
        if not isinstance(part, BodyPartReader) or name is None or name not in (*files, *texts) or name in fields:
            raise BadMessage(f"The form may have the fields {' and '.join((*files, *texts))}, each once.")
        fields[name] = await (_keep(request.app, part, files[name], owner) if name in files else _text(part, name))


async def _text(part: BodyPartReader, name: str) -> str:
    data = b""
    while len(data) <= TEXT_BYTES:
        async with asyncio.timeout(PATIENCE):
            piece = await part.read_chunk(TEXT_BYTES)
        if not piece:
            return data.decode()
        data += piece
    raise BadMessage(f"The field {name} is too long.")


async def _keep(app: web.Application, part: BodyPartReader, field: FileField, owner: str) -> str:
    """Write a part to a draft and have it checked; whatever happens, no draft stays."""
    name = part.filename or ""
    draft, loop = await in_thread(app, app[STORE].draft, owner, field.most), asyncio.get_running_loop()
    try:
        count, began = 0, loop.time()
        while True:
            async with asyncio.timeout_at(min(loop.time(), began + count / SLOWEST) + PATIENCE):
                piece = await part.read_chunk(PIECE_BYTES)
            if not piece:
                break
            count += len(piece)
            check_size(count, field.most)
            await in_thread(app, _append, draft, piece)
        return await in_thread(app, field.keep, draft, name)
    finally:
        app[FILES].submit(draft.unlink, True)


def _append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)
