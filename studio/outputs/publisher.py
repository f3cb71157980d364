"""One RTMP connection that publishes: handshake, commands, then media out and control in. Knows nothing of pictures.

Runs on the event loop and never blocks it. Of what a server says only status codes are repeated: it may hold the key.
Source: Adobe, "Real Time Messaging Protocol" 1.0 (2012), 5.2 and 7.2; releaseStream, FCPublish and FCUnpublish as
Flash Media Encoder says them.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from studio.outputs import amf, chunks
from studio.outputs.chunks import Message
from studio.outputs.destination import Destination, RtmpRefused

HANDSHAKE_BYTES = 1536
CHUNK_BYTES = 4096
"""Of what we send; every server takes it."""
READ_BYTES = 16_384
TALK_BYTES, TALK_PER_SECOND = 65_536, 16_384
"""What a server may say at once, and each second: reading it takes the loop's time, which is everybody's."""
MESSAGE_COST = 128
"""Bytes that each message counts for, however short: a server could put one into each byte."""
BUFFER_BYTES = 262_144
"""Written but not sent yet, above which `drain` waits."""
CONTROL_CHANNEL, COMMAND_CHANNEL, MEDIA_CHANNEL = 2, 3, 6
SETTLE_SECONDS = 0.2
"""Some servers say that a stream has begun, look who streams it, and hang up."""
PING_REQUEST, PING_RESPONSE = 6, 7
_CODE = re.compile(r"Net(Connection|Stream)(\.[A-Za-z]{1,32}){1,3}")


class RtmpLost(Exception):
    """A connection that published has ended; the text holds no key."""


class Publisher:
    """One published stream; made by `Publisher.open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, destination: Destination) -> None:
        self._reader, self._writer, self._destination = reader, writer, destination
        self._messages = chunks.Reader()
        self._arrived: list[Message] = []
        self._window = self._received = self._acknowledged = 0
        self._talk, self._heard_at = 0.0, time.monotonic()
        self._stream = 0
        self.sent_bytes = 0
        """Of media, handed to the network."""
        writer.transport.set_write_buffer_limits(high=BUFFER_BYTES)

    @classmethod
    async def open(cls, destination: Destination, address: str) -> Publisher:
        """Connect and publish; the caller sets a limit of time. Cancelling leaves nothing open.

        Args:
            destination: Whom to greet.
            address: Whom to call: what its name was resolved to.

        Raises:
            RtmpRefused: The server is not there, or does not want this stream.
        """
        secure: dict[str, object] = {}
        if destination.scheme == "rtmps":
            context = await asyncio.get_running_loop().run_in_executor(None, ssl.create_default_context)
            secure = {"ssl": context, "server_hostname": destination.host}
        try:
            reader, writer = await asyncio.open_connection(address, destination.port, **secure)  # type: ignore[arg-type]
        except ssl.SSLError as error:
            raise RtmpRefused("The RTMP server's certificate is not valid.", detail=error.reason or "") from None
        except OSError as error:
            raise RtmpRefused("There is no RTMP server at this address.", detail=str(error.errno)) from None
        publisher = cls(reader, writer, destination)
        try:
            await publisher._greet()
            await publisher._publish()
        except (OSError, EOFError, RtmpLost) as error:
            publisher.abort()
            raise RtmpRefused(detail=type(error).__name__) from None
        except BaseException:
            publisher.abort()
            raise
        return publisher

    def send(self, kind: int, timestamp_ms: int, body: bytes) -> None:
        """Send a message of media or data; never waits: see `drain`."""
        self._write(Message(kind, timestamp_ms, body, self._stream), MEDIA_CHANNEL)
        self.sent_bytes += len(body)

    async def drain(self) -> None:
        """Wait until most of what was written is on its way.

        Raises:
            RtmpLost: The connection broke.
        """
        try:
            await self._writer.drain()
        except OSError as error:
            raise RtmpLost(type(error).__name__) from None

    async def watch(self) -> None:
        """Answer what the server asks for, until it ends the stream; cancelling is fine.

        Raises:
            RtmpLost: It did; always.
        """
        while True:
            try:
                for message in await self._receive():
                    self._judge(message)
            except (OSError, EOFError, chunks.ChunkError, amf.AmfError) as error:
                raise RtmpLost(type(error).__name__) from None

    async def aclose(self) -> None:
        """Send what was written, say goodbye and close; the caller sets a limit of time, and calls `abort` after it.

        Raises:
            RtmpLost: The connection broke before.
        """
        self._command("FCUnpublish", 6.0, None, self._destination.key)
        self._command("deleteStream", 7.0, None, float(self._stream))
        self._writer.transport.set_write_buffer_limits(high=0)
        await self.drain()
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError as error:
            raise RtmpLost(type(error).__name__) from None

    def abort(self) -> None:
        """Close at once; idempotent."""
        self._writer.transport.abort()

    async def _greet(self) -> None:
        """Shake hands (5.2): version 3, time 0, random bytes, which are sent back."""
        self._writer.write(b"\x03" + bytes(8) + os.urandom(HANDSHAKE_BYTES - 8))
        version = await self._reader.readexactly(1)
        if version != b"\x03":
            raise RtmpLost("no RTMP")
        self._writer.write(await self._reader.readexactly(HANDSHAKE_BYTES))
        await self._reader.readexactly(HANDSHAKE_BYTES)

    async def _publish(self) -> None:
        """Open the stream (7.2.1.1, 7.2.1.3, 7.2.2.6)."""
        key = self._destination.key
        size = CHUNK_BYTES.to_bytes(4, "big")
        self._write(Message(chunks.SET_CHUNK_SIZE, 0, size), CONTROL_CHANNEL)
        about: dict[str, amf.Value] = {
            "app": self._destination.app, "type": "nonprivate", "flashVer": "FMLE/3.0 (compatible; AvatarStudio)",
            "tcUrl": self._destination.tc_url,
        }  # fmt: skip
        self._command("connect", 1.0, about)
        await self._until(_answer_to(1.0))
        self._command("releaseStream", 2.0, None, key)
        self._command("FCPublish", 3.0, None, key)
        self._command("createStream", 4.0, None)
        answer = await self._until(_answer_to(4.0))
        number = answer[3] if len(answer) > 3 else None
        if not isinstance(number, float) or not 0 <= number < 2**32:
            raise RtmpLost("createStream")
        self._stream = int(number)
        self._command("publish", 5.0, None, key, "live", stream=self._stream)
        await self._until(_is_start)
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                await self._until(lambda values: False)

    async def _until(self, fits: Callable[[Sequence[amf.Value]], bool]) -> Sequence[amf.Value]:
        """Return the first command that fits.

        Raises:
            RtmpRefused: The server said no.
        """
        while True:
            while self._arrived:
                message = self._arrived.pop(0)
                try:
                    values = self._judge(message)
                except RtmpLost as error:
                    raise RtmpRefused(f"The RTMP server did not take the stream: {error}.") from None
                if values and fits(values):
                    return values
            try:
                self._arrived += await self._receive()
            except (chunks.ChunkError, amf.AmfError) as error:
                raise RtmpLost(type(error).__name__) from None

    async def _receive(self) -> list[Message]:
        """Return the messages that the next bytes complete; those of control are dealt with.

        Raises:
            EOFError: The server has hung up.
            ChunkError: It breaks the protocol, or talks too much.
        """
        data = await self._reader.read(READ_BYTES)
        if not data:
            raise EOFError
        self._received += len(data)
        self._listen(len(data))
        messages = []
        for message in self._messages.feed(data):
            self._listen(MESSAGE_COST)
            self._control(message)
            messages.append(message)
        if self._window and self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            count = (self._received % 2**32).to_bytes(4, "big")
            self._write(Message(chunks.ACKNOWLEDGEMENT, 0, count), CONTROL_CHANNEL)
        return messages

    def _listen(self, count: int) -> None:
        now = time.monotonic()
        self._talk = max(0.0, self._talk - (now - self._heard_at) * TALK_PER_SECOND) + count
        self._heard_at = now
        if self._talk > TALK_BYTES:
            raise chunks.ChunkError("it talks too much")

    def _control(self, message: Message) -> None:
        if message.kind == chunks.WINDOW_ACK_SIZE:
            self._window = int.from_bytes(message.body[:4], "big")
        elif message.kind == chunks.USER_CONTROL and int.from_bytes(message.body[:2], "big") == PING_REQUEST:
            pong = PING_RESPONSE.to_bytes(2, "big") + message.body[2:6]
            self._write(Message(chunks.USER_CONTROL, 0, pong), CONTROL_CHANNEL)

    def _judge(self, message: Message) -> list[amf.Value]:
        """Return a command's values, none if it is no command.

        Raises:
            RtmpLost: The server says that something failed.
        """
        if message.kind != chunks.COMMAND:
            return []
        values = amf.decode(message.body)
        name, status = values[:1], values[3] if len(values) > 3 else None
        asked = values[1] if len(values) > 1 else None
        failed = name == ["_error"] and asked in (1.0, 4.0, 5.0)
        if isinstance(status, dict) and name == ["onStatus"]:
            failed = failed or status.get("level") == "error" or status.get("code") == "NetStream.Unpublish.Success"
        if failed:
            raise RtmpLost(self._code(status))
        return values

    def _code(self, status: amf.Value) -> str:
        code = status.get("code") if isinstance(status, dict) else None
        is_known = isinstance(code, str) and _CODE.fullmatch(code) and self._destination.key not in code
        return str(code) if is_known else "it gave no reason"

    def _command(self, name: str, number: float, *values: amf.Value, stream: int = 0) -> None:
        self._write(Message(chunks.COMMAND, 0, amf.encode(name, number, *values), stream), COMMAND_CHANNEL)

    def _write(self, message: Message, channel: int) -> None:
        self._writer.write(chunks.write(message, channel, CHUNK_BYTES))


def _answer_to(number: float) -> Callable[[Sequence[amf.Value]], bool]:
    return lambda values: values[0] == "_result" and values[1:2] == [number]


def _is_start(values: Sequence[amf.Value]) -> bool:
    status = values[3] if len(values) > 3 else None
    return values[0] == "onStatus" and isinstance(status, dict) and status.get("code") == "NetStream.Publish.Start"
