"""Streams to a real RTMP server: what arrives, what happens when it goes away, and what nobody is told."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import socket
import ssl
import time
import wave
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest

from studio.engines.testcard import IDLE_LENGTH, read_strip
from studio.spec import AvatarSpec, RtmpSpec
from studio.web.keys import STATS
from tests.fakes import silence, speech
from tests.inside import CARDS, Inside, inside, spec_of
from tests.integration.conftest import nothing_left, soon
from tests.integration.rtmp_server import RtmpServer, ask, played, probe, rtmp_server, start, words_in
from tests.integration.test_tls import make_certificate
from tests.server import free_port, studio

KEY = "live_5ecr3t-k3y"
BEEPER = AvatarSpec("beeps", Path("/nowhere"), "Beeps", "testcard", options={"beep": True})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RtmpServer]:
    (tmp_path / "nginx").mkdir()
    async with rtmp_server(tmp_path / "nginx") as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[Inside]:
    async with nothing_left(), inside(spec_of(tmp_path, (*CARDS, BEEPER), sessions=3)) as opened:
        yield opened


async def row(house: Inside) -> dict[str, Any]:
    _, body = await ask(house, "GET", "/streams")
    return dict(body["streams"][0])


def phases(tape: Path) -> list[int]:
    """Read the number on each picture of an idle test card."""
    with av.open(str(tape), "r") as film:
        return [read_strip(np.asarray(frame.to_ndarray()[:512], np.uint8))[0] for frame in film.decode(video=0)]


def gaps(numbers: list[int]) -> int:
    """Return how many pictures are missing between the first and the last."""
    return sum((later - sooner - 1) % IDLE_LENGTH for sooner, later in pairwise(numbers))


def missed(house: Inside) -> float:
    """Return the slots that never left because the machine was busy with something else."""
    return house.app[STATS].value("studio_late_beats_total")


async def test_stream_arrives_complete_in_the_default_shape_and_ends_with_its_last_beat(
    house: Inside, server: RtmpServer
) -> None:
    status, body = await start(house, "one", server.url(KEY))
    assert status == 200 and body["rtmp_url"] == server.url("***") and KEY not in str(body)
    seen = await probe(server.url(KEY))
    assert (seen["video"]["codec_name"], seen["video"]["width"], seen["video"]["height"]) == ("h264", 512, 512)
    assert seen["video"]["r_frame_rate"] == "25/1" and seen["video"]["pix_fmt"] == "yuv420p"
    assert (seen["audio"]["codec_name"], seen["audio"]["sample_rate"]) == ("aac", "48000")
    await played(house, "one", 40)
    status, listed = await ask(house, "GET", "/streams")
    told = listed["streams"][0]
    assert (listed["active_streams"], listed["count"]) == (["one"], 1)
    assert told["state"] == "live" and 5 < told["fps"] < 27 and told["reconnects"] == 0
    assert told["session_id"] == body["session_id"]
    async with house.client.get(house.url("/streams"), headers={"X-Forwarded-For": "203.0.113.9"}) as response:
        assert "session_id" not in (await response.json())["streams"][0], "who knows it may speak"
    assert told["bitrate"] > 20_000 and 1 < told["uptime_s"] < 60 and KEY not in str(listed)
    assert (await ask(house, "DELETE", "/stop_stream/one"))[0] == 200
    assert (await ask(house, "GET", "/streams"))[1] == {"active_streams": [], "count": 0, "streams": []}
    assert await house.is_empty()
    numbers = phases(server.tapes[0])
    assert len(numbers) >= told["frames"] and gaps(numbers) <= missed(house)


async def test_picture_and_sound_are_in_step(house: Inside, server: RtmpServer) -> None:
    await start(house, "sync", server.url(KEY), avatar_id="beeps")
    await played(house, "sync", 100)
    await ask(house, "DELETE", "/stop_stream/sync")
    flashes, beeps = flashes_and_beeps(server.tapes[0])
    assert len(flashes) >= 3 and len(flashes) == len(beeps)
    assert max(abs(flash - beep) for flash, beep in zip(flashes, beeps, strict=True)) < 0.02


def flashes_and_beeps(tape: Path) -> tuple[list[float], list[float]]:
    """Return when the picture turns white and when the beep begins, seconds of the tape's own time."""
    with av.open(str(tape), "r") as film:
        frames = [(frame.time or 0.0, float(frame.to_ndarray()[300:500].mean())) for frame in film.decode(video=0)]
    with av.open(str(tape), "r") as film:
        sounds = [(frame.time or 0.0, frame.to_ndarray()[0]) for frame in film.decode(audio=0)]
    flashes = [at for (_, dark), (at, light) in pairwise(frames) if dark < 200 < light]
    wave = np.concatenate([samples for _, samples in sounds])
    loud = np.flatnonzero(np.abs(wave) > 0.1)
    begins = loud[np.insert(np.diff(loud) > 24_000, 0, True)] if len(loud) else loud
    beeps = [sounds[0][0] + int(begin) / 48_000 for begin in begins]
    return flashes, beeps


