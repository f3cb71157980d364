"""The client against servers that mean harm, refuse, or leave half way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from aiohttp import WSMsgType, web
from aiohttp.test_utils import TestServer

from studio.client import images
from studio.client.door import MAX_ANSWER_BYTES, MAX_MESSAGE_BYTES
from studio.client.figures import Unmeasured
from studio.client.intake import Intake
from studio.client.order import CannotRun, Order, Outcome
from studio.client.result import Result, conclude
from studio.client.screen import Screen
from studio.client.visit import measure
from tests.fakes import speech
from tests.inside import inside, spec_of
from tests.integration.test_tls import make_certificate
from tests.unit.test_recording import wav

SECONDS = 1.4
PICTURES = 35
HEADER = struct.Struct("!IdI")
WEBP = cv2.imencode(".webp", np.zeros((64, 64, 3), np.uint8))[1].tobytes()


Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@contextlib.asynccontextmanager
async def hostile(
    talk: Talk | None = None,
    tls: ssl.SSLContext | None = None,
    **routes: Callable[[web.Request], Awaitable[web.StreamResponse]],
) -> AsyncIterator[str]:
    """Run a server whose sockets say what ``talk`` says; ``routes`` answer at their names."""

    async def socket(request: web.Request) -> web.StreamResponse:
        one = web.WebSocketResponse()
        await one.prepare(request)
        assert (await one.receive()).type is WSMsgType.TEXT
        if talk is not None:
            await talk(one)
        await one.close()
        return one

    app = web.Application()
    app.router.add_get("/ws/{id}", socket)
    app.router.add_get("/ws", socket)
    for name, route in routes.items():
        app.router.add_route("*", "/" + name.replace("__", "/"), route)
    house = TestServer(app, scheme="https" if tls else "http")
    await house.start_server(ssl=tls)
    try:
        yield f"{house.scheme}://127.0.0.1:{house.port}"
    finally:
        await house.close()


async def visited(url: str, transport: str = "binary", intake: Intake | None = None, **more: Any) -> Result:
    """Visit and return what was found."""
    intake, screen = intake or Intake(), Screen()
    usual: dict[str, Any] = {"avatar": "x", "audio": "a.wav", "timeout": 20.0} | more
    order = Order(url, transport, **usual)
    try:
        await measure(order, intake, screen, lambda phrase: None)
    finally:
        await asyncio.to_thread(screen.close)
    return conclude(order, intake, screen, Unmeasured("not asked"), datetime.now(UTC))


@pytest.mark.parametrize(("transport", "source"), [("webrtc", ""), ("webrtc", "portrait"), ("binary", "")])
async def test_studio_that_closes_half_way_is_measured_so_far(tmp_path: Path, transport: str, source: str) -> None:
    portrait = {"source": "static/avatars/astronaut.png", "engine": "testcard", "avatar": ""}
    speaker = portrait if source else {"avatar": "ada"}
    long, intake = wav(tmp_path / "long.wav", speech(9.0)), Intake()
    async with inside(spec_of(tmp_path)) as one:
        url = one.url("")
        visit = asyncio.create_task(visited(url, transport, intake, audio=str(long), **speaker))
        async with asyncio.timeout(20):
            while len(intake.pictures) < 10 and not visit.done():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.02)
    found = await visit
    assert (found.outcome, found.exit_code) == (Outcome.LOST, 3), found.reason
    assert 10 <= found.frames < 200


def frame(number: int, payload: bytes = WEBP, length: int | None = None, stamp: float = 1.0) -> bytes:
    return HEADER.pack(number, stamp, len(payload) if length is None else length) + payload


async def test_senseless_frames_are_counted_and_the_rest_is_measured() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("[" * 100_000)
        await socket.send_str('{"type": "metadata", "expected_frames": 1e999}')
        for bad in (
            b"", b"\0" * 15, frame(0, length=4_000_000_000), frame(0, b"no picture"), frame(0, stamp=float("nan")),
            frame(4_000_000_000), frame(0)[:-1], b"\xff" * 400,
        ):  # fmt: skip
            await socket.send_bytes(bad)
        await socket.send_str('{"type": "frame", "frame_id": 1, "timestamp": 1, "frame_data": "%%%"}')
        for i in range(3):
            await socket.send_bytes(frame(i))
        await socket.send_str('{"type": "writer_closed", "total_frames": 9}')

    async with hostile(talk) as url:
        found = await visited(url)
    assert (found.frames, found.broken, found.decoded, found.outcome) == (3, 10, 3, Outcome.COMPLETED)
    assert "9 pictures" in found.remarks[0]


async def test_nonsense_without_end_is_not_listened_to() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_bytes(frame(0))
        with contextlib.suppress(ConnectionError):
            while True:
                await socket.send_bytes(b"noise")
                await asyncio.sleep(0)

    async with hostile(talk) as url:
        found = await visited(url)
    assert (found.outcome, found.exit_code, found.broken) == (Outcome.LOST, 3, images.MAX_BROKEN + 1)


@pytest.mark.parametrize(
    ("farewell", "outcome"),
    [
        ("close", Outcome.LOST),
        ("huge", Outcome.LOST),
        ("fault", Outcome.LOST),
        ("silence", Outcome.STALLED),
        ("flood", Outcome.LOST),
        ("timeout", Outcome.TIMEOUT),
    ],
)
async def test_streams_that_end_badly_are_measured_so_far(
    farewell: str, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "STALL", 0.3)
    monkeypatch.setattr("studio.client.intake.MAX_PICTURES", 60)

    async def talk(socket: web.WebSocketResponse) -> None:
        for i in range(100 if farewell == "flood" else 4):
            await socket.send_bytes(frame(i))
        if farewell == "huge":
            await socket.send_bytes(bytes(MAX_MESSAGE_BYTES + 1))
        if farewell == "fault":
            await socket.send_str('{"type": "error", "message": "The avatar lost its thread.\\u001b[2J"}')
            await socket.send_str('{"type": "writer_closed", "total_frames": 4}')
        if farewell == "timeout":
            with contextlib.suppress(ConnectionError):
                while True:
                    await socket.send_bytes(frame(5))
                    await asyncio.sleep(0.04)
        if farewell not in ("close", "fault"):
            await socket.receive()

    async with hostile(talk) as url:
        found = await visited(url, timeout=1.0 if farewell == "timeout" else 20.0)
    assert found.outcome is outcome
    assert found.frames >= 4
    assert found.reason.isprintable()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "wants a login"), (503, "full or not ready"), (418, "is this a studio"), (302, "elsewhere")],
)
async def test_refused_sockets_are_explained(status: int, words: str) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})

    async with hostile(ws__me=refuse) as url:
        with pytest.raises(CannotRun, match=words):
            await visited(url, client_id="me")


async def test_refused_uploads_are_told_in_the_servers_words(tmp_path: Path) -> None:
    sound = wav(tmp_path / "talk.wav", speech(1.4))

    async def refuse(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"detail": "All seats\x1b[31m are taken."}, status=503)

    async with hostile(upload=refuse) as url:
        with pytest.raises(CannotRun, match=r"503: All seats \[31m are taken"):
            await visited(url, audio=str(sound))


async def test_a_token_is_sent_to_the_server_that_was_named() -> None:
    seen: list[str] = []

    async def listen(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization", ""))
        return web.Response(status=403)

    async with hostile(ws__me=listen) as url:
        for token in ("", "open-sesame-of-16"):
            with pytest.raises(CannotRun, match="let us in"):
                await visited(url, client_id="me", token=token)
    assert seen == ["", "Bearer open-sesame-of-16"]


async def test_certificates_are_believed_when_they_are_named(tmp_path: Path) -> None:
    async def refuse(request: web.Request) -> web.Response:
        return web.Response(status=403)

    cert, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with hostile(tls=context, ws__me=refuse) as url:
        with pytest.raises(CannotRun, match="--tls-ca"):
            await visited(url, client_id="me")
        for how in ({"ca": str(cert)}, {"insecure": True}):
            with pytest.raises(CannotRun, match="let us in"):
                await visited(url, client_id="me", **how)


async def test_answers_without_end_are_not_read() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(4 * MAX_ANSWER_BYTES // 65_536):
                await answer.write(bytes(65_536))
        return answer

    async with hostile(api__avatars=flood) as url:
        with pytest.raises(CannotRun, match="MB"):
            await visited(url, avatar="")


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "answer", "sdp": "v=0"},
        {"type": "answer", "sdp": 7},
        {"type": "answer", "sdp": "v=0\r\n" * 100_000},
        {
            "type": "answer",
            "sdp": "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n" * 50,
        },
        {"type": "error", "message": "All seats are taken.", "code": "capacity"},
        {},
    ],
)
async def test_answers_that_are_none_end_the_call(answer: dict[str, object]) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "ice_candidate", "candidate": {"candidate": "candidate:nonsense"}})
        if answer:
            await socket.send_json(answer)
            await socket.receive()

    async with hostile(talk) as url:
        with pytest.raises(CannotRun):
            await visited(url, "webrtc", audio="")


async def test_server_that_never_answers_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "FIRST_LIMIT", 0.3)

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.receive()

    async with hostile(talk) as url:
        with pytest.raises(CannotRun, match="No picture"):
            await visited(url, "json")
