"""Wire contract B as its clients speak it: recvonly transceivers, all candidates in the offer, the answer at once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription

from studio.engine import load_engine
from studio.spec import AvatarSpec, LimitsSpec, StudioSpec
from studio.web.keys import GUESTS, HOST
from tests.fakes import speech
from tests.inside import CARDS, Inside, inside, spec_of
from tests.integration.conftest import soon
from tests.unit.test_recording import wav

SECONDS = 1.6


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=2)) as one:
        yield one


@pytest.fixture
def sound(tmp_path: Path) -> bytes:
    return wav(tmp_path / "talk.wav", speech(SECONDS)).read_bytes()


@pytest.fixture
def portrait() -> bytes:
    noise = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    return cv2.imencode(".png", noise)[1].tobytes()


async def uploaded(studio: Inside, sound: bytes | None = None, portrait: bytes | None = None) -> dict[str, str]:
    """Upload as the demo's page does, with the fields ``audio`` and ``source``."""
    form = aiohttp.FormData()
    if sound is not None:
        form.add_field("audio", sound, filename="talk.wav", content_type="audio/wav")
    if portrait is not None:
        form.add_field("source", portrait, filename="me.png", content_type="image/png")
    async with studio.client.post(studio.url("/upload?engine=testcard"), data=form) as answer:
        assert answer.status == 200, await answer.text()
        body: dict[str, str] = await answer.json()
        return body


async def prepared(studio: Inside, source_path: str, limit: float = 60.0) -> dict[str, Any]:
    """Ask as the demo's page does until the portrait can be played."""
    async with asyncio.timeout(limit):
        while True:
            query = {"source_path": source_path, "engine": "testcard"}
            async with studio.client.get(studio.url("/api/portraits"), params=query) as answer:
                report: dict[str, Any] = await answer.json()
            if report["ready"]:
                return report
            await asyncio.sleep(0.05)


class Client:
    """A client of ditto-container's WebRTC route."""

    def __init__(self, studio: Inside) -> None:
        self.studio = studio
        self.pc = RTCPeerConnection()
        self.pc.addTransceiver("video", direction="recvonly")
        self.pc.addTransceiver("audio", direction="recvonly")
        self.counts = {"video": 0, "audio": 0}
        self.ended = {"video": asyncio.Event(), "audio": asyncio.Event()}
        self.first = asyncio.Event()
        self.tasks: list[asyncio.Task[None]] = []
        self.pc.on("track", self._on_track)

    def _on_track(self, track: Any) -> None:
        self.tasks.append(asyncio.create_task(self._count(track)))

    async def _count(self, track: Any) -> None:
        with contextlib.suppress(Exception):
            while True:
                await track.recv()
                self.counts[track.kind] += 1
                self.first.set()
        self.ended[track.kind].set()

    async def offer(self, path: str = "/webrtc/offer", **body: Any) -> dict[str, Any]:
        """Post the offer and take the answer."""
        await self.pc.setLocalDescription(await self.pc.createOffer())
        whole = {"sdp": self.pc.localDescription.sdp, "type": self.pc.localDescription.type, **body}
        async with self.studio.client.post(self.studio.url(path), json=whole) as answer:
            reply: dict[str, Any] = await answer.json()
            assert answer.status == 200, reply
        await self.pc.setRemoteDescription(RTCSessionDescription(reply["sdp"], reply["type"]))
        return reply


@pytest.fixture
async def client(studio: Inside) -> AsyncIterator[Client]:
    one = Client(studio)
    yield one
    await one.pc.close()
    for task in one.tasks:
        task.cancel()


