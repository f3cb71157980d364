"""Streams by name: each is one session whose output is an RTMP server, from `Streams.start` to `Streams.stop`.

Knows nothing of HTTP. A stream that ends by itself, because its server never came back, frees its name and its seat.
"""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass

from studio.errors import BadMessage, StudioError
from studio.host import SessionHost
from studio.messages import Fault, ServerMessage
from studio.outputs.destination import Destination, RtmpRefused
from studio.outputs.flv import Shape
from studio.outputs.meter import Reading
from studio.outputs.rtmp import RtmpOutput
from studio.seats import seats_for
from studio.source import Hearer, Source
from studio.spec import RtmpSpec
from studio.stats import Stats

log = logging.getLogger(__name__)

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OPEN_LIMIT = 5.0
"""Seconds until a caller hears whether the stream is live."""


class StreamNotFound(StudioError):
    """There is no stream of that name."""

    code = "stream_not_found"
    status = 404
    default = "There is no stream of this name."


@dataclass(frozen=True, slots=True)
class StreamCard:
    """What is told of a stream."""

    id: str
    session_id: str
    avatar_id: str
    destination: str
    """Without the key."""
    reading: Reading


class Lasting:
    """A source that says what another one says, and then stays: a live stream ends when it is stopped.

    Args:
        source: What to say.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    async def run(self, hearer: Hearer) -> None:
        """Speak, then wait to be cancelled."""
        await self._source.run(hearer)
        await asyncio.Event().wait()


@dataclass(slots=True, eq=False)
class _Stream:
    session_id: str
    avatar_id: str
    output: RtmpOutput
    ends: asyncio.Task[None] | None = None


class Streams:
    """All streams of this process.

    Args:
        host: Where they take their seats.
        spec: Who may be called.
        is_private: Addresses that are not public may be called without being listed.
        stats: Counts.
    """

    def __init__(self, host: SessionHost, spec: RtmpSpec, is_private: bool, stats: Stats) -> None:
        self._host, self._spec, self._is_private, self._stats = host, spec, is_private, stats
        self._streams: dict[str, _Stream] = {}

    def check_free(self, name: str) -> None:
        """See that a stream may be called ``name``.

        Raises:
            BadMessage: The name is taken, or is none.
        """
        if not NAME.fullmatch(name):
            raise BadMessage("A stream's id has letters, digits, dots, - and _, at most 64.")
        if name in self._streams:
            raise BadMessage(f"The stream {name} is already active. Stop it first, or choose another id.")

    async def start(
        self, name: str, avatar_id: str, destination: Destination, shape: Shape, source: Source | None
    ) -> str:
        """Begin a stream and return its session's id when it is live; cancelling takes everything back.

        Raises:
            BadMessage: The name is taken, or is none.
            RtmpRefused: The server is not there, may not be called, or does not want the stream.
            StudioFull: No seat left.
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """
        self.check_free(name)
        output = RtmpOutput(destination, shape, self._spec, self._is_private, self._stats)
        session_id = self._host.open(lambda message: _note(name, message))
        stream = self._streams[name] = _Stream(session_id, avatar_id, output)
        try:
            seats = seats_for(shape.width, shape.height, shape.fps)
            await self._host.play(session_id, avatar_id, output, Lasting(source) if source else None, seats=seats)
            stream.ends = asyncio.create_task(self._attend(name, stream))
            async with asyncio.timeout(OPEN_LIMIT):
                await output.opened()
        except BaseException as error:
            await self._end(name, stream)
            if isinstance(error, TimeoutError):
                raise RtmpRefused("The RTMP server does not answer.") from None
            raise
        log.info("stream %s: session %.6s goes to %s", name, session_id, destination)
        return session_id

    async def stop(self, name: str) -> None:
        """Say what was taken, end a stream, and give its name and its seat back.

        Raises:
            StreamNotFound: There is none of that name.
        """
        if name not in self._streams:
            raise StreamNotFound
        await self._end(name, self._streams[name])

    def cards(self) -> list[StreamCard]:
        """Return what is to be told of all streams."""
        return [
            StreamCard(
                name, stream.session_id, stream.avatar_id, str(stream.output.destination), stream.output.reading()
            )
            for name, stream in self._streams.items()
        ]

    async def aclose(self) -> None:
        """End all streams; idempotent."""
        await asyncio.gather(*(self._end(name, stream) for name, stream in list(self._streams.items())))

    async def _attend(self, name: str, stream: _Stream) -> None:
        """Forget a stream when its session has ended, for whatever reason."""
        await stream.output.until("closed")
        log.info("stream %s has ended", name)
        await self._forget(name, stream)

    async def _end(self, name: str, stream: _Stream) -> None:
        await self._forget(name, stream)
        if stream.ends is not None:
            await stream.ends

    async def _forget(self, name: str, stream: _Stream) -> None:
        await self._host.close(stream.session_id)
        if self._streams.get(name) is stream:
            del self._streams[name]


def _note(name: str, message: ServerMessage) -> None:
    """Nobody listens to a stream's session but the log."""
    if isinstance(message, Fault):
        log.warning("stream %s: %s", name, message.message)