async def test_server_that_is_killed_and_comes_back_costs_the_gap_alone(house: Inside, server: RtmpServer) -> None:
    await start(house, "gap", server.url(KEY))
    await played(house, "gap", 50)
    await server.kill()
    killed = await row(house)
    await soon_state(house, "reconnecting", 5.0)
    await asyncio.sleep(1)
    assert (await row(house))["frames"] - killed["frames"] < 10, "pictures are not counted while nobody gets them"
    await server.start()
    await soon_state(house, "live", 15.0)
    told = await played(house, "gap", (await row(house))["frames"] + 50)
    assert told["reconnects"] == 1
    await ask(house, "DELETE", "/stop_stream/gap")
    before, after = (phases(tape) for tape in server.tapes)
    assert gaps(before) + gaps(after) <= missed(house)
    assert len(before) >= killed["frames"] - 5 and len(after) >= 45
    assert len(before) + len(after) == pytest.approx(told["frames"], abs=15)


async def soon_state(house: Inside, state: str, limit: float) -> None:
    async with asyncio.timeout(limit):
        while (await row(house))["state"] != state:  # noqa: ASYNC110 - nobody tells a client
            await asyncio.sleep(0.05)


async def test_servers_that_refuse_are_answered_within_five_seconds_and_give_the_seat_back(
    house: Inside, server: RtmpServer
) -> None:
    with socket.socket() as silent:  # takes connections and never says a word
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        deaf = silent.getsockname()[1]
        for url in (
            f"rtmp://127.0.0.1:{free_port()}/live/{KEY}",
            server.url(KEY, "closed"),
            server.url(KEY, "nowhere"),
            f"rtmp://127.0.0.1:{deaf}/live/{KEY}",
            f"rtmps://127.0.0.1:{server.port}/live/{KEY}",
            f"rtmp://127.0.0.1:{house.port}/live/{KEY}",
        ):
            began = time.monotonic()
            status, body = await start(house, "bad", url)
            assert (status, time.monotonic() - began < 5) == (502, True), body
            assert KEY not in str(body) and body["detail"].endswith(".")
            assert (await ask(house, "GET", "/streams"))[1]["count"] == 0
    assert await house.is_empty()


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("a b", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada"}, 400),
        ("%2Fetc", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada"}, 400),
        ("x" * 65, {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada"}, 400),
        ("a", [], 400),
        ("a", {"avatar_id": "ada"}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k"}, 400),
        ("a", {"rtmp_url": "http://127.0.0.1/live/k", "avatar_id": "ada"}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/k", "avatar_id": "ada"}, 400),
        ("a", {"rtmp_url": 7, "avatar_id": "ada"}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "nobody"}, 404),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "width": 511}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "fps": True}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "fps": 1e300}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "video_bitrate": "fast"}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "loop": "yes"}, 400),
        ("a", {"rtmp_url": "rtmp://127.0.0.1/live/k", "avatar_id": "ada", "width": 1920, "height": 1920}, 400),
    ],
)
async def test_wishes_that_make_no_sense_get_a_sentence(house: Inside, name: str, body: object, status: int) -> None:
    answered, told = await ask(house, "POST", f"/start_stream/{name}", body)
    assert answered == status and isinstance(told["detail"], str) and told["detail"].endswith(".")


async def test_bodies_that_are_no_json_get_a_sentence(house: Inside) -> None:
    for data in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"fps":' + b"9" * 5000 + b"}"):
        async with house.client.post(house.url("/start_stream/a"), data=data) as response:
            assert response.status == 400 and (await response.json())["detail"]


