"""``GET /ws/{client_id}`` (wire contract C): a portrait speaks a recording, and its pictures come over the socket.

One stream at a time; what the client says meanwhile is heard. The stream's messages come in the contract's order
because one task sends them all. Knows nothing of pixels.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
import logging
import struct
import time
from collections.abc import Mapping
from typing import cast

from aiohttp import WSCloseCode, WSMsgType, web

from studio.errors import BadMessage, RateLimited, StudioError, UnknownType
from studio.jsontext import read_object
from studio.messages import Fault, ServerMessage, read_ping
from studio.outputs.images import Image, ImageOutput
from studio.source import Recording
from studio.web.forms import in_thread
from studio.web.guard import Allowance
from studio.web.keys import GUESTS, HOST, SPEC, STATS
from studio.web.oneshot import engine_options
from studio.web.patience import ReaderStalled, patiently
from studio.web.signaling import HARD_LIMIT, check_length, opened
from studio.web.uploads import find_avatar, find_sound
from studio.web.wishes import Wish, needs, read_wish

log = logging.getLogger(__name__)

HEADER = struct.Struct("!IdI")
"""Number of the picture, seconds since 1970, bytes that follow."""
MAX_ID = 128
"""Characters of a client's name."""


class ImageSocket:
    """One socket's conversation."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._app, self._socket = request.app, socket
        self._limits = request.app[SPEC].limits
        self._allowance = Allowance(self._limits.messages_per_second, time.monotonic())
        self._stream: asyncio.Task[None] | None = None
        self._fault: Fault | None = None
        self._session_id = ""

    async def run(self) -> None:
        """Converse until the socket closes or is read no more; cancelling leaves at once."""
        try:
            async for frame in self._socket:
                if frame.type is WSMsgType.TEXT:
                    await self._hear(cast(str, frame.data))
                elif frame.type is WSMsgType.BINARY:
                    await self._complain(BadMessage("This socket takes JSON texts, not binary messages."))
        except ReaderStalled:
            log.info("an image stream is not read any more")
        finally:
            await asyncio.shield(asyncio.create_task(self._leave()))  # even if the connection breaks meanwhile

    async def _leave(self) -> None:
        await self._end_stream()
        await self._socket.close(code=WSCloseCode.OK)

    async def _hear(self, text: str) -> None:
        try:
            if not self._allowance.take(time.monotonic()):
                raise RateLimited
            check_length(text, self._limits)
            body = read_object(text)
            match body.get("type"):
                case "start_streaming":
                    self._start(body)
                case "stop_streaming":
                    await self._stop()
                case "ping":
                    at = read_ping(body).timestamp
                    await self._say(type="pong", timestamp=time.time() if at is None else at)
                case _:
                    raise UnknownType
        except StudioError as error:
            await self._complain(error)

    def _start(self, body: Mapping[str, object]) -> None:
        if self._stream is not None and not self._stream.done():
            raise BadMessage("A stream is active already. Stop it first.")
        self._stream = asyncio.create_task(self._stream_out(read_wish(body, needs(body))))

    async def _stop(self) -> None:
        """End the session; the stream's task then says so."""
        if self._stream is None or self._stream.done():
            raise BadMessage("No stream is active.")
        if self._session_id:
            await self._app[HOST].close(self._session_id)
        else:
            await self._end_stream()
            await self._say(type="streaming_completed", timestamp=time.time())
            await self._say(type="writer_closed", total_frames=0)

    async def _end_stream(self) -> None:
        if self._stream is not None:
            self._stream.cancel()
            await asyncio.gather(self._stream, return_exceptions=True)

    async def _stream_out(self, wish: Wish) -> None:
        """Send one stream; whatever happens, its seat is given back."""
        self._fault = None
        try:
            output = await self._begin(wish)
            sent = 0
            while (image := await output.next()) is not None:
                await self._show(image, wish.binary)
                sent += 1
            if self._fault is not None:
                await self._say(type="error", message=self._fault.message, code=self._fault.code)
            await self._say(type="streaming_completed", timestamp=time.time())
            await self._say(type="writer_closed", total_frames=sent)
        except StudioError as error:
            await self._complain(error)
        except ReaderStalled:
            await self._socket.close(code=WSCloseCode.GOING_AWAY)
        finally:
            session_id, self._session_id = self._session_id, ""
            await self._app[HOST].close(session_id)

    async def _begin(self, wish: Wish) -> ImageOutput:
        """Find what is wished for, take a seat, and say that the stream begins."""
        app = self._app
        sound = await find_sound(app, wish.audio_path)
        avatar_id = wish.avatar_id or await find_avatar(app, wish.source_path, wish.engine)
        loaded = app[GUESTS].get(avatar_id)
        images = dataclasses.replace(wish.images, count=sound.beats)
        still = await in_thread(app, loaded.avatar.idle, 0)  # of a compressed film that is 9 ms
        output = ImageOutput(images, still, app[STATS])
        source = Recording.of_file(sound.path, sound.container, self._limits.sound_seconds)
        self._session_id = app[HOST].open(self._note)
        options = engine_options(app, avatar_id, wish)
        await app[HOST].play(self._session_id, avatar_id, output, source, options=options, paced=False)
        started = {"audio_path": wish.audio_path, "source_path": wish.source_path, "binary": wish.binary}
        if wish.warnings:
            started["warnings"] = wish.warnings
        await self._say(type="streaming_started", timestamp=time.time(), **started)
        about = {"audio_duration": sound.seconds, "expected_frames": sound.beats, "timestamp": time.time()}
        await self._say(type="metadata", **about)
        return output

    def _note(self, message: ServerMessage) -> None:
        if isinstance(message, Fault):
            self._fault = message

    async def _show(self, image: Image, binary: bool) -> None:
        if not binary:
            data = base64.b64encode(image.data).decode()
            about = {"frame_id": image.index, "timestamp": image.at, "mime": image.mime}
            await self._say(type="frame", **about, frame_data=data)
            return
        await patiently(self._socket.send_bytes(HEADER.pack(image.index, image.at, len(image.data)) + image.data))

    async def _complain(self, error: StudioError) -> None:
        log.debug("image stream: %s", error)
        await self._say(type="error", message=error.message, code=error.code)

    async def _say(self, **message: object) -> None:
        await patiently(self._socket.send_str(json.dumps(message)))


async def images(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /ws/{client_id}``."""
    if request.headers.get("Upgrade", "").lower() != "websocket" or len(request.match_info["client_id"]) > MAX_ID:
        raise BadMessage("This address is for WebSockets.")
    async with opened(request, request.app[SPEC].limits.message_bytes * HARD_LIMIT) as socket:
        await ImageSocket(request, socket).run()
    return socket


def add_images(app: web.Application) -> None:
    """Add the route."""
    app.router.add_get(app[SPEC].server.base + "/ws/{client_id}", images)
