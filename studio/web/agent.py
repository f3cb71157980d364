"""Speech for a visit that goes on (wire contract E): ``GET /api/sessions/{id}/audio``, ``POST /api/sessions/{id}/say``.

An agent pushes what its voice says as it is made; a recording is queued whole. Who knows a session's id may speak in
it. Knows nothing of pipelines.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import cast

from aiohttp import WSCloseCode, WSMsgType, web

from studio.errors import BadMessage, RateLimited, SessionNotFound, StudioError, UnknownType
from studio.jsontext import read_object
from studio.messages import Fault
from studio.source import Recording
from studio.voice import HIGHEST_RATE, LOWEST_RATE, Flushed, Voice
from studio.web.guard import Allowance, caller
from studio.web.keys import HOST, SPEC
from studio.web.signaling import HEARTBEAT_SECONDS, SOCKETS, Outbox, admit, check_length
from studio.web.uploads import find_sound, receive

log = logging.getLogger(__name__)

MESSAGE_BYTES = 1 << 21
"""Of sound in one message: 21 s at 48 kHz. A longer one closes the socket."""
SLACK_SECONDS = 30.0
"""Of sound that are taken although it was said that the queue is full; then the socket is read no more."""


class AgentSocket:
    """One agent's conversation.

    Args:
        request: The request.
        socket: Not opened yet.
        session_id: The visit in which it speaks.

    Raises:
        SessionNotFound: There is no such visit.
        BadMessage: Nobody may speak there now.
    """

    def __init__(self, request: web.Request, socket: web.WebSocketResponse, session_id: str) -> None:
        self._socket, self._host, self._id = socket, request.app[HOST], session_id
        self._limits = request.app[SPEC].limits
        self._outbox = Outbox(socket)
        self._allowance = Allowance(self._limits.messages_per_second, time.monotonic())
        self._rate = 0
        self._voice = Voice()
        self._speaking = self._host.attach(session_id, self._voice)
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Converse until either side ends it; cancelling leaves at once."""
        sending = asyncio.create_task(self._outbox.run())
        self._tasks |= {sending, asyncio.create_task(self._read())}
        try:
            done, _ = await asyncio.wait({*self._tasks, self._speaking}, return_when=asyncio.FIRST_COMPLETED)
            for finished in done & self._tasks:
                finished.result()
            if self._speaking in done:
                self._outbox.put(Fault(SessionNotFound.code, "This session has ended.", fatal=True))
                await sending
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._socket.close(code=WSCloseCode.OK)

    def close(self) -> None:
        """Let what was pushed be spoken, and nothing more; idempotent."""
        self._voice.close()

    async def _read(self) -> None:
        async for frame in self._socket:
            try:
                if frame.type is WSMsgType.BINARY:
                    self._listen(cast(bytes, frame.data))
                elif frame.type is WSMsgType.TEXT:
                    await self._hear(cast(str, frame.data))
            except StudioError as error:
                self._outbox.put(Fault.of(error))
            await self._outbox.room()
            await self._voice.drained(self._limits.queue_seconds + SLACK_SECONDS)

    def _listen(self, sound: bytes) -> None:
        if not self._rate:
            raise BadMessage('Say {"type": "format", "sample_rate": 16000} before you send sound.')
        was_full = self._voice.seconds >= self._limits.queue_seconds
        self._voice.push(sound, self._rate)
        if self._voice.seconds >= self._limits.queue_seconds and not was_full:
            task = asyncio.create_task(self._tell_of_room())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell_of_room(self) -> None:
        """Say that the queue is full, and that half of it is free again."""
        self._say("full", queued_ms=round(self._voice.seconds * 1000))
        await self._voice.drained(self._limits.queue_seconds / 2)
        self._say("room", queued_ms=round(self._voice.seconds * 1000))

    async def _hear(self, text: str) -> None:
        if not self._allowance.take(time.monotonic()):
            raise RateLimited
        check_length(text, self._limits)
        message = read_object(text)
        match message.get("type"):
            case "format":
                self._rate = _rate(message)
            case "flush":
                self._voice.flush().add_done_callback(self._flushed)
            case "interrupt":
                await self._interrupt()
            case _:
                raise UnknownType

    async def _interrupt(self) -> None:
        """Silence the avatar; answer when the first beat without that speech has left."""
        began = time.monotonic()
        cut = await self._host.interrupt(self._id)
        stopped_in = round((time.monotonic() - began) * 1000)
        self._say("interrupted", spoken_ms=cut.spoken_ms, discarded_ms=cut.discarded_ms, stopped_in_ms=stopped_in)

    def _flushed(self, flushed: Flushed) -> None:
        self._say("flushed", interrupted=not flushed.result())

    def _say(self, kind: str, **fields: object) -> None:
        self._outbox.put(json.dumps({"type": kind, **fields}))


def _rate(message: Mapping[str, object]) -> int:
    rate = message.get("sample_rate")
    if isinstance(rate, bool) or not isinstance(rate, int) or not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise BadMessage(f"sample_rate must be a whole number from {LOWEST_RATE} to {HIGHEST_RATE}.")
    return rate


async def audio(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /api/sessions/{id}/audio``."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise BadMessage("This address is for WebSockets: send speech to it.")
    app, address, sockets = request.app, caller(request), request.app[SOCKETS]
    admit(address, sockets.values(), app[SPEC].limits)
    socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES, heartbeat=HEARTBEAT_SECONDS, compress=False)
    agent = AgentSocket(request, socket, request.match_info["id"])
    sockets[socket] = address
    try:
        await socket.prepare(request)
        log.info("session %.6s: an agent speaks", request.match_info["id"])
        await agent.run()
    finally:
        agent.close()
        del sockets[socket]
    return socket


async def say(request: web.Request) -> web.Response:
    """Answer ``POST /api/sessions/{id}/say`` when the recording was checked and waits for its turn."""
    app, session_id = request.app, request.match_info["id"]
    app[HOST].visit(session_id)  # there is one: nobody sends a recording in vain
    paths = await receive(request, ("audio",))
    sound = await find_sound(app, paths["audio_path"])
    app[HOST].say(session_id, Recording.of_file(sound.path, sound.container, app[SPEC].limits.sound_seconds))
    return web.json_response({"session_id": session_id, "seconds": round(sound.seconds, 3)}, status=202)


def add_agent(app: web.Application) -> None:
    """Add the routes; after the signaling, whose sockets these are counted with."""
    base = app[SPEC].server.base
    app.router.add_get(base + "/api/sessions/{id}/audio", audio)
    app.router.add_post(base + "/api/sessions/{id}/say", say)