async def test_rtmps_is_for_servers_whose_certificate_is_trusted(
    house: Inside, server: RtmpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    calls: set[asyncio.Task[None]] = set()

    async def hand_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner, outer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(pour(reader, outer), pour(inner, writer), return_exceptions=True)

    def call(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.add(asyncio.create_task(hand_on(reader, writer)))

    async with await asyncio.start_server(call, "127.0.0.1", 0, ssl=context) as front:
        url = f"rtmps://127.0.0.1:{front.sockets[0].getsockname()[1]}/live/{KEY}"
        status, body = await start(house, "tls", url)
        assert status == 502 and "certificate" in body["detail"] and KEY not in str(body)
        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        assert (await start(house, "tls", url))[0] == 200
        await played(house, "tls", 25)
        assert (await ask(house, "DELETE", "/stop_stream/tls"))[0] == 200
        await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 5)
    assert len(phases(server.tapes[0])) >= 25


async def pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "noise",
    [
        b"\x03" + bytes(6) + b"\x14" + bytes(4) + b"\xc3" * 65_500,
        (b"\x02" + bytes(5) + b"\x06\x04" + bytes(4) + b"\0\6ping") * 8192,
    ],
    ids=["empty", "pings"],
)
async def test_server_that_talks_without_end_is_not_listened_to(house: Inside, noise: bytes) -> None:
    """Each byte can be a message: that would take the time of all visits."""
    ends: list[asyncio.Event] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends.append(asyncio.Event())
        with contextlib.suppress(OSError, EOFError):
            greeting = await reader.readexactly(1537)
            writer.write(b"\x03" + greeting[1:] + greeting[1:])
            while True:
                writer.write(noise)
                await writer.drain()
                await asyncio.sleep(0.01)
        writer.close()
        ends[-1].set()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as loud:
        began = time.monotonic()
        status, body = await start(house, "loud", f"rtmp://127.0.0.1:{loud.sockets[0].getsockname()[1]}/live/{KEY}")
        assert status == 502 and KEY not in str(body)
        assert time.monotonic() - began < 2, "not only when its time was up"
        await asyncio.wait_for(ends[0].wait(), 5)
    assert await house.is_empty()


async def test_names_that_are_taken_or_unknown_are_refused(house: Inside, server: RtmpServer) -> None:
    assert (await start(house, "same", server.url(KEY), fancy=1))[1]["warnings"]
    status, body = await start(house, "same", server.url("other"))
    assert status == 400 and "same" in body["detail"]
    assert (await ask(house, "DELETE", "/stop_stream/other"))[0] == 404
    assert (await ask(house, "DELETE", "/stop_stream/same"))[0] == 200
    assert (await start(house, "same", server.url(KEY)))[0] == 200


async def test_streams_take_seats_like_everybody(house: Inside, server: RtmpServer) -> None:
    answers = [(await start(house, f"s{i}", server.url(f"k{i}")))[0] for i in range(4)]
    assert answers == [200, 200, 200, 503]


