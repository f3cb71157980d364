"""The conversation of wire contract A over a real socket, first as the MuseTalk WebRTC demo's page holds it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack

from tests.inside import Inside, heard, inside, spec_of


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None) -> AsyncIterator[Inside]:
    async with inside(spec_of(tmp_path, sessions=2)) as one:
        yield one


@contextlib.asynccontextmanager
async def page_peer(camera: bool = True) -> AsyncIterator[RTCPeerConnection]:
    """A browser's peer with microphone and camera, closed at the end."""
    pc = RTCPeerConnection()
    pc.addTrack(AudioStreamTrack())
    if camera:
        pc.addTrack(VideoStreamTrack())
    else:
        pc.addTransceiver("video", direction="recvonly")
    try:
        yield pc
    finally:
        await pc.close()


async def offered(pc: RTCPeerConnection) -> tuple[str, list[dict[str, Any]]]:
    """Return the offer without candidates, and these as ``RTCIceCandidate.toJSON()`` writes them."""
    await pc.setLocalDescription(await pc.createOffer())
    kept, candidates, mid = [], list[dict[str, Any]](), -1
    for line in pc.localDescription.sdp.split("\r\n"):
        mid += line.startswith("m=")
        if line.startswith("a=candidate:"):
            fields = {"sdpMid": str(mid), "sdpMLineIndex": mid, "usernameFragment": None}
            candidates.append({"candidate": line.removeprefix("a="), **fields})
        elif line != "a=end-of-candidates":
            kept.append(line)
    return "\r\n".join(kept), candidates


async def connected(pc: RTCPeerConnection, limit: float = 10.0) -> None:
    """Wait until media can flow."""
    changed = asyncio.Event()
    pc.on("connectionstatechange", changed.set)
    async with asyncio.timeout(limit):
        while pc.connectionState != "connected":
            await changed.wait()
            changed.clear()


async def first_picture(pc: RTCPeerConnection, limit: float = 10.0) -> None:
    """Wait until something has arrived on the video track."""
    (track,) = (one.receiver.track for one in pc.getTransceivers() if one.kind == "video")
    await asyncio.wait_for(track.recv(), limit)


async def test_page_of_the_musetalk_demo_works_unmodified(studio: Inside) -> None:
    """get_avatars -> select_avatar -> offer with microphone and camera -> ice_candidate; it reads ``answer.sdp``."""
    async with studio.socket() as socket, page_peer() as pc:
        await socket.send_json({"type": "get_avatars"})
        gallery = (await heard(socket, "avatars"))["avatars"]
        assert [{"id", "name", "video_path"} <= set(card) for card in gallery] == [True, True]
        await socket.send_json({"type": "select_avatar", "avatar_id": gallery[1]["id"]})
        assert (await heard(socket, "avatar_selected"))["avatar_id"] == gallery[1]["id"]
        sdp, candidates = await offered(pc)
        assert sdp.count("a=sendrecv") == 2
        await socket.send_json({"type": "offer", "sdp": sdp, "avatar_id": gallery[1]["id"]})
        for candidate in candidates:
            await socket.send_json({"type": "ice_candidate", "candidate": candidate})
        answer = await heard(socket, "answer")
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await connected(pc)
        await first_picture(pc)
        state = await heard(socket, "state")
        assert state["avatar_id"] == gallery[1]["id"]
    assert await studio.is_empty(1.0)


async def talk(socket: aiohttp.ClientWebSocketResponse, pc: RTCPeerConnection) -> dict[str, Any]:
    """Offer, connect, and return the answer."""
    sdp, candidates = await offered(pc)
    await socket.send_json({"type": "offer", "sdp": sdp})
    for candidate in candidates:
        await socket.send_json({"type": "ice_candidate", "candidate": candidate})
    answer = await heard(socket, "answer")
    await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
    await connected(pc)
    return answer


async def test_candidates_that_come_before_the_offer_are_used(studio: Inside) -> None:
    async with studio.socket() as socket, page_peer(camera=False) as pc:
        sdp, candidates = await offered(pc)
        for candidate in candidates:
            await socket.send_json({"type": "ice_candidate", "candidate": candidate})
        await socket.send_json({"type": "ice_candidate", "candidate": None})
        await socket.send_json({"type": "ice_candidate", "candidate": {"candidate": "", "sdpMid": "0"}})
        await socket.send_json({"type": "offer", "sdp": sdp})
        answer = await heard(socket, "answer")
        assert answer["sdp_type"] == "answer"
        assert answer["session_id"]
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await connected(pc)


async def test_hidden_addresses_cost_no_time(studio: Inside) -> None:
    """A page without camera permission names only ``.local`` addresses; resolving them would take over a second."""
    async with studio.socket() as socket, page_peer(camera=False) as pc:
        sdp, _ = await offered(pc)
        hidden = "a=candidate:1 1 udp 2113937151 0b1c-4f.local 46154 typ host generation 0 network-cost 999"
        began = time.monotonic()
        await socket.send_json({"type": "offer", "sdp": sdp.replace("a=mid:0\r\n", f"a=mid:0\r\n{hidden}\r\n")})
        answer = await heard(socket, "answer")
        assert time.monotonic() - began < 0.9
        await pc.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))
        await connected(pc)


