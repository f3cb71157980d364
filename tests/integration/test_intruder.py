"""The HTTP front, inside this process, and those who mean no good: odd paths, foreign pages, hoarded sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from pathlib import Path

import aiohttp
import pytest

from studio.errors import RateLimited
from studio.spec import LimitsSpec
from studio.web.keys import HOST
from studio.web.signaling import SOCKETS, admit
from tests.inside import Inside, inside, spec_of

TRAVERSALS = (
    "/static/../pyproject.toml", "/static/..%2fpyproject.toml", "/static/%2e%2e/pyproject.toml", "/static//etc/passwd",
    "/static/..\\pyproject.toml", "/static/avatars/../../pyproject.toml", "/static/%00", "/static/.%2e/%2e./etc/passwd",
    "/api/avatars/..%2f..%2fetc/thumbnail", "/api/avatars/%2e%2e/thumbnail", "/static/%c0%ae%c0%ae/x", "/static/.git",
    "/static/main.js%00.png", "/static/main.js/", "//static/main.js", "/static/%252e%252e/pyproject.toml",
)  # fmt: skip


async def raw(port: int, request: bytes, limit: float = 5.0) -> bytes:
    """Send bytes as they are and return the whole answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), limit)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("path", TRAVERSALS)
async def test_paths_that_climb_find_nothing(studio: Inside, path: str) -> None:
    """Sent raw: a client library would clean them up."""
    head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nConnection: close\r\n\r\n"
    answer = await raw(studio.port, head.encode())
    status = int(answer.split(b" ", 2)[1])
    assert status in (400, 404), answer[:300]
    assert b"[project]" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 40_000 + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /api HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99999999999999\r\nConnection: close\r\n\r\nx",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=["header", "path", "headers", "tls", "version", "length", "smuggling"],
)
async def test_requests_that_are_none_are_refused(
    studio: Inside, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with contextlib.suppress(ConnectionError):  # it may close while we are still sending
        answer = await raw(studio.port, request_bytes)
        assert answer == b"" or 400 <= int(answer.split(b" ", 2)[1]) < 500, answer[:200]
        assert b"Traceback" not in answer
    async with studio.client.get(studio.url("/healthz")) as alive:
        assert alive.status == 200
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 101), ("http://127.0.0.1:{port}", 101), ("HTTP://127.0.0.1:{port}", 101), ("http://evil.example", 403),
        ("http://127.0.0.1:1", 403), ("null", 403), ("http://127.0.0.1.evil.example:{port}", 403), ("", 403),
        ("http://[::", 403), ("http://ok.example", 101),
    ],
)  # fmt: skip
async def test_socket_opens_for_the_own_page_and_configured_ones(
    tmp_path: Path, origin: str | None, status: int
) -> None:
    spec = spec_of(tmp_path)
    object.__setattr__(spec, "server", type(spec.server)(origins=("http://ok.example",)))
    async with inside(spec) as studio:
        headers = {} if origin is None else {"Origin": origin.format(port=studio.port)}
        try:
            async with studio.client.ws_connect(studio.url("/ws"), headers=headers) as opened:
                assert status == 101
                await opened.close()
        except aiohttp.WSServerHandshakeError as error:
            assert error.status == status


async def test_studio_on_loopback_answers_to_loopback_names_only(studio: Inside) -> None:
    """A foreign name made to point here (DNS rebinding) reaches nothing."""
    for host, status in (
        ("evil.example", 403),
        ("localhost:1", 200),
        ("[::1]:9", 200),
        ("127.0.0.1", 200),
        ("a b", 403),
    ):
        async with studio.client.get(studio.url("/"), headers={"Host": host}) as answer:
            assert answer.status == status, host


async def test_configured_site_may_read_and_others_may_not(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    object.__setattr__(spec, "server", type(spec.server)(origins=("https://ok.example",)))
    async with inside(spec) as studio:
        for origin, allowed in (("https://ok.example", "https://ok.example"), ("https://evil.example", None)):
            async with studio.client.get(studio.url("/api/avatars"), headers={"Origin": origin}) as answer:
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed


@pytest.mark.parametrize(
    ("site", "origin", "status"),
    [
        ("cross-site", None, 403), ("same-site", None, 403), ("cross-site", "https://evil.example", 403),
        ("cross-site", "https://ok.example", 404), ("same-origin", None, 404), ("none", None, 404), (None, None, 404),
    ],
)  # fmt: skip
async def test_picture_on_a_foreign_page_begins_no_preparation(
    tmp_path: Path, site: str | None, origin: str | None, status: int
) -> None:
    spec = spec_of(tmp_path)
    object.__setattr__(spec, "server", type(spec.server)(origins=("https://ok.example",)))
    headers = {"Sec-Fetch-Site": site, "Origin": origin}
    async with inside(spec) as studio:
        url = studio.url("/api/portraits?source_path=x.png")
        sent = {name: value for name, value in headers.items() if value}
        async with studio.client.get(url, headers=sent) as answer:
            assert answer.status == status


async def test_visitor_who_does_not_read_is_let_go(studio: Inside) -> None:
    """A socket that asks and never reads the answers: the studio stops reading it, and forgets it when it goes."""
    key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    head = (
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{studio.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n"
    )
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", studio.port))
    await loop.sock_sendall(sock, head.encode())
    text = b'{"type":"get_avatars"}'
    frame = bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text
    with contextlib.suppress(TimeoutError, ConnectionError):
        await asyncio.wait_for(loop.sock_sendall(sock, frame * 400_000), 2)
    async with studio.client.get(studio.url("/healthz")) as answer:
        assert answer.status == 200
    sock.close()
    deadline = time.monotonic() + 5
    while studio.app[HOST]._visitors and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells
        await asyncio.sleep(0.02)
    assert not studio.app[HOST]._visitors


async def test_sockets_are_limited(tmp_path: Path) -> None:
    async with inside(spec_of(tmp_path, sockets=3)) as studio, contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(studio.socket()) for _ in range(3)]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await stack.enter_async_context(studio.socket())
        assert refusal.value.status == 503
        assert refusal.value.headers is not None
        assert refusal.value.headers["Retry-After"] == "5"
        await opened[0].close()
        deadline = time.monotonic() + 5
        while len(studio.app[SOCKETS]) == 3 and time.monotonic() < deadline:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)
        await stack.enter_async_context(studio.socket())


def test_sockets_of_one_address_are_limited_but_not_those_of_a_proxy() -> None:
    limits = LimitsSpec(sockets_per_address=2)
    admit("192.0.2.1", ["192.0.2.1", "192.0.2.2", "192.0.2.2"], limits)
    admit("", [""] * 9, limits)
    with pytest.raises(RateLimited):
        admit("192.0.2.1", ["192.0.2.1", "192.0.2.1"], limits)