async def test_recording_is_spoken_and_said_again_in_a_loop(house: Inside, server: RtmpServer, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "word.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(np.concatenate((speech(1.0), silence(0.6))).tobytes())
    form = aiohttp.FormData({"audio": (tmp_path / "word.wav").open("rb")})
    async with house.client.post(house.url("/upload"), data=form) as response:
        path = (await response.json())["audio_path"]
    assert (await start(house, "loop", server.url(KEY), audio_path=path, loop=True))[0] == 200
    assert (await start(house, "once", server.url("other"), audio_path=path))[0] == 200
    await played(house, "loop", 150)
    assert {told["state"] for told in (await ask(house, "GET", "/streams"))[1]["streams"]} == {"live"}
    for name in ("loop", "once"):
        await ask(house, "DELETE", f"/stop_stream/{name}")
    words = {tape.name.partition("-")[0]: words_in(tape) for tape in server.tapes}
    assert words[KEY.partition("-")[0]] >= 3 and words["other"] == 1


async def test_portraits_are_configured_ones_or_uploads_and_nothing_else(house: Inside, server: RtmpServer) -> None:
    for path in ("uploads/nobodys-name-nobodys-nam.png", "../../etc/passwd.png", "/etc/passwd"):
        body = {"rtmp_url": server.url(KEY), "source_path": path}
        status, told = await ask(house, "POST", "/start_stream/guest", body)
        assert status == 400 and told["detail"]
    body = {"rtmp_url": server.url(KEY), "source_path": "bob"}
    assert (await ask(house, "POST", "/start_stream/guest", body))[1]["avatar_id"] == "bob"


async def test_other_shapes_arrive(house: Inside, server: RtmpServer) -> None:
    shape = {"width": 640, "height": 360, "fps": 30, "video_bitrate": 150_000, "audio_bitrate": 32_000}
    await start(house, "hd", server.url(KEY), **shape, key_frame_interval=0.5)
    seen = await probe(server.url(KEY))
    assert (seen["video"]["width"], seen["video"]["height"], seen["video"]["r_frame_rate"]) == (640, 360, "30/1")
    await played(house, "hd", 120)
    await ask(house, "DELETE", "/stop_stream/hd")
    video, sound = packets_of(server.tapes[0], "video"), packets_of(server.tapes[0], "audio")
    keys = [at for at, _, is_key in video if is_key]
    assert len(keys) >= 7 and all(later - sooner == pytest.approx(0.5, abs=0.04) for sooner, later in pairwise(keys))
    assert bits_per_second(video) < 1.3 * shape["video_bitrate"]
    assert bits_per_second(sound) < 1.3 * shape["audio_bitrate"]


def packets_of(tape: Path, kind: str) -> list[tuple[float, int, bool]]:
    """Return seconds, bytes and whether a picture stands for itself, of each packet."""
    with av.open(str(tape), "r") as film:
        stream = next(stream for stream in film.streams if stream.type == kind)
        packets = [packet for packet in film.demux(stream) if packet.size]
        return [(float((packet.pts or 0) * packet.time_base), packet.size, packet.is_keyframe) for packet in packets]


def bits_per_second(packets: list[tuple[float, int, bool]]) -> float:
    return 8 * sum(size for _, size, _ in packets) / (packets[-1][0] - packets[0][0])


async def test_studio_that_ends_sends_what_it_has_and_leaves_nothing(tmp_path: Path, server: RtmpServer) -> None:
    async with nothing_left():
        async with inside(spec_of(tmp_path)) as house:
            await start(house, "last", server.url(KEY))
            sent = (await played(house, "last", 25))["frames"]
            began = time.monotonic()
        assert time.monotonic() - began < 5
    await soon(lambda: "deleteStream" in (server.folder / "nginx.log").read_text())
    assert len(phases(server.tapes[0])) >= sent


async def test_servers_that_are_not_listed_are_not_called(tmp_path: Path, server: RtmpServer) -> None:
    spec = dataclasses.replace(spec_of(tmp_path), rtmp=RtmpSpec(hosts=("live.example",)))
    async with inside(spec) as house:
        status, body = await start(house, "away", server.url(KEY))
        assert status == 502 and "rtmp.hosts" in body["detail"]
    assert "publish:" not in (server.folder / "nginx.log").read_text()


async def test_key_is_in_no_log_line_whatever_happens(
    house: Inside, server: RtmpServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await start(house, "quiet", server.url(KEY))
        await server.kill()
        await asyncio.sleep(1.5)
        for url in (server.url(KEY), server.url(KEY, "closed"), f"rtmp://u:{KEY}@127.0.0.1/a/b", f"rtmp://{KEY}"):
            await start(house, "loud", url)
        await ask(house, "DELETE", "/stop_stream/quiet")
    assert "reconnecting" in caplog.text and KEY not in caplog.text


async def test_key_is_not_in_the_log_of_a_real_server(tmp_path: Path, server: RtmpServer) -> None:
    config = {"avatars": [{"id": "ada", "engine": "testcard"}], "cache": str(tmp_path / "cache")}
    async with studio(tmp_path, config, more=("--verbose",)) as running, aiohttp.ClientSession() as client:
        for url in (server.url(KEY), server.url(KEY, "closed"), server.url(KEY, "nowhere")):
            body = {"rtmp_url": url, "avatar_id": "ada"}
            async with client.post(f"{running.http}/start_stream/{url.split('/')[3]}", json=body) as response:
                assert response.status in (200, 502) and KEY not in await response.text()
        await server.kill()
        await asyncio.sleep(1.5)
        async with client.get(f"{running.http}/streams") as response:
            assert KEY not in await response.text()
    log = (tmp_path / "server.log").read_text()
    assert "reconnecting" in log and KEY not in log