async def test_portrait_speaks_the_recording_and_leaves(
    studio: Inside, client: Client, sound: bytes, portrait: bytes
) -> None:
    paths = await uploaded(studio, sound, portrait)
    assert set(paths) == {"audio_path", "source_path"}
    await prepared(studio, paths["source_path"])
    began = time.monotonic()
    answer = await client.offer(
        **paths,
        engine="testcard",
        setup_kwargs={"sampling_timesteps": 10, "online_mode": True},
        run_kwargs={"frame_scale": 0.3, "chunk_config": [2, 3, 2], "chunk_sleep_s": 0.1},
    )
    assert answer["type"] == "answer" and "warnings" not in answer and time.monotonic() - began < 5
    assert answer["sdp"].count("a=sendonly") == 2
    async with asyncio.timeout(40):
        await client.first.wait()
        assert studio.app[HOST].capacity().taken == 1
        spoken = time.monotonic()
        assert await studio.is_empty(limit=25)
        assert time.monotonic() - spoken > SECONDS - 0.5, "in its own time"
    beats = client.counts["video"]
    assert beats >= 25 * SECONDS * 0.5, "a busy machine may lose pictures"
    assert client.counts["audio"] >= 1.5 * beats
    assert not studio.app[HOST]._visitors, "whoever never says goodbye is forgotten all the same"


async def test_candidates_may_come_by_patch(studio: Inside, client: Client, sound: bytes) -> None:
    """As the clients of ``/api/offer`` trickle: ``pc_id`` and a list of candidates, in Python's names."""
    paths = await uploaded(studio, sound)
    await client.pc.setLocalDescription(await client.pc.createOffer())
    kept, candidates, section = [], list[dict[str, Any]](), -1
    for line in client.pc.localDescription.sdp.splitlines():
        section += line.startswith("m=")
        if line.startswith("a=candidate:"):
            fields = {"candidate": line.removeprefix("a="), "sdp_mid": str(section), "sdp_mline_index": section}
            candidates.append(fields)
        elif line != "a=end-of-candidates":
            kept.append(line)
    body = {"sdp": "\r\n".join(kept) + "\r\n", "type": "offer", "audio_path": paths["audio_path"]}
    body |= {"source_path": "static/avatars/astronaut.png", "engine": "testcard"}
    async with studio.client.post(studio.url("/api/offer"), json=body) as answer:
        reply = await answer.json()
        assert answer.status == 200, reply
    await client.pc.setRemoteDescription(RTCSessionDescription(reply["sdp"], "answer"))
    patch = {"pc_id": reply["pc_id"], "candidates": candidates}
    async with studio.client.patch(studio.url("/api/offer"), json=patch) as answer:
        assert (answer.status, await answer.json()) == (200, {"status": "success"})
    async with asyncio.timeout(20):
        await client.first.wait()


async def test_other_doors_hold_a_conversation_without_recording(studio: Inside, client: Client) -> None:
    await client.offer("/offer")
    async with asyncio.timeout(20):
        await client.first.wait()
    await client.pc.close()
    assert await studio.is_empty()


async def test_values_out_of_range_are_moved_and_named(studio: Inside, client: Client, sound: bytes) -> None:
    paths = await uploaded(studio, sound)
    answer = await client.offer(
        audio_path=paths["audio_path"], source_path="static/avatars/astronaut.png", engine="testcard",
        setup_kwargs={"sampling_timesteps": 1000}, run_kwargs={"frame_scale": 7, "chunk_cfg": [0, 1, 2]},
    )  # fmt: skip
    assert [warning.split()[0] for warning in answer["warnings"]] == ["sampling_timesteps", "frame_scale", "chunksize"]


