"""Visits from offer to goodbye: real aiortc peers against the real web app, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiortc import VideoStreamTrack
from aiortc.rtcrtpreceiver import RTCRtpReceiver

from studio.spec import IceSpec, LimitsSpec
from studio.web import signaling
from studio.web.keys import HOST, LIBRARY
from tests.integration.conftest import House, soon

MDNS = "candidate:9 1 udp 2122260223 0b1c2d3e-4f5a-6789-abcd-ef0123456789.local 50001 typ host generation 0"
Open = Callable[..., contextlib.AbstractAsyncContextManager[House]]


async def test_visit_is_seen_and_heard_and_reported(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    assert await visitor.heard("state", connection="live", avatar_id="card")
    await visitor.heard("state", speaking=True)
    assert await soon(lambda: len(visitor.video) > 25 and len(visitor.audio) > 50) < 3
    stats = await visitor.heard("stats")
    assert set(stats) == {"type", "fps", "queue_depth", "beat_lateness_ms", "engine_ms", "dropped"}
    assert house.taken == 1 and house.count("studio_beats_total", kind="speech") > 0


@pytest.mark.parametrize("trickle", ["", "early", "late"])
async def test_candidates_are_used_whenever_they_come(house: House, trickle: str) -> None:
    visitor = house.visitor()
    await visitor.open()
    await visitor.offer(trickle=trickle)
    async with asyncio.timeout(5):
        await visitor.connected()
    await soon(lambda: visitor.video)


async def test_hidden_addresses_cost_no_time(house: House) -> None:
    visitor = house.visitor()
    await visitor.open()
    await visitor.send_candidates([(MDNS, 0)])
    began = time.monotonic()
    await visitor.offer(edit=lambda sdp: sdp.replace("a=candidate:", f"a={MDNS}\r\na=candidate:", 1))
    await visitor.send_candidates([(MDNS, 1)])
    await visitor.connected()
    assert time.monotonic() - began < 1.0


async def test_only_hidden_addresses_still_connect(house: House) -> None:
    visitor = house.visitor()
    await visitor.open()
    await visitor.offer(trickle="none", edit=lambda sdp: sdp + f"a={MDNS}\r\n")
    async with asyncio.timeout(5):
        await visitor.connected()
    await soon(lambda: visitor.video)


async def test_candidate_that_makes_no_sense_is_refused_and_the_visit_goes_on(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await visitor.send_candidates([("candidate:complete nonsense", 0)])
    error = await visitor.heard("error")
    assert error["code"] == "bad_message" and not error["fatal"]
    count = len(visitor.video)
    await soon(lambda: len(visitor.video) > count + 10)


async def test_camera_is_accepted_ignored_and_answered_with_the_avatar(house: House) -> None:
    visitor = house.visitor()
    visitor.camera = VideoStreamTrack()
    await visitor.connect()
    video = next(t for t in visitor.pc.getTransceivers() if t.kind == "video")
    assert video.currentDirection == "recvonly", "the studio asks the browser not to send what it would throw away"
    await soon(lambda: len(visitor.video) > 25 and len(visitor.audio) > 50)


@pytest.mark.parametrize("kind", ["audio", "video"])
async def test_offer_of_one_kind_is_served_with_it(house: House, kind: str) -> None:
    visitor = house.visitor()
    visitor.kinds = (kind,)
    await visitor.connect()
    other = visitor.audio if kind == "video" else visitor.video
    await soon(lambda: len(visitor.video if kind == "video" else visitor.audio) > 20)
    assert not other


async def test_visitor_without_microphone_sees_the_idle_loop(house: House) -> None:
    visitor = house.visitor(speaks=False)
    await visitor.connect()
    await soon(lambda: len(visitor.video) > 20 and len(visitor.audio) > 40)
    assert house.count("studio_beats_total", kind="speech") == 0


async def test_avatar_is_switched_live_on_the_same_peer(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await soon(lambda: len(visitor.video) > 10)
    await visitor.ws.send_json({"type": "select_avatar", "avatar_id": "other"})
    assert await visitor.heard("avatar_selected", avatar_id="other")
    assert await visitor.heard("state", connection="live", avatar_id="other")
    gap = len(visitor.video)
    await soon(lambda: len(visitor.video) > gap + 25)
    arrivals = visitor.video[gap - 1 :]
    assert max(b - a for a, b in itertools.pairwise(arrivals)) < 0.4
    assert house.taken == 1 and visitor.pc.connectionState == "connected"


async def test_switch_to_nobody_is_refused_and_the_visit_goes_on(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await visitor.ws.send_json({"type": "select_avatar", "avatar_id": "nobody"})
    assert (await visitor.heard("error"))["code"] == "avatar_not_found"
    assert house.taken == 1


async def test_interrupt_silences_within_200_ms(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await visitor.heard("state", speaking=True)
    await asyncio.sleep(0.5)
    began = time.monotonic()
    await visitor.ws.send_json({"type": "interrupt"})
    cut = await visitor.heard("interrupted")
    assert cut["spoken_ms"] > 0
    await visitor.heard("state", speaking=False, connection="live")
    assert time.monotonic() - began < 0.2


async def test_stop_and_offer_again_on_the_same_socket(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    for _ in range(2):
        await visitor.ws.send_json({"type": "stop"})
        await visitor.heard("stopped")
        assert house.taken == 0
        await visitor.pc.close()
        visitor.messages.clear()
        visitor.video.clear()
        await visitor.offer()
        await visitor.connected()
        await soon(lambda: len(visitor.video) > 10)
    assert house.taken == 1


async def test_second_offer_replaces_the_first(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    first = visitor.pc
    await visitor.offer()
    await visitor.connected()
    visitor.video.clear()
    await soon(lambda: len(visitor.video) > 10)
    assert house.taken == 1
    await first.close()


@pytest.mark.parametrize("name", ["VP8", "H264"])
async def test_offer_of_one_codec_is_answered_with_it(house: House, name: str) -> None:
    visitor = house.visitor()
    capabilities = RTCRtpReceiver.getCapabilities("video")
    assert capabilities is not None
    visitor.video_codecs = [codec for codec in capabilities.codecs if codec.mimeType == f"video/{name}"]
    await visitor.open()
    answer = await visitor.offer()
    assert f" {name}/90000" in answer["sdp"] and answer["sdp_type"] == "answer" and answer["session_id"]
    await visitor.connected()
    await soon(lambda: len(visitor.video) > 25)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda sdp: "garbage", "offer_invalid"),
        (lambda sdp: "v=0\r\n", "offer_invalid"),
        (lambda sdp: sdp.replace("a=ice-ufrag", "a=x").replace("a=ice-pwd", "a=y"), "offer_invalid"),
        (lambda sdp: sdp[: len(sdp) // 3], "offer_invalid"),
        (lambda sdp: sdp.replace("VP8/90000", "AV1/90000").replace("H264/90000", "AV1/90000"), "codec_unsupported"),
    ],
)
async def test_offer_that_cannot_be_answered_leaves_the_socket_usable(
    house: House, spoil: Callable[[str], str], code: str
) -> None:
    visitor = house.visitor()
    await visitor.open()
    with pytest.raises(ConnectionError, match=code):
        await visitor.offer(edit=spoil)
    assert house.taken == 0
    await visitor.pc.close()
    await visitor.offer()
    await visitor.connected()


async def test_unknown_avatar_is_refused(house: House) -> None:
    visitor = house.visitor("nobody")
    await visitor.open()
    with pytest.raises(ConnectionError, match="avatar_not_found"):
        await visitor.offer()


async def test_peer_that_never_connects_is_given_up(open_house: Open) -> None:
    async with open_house(ice=IceSpec(connect_limit=0.5)) as house:
        visitor = house.visitor()
        await visitor.open()
        await visitor.offer(edit=lambda sdp: sdp.replace("a=ice-pwd:", "a=ice-pwd:wrong"))
        assert house.taken == 1
        error = await visitor.heard("error", limit=3)
        assert error["code"] == "peer_timeout" and error["retryable"]
        await visitor.heard("state", connection="closed")
        assert house.taken == 0


async def test_house_that_is_full_says_so_until_somebody_leaves(open_house: Open) -> None:
    async with open_house(limits=LimitsSpec(sessions=1)) as house:
        first, second = house.visitor(), house.visitor()
        await first.connect()
        await second.open()
        with pytest.raises(ConnectionError, match="capacity"):
            await second.offer()
        await second.pc.close()
        await first.close()
        assert await soon(lambda: house.taken == 0) < 1
        await second.offer()
        await second.connected()


async def test_socket_that_breaks_frees_the_seat_within_a_second(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    transport: Any = visitor.ws._response.connection
    transport.transport.abort()
    assert await soon(lambda: house.taken == 0) < 1.0


async def test_peer_that_is_closed_frees_the_seat_and_keeps_the_socket(house: House) -> None:
    visitor = house.visitor()
    await visitor.connect()
    await visitor.heard("state", connection="live")
    await visitor.pc.close()
    await visitor.heard("state", connection="closed")
    assert house.taken == 0
    await visitor.ws.send_json({"type": "ping", "timestamp": 7})
    assert await visitor.heard("pong", timestamp=7)


async def test_socket_that_is_half_open_is_found_out(open_house: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signaling, "HEARTBEAT_SECONDS", 0.3)
    async with open_house() as house:
        visitor = house.visitor()
        visitor.answers_pings = False
        await visitor.connect()
        assert await soon(lambda: house.taken == 0, limit=3) < 2


async def test_engine_that_fails_tells_the_visitor_and_nobody_else(house: House) -> None:

    bad, good = house.visitor("card"), house.visitor("beeps", speaks=False)
    await good.connect()
    await bad.connect()
    session = next(v.session for v in house.app[HOST]._visitors.values() if v.session and v.session.avatar_id == "card")
    assert session is not None and house.app[LIBRARY]
    session._pipeline._seat.take = object()  # type: ignore[assignment]
    error = await bad.heard("error")
    assert error["code"] == "engine_failed" and error["fatal"]
    await soon(lambda: house.taken == 1)
    count = len(good.video)
    await soon(lambda: len(good.video) > count + 25)


async def test_many_visits_at_once_leave_nothing(house: House) -> None:
    visitors = [house.visitor() for _ in range(4)]
    await asyncio.gather(*(visitor.connect() for visitor in visitors))
    await soon(lambda: all(len(visitor.video) > 10 for visitor in visitors))
    await asyncio.gather(*(visitor.close() for visitor in visitors))
    assert await soon(lambda: house.taken == 0) < 1


async def test_studio_that_closes_ends_running_visits(open_house: Open) -> None:
    async with open_house() as house:
        visitor = house.visitor()
        await visitor.connect()
        await soon(lambda: visitor.video)
        began = time.monotonic()
    assert time.monotonic() - began < 3
