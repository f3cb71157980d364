"""``GET /ws``: one socket, one visitor (wire contract A). Talks to sessions only through `SessionHost`'s face.

Knows nothing of peers. Every message is answered, in order; a visitor who does not read the answers is not read either,
and one who does not read what is pushed is let go.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from typing import assert_never, cast

from aiohttp import WSCloseCode, WSMsgType, web

from studio.errors import BadMessage, RateLimited, StudioError, StudioFull, TooLarge
from studio.messages import (
    Answer,
    Avatars,
    Candidate,
    ClientMessage,
    Fault,
    GetAvatars,
    Interrupt,
    Offer,
    Ping,
    SelectAvatar,
    ServerMessage,
    Start,
    Stop,
    decode,
    encode,
)
from studio.spec import LimitsSpec
from studio.web.bulletin import BULLETIN
from studio.web.gallery import avatar_cards
from studio.web.guard import Allowance, caller
from studio.web.keys import HOST, LIBRARY, SPEC
from studio.web.patience import ReaderStalled, hold_little, patiently
from studio.web.recorder import Recorder

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 24.0
"""Between pings; aiohttp gives half of it for the answer; who reads nothing for `PATIENCE` answers no sooner."""
OUTBOX = 256
"""Messages that may wait for a slow reader; one more closes the visit."""
EASY = 64
"""A visitor with more unread messages than this is not read until they are gone."""
OFFERS = 4
"""Offers of one socket that may wait for each other."""
HARD_LIMIT = 16
"""Messages larger than this many times ``limits.message_bytes`` close the socket; smaller ones are answered."""

SOCKETS = web.AppKey("SOCKETS", dict[web.WebSocketResponse, str])
"""The open sockets and who opened each; see `guard.caller`."""


class Outbox:
    """Messages on their way to one visitor, in order; bounded, never blocks whoever puts."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._waiting: deque[ServerMessage | str] = deque()
        self._wakes = asyncio.Event()
        self._easy = asyncio.Event()
        self._easy.set()
        self.is_over = False
        """True: the visitor reads too slowly, or a fatal message has gone out."""

    def put(self, message: ServerMessage | str) -> None:
        """Add a message, or the text of one; with `OUTBOX` waiting the visit is over."""
        if len(self._waiting) >= OUTBOX:
            self.is_over = True
        else:
            self._waiting.append(message)
            if len(self._waiting) > EASY:
                self._easy.clear()
        self._wakes.set()

    async def room(self) -> None:
        """Return when the visitor has read most of what was sent."""
        await self._easy.wait()

    async def run(self) -> None:
        """Send until the visit is over; cancelling drops what waits."""
        while not self.is_over:
            await self._wakes.wait()
            self._wakes.clear()
            while self._waiting and not self.is_over:
                await self._send(self._waiting.popleft())
                if len(self._waiting) <= EASY // 2:
                    self._easy.set()
        self._easy.set()

    async def _send(self, message: ServerMessage | str) -> None:
        try:
            await patiently(self._socket.send_str(message if isinstance(message, str) else encode(message)))
        except ReaderStalled:
            self.is_over = True
        if isinstance(message, Fault) and message.fatal:
            self.is_over = True


