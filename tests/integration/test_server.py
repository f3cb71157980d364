"""The HTTP front, inside this process: page, files, signs of life, gallery."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import aiohttp
import pytest

from studio.config import home
from studio.spec import AvatarSpec
from tests.inside import CARDS, Inside, inside, spec_of
from tests.visitor import Visitor


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
    heads: dict[str, list[str]] = {"HELP": [], "TYPE": []}
    for line in text.splitlines():
        if line.startswith("#"):
            heads[line.split()[1]].append(line.split()[2])
    assert heads["HELP"] == heads["TYPE"] and "studio_seats" in heads["HELP"], "each is explained"


async def test_only_the_operator_has_garbage_collected(studio: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr("studio.web.health.gc.collect", lambda: calls.append("collect"))
    monkeypatch.setattr("studio.web.health.memory_bytes", lambda: float(len(calls)))
    for headers, collected in (({"X-Forwarded-For": "203.0.113.9"}, 0), ({}, 1)):
        async with studio.client.get(studio.url("/metrics?gc"), headers=headers) as answer:
            assert f"studio_memory_bytes {collected}\n" in await answer.text(), "before memory is read"
        assert len(calls) == collected


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
        ("POST", "/api/sessions", 405, "method_not_allowed"),
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


async def test_closing_studio_says_goodbye(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        async with inside(spec_of(tmp_path)) as studio:
            visit = await stack.enter_async_context(client.ws_connect(studio.url("/ws")))
            began = time.monotonic()
        message = await asyncio.wait_for(visit.receive(), 2)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
        assert time.monotonic() - began < 2.5
