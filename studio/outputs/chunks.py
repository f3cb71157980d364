"""RTMP's chunk stream: messages to bytes and bytes to messages. No I/O; timestamps are milliseconds modulo 2**32.

What is written always carries full headers: 11 bytes a message more than the tersest form, at 75 messages a second.
What is read may come in every form. Source: Adobe, "Real Time Messaging Protocol" 1.0 (2012), 5.3, 5.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SET_CHUNK_SIZE, ABORT, ACKNOWLEDGEMENT, USER_CONTROL, WINDOW_ACK_SIZE, SET_PEER_BANDWIDTH = 1, 2, 3, 4, 5, 6
AUDIO, VIDEO, DATA, COMMAND = 8, 9, 18, 20
DEFAULT_CHUNK_BYTES = 128
EXTENDED = 0xFFFFFF
"""A timestamp from here on, 4 h 39 min, is written as an extra field."""
MAX_MESSAGE_BYTES = 65_536
"""Of what a server may say to a publisher: commands and control, never media."""
MAX_STREAMS = 64
"""Chunk streams that a server may use."""


class ChunkError(ValueError):
    """The server breaks the protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """One RTMP message."""

    kind: int
    """`AUDIO`, `VIDEO`, `DATA`, `COMMAND` or one of control."""
    timestamp_ms: int
    body: bytes
    stream: int = 0
    """The message stream: 0 for control, what createStream returned for media."""


def write(message: Message, channel: int, chunk_bytes: int) -> bytes:
    """Return a message as chunks.

    Args:
        message: What to say.
        channel: Chunk stream id, 2..63.
        chunk_bytes: Largest payload of a chunk, as announced.
    """
    timestamp = message.timestamp_ms % 2**32
    extra = timestamp.to_bytes(4, "big") if timestamp >= EXTENDED else b""
    head = (
        bytes((channel,))
        + min(timestamp, EXTENDED).to_bytes(3, "big")
        + len(message.body).to_bytes(3, "big")
        + bytes((message.kind,))
        + message.stream.to_bytes(4, "little")
        + extra
    )
    pieces = [head, message.body[:chunk_bytes]]
    for start in range(chunk_bytes, len(message.body), chunk_bytes):
        pieces += (bytes((0xC0 | channel,)) + extra, message.body[start : start + chunk_bytes])
    return b"".join(pieces)


@dataclass(slots=True)
class _Channel:
    """What is remembered of one chunk stream."""

    kind: int = 0
    length: int = 0
    stream: int = 0
    timestamp: int = 0
    delta: int = 0
    is_extended: bool = False
    body: bytearray | None = None


class Reader:
    """Puts a server's messages together."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._channels: dict[int, _Channel] = {}
        self._chunk_bytes = DEFAULT_CHUNK_BYTES

    def feed(self, data: bytes) -> Iterator[Message]:
        """Add bytes; yield the messages that became complete.

        Raises:
            ChunkError: They break the protocol.
        """
        self._buffer += data
        while (used := self._chunk()) is not None:
            count, message = used
            del self._buffer[:count]
            if message is None:
                continue
            if message.kind == SET_CHUNK_SIZE:
                self._chunk_bytes = int.from_bytes(message.body[:4], "big") & 0x7FFFFFFF
                if self._chunk_bytes == 0:
                    raise ChunkError("chunk size 0")
            elif message.kind == ABORT and (channel := self._channels.get(int.from_bytes(message.body[:4], "big"))):
                channel.body = None
            yield message

    def _chunk(self) -> tuple[int, Message | None] | None:
        """Return the bytes of the first chunk and the message that it completes; None: it is not here yet."""
        head = _basic_header(self._buffer)
        if head is None:
            return None
        form, number, at = head
        size = (11, 7, 3, 0)[form]
        if len(self._buffer) < at + size:
            return None
        channel = self._channels.get(number)
        if channel is None:
            if form == 3 or len(self._channels) >= MAX_STREAMS:
                raise ChunkError(f"form {form} on channel {number}")
            channel = self._channels[number] = _Channel()
        fields, at = bytes(self._buffer[at : at + size]), at + size
        is_extended = fields[:3] == b"\xff\xff\xff" if form < 3 else channel.is_extended
        if len(self._buffer) < at + 4 * is_extended:
            return None
        extra = int.from_bytes(self._buffer[at : at + 4], "big") if is_extended else None
        at += 4 * is_extended
        length = int.from_bytes(fields[3:6], "big") if form < 2 else channel.length
        if length > MAX_MESSAGE_BYTES:
            raise ChunkError(f"a message of {length} bytes")
        begun = b"" if channel.body is None else channel.body
        payload = min(length - len(begun), self._chunk_bytes)
        if payload < 0:
            raise ChunkError("a message changes its length")
        if len(self._buffer) < at + payload:
            return None
        channel.is_extended = is_extended
        _begin(channel, form, fields, extra, is_new=channel.body is None)
        return at + payload, _add(channel, bytes(self._buffer[at : at + payload]))


def _basic_header(buffer: bytearray) -> tuple[int, int, int] | None:
    """Return the header's form, the channel, and where the rest begins (5.3.1.1)."""
    if not buffer:
        return None
    form, number = buffer[0] >> 6, buffer[0] & 0x3F
    if number >= 2:
        return form, number, 1
    if len(buffer) < 2 + number:
        return None
    return form, 64 + int.from_bytes(buffer[1 : 2 + number], "little"), 2 + number


def _begin(channel: _Channel, form: int, fields: bytes, extra: int | None, is_new: bool) -> None:
    """Note what a chunk's header says."""
    if form < 2:
        channel.length, channel.kind = int.from_bytes(fields[3:6], "big"), fields[6]
    if form == 0:
        channel.stream = int.from_bytes(fields[7:11], "little")
    if form < 3:
        channel.delta = int.from_bytes(fields[:3], "big") if extra is None else extra
    if is_new:
        channel.timestamp = channel.delta if form == 0 else (channel.timestamp + channel.delta) % 2**32


def _add(channel: _Channel, payload: bytes) -> Message | None:
    body = bytearray() if channel.body is None else channel.body
    body += payload
    if len(body) < channel.length:
        channel.body = body
        return None
    channel.body = None
    return Message(channel.kind, channel.timestamp, bytes(body), channel.stream)
