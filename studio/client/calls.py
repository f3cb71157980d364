"""The two WebRTC ways: a recital and a conversation.

Wire contract B: one request, and a portrait speaks a recording. Wire contract A: signaling over a socket, and our sound
is the microphone.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

import aiohttp

from studio.client.door import Door, Refused
from studio.client.intake import Intake
from studio.client.order import CannotRun, Order, Outcome, clean
from studio.client.rtc import Call
from studio.client.screen import Screen
from studio.client.voice import Voice
from studio.errors import StudioError
from studio.jsontext import read_object

ANSWER_LIMIT = 60.0
TAIL = 2.0
"""Seconds of listening after the last word: the studio answers with some delay."""


async def recite(order: Order, door: Door, intake: Intake, screen: Screen, expected: int | None) -> None:
    """Let a portrait, or an avatar of the gallery, speak a recording; files are named by paths of the server.

    Args:
        order: What is wanted.
        door: Open.
        intake: Told what arrives.
        screen: Shown it.
        expected: Pictures that the recording should make; None: unknown.

    Raises:
        CannotRun: It never began.
    """
    call = Call(order, await _servers(door), intake, screen)
    try:
        body: dict[str, object] = {"sdp": await call.offer(), "type": "offer"}
        body |= {"audio_path": order.audio, "source_path": order.source}
        body |= {"setup_kwargs": dict(order.setup), "run_kwargs": dict(order.run)}
        body |= {"engine": order.engine} if order.engine else {}
        body |= {} if order.has_portrait else {"avatar_id": order.avatar}
        intake.ask()
        answer = await door.post("/webrtc/offer", body)
        warnings = answer.get("warnings")
        for warning in warnings[:20] if isinstance(warnings, list) else ():
            intake.remark(clean(warning))
        await call.accept(answer.get("sdp"))
        await call.connected()
        intake.expected = expected
        await call.follow(lambda: False, expected)
    finally:
        await call.aclose()


class Conversation:
    """One visit over the signaling socket; `run` it once."""

    def __init__(self, order: Order, door: Door, intake: Intake, screen: Screen) -> None:
        self._order, self._door, self._intake, self._screen = order, door, intake, screen
        self._answer: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._fault = ""

    async def run(self) -> None:
        """Say the sound of the order and receive until all is said, and a little longer.

        Raises:
            CannotRun: It never began.
            BadAudio: Our sound cannot be read.
        """
        voice = Voice(self._order.audio_file, self._order.timeout)
        try:
            await voice.open()
            call = Call(self._order, await _servers(self._door), self._intake, self._screen, voice)
            try:
                await self._talk(call, voice)
            finally:
                await call.aclose()
        finally:
            voice.stop()

    async def _talk(self, call: Call, voice: Voice) -> None:
        async with self._door.socket("/ws") as socket:
            reading = asyncio.create_task(self._read(socket, call))
            try:
                body: dict[str, object] = {"type": "offer", "sdp": await call.offer()}
                body |= {"avatar_id": self._order.avatar} if self._order.avatar else {}
                if options := {**self._order.setup, **self._order.run}:
                    body["options"] = options
                self._intake.ask()
                await socket.send_str(json.dumps(body))
                try:
                    async with asyncio.timeout(ANSWER_LIMIT):
                        sdp = await self._answer
                except TimeoutError as error:
                    raise CannotRun(f"The server did not answer the offer within {ANSWER_LIMIT:.0f} s.") from error
                await call.accept(sdp)
                await call.connected()
                await call.follow(self._is_done(voice))
                if voice.error is not None:
                    self._lose("our sound cannot be read to its end")
                self._judge()
            finally:
                reading.cancel()
                self._answer.cancel()
                await asyncio.gather(reading, self._answer, return_exceptions=True)  # its fault may have come unheard

    def _judge(self) -> None:
        """A conversation that the server ended did not come to its end."""
        if self._fault and not self._intake.pictures:
            raise CannotRun(f"{self._fault[:1].upper()}{self._fault[1:]} before any picture came.")
        if self._fault:
            self._intake.end(Outcome.LOST, self._fault)

    def _is_done(self, voice: Voice) -> Callable[[], bool]:
        if not self._order.audio:  # nothing to say: look until time is up
            return lambda: bool(self._fault)
        return lambda: bool(self._fault) or (voice.ended_at is not None and time.monotonic() - voice.ended_at > TAIL)

    async def _read(self, socket: aiohttp.ClientWebSocketResponse, call: Call) -> None:
        async for message in socket:
            if message.type is aiohttp.WSMsgType.TEXT:
                self._hear(message.data, call)
        self._lose("the server closed the conversation")

    def _hear(self, text: str, call: Call) -> None:
        try:
            body = read_object(text)
        except StudioError:
            self._intake.broken += 1
            return
        match body.get("type"):
            case "answer" if not self._answer.done():
                self._answer.set_result(body.get("sdp"))
            case "ice_candidate":
                self._add(body.get("candidate"), call)
            case "error":
                self._complain(clean(body.get("message", "")), body.get("fatal") is True)

    def _add(self, given: object, call: Call) -> None:
        if isinstance(given, dict) and isinstance(text := given.get("candidate"), str):
            mid, section = given.get("sdpMid"), given.get("sdpMLineIndex")
            is_section = isinstance(section, int) and not isinstance(section, bool)
            call.add_candidate(text, mid if isinstance(mid, str) else None, section if is_section else None)

    def _complain(self, sentence: str, is_fatal: bool) -> None:
        if not self._answer.done():
            self._answer.set_exception(CannotRun(f"The server refused. It says: {sentence or 'nothing more'}"))
            return
        self._intake.remark(sentence)
        if is_fatal:
            self._lose(f"the server reports: {sentence}")

    def _lose(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(CannotRun("The server closed the conversation before it answered."))
        self._fault = self._fault or reason


async def _servers(door: Door) -> object:
    """Return the STUN and TURN servers that the studio wants used; none where it does not say."""
    try:
        return (await door.get("/api/ice-servers")).get("iceServers")
    except Refused:
        return []