class Signaling:
    """One socket's conversation."""

    def __init__(self, request: web.Request, socket: web.WebSocketResponse) -> None:
        self._app, self._socket = request.app, socket
        self._limits = request.app[SPEC].limits
        self._host = request.app[HOST]
        self._outbox = Outbox(socket)
        self._allowance = Allowance(self._limits.messages_per_second, time.monotonic())
        self._offers: set[asyncio.Task[Answer]] = set()
        self._id = self._host.open(self._outbox.put)
        self._recorder = Recorder(request.app, socket, self._outbox.put)

    async def run(self) -> None:
        """Converse until either side ends it; cancelling leaves at once."""
        tasks: set[asyncio.Task[None]] = {asyncio.create_task(self._outbox.run()), asyncio.create_task(self._read())}
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for finished in done:
                finished.result()
        finally:
            leaving = asyncio.create_task(self._leave([*tasks, *self._offers]))
            await asyncio.shield(leaving)  # the seat is given back even if the connection breaks meanwhile

    async def _leave(self, tasks: Sequence[asyncio.Task[None] | asyncio.Task[Answer]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._app[BULLETIN].readers.discard(self._outbox.put)
        await self._recorder.aclose()
        await self._host.close(self._id)
        await self._socket.close(code=WSCloseCode.INTERNAL_ERROR if self._outbox.is_over else WSCloseCode.OK)

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is WSMsgType.TEXT:
                self._hear(cast(str, frame.data))
            elif frame.type is WSMsgType.BINARY:
                self._listen(cast(bytes, frame.data))
            await self._outbox.room()

    def _listen(self, sound: bytes) -> None:
        try:
            self._recorder.hear(sound)
        except StudioError as error:
            self._outbox.put(Fault.of(error))

    def _hear(self, text: str) -> None:
        try:
            if not self._allowance.take(time.monotonic()):
                raise RateLimited
            check_length(text, self._limits)
            self._obey(decode(text))
        except StudioError as error:
            log.debug("visit %.6s: %s", self._id, error)
            self._outbox.put(Fault.of(error))

    def _obey(self, message: ClientMessage | Start) -> None:
        match message:
            case Start():
                self._recorder.start(message)
            case GetAvatars():
                self._outbox.put(Avatars(avatar_cards(self._app[LIBRARY])))
                self._app[BULLETIN].readers.add(self._outbox.put)  # who asked once is told of changes
            case Offer():
                self._offer(message)
            case Candidate():
                self._host.candidate(self._id, message)
            case SelectAvatar() | Interrupt() | Stop() | Ping():
                self._host.handle(self._id, message)
            case _:
                assert_never(message)

    def _offer(self, offer: Offer) -> None:
        """Answer in a task, so that candidates and stop are heard meanwhile."""
        if len(self._offers) >= OFFERS:
            raise RateLimited("Your offers come faster than they can be answered.")
        task = asyncio.create_task(self._host.offer(self._id, offer))
        self._offers.add(task)
        task.add_done_callback(self._answered)

    def _answered(self, task: asyncio.Task[Answer]) -> None:
        self._offers.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._outbox.put(task.result())
        elif isinstance(error, StudioError):
            log.info("visit %.6s: offer refused: %s", self._id, error)
            self._outbox.put(Fault.of(error))
        else:
            log.error("visit %.6s: offer failed", self._id, exc_info=error)
            self._outbox.put(Fault.of(StudioError()))


async def signaling(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /ws``."""
    if request.headers.get("Upgrade", "").lower() != "websocket":
        raise BadMessage("This address is for WebSockets. Open the studio's page instead.")
    async with opened(request, request.app[SPEC].limits.message_bytes * HARD_LIMIT) as socket:
        await Signaling(request, socket).run()
    return socket


@asynccontextmanager
async def opened(request: web.Request, most_bytes: int) -> AsyncIterator[web.WebSocketResponse]:
    """Open a socket, counted among all until the context ends.

    Args:
        request: Its upgrade.
        most_bytes: A longer message closes it.

    Raises:
        StudioFull: There are too many.
        RateLimited: There are too many from there.
    """
    sockets, address = request.app[SOCKETS], caller(request)
    admit(address, sockets.values(), request.app[SPEC].limits)
    socket = web.WebSocketResponse(max_msg_size=most_bytes, heartbeat=HEARTBEAT_SECONDS, compress=False)
    sockets[socket] = address
    try:
        await socket.prepare(request)
        hold_little(request)
        yield socket
    finally:
        del sockets[socket]


def admit(address: str, others: Collection[str], limits: LimitsSpec) -> None:
    """Let one more socket in.

    Args:
        address: Who opens it; see `guard.caller`.
        others: Who opened those that are open.
        limits: The configuration.

    Raises:
        StudioFull: There are too many.
        RateLimited: There are too many from there.
    """
    if len(others) >= limits.sockets:
        raise StudioFull
    if address and sum(other == address for other in others) >= limits.sockets_per_address:
        raise RateLimited("There are too many visits from your network.")


def check_length(text: str, limits: LimitsSpec) -> None:
    """Look at a message before anybody reads it.

    Raises:
        TooLarge: It has more than ``limits.message_bytes``.
    """
    if len(text) > limits.message_bytes or len(text.encode()) > limits.message_bytes:
        raise TooLarge(f"A message may have {limits.message_bytes} bytes at most.")


async def close_sockets(app: web.Application) -> None:
    """Say goodbye to every visitor: the server is going away."""
    sockets = app[SOCKETS]
    goodbyes = (socket.close(code=WSCloseCode.GOING_AWAY, message=b"The studio is closing.") for socket in (*sockets,))
    await asyncio.gather(*goodbyes, return_exceptions=True)


def add_signaling(app: web.Application) -> None:
    """Add the route."""
    app[SOCKETS] = {}
    app.router.add_get(app[SPEC].server.base + "/ws", signaling)
    app.on_shutdown.append(close_sockets)
