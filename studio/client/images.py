"""Frames over a WebSocket (wire contract C): binary with their 16-byte header, or JSON with base64."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import struct
import time
from collections.abc import Mapping

import aiohttp

from studio.beat import FPS
from studio.client.door import Door, quoted
from studio.client.intake import MAX_PICTURES, Flood, Intake
from studio.client.order import CannotRun, Order, Outcome, clean
from studio.client.screen import Screen
from studio.errors import StudioError
from studio.jsontext import read_object

HEADER = struct.Struct("!IdI")
"""Number of the picture, the sender's seconds, bytes that follow."""
FIRST_LIMIT = 90.0
"""Seconds until the server says anything: it may prepare the portrait first."""
STALL = 10.0
"""Seconds without a message, once pictures come."""
MAX_BROKEN = 25
"""Senseless messages after which the server is not listened to any more."""


class ImageStream:
    """One stream of frames.

    Args:
        order: What is wanted; `Order.audio` and ``source`` are paths of the server by now.
        door: Open.
        intake: Told what arrives.
        screen: Shown the pictures.
    """

    def __init__(self, order: Order, door: Door, intake: Intake, screen: Screen) -> None:
        self._order, self._door, self._intake, self._screen = order, door, intake, screen
        self._is_started = self._is_over = False

    async def run(self) -> None:
        """Receive until the stream ends, breaks or has lasted long enough; `Intake.outcome` says which.

        Raises:
            CannotRun: It never began; the sentence says why.
        """
        began = time.monotonic()
        async with self._door.socket(f"/ws/{quoted(self._order.client_id)}") as socket:
            self._intake.timings["connect"] = time.monotonic() - began
            self._intake.ask()
            await socket.send_str(json.dumps(self._request()))
            try:
                await self._receive(socket)
            except Flood:
                self._intake.end(Outcome.LOST, f"the server sends more than {MAX_PICTURES} pictures")
            if self._intake.outcome is Outcome.TIMEOUT:
                with contextlib.suppress(ConnectionError):
                    await socket.send_str(json.dumps({"type": "stop_streaming"}))

    def _request(self) -> dict[str, object]:
        order = self._order
        body: dict[str, object] = {"type": "start_streaming", "audio_path": order.audio, "source_path": order.source}
        body |= {"setup_kwargs": dict(order.setup), "run_kwargs": dict(order.run)}
        body |= {"binary": order.transport == "binary"}
        body |= {"engine": order.engine} if order.engine else {}
        return body | ({} if order.has_portrait else {"avatar_id": order.avatar})

    async def _receive(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        end = self._intake.asked_at + self._order.timeout
        while not self._is_over:
            patience = STALL if self._is_started else FIRST_LIMIT
            left = end - time.monotonic()
            try:
                async with asyncio.timeout(min(patience, left)):
                    message = await socket.receive()
            except TimeoutError:
                self._give_up(left <= patience)
                return
            if message.type is aiohttp.WSMsgType.BINARY:
                self._binary(message.data)
            elif message.type is aiohttp.WSMsgType.TEXT:
                self._text(message.data)
            else:
                self._closed(message)
                return
            if self._intake.broken > MAX_BROKEN:
                self._intake.end(Outcome.LOST, "most of what the server sends makes no sense")
                return
            if time.monotonic() >= end:  # a server that never pauses
                self._give_up(True)
                return

    def _give_up(self, is_enough: bool) -> None:
        if not self._intake.pictures:
            waited = self._intake.clock() - self._intake.asked_at
            raise CannotRun(f"No picture came within {waited:.0f} s.")
        if is_enough:
            self._intake.end(Outcome.TIMEOUT, f"stopped after {self._order.timeout:g} s, as --timeout says")
        else:
            self._intake.end(Outcome.STALLED, f"nothing came for {STALL:.0f} s")

    def _closed(self, message: aiohttp.WSMessage) -> None:
        """The connection is gone, or a message was too long for us to take."""
        if not self._intake.pictures:
            raise CannotRun("The server closed the connection before any picture came.")
        code = message.data if message.type is aiohttp.WSMsgType.CLOSE else None
        why = f" (code {clean(code, 60)})" if code else ""
        self._intake.end(Outcome.LOST, f"the connection was closed before the end{why}")

    def _binary(self, data: bytes) -> None:
        if len(data) >= HEADER.size:
            number, stamp, length = HEADER.unpack_from(data)
            if length == len(data) - HEADER.size and self._picture(number, stamp, data[HEADER.size :], len(data)):
                return
        self._intake.broken += 1

    def _picture(self, number: object, stamp: object, data: bytes, size_bytes: int) -> bool:
        """Take one picture; False if it is none."""
        codec = (
            "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else "mjpeg" if data[:3] == b"\xff\xd8\xff" else ""
        )
        if not codec or not isinstance(number, int) or not 0 <= number < MAX_PICTURES or not _is_time(stamp):
            return False
        assert isinstance(stamp, int | float)
        self._is_started = True
        self._intake.codec = {"webp": "WebP", "mjpeg": "JPEG"}[codec]
        index = self._intake.picture(float(stamp), size_bytes, number)
        self._screen.show(codec, data, index, number / FPS)
        return True

    def _text(self, text: str) -> None:
        try:
            body = read_object(text)
        except StudioError:
            self._intake.broken += 1
            return
        match body.get("type"):
            case "frame":
                if not self._frame(body, len(text)):
                    self._intake.broken += 1
            case "streaming_started":
                self._is_started = True
                for warning in _list(body.get("warnings")):
                    self._intake.remark(clean(warning))
            case "metadata":
                count = body.get("expected_frames")
                if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < MAX_PICTURES:
                    self._intake.expected = count
            case "writer_closed":
                self._finish(body.get("total_frames"))
            case "error":
                self._complain(clean(body.get("message", "")))
            case "streaming_completed" | "pong":
                pass
            case _:
                self._intake.broken += 1

    def _frame(self, body: Mapping[str, object], size_bytes: int) -> bool:
        encoded = body.get("frame_data")
        try:
            data = base64.b64decode(encoded, validate=True) if isinstance(encoded, str) else b""
        except (binascii.Error, ValueError):
            return False
        return self._picture(body.get("frame_id"), body.get("timestamp"), data, size_bytes)

    def _complain(self, sentence: str) -> None:
        """The server reports a fault: before the stream it is the end, within it more may come."""
        if not self._is_started:
            raise CannotRun(f"The server refused. It says: {sentence or 'nothing more'}")
        self._intake.remark(sentence)
        self._intake.reason = f"the server reports: {sentence}"

    def _finish(self, total: object) -> None:
        self._is_over = True
        if self._intake.reason:
            self._intake.end(Outcome.LOST, self._intake.reason)
        else:
            self._intake.end(Outcome.COMPLETED)
        if isinstance(total, int) and total != len(self._intake.pictures):
            self._intake.remark(f"The server says that it sent {clean(total, 20)} pictures.")


def _is_time(stamp: object) -> bool:
    return isinstance(stamp, int | float) and not isinstance(stamp, bool) and abs(stamp) < 1e12  # nor what is no number


def _list(value: object) -> list[object]:
    return value[:20] if isinstance(value, list) else []