OFFER = {"sdp": "v=0\r\n", "type": "offer", "audio_path": "talk.wav", "source_path": "me.png"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"audio_path": None}, "audio_path"),
        ({"source_path": None}, "source_path"),
        ({"sdp": None}, "sdp"),
        ({"audio_path": "talk.exe"}, "ending in .wav"),
        ({"source_path": "me.gif"}, "ending in .png"),
        ({"audio_path": "/etc/passwd.wav"}, "no such file"),
        ({"audio_path": "../../secret.wav"}, "no such file"),
        ({"source_path": "/etc/shadow.png"}, "no such file"),
        ({"audio_path": 7}, "must be a text"),
        ({"run_kwargs": []}, "run_kwargs"),
        ({"engine": "nonsense"}, "engine"),
    ],
)
async def test_what_cannot_be_is_refused_with_a_sentence(
    studio: Inside, change: dict[str, Any], sentence: str, portrait: bytes
) -> None:
    source = (await uploaded(studio, portrait=portrait))["source_path"]
    body = {**OFFER, "source_path": source, "engine": "testcard", **change}
    async with studio.client.post(studio.url("/webrtc/offer"), json=body) as answer:
        assert answer.status == 400
        assert sentence in (await answer.json())["detail"]
    assert studio.app[HOST].capacity().taken == 0 and not studio.app[HOST]._visitors


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"1" * 5000])
async def test_bodies_that_are_no_json_are_refused(studio: Inside, body: bytes) -> None:
    for send in (studio.client.post, studio.client.patch):
        async with send(studio.url("/webrtc/offer"), data=body) as answer:
            assert answer.status == 400 and (await answer.json())["detail"]


async def test_offer_that_makes_no_sense_gives_its_seat_back(studio: Inside, sound: bytes, portrait: bytes) -> None:
    body = {**OFFER, **(await uploaded(studio, sound, portrait)), "engine": "testcard"}
    async with studio.client.post(studio.url("/webrtc/offer"), json=body) as answer:
        assert answer.status == 400 and "offer" in (await answer.json())["detail"]
    assert await studio.is_empty() and not studio.app[HOST]._visitors


async def test_recording_that_is_not_there_is_missed_before_the_portrait_is_prepared(
    studio: Inside, portrait: bytes
) -> None:
    released = threading.Event()
    studio.app[GUESTS]._worker.submit(released.wait)  # somebody else's portrait takes for ever
    try:
        source = (await uploaded(studio, portrait=portrait))["source_path"]
        body = {**OFFER, "source_path": source, "engine": "testcard", "audio_path": "uploads/nobody.wav"}
        body |= {"rtmp_url": "rtmp://127.0.0.1:1/live/key"}
        for path in ("/webrtc/offer", "/start_stream/a"):
            async with asyncio.timeout(5), studio.client.post(studio.url(path), json=body) as answer:
                assert answer.status == 400 and "no such file" in (await answer.json())["detail"]
    finally:
        released.set()


async def test_full_house_says_when_to_come_again(tmp_path: Path, counting_peers: None, sound: bytes) -> None:
    async with inside(spec_of(tmp_path, sessions=1)) as studio:
        paths = await uploaded(studio, sound) | {"source_path": "static/avatars/astronaut.png", "engine": "testcard"}
        clients = [Client(studio), Client(studio)]
        await clients[0].offer(**paths)
        await clients[1].pc.setLocalDescription(await clients[1].pc.createOffer())
        body = {"sdp": clients[1].pc.localDescription.sdp, "type": "offer", **paths}
        async with studio.client.post(studio.url("/webrtc/offer"), json=body) as answer:
            assert answer.status == 503 and answer.headers["Retry-After"]
            assert "seats" in (await answer.json())["detail"]
        for client in clients:
            await client.pc.close()


async def test_uploads_are_found_by_those_who_know_their_names(studio: Inside, sound: bytes, portrait: bytes) -> None:
    paths = await uploaded(studio, sound, portrait)
    assert all(path.startswith("uploads/") and "talk" not in path and "me" not in path[8:10] for path in paths.values())
    report = await prepared(studio, paths["source_path"])
    assert report["engine"] == "testcard" and report["done"] == 1.0 and report["reason"] == ""
    for path in ("/" + paths["source_path"], "/static/../" + paths["source_path"], "/api/portraits?source_path=x.png"):
        async with studio.client.get(studio.url(path)) as answer:
            assert answer.status == 404, "nobody can fetch what a visitor sent"
    async with studio.client.get(studio.url("/api/avatars")) as answer:
        assert "guest" not in await answer.text()


