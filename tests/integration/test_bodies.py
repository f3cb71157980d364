"""What requests carry, sent by those who mean no good: broken forms, strange encodings, halves, and very slow ones."""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib

import pytest

from studio.host import SessionHost
from studio.web import bodies, forms
from studio.web.recorder import Recorder
from tests.inside import Inside
from tests.integration.conftest import soon
from tests.integration.test_intruder import raw

FORM = b"Content-Type: multipart/form-data; boundary=B"
FIELD = b"Content-Disposition: form-data; name=audio; filename=a.wav"


def request(path: str, body: bytes, *headers: bytes, length: int = -1) -> bytes:
    lines = (f"POST {path} HTTP/1.1".encode(), b"Host: 127.0.0.1", b"Connection: close", *headers)
    return b"\r\n".join((*lines, b"Content-Length: %d" % (len(body) if length < 0 else length), b"", body))


def part(head: bytes) -> bytes:
    return b"--B\r\n" + head + b"\r\n\r\nabc\r\n--B--\r\n"


@pytest.mark.parametrize(
    "sent",
    [
        request("/upload", part(b"Content-Disp\0osition form"), FORM),
        request("/upload", part(b"Garbage"), FORM),
        request("/upload", part(b": x"), FORM),
        request("/upload", part(b"X: " + b"a" * 20_000), FORM),
        request("/upload", part(b"\r\n".join(b"X%d: y" % n for n in range(20_000))), FORM),
        request("/upload", part(FIELD), FORM, b"Content-Encoding: gzip"),
        request("/webrtc/offer", b"abc", b"Content-Encoding: gzip"),
        request("/start_stream/a", b"abc", b"Content-Encoding: gzip"),
        request("/webrtc/offer", b"[]", b"Content-Type: application/json; charset=bogus"),
        request("/start_stream/a", b"[]", b"Content-Type: application/json; charset=hex"),
        request("/offer", b"xn--", b"Content-Type: application/json; charset=idna"),
        request("/offer", b"\xff\xfe", b"Content-Type: application/json; charset=latin-1"),
    ],
    ids=lambda sent: sent.split()[1].decode() + str(zlib.crc32(sent) % 100),
)
async def test_bodies_that_are_broken_are_the_visitors_mistake(
    studio: Inside, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await raw(studio.port, sent)
    assert answer.split(b" ", 2)[1] == b"400", answer[:200]
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["detail"]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("path", ["/webrtc/offer", "/start_stream/a"])
async def test_half_characters_name_no_file(studio: Inside, path: str) -> None:
    body = {"sdp": "v=0", "audio_path": "\ud800.wav", "source_path": "x.png", "rtmp_url": "rtmp://127.0.0.1:1/a/b"}
    async with studio.client.post(studio.url(path), json=body) as answer:
        assert answer.status == 400


async def test_half_characters_end_no_visit(studio: Inside) -> None:
    async with studio.socket() as socket:
        await socket.send_str('{"type": "ping", "timestamp": "\\ud800"}')
        assert (await socket.receive_json(timeout=5))["code"] == "bad_json"
        await socket.send_str('{"type": "ping", "timestamp": "\\ud83d\\ude00"}')
        assert (await socket.receive_json(timeout=5))["timestamp"] == "😀"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"type": "ping", "timestamp": "' + "x" * 300_000 + '"}', "too_large"),
        ('{"type": "ping", "timestamp": ' + "[" * 900 + "]" * 900 + "}", "bad_message"),
        ('{"type": "ping", "timestamp": 1e999}', "bad_message"),
        ('{"type": "start_streaming", "audio_path": "\\ud800.wav", "source_path": "x.png"}', "bad_json"),
    ],
)
async def test_image_sockets_send_nothing_odd_back(studio: Inside, text: str, code: str) -> None:
    async with studio.client.ws_connect(studio.url("/ws/me")) as socket:
        await socket.send_str(text)
        assert (await socket.receive_json(timeout=5))["code"] == code


@pytest.mark.parametrize("path", ["/webrtc/offer", "/start_stream/a"])
async def test_half_a_body_is_not_waited_for(studio: Inside, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "PATIENCE", 0.1)
    answer = await raw(studio.port, request(path, b"{", length=100))
    assert answer.split(b" ", 2)[1] == b"400" and b"half-way" in answer


async def test_upload_that_drips_is_given_up(studio: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then would keep one of the few places for ever."""
    monkeypatch.setattr(forms, "PATIENCE", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", studio.port)
    writer.write(request("/upload", b"--B\r\n" + FIELD + b"\r\n\r\nRIFF", FORM, length=1_000_000))
    answer, began = asyncio.create_task(reader.read()), time.monotonic()
    while not answer.done() and time.monotonic() - began < 5:
        writer.write(b"x" * 40)
        await asyncio.sleep(0.05)
    writer.close()
    assert answer.done() and answer.result().split(b" ", 2)[1] == b"400"


async def test_name_of_a_file_that_is_no_text(studio: Inside) -> None:
    for name in ("%ff.png", "%ed%a0%80.png", "a%00.png", "a" * 300 + ".png"):
        answer = await raw(
            studio.port,
            f"GET /api/portraits?source_path={name} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode(),
        )
        assert answer.split(b" ", 2)[1] in (b"400", b"404"), answer[:200]


async def test_connection_that_breaks_while_it_closes_gives_the_seat_back(
    studio: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose connection broke is cancelled: here while what comes before the seat is being closed."""
    closed: list[str] = []

    async def slowly(recorder: Recorder) -> None:
        await asyncio.sleep(0.1)

    async def close(host: SessionHost, session_id: str) -> None:
        closed.append(session_id)

    monkeypatch.setattr(Recorder, "aclose", slowly)
    monkeypatch.setattr(SessionHost, "close", close)
    async with studio.socket() as socket:
        await socket.send_json({"type": "ping"})
        await socket.receive_json(timeout=5)
    await soon(lambda: closed)
