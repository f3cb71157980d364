"""The transcripts of ``docs/protocols.md``, played against a running studio."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from studio.config import home
from studio.spec import AvatarSpec
from studio.web.images import HEADER
from tests import protocols
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.protocols import Messages
from tests.unit.test_recording import wav

MIRA = AvatarSpec("mira", Path("/nowhere"), "Mira", "testcard")
ASTRONAUT = AvatarSpec("astronaut", home() / "static" / "avatars" / "astronaut.png", "Astronaut", "testcard")
PYTHON = {"text": str, "whole number": int, "number": float, "true or false": bool, "list": list, "object": dict}
"""The page's words for types."""


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None) -> AsyncIterator[Inside]:
    spec = spec_of(tmp_path, (MIRA, ASTRONAUT), sessions=2, queue_seconds=10.0)
    async with inside(spec) as one:
        yield one


class Player:
    """Plays one transcript: says its ``>`` lines and waits for its ``<`` lines.

    Args:
        socket: Open.
        sound_path: Stands where the page has an uploaded recording.
        page: What each message must have.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, sound_path: str, page: Messages) -> None:
        self.socket, self.sound_path, self.page = socket, sound_path, page
        self.pc = RTCPeerConnection()
        self.seen: list[str] = []

    async def play(self, lines: list[tuple[str, str]]) -> None:
        """Play all lines."""
        try:
            for who, line in lines:
                await (self.say(line) if who == ">" else self.hear(line))
        finally:
            await self.pc.close()

    async def say(self, line: str) -> None:
        if line.startswith("binary"):
            seconds = int(line.split()[1]) / 32_000
            sound = speech(seconds)
            is_float = "start" in self.seen
            await self.socket.send_bytes((sound / 32768).astype("<f4").tobytes() if is_float else sound.tobytes())
            return
        body = json.loads(line)
        self.seen.append(body["type"])
        if body["type"] == "offer":
            self.pc.addTransceiver("audio", direction="sendrecv")
            self.pc.addTransceiver("video", direction="recvonly")
            await self.pc.setLocalDescription(await self.pc.createOffer())
            body["sdp"] = self.pc.localDescription.sdp
        if "audio_path" in body:
            body["audio_path"] = self.sound_path
        await self.socket.send_json(body)

    async def hear(self, line: str) -> None:
        """Wait for what the line says; what was said of its kind before, or comes unasked, is let pass."""
        async with asyncio.timeout(30):
            while not self.fits(line, message := await self.socket.receive()):
                pass
        if isinstance(message.data, str) and '"answer"' in message.data:
            answer = RTCSessionDescription(json.loads(message.data)["sdp"], "answer")
            await self.pc.setRemoteDescription(answer)

    def fits(self, line: str, message: aiohttp.WSMessage) -> bool:
        """Tell whether a message is the line's; one of the line's type that differs from it is not let pass."""
        if message.type is aiohttp.WSMsgType.BINARY:
            index, _, length = HEADER.unpack(message.data[: HEADER.size])
            assert length == len(message.data) - HEADER.size
            return line == f"binary picture {index}"
        assert message.type is aiohttp.WSMsgType.TEXT, f"{message!r} instead of {line}"
        body = json.loads(message.data)
        self.judge(body)
        if line.startswith("binary"):
            raise AssertionError(f"{body} instead of {line}")
        wanted = json.loads(line)
        if body["type"] in UNASKED and not same(wanted, body):
            return False
        assert same(wanted, body), f"{body} instead of {wanted}"
        return True

    def judge(self, body: dict[str, Any]) -> None:
        """See that a message has the page's fields, of the page's types."""
        fields = self.page[body["type"]]
        assert {name for name, field in fields.items() if not field.may_be_missing} <= {*body} - {"type"} <= {*fields}
        for name, field in fields.items():
            if name in body and field.kind != "number or text":
                kind = PYTHON[field.kind]
                value = body[name]
                assert isinstance(value, (int, float) if kind is float else kind), f"{name} {value!r}"
                assert isinstance(value, bool) == (kind is bool)


UNASKED = {"state", "stats", "frame", "full", "room"}
"""That come when it is so."""


def same(wanted: object, got: object) -> bool:
    """Tell whether two values are the same, but for numbers and for texts that the page cuts short with ``...``."""
    match wanted, got:
        case dict(), dict():
            return {*wanted} == {*got} and all(same(wanted[key], got[key]) for key in wanted)
        case list(), list():
            return len(wanted) <= len(got) and all(map(same, wanted, got))
        case str(), str():
            return re.fullmatch(".*".join(map(re.escape, wanted.split("..."))), got, re.S) is not None
        case bool(), bool():
            return wanted is got
        case ((int() | float()), (int() | float())):
            return not isinstance(got, bool)
    return wanted is None and got is None


PLAYS = list(protocols.transcripts())
SPOKEN = {
    "/ws": ("From the studio over `/ws`", "Microphone"),
    "/ws/me": ("From the studio over `/ws/{client_id}`",),
    "/api/sessions/{id}/audio": ("From the studio over `/api/sessions/{id}/audio`",),
}
"""Where the page says what the studio says at an address."""


def test_every_conversation_has_a_transcript() -> None:
    assert [address for address, _ in PLAYS] == ["/ws", "/ws", "/ws/me", "/api/sessions/{id}/audio"]


@pytest.mark.parametrize(("address", "lines"), PLAYS, ids=[lines[0][1][:40] for _, lines in PLAYS])
async def test_transcript_is_what_happens(
    studio: Inside, tmp_path: Path, address: str, lines: list[tuple[str, str]]
) -> None:
    sound = wav(tmp_path / "talk.wav", speech(0.8)).read_bytes()
    form = aiohttp.FormData()
    form.add_field("audio", sound, filename="talk.wav")
    async with studio.client.post(studio.url("/upload"), data=form) as answer:
        sound_path = (await answer.json())["audio_path"]
    page: Messages = {}
    for title in SPOKEN[address]:
        page |= protocols.messages(title)
    visitor = Visit(studio)
    try:
        place = address.replace("{id}", await visitor.begin()) if "{id}" in address else address
        async with studio.client.ws_connect(studio.url(place), max_msg_size=0) as socket:
            await Player(socket, sound_path, page).play(lines)
    finally:
        await visitor.pc.close()


class Visit:
    """A session that goes on, for somebody to speak in."""

    def __init__(self, studio: Inside) -> None:
        self.studio, self.pc = studio, RTCPeerConnection()

    async def begin(self) -> str:
        """Return its id when media can flow."""
        self.pc.addTransceiver("audio", direction="recvonly")
        await self.pc.setLocalDescription(await self.pc.createOffer())
        body = {"sdp": self.pc.localDescription.sdp, "type": "offer"}
        async with self.studio.client.post(self.studio.url("/offer"), json=body) as answer:
            told = await answer.json()
        await self.pc.setRemoteDescription(RTCSessionDescription(told["sdp"], "answer"))
        return str(told["session_id"])