@pytest.mark.parametrize(
    ("field", "name", "content", "status", "sentence"),
    [
        ("audio", "a.wav", b"", 400, "empty"),
        ("audio", "a.wav", b"RIFF" + bytes(100), 400, "no sound"),
        ("audio", "a.exe", b"MZ", 400, "ending in .wav"),
        ("audio", "../../a.wav", b"\0" * 100, 400, "no sound"),
        ("source", "a.png", b"\x89PNG\r\n\x1a\n", 400, "cut off"),
        ("source", "a.svg", b"<svg/>", 400, "ending in .png"),
        ("source", "a.png", b"<svg onload=alert(1)>", 400, "called .png"),
        ("other", "a.png", b"x", 400, "audio and source"),
        ("audio", "a.wav", bytes(70_000), 413, "larger than"),
    ],
)
async def test_bad_uploads_are_refused_and_leave_nothing(
    tmp_path: Path, field: str, name: str, content: bytes, status: int, sentence: str
) -> None:
    spec = StudioSpec(CARDS, cache=tmp_path / "cache", limits=LimitsSpec(sound_bytes=65_536))
    async with inside(spec) as studio:
        form = aiohttp.FormData()
        form.add_field(field, content, filename=name)
        async with studio.client.post(studio.url("/upload"), data=form) as answer:
            assert answer.status == status, await answer.text()
            assert sentence in (await answer.json())["detail"]
        await soon(
            lambda: not [*(tmp_path / "cache" / "uploads").glob("*"), *(tmp_path / "cache" / "uploads").glob(".*")]
        )


async def test_upload_without_a_form_is_refused(studio: Inside) -> None:
    for kind, body in (
        ("application/json", b"{}"),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=x", b"y"),
    ):
        async with studio.client.post(studio.url("/upload"), data=body, headers={"Content-Type": kind}) as answer:
            assert answer.status == 400 and (await answer.json())["detail"]


async def test_half_an_upload_leaves_nothing(tmp_path: Path, sound: bytes) -> None:
    async with inside(StudioSpec(CARDS, cache=tmp_path / "cache")) as studio:
        _, writer = await asyncio.open_connection("127.0.0.1", studio.port)
        head = 'Content-Disposition: form-data; name="audio"; filename="a.wav"'
        body = f"--b\r\n{head}\r\n\r\n".encode() + sound[: len(sound) // 2]
        lines = ["POST /upload HTTP/1.1", "Host: 127.0.0.1", "Content-Type: multipart/form-data; boundary=b"]
        writer.write("\r\n".join([*lines, f"Content-Length: {len(sound) * 2}", "", ""]).encode() + body)
        await writer.drain()
        folder = tmp_path / "cache" / "uploads"
        async with asyncio.timeout(5):
            while not (folder.exists() and list(folder.iterdir())):  # noqa: ASYNC110 - a file sets no event
                await asyncio.sleep(0.01)
            writer.close()
            while list(folder.iterdir()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_portrait_without_a_face_says_what_to_do(tmp_path: Path, sound: bytes, portrait: bytes) -> None:
    """The real engine looks at it; its sentence reaches whoever offers, and whoever asks how it goes."""
    load_engine("portrait").close()  # here, not beside: Python 3.11's parser is not for two threads at once
    own = (AvatarSpec("ada", Path("/nowhere"), "Ada", "testcard"),)
    async with inside(StudioSpec(own, cache=tmp_path / "cache")) as studio:
        paths = await uploaded(studio, sound, portrait)
        query, report = {"source_path": paths["source_path"], "engine": "portrait"}, {"reason": ""}
        async with asyncio.timeout(60):
            while not report["reason"]:
                async with studio.client.get(studio.url("/api/portraits"), params=query) as answer:
                    report = await answer.json()
                await asyncio.sleep(0.05)
        body = {**OFFER, **paths, "engine": "portrait"}
        async with studio.client.post(studio.url("/webrtc/offer"), json=body) as answer:
            assert answer.status == 400
            detail = (await answer.json())["detail"]
        assert "face" in detail and report["reason"] == detail and not report["ready"]
        assert studio.app[GUESTS].first_id == "ada"
