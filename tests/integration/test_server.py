"""The HTTP front, inside this process, and the whole program as a process: starting, refusing, ending."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from studio.config import home
from studio.errors import RateLimited
from studio.spec import AvatarSpec, LimitsSpec
from studio.web.keys import HOST
from studio.web.signaling import SOCKETS, admit
from tests.inside import CARDS, Inside, inside, spec_of
from tests.server import studio as started
from tests.visitor import Visitor

CONFIG = {"avatars": [{"id": "ada", "engine": "testcard"}, {"id": "bob", "engine": "testcard"}]}


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path)) as one:
        yield one


async def test_page_carries_the_security_headers(studio: Inside) -> None:
    async with studio.client.get(studio.url("/")) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/html"
        policy = dict(part.strip().split(" ", 1) for part in answer.headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'self'"
        assert policy["object-src"] == "'none'"
        assert policy["connect-src"] == f"'self' ws://127.0.0.1:{studio.port} wss://127.0.0.1:{studio.port}"
        assert "unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "microphone=(self)" in answer.headers["Permissions-Policy"]
        text = await answer.text()
    assert "<script" in text
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text


@pytest.mark.parametrize("path", ["/", "/nowhere", "/ws", "/metrics", "/static/main.js", "/api/avatars"])
async def test_every_answer_carries_them_too(studio: Inside, path: str) -> None:
    async with studio.client.get(studio.url(path)) as answer:
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


async def test_files_are_cached_by_tag_and_packed(studio: Inside) -> None:
    url = studio.url("/static/main.js")
    async with studio.client.get(url) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.content_type == "text/javascript"
        tag, body = answer.headers["ETag"], await answer.read()
    async with studio.client.get(url, headers={"If-None-Match": tag}) as answer:
        assert (answer.status, await answer.read()) == (304, b"")
    async with studio.client.get(url, headers={"Accept-Encoding": "identity"}) as answer:
        assert await answer.read() == body == (home() / "static" / "main.js").read_bytes()


async def test_signs_of_life(studio: Inside) -> None:
    async with studio.client.get(studio.url("/healthz")) as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")
    async with studio.client.get(studio.url("/readyz")) as answer:
        assert (answer.status, await answer.text()) == (200, "ready\n")
    async with studio.client.get(studio.url("/health")) as answer:
        body = await answer.json()
    assert body["status"] == "healthy"
    assert body["avatars"] == {"ada": True, "bob": True}
    assert body["engines"] == ["testcard"]
    assert body["sessions"] == 0
    assert body["seats"] >= 1


async def test_metrics_are_prometheus_text(studio: Inside) -> None:
    async with studio.client.get(studio.url("/metrics")) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        text = await answer.text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
    assert values["studio_sessions"] == 0
    assert values["studio_seats"] >= 1
    assert 1e7 < values["studio_memory_bytes"] < 4e9
    assert values["studio_tasks"] >= 1
    assert values["studio_threads"] >= 1
    assert "# TYPE studio_sessions gauge" in text


async def test_metrics_tell_what_a_visit_cost(studio: Inside, counting_peers: None) -> None:
    visitor = Visitor(studio.url("/ws"), "ada", None)
    try:
        await visitor.connect()
        async with asyncio.timeout(5):
            while len(visitor.video) < 10:  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.02)
        async with studio.client.get(studio.url("/metrics")) as answer:
            text = await answer.text()
    finally:
        await visitor.close()
    assert "studio_sessions 1" in text
    for name in ("studio_beats_total{", "studio_beat_lateness_ms_bucket{", 'studio_cpu_ms_total{stage="'):
        assert f"\n{name}" in text, name
    assert 'studio_beat_lateness_recent_ms{quantile="0.95"}' in text
    assert await studio.is_empty()


async def test_gallery_lists_avatars_with_thumbnails(studio: Inside) -> None:
    async with studio.client.get(studio.url("/api/avatars")) as answer:
        cards = (await answer.json())["avatars"]
    assert [(card["id"], card["name"], card["engine"], card["ready"]) for card in cards] == [
        ("ada", "Ada", "testcard", True), ("bob", "Bob", "testcard", True),
    ]  # fmt: skip
    for card in cards:
        async with studio.client.get(studio.url("/" + card["thumbnail"])) as answer:
            assert answer.content_type == "image/jpeg"
            assert "immutable" in answer.headers["Cache-Control"]
            assert (await answer.read()).startswith(b"\xff\xd8")
    async with studio.client.get(studio.url("/api/avatars/nobody/thumbnail")) as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "avatar_not_found"


async def test_other_words_of_the_api(studio: Inside) -> None:
    async with studio.client.get(studio.url("/api/sessions")) as answer:
        assert (await answer.json())["taken"] == 0
    async with studio.client.get(studio.url("/api/ice-servers")) as answer:
        assert await answer.json() == {"iceServers": []}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("POST", "/api/avatars", 405, "method_not_allowed"),
        ("GET", "/ws", 400, "bad_message"),
        ("DELETE", "/", 405, "method_not_allowed"),
        ("GET", "/static/", 404, "not_found"),
    ],
)
async def test_failures_have_one_shape(studio: Inside, method: str, path: str, status: int, code: str) -> None:
    async with studio.client.request(method, studio.url(path)) as answer:
        assert answer.status == status
        error = (await answer.json())["error"]
    assert set(error) == {"code", "message", "retryable", "session_id"}
    assert error["code"] == code


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
async def test_requests_that_are_none_are_refused(studio: Inside, request_bytes: bytes) -> None:
    with contextlib.suppress(ConnectionError):  # it may close while we are still sending
        answer = await raw(studio.port, request_bytes)
        assert answer == b"" or 400 <= int(answer.split(b" ", 2)[1]) < 500, answer[:200]
        assert b"Traceback" not in answer
    async with studio.client.get(studio.url("/healthz")) as alive:
        assert alive.status == 200


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


async def test_studio_lives_below_a_prefix(tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    object.__setattr__(spec, "server", type(spec.server)(base="/studio"))
    async with inside(spec) as studio:
        async with studio.client.get(studio.url("/studio")) as answer:
            assert (answer.status, answer.url.path) == (200, "/studio/")
        async with studio.client.ws_connect(studio.url("/studio/ws")) as opened:
            assert not opened.closed
        async with studio.client.get(studio.url("/")) as answer:
            assert answer.status == 404


async def test_avatar_from_a_bad_photo_is_listed_with_its_reason(tmp_path: Path) -> None:
    bad = tmp_path / "me.jpg"
    bad.write_bytes(b"this is no picture")
    broken = AvatarSpec("me", bad, "Me", "portrait", "me.jpg")
    async with inside(spec_of(tmp_path, (broken, *CARDS))) as studio:
        async with studio.client.get(studio.url("/api/avatars")) as answer:
            card = (await answer.json())["avatars"][0]
        assert (card["id"], card["ready"], card["thumbnail"]) == ("me", False, "")
        assert card["reason"].endswith(".")
        assert str(tmp_path) not in card["reason"]
        async with studio.client.get(studio.url("/readyz")) as answer:
            assert answer.status == 200
        async with studio.client.get(studio.url("/api/avatars/me/thumbnail")) as answer:
            assert answer.status == 503
            assert (await answer.json())["error"]["code"] == "avatar_not_ready"
        async with studio.socket() as one:
            await one.send_json({"type": "select_avatar", "avatar_id": "me"})
            error = await one.receive_json()
            assert (error["code"], card["reason"] in error["message"]) == ("avatar_not_ready", True)


async def test_studio_without_a_ready_avatar_says_so(tmp_path: Path) -> None:
    bad = tmp_path / "me.jpg"
    bad.write_bytes(b"this is no picture")
    async with inside(spec_of(tmp_path, (AvatarSpec("me", bad, "Me", "portrait"),))) as studio:
        async with studio.client.get(studio.url("/readyz")) as answer:
            assert answer.status == 503
        for path in ("/health", "/metrics", "/api/sessions", "/"):
            async with studio.client.get(studio.url(path)) as answer:
                assert answer.status == 200, path


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
    admit("127.0.0.1", ["127.0.0.1"] * 9, limits)
    with pytest.raises(RateLimited):
        admit("192.0.2.1", ["192.0.2.1", "192.0.2.1"], limits)


async def test_closing_studio_says_goodbye(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        async with inside(spec_of(tmp_path)) as studio:
            visit = await stack.enter_async_context(client.ws_connect(studio.url("/ws")))
            began = time.monotonic()
        message = await asyncio.wait_for(visit.receive(), 2)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        assert time.monotonic() - began < 2.5


async def test_process_ends_in_time_with_live_visits(tmp_path: Path, counting_peers: None) -> None:
    """SIGTERM with two live peers, one of them speaking: exit code 0 within 3 s."""
    (tmp_path / "server").mkdir()
    async with started(tmp_path / "server", {**CONFIG, "cache": str(tmp_path / "cache")}) as server:
        visitors = [Visitor(server.ws, "ada", None), Visitor(server.ws, "bob", [b"\xf8\xff\xfe"])]
        try:
            for visitor in visitors:
                await visitor.connect()
            began = time.monotonic()
            server.process.terminate()
            code = await asyncio.wait_for(server.child.wait(), 10)
            assert (code, time.monotonic() - began < 3) == (0, True)
        finally:
            for visitor in visitors:
                await visitor.close()


async def test_process_ends_in_time_while_it_prepares(tmp_path: Path) -> None:
    """Ctrl-C in the first start, in the middle of the work; nothing half done stays."""
    photo = home() / "static" / "avatars" / "astronaut.png"
    config = tmp_path / "avatars.yaml"
    config.write_text(f"cache: {tmp_path}/cache\navatars: [{{id: astro, source: {photo}}}]\n")
    command = [sys.executable, "start_studio.py", "--config", str(config), "--port", "0"]
    child = await asyncio.create_subprocess_exec(*command, cwd=home(), stderr=asyncio.subprocess.PIPE)
    assert child.stderr is not None
    await asyncio.wait_for(child.stderr.readuntil(b"reading the picture"), 30)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(child.communicate(), 20)
    assert time.monotonic() - began < 6
    assert (child.returncode, b"Traceback" in errors) == (0, False), errors.decode()
    assert list((tmp_path / "cache").rglob("astro")) == []


async def test_second_start_takes_the_avatars_from_the_cache(tmp_path: Path) -> None:
    written: list[dict[str, int]] = []
    for n in range(2):
        folder = tmp_path / str(n)
        folder.mkdir()
        async with started(folder, {**CONFIG, "cache": str(tmp_path / "cache")}):
            files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
            written.append({str(path): path.stat().st_mtime_ns for path in files})
    assert written[0] == written[1]
    assert len([path for path in written[0] if path.endswith("prepared.json")]) == 2