async def test_stop_frees_the_seat_and_the_socket_takes_another_offer(studio: Inside) -> None:
    async with studio.socket() as socket:
        async with page_peer(camera=False) as pc:
            await talk(socket, pc)
            await socket.send_json({"type": "stop"})
            await heard(socket, "stopped")
            assert await studio.is_empty(0.0)
        async with page_peer(camera=False) as pc:
            await talk(socket, pc)
            await first_picture(pc)


async def test_offer_with_an_option_that_is_refused_is_answered_and_the_next_one_is_served(studio: Inside) -> None:
    async with studio.socket() as socket, page_peer(camera=False) as pc:
        sdp, _ = await offered(pc)
        await socket.send_json({"type": "offer", "sdp": sdp, "avatar_id": "ada", "options": {"volume": 3}})
        error = await heard(socket, "error", "state")
        assert (error["code"], "volume" in error["message"]) == ("bad_message", True)
        assert await studio.is_empty(0.0)
        await talk(socket, pc)
        await first_picture(pc)


async def test_avatar_switches_live_on_the_same_peer(studio: Inside) -> None:
    async with studio.socket() as socket, page_peer(camera=False) as pc:
        await talk(socket, pc)
        await socket.send_json({"type": "select_avatar", "avatar_id": "bob"})
        assert (await heard(socket, "avatar_selected"))["avatar_id"] == "bob"
        async with asyncio.timeout(5):
            while (await heard(socket, "state"))["avatar_id"] != "bob":
                pass
        assert pc.connectionState == "connected"
        await first_picture(pc)


async def test_state_and_stats_come_unasked(studio: Inside) -> None:
    async with studio.socket() as socket, page_peer(camera=False) as pc:
        await talk(socket, pc)
        stats = await heard(socket, "stats")
        assert set(stats) == {"type", "fps", "queue_depth", "beat_lateness_ms", "engine_ms", "dropped"}


async def test_third_visitor_of_two_seats_is_refused_in_words(studio: Inside) -> None:
    async with (
        studio.socket() as one, studio.socket() as two, studio.socket() as three,
        page_peer(camera=False) as a, page_peer(camera=False) as b, page_peer(camera=False) as c,
    ):  # fmt: skip
        await talk(one, a)
        await talk(two, b)
        sdp, _ = await offered(c)
        await three.send_json({"type": "offer", "sdp": sdp})
        refusal = await heard(three, "error")
        assert (refusal["code"], refusal["fatal"], refusal["retryable"]) == ("capacity", False, True)
        assert refusal["message"] == "All seats are taken. Please try again shortly."
        await one.send_json({"type": "stop"})
        await heard(one, "stopped")
        await three.send_json({"type": "offer", "sdp": sdp})
        await heard(three, "answer")


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        ({"type": "select_avatar", "avatar_id": "nobody"}, "error", "avatar_not_found"),
        ({"type": "offer", "sdp": "v=0\r\n"}, "error", "offer_invalid"),
        ({"type": "offer", "sdp": "v=0\r\n", "avatar_id": "nobody"}, "error", "avatar_not_found"),
        ({"type": "offer"}, "error", "bad_message"),
        ({"type": "dance"}, "error", "unknown_type"),
        ({"type": "interrupt"}, "interrupted", None),
        ({"type": "stop"}, "stopped", None),
        ({"type": "ping", "timestamp": 12.5}, "pong", None),
        ({"type": "ping"}, "pong", None),
    ],
)
async def test_message_gets_its_answer(studio: Inside, message: dict[str, Any], kind: str, code: str | None) -> None:
    async with studio.socket() as socket:
        await socket.send_json(message)
        body = await heard(socket, kind, "error")
        assert (body["type"], body.get("code")) == (kind, code)
        if kind == "pong":
            assert body["timestamp"] == message.get("timestamp")


async def test_offers_of_sound_or_picture_alone_are_served(studio: Inside) -> None:
    for kind in ("audio", "video"):
        async with studio.socket() as socket:
            pc = RTCPeerConnection()
            pc.addTransceiver(kind, direction="recvonly")
            answer = await talk(socket, pc)
            assert answer["sdp"].count("m=") == 1
            await pc.close()
        assert await studio.is_empty(1.0)


async def test_closed_socket_frees_the_seat_within_a_second(studio: Inside) -> None:
    async with page_peer(camera=False) as pc:
        async with studio.socket() as socket:
            await talk(socket, pc)
            assert not await studio.is_empty(0.0)
        began = time.monotonic()
        assert await studio.is_empty(2.0)
        assert time.monotonic() - began < 1.0


async def test_flood_is_answered_with_rate_limited_and_passes(tmp_path: Path) -> None:
    async with inside(spec_of(tmp_path, messages_per_second=10)) as studio, studio.socket() as socket:
        for n in range(70):
            await socket.send_json({"type": "ping", "timestamp": n})
        kinds = [(await heard(socket, "pong", "error")).get("code", "pong") for _ in range(70)]
        assert kinds.count("rate_limited") >= 15
        assert kinds[:50] == ["pong"] * 50
        await asyncio.sleep(0.3)
        await socket.send_json({"type": "ping"})
        await heard(socket, "pong")


async def test_message_far_over_the_limit_closes_the_socket(studio: Inside) -> None:
    async with studio.socket() as socket:
        with contextlib.suppress(ConnectionError):  # it may close while we are still sending
            await socket.send_str("x" * 5_000_000)
        message = await asyncio.wait_for(socket.receive(), 5)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
