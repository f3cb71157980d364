"""Wire contract E, WHEP: many viewers over plain HTTP, one render and one encode."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from studio.beat import FPS
from studio.broadcast import JOIN_GAP, LOSS_GAP
from studio.encode import StudioH264Encoder, StudioOpusEncoder, StudioVp8Encoder
from studio.spec import IceSpec, StudioSpec
from studio.web.keys import HOST, STATS
from studio.web.whep import VIEWERS
from tests.fakes import speech
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import nothing_left, soon
from tests.reader import Client, Refused, decoded, fragment, reader
from tests.unit.test_recording import wav

Opened = Callable[..., contextlib.AbstractAsyncContextManager[Inside]]


@pytest.fixture
async def open_studio(tmp_path: Path, counting_peers: None) -> Opened:
    """Return a context that runs a studio and finds out what it leaves behind."""

    @contextlib.asynccontextmanager
    async def opened(
        change: Callable[[StudioSpec], StudioSpec] = lambda spec: spec, **limits: Any
    ) -> AsyncIterator[Inside]:
        spec = change(spec_of(tmp_path, **{"sessions": 2, **limits}))
        async with nothing_left(), inside(spec) as one:
            yield one

    return opened


@pytest.fixture
async def studio(open_studio: Opened) -> AsyncIterator[Inside]:
    async with open_studio() as one:
        yield one


def viewer(studio: Inside, avatar_id: str = "ada", *codecs: str) -> Client:
    return reader(studio.client, studio.url(f"/whep/{avatar_id}"), *codecs)


async def leave(*viewers: Client) -> None:
    await asyncio.gather(*(one.close() for one in viewers))


def is_keyframe(vp8: bytes) -> bool:
    """Read the first bit of a VP8 frame (RFC 6386, 9.1)."""
    return not vp8[0] & 1


async def test_page_asks_offers_trickles_watches_and_leaves(studio: Inside) -> None:
    one = viewer(studio)
    assert await one.options() == []
    await one.open()
    assert one.place.startswith(studio.url("/whep/sessions/")) and len(one.tag) > 8 and one.tag[0] == one.tag[-1] == '"'
    pictures, sounds = await one.received("video", 10), await one.received("audio", 20)
    assert decoded("vp8", pictures[0][2]).shape == (512, 512, 3)
    assert [b[1] - a[1] for a, b in itertools.pairwise(pictures[:9])] == [3600] * 8
    assert {b[1] - a[1] for a, b in itertools.pairwise(sounds)} == {960}
    assert await one.delete() == 200 and await one.delete() == 404
    await leave(one)


def with_rare_codecs(sdp: str) -> str:
    """Add what MediaMTX's page adds to a browser's offer: codecs that browsers play and do not say so, and stereo."""
    head, *sections = re.split(r"^(?=m=)", sdp, flags=re.MULTILINE)
    for number, section in enumerate(sections):
        if section.startswith("m=audio"):
            first, rest = section.split("\r\n", 1)
            names = {118: "PCMU/8000/2", 119: "PCMA/8000/2", 120: "multiopus/48000/6", 121: "L16/48000/2"}
            more = "".join(
                f"a=rtpmap:{kind} {name}\r\na=rtcp-fb:{kind} transport-cc\r\n" for kind, name in names.items()
            )
            more += "a=fmtp:120 channel_mapping=0,4,1,2,3,5;num_streams=4;coupled_streams=2\r\n"
            more += "a=fmtp:96 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n"
            sections[number] = f"{first} 118 119 120 121\r\n{rest}{more}"
    return head + "".join(sections)


async def test_offer_with_rare_codecs_gets_the_usual_ones(studio: Inside) -> None:
    one = viewer(studio)
    await one.open(edit=with_rare_codecs)
    assert "opus/48000/2" in one.pc.remoteDescription.sdp and "L16" not in one.pc.remoteDescription.sdp
    assert len(await one.received("audio", 10)) >= 10
    await leave(one)


async def test_one_address_leaves_places_to_others(open_studio: Opened) -> None:
    async with open_studio(sockets_per_address=1) as studio:
        one = viewer(studio)
        await one.pc.setLocalDescription(await one.pc.createOffer())
        offer, headers = one.pc.localDescription.sdp.encode(), {"Content-Type": "application/sdp"}
        for address, status in (("192.0.2.1", 201), ("192.0.2.1", 429), ("192.0.2.2", 201)):
            told = headers | {"X-Forwarded-For": address}
            async with studio.client.post(studio.url("/whep/ada"), data=offer, headers=told) as answer:
                assert answer.status == status
        await leave(one)


async def test_eight_viewers_cost_one_render_and_one_encode(studio: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    for kind in (StudioVp8Encoder, StudioH264Encoder, StudioOpusEncoder):
        count_encodes(kind, made, monkeypatch)
    viewers = [viewer(studio) for _ in range(7)] + [viewer(studio, "ada", "H264")]
    await asyncio.gather(*(one.open() for one in viewers))
    await asyncio.gather(*(one.received("video", 15) for one in viewers))
    slots = studio.app[STATS].value("studio_beats_total", kind="idle")
    assert {kind: made.count(kind) <= times * slots for kind, times in ENCODES.items()} == dict.fromkeys(ENCODES, True)
    assert studio.app[HOST].capacity().taken == 1 and len(studio.app[VIEWERS].lines) == 8
    seen = [{data for _, _, data in one.items["video"]} for one in viewers[:7]]
    assert len(set.intersection(*seen)) > 5, "all get the very same bytes"
    assert decoded("h264", viewers[7].items["video"][0][2]).shape == (512, 512, 3)
    await leave(*viewers[:7])
    broadcast = studio.app[VIEWERS].broadcast("ada")
    assert broadcast is not None
    await soon(lambda: set(broadcast.codecs) == {"video/h264", "audio/opus"})
    await leave(viewers[7])


ENCODES = {"StudioVp8Encoder": 1, "StudioH264Encoder": 1, "StudioOpusEncoder": 2}
"""Per slot of 40 ms."""


def count_encodes(kind: Any, made: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    before = kind.encode

    def encode(self: object, *given: object) -> object:
        made.append(kind.__name__)
        return before(self, *given)

    monkeypatch.setattr(kind, "encode", encode)


async def test_late_viewer_sees_a_whole_picture_at_once(studio: Inside) -> None:
    first = viewer(studio)
    await first.open()
    await first.received("video", 30)
    late = viewer(studio)
    await late.open()
    seen = len(first.items["video"])
    picture = (await late.received("video", 1))[0][2]
    await soon(lambda: picture in pictures_of(first))
    assert pictures_of(first).index(picture) - seen <= JOIN_GAP * FPS + 5, "a few more are on their way"
    assert is_keyframe(picture) and decoded("vp8", picture).std() > 10
    await leave(first, late)


def pictures_of(viewer: Client) -> list[bytes]:
    return [data for _, _, data in viewer.items["video"]]


async def test_storm_of_lost_pictures_makes_few_keyframes(studio: Inside) -> None:
    calm, lossy = viewer(studio), viewer(studio)
    await asyncio.gather(calm.open(), lossy.open())
    await calm.received("video", 25)
    receiver = lossy.pc.getTransceivers()[0].receiver
    (source,) = receiver.getSynchronizationSources()
    before, began = len(calm.items["video"]), time.monotonic()
    while time.monotonic() - began < 2.5 * LOSS_GAP:
        await receiver._send_rtcp_pli(source.source)
        await asyncio.sleep(0.02)
    keyframes = sum(is_keyframe(data) for _, _, data in calm.items["video"][before:])
    assert 1 <= keyframes <= 3
    await leave(calm, lossy)


async def test_broadcast_ends_when_nobody_has_watched_for_a_while(studio: Inside) -> None:
    studio.app[VIEWERS]._grace = 0.5
    one = viewer(studio)
    await one.open()
    (session_id,) = studio.app[HOST].sessions()
    await one.delete()
    await leave(one)
    other = viewer(studio)
    await other.open()
    assert list(studio.app[HOST].sessions()) == [session_id], "who comes back in time finds the same"
    await other.close()
    assert 0.3 < await soon(lambda: not studio.app[HOST].sessions()) < 2.0
    assert studio.app[VIEWERS].broadcast("ada") is None


async def test_half_open_viewers_are_forgotten(open_studio: Opened) -> None:
    async with open_studio(lambda spec: dataclasses.replace(spec, ice=IceSpec(connect_limit=0.5))) as studio:
        viewers = [viewer(studio) for _ in range(5)]
        for one in viewers:
            await one.pc.setLocalDescription(await one.pc.createOffer())
            await one.post(
                "\r\n".join(line for line in one.pc.localDescription.sdp.splitlines() if "candidate" not in line)
            )
        assert len(studio.app[VIEWERS].lines) == 5 and studio.app[HOST].capacity().taken == 1
        await soon(lambda: not studio.app[HOST].capacity().taken and not len(studio.app[VIEWERS].lines), limit=3)
        assert await viewers[0].delete() == 404
        await leave(*viewers)


async def test_too_many_viewers_and_too_many_broadcasts_are_refused_in_words(open_studio: Opened) -> None:
    async with open_studio(sessions=1, viewers=2) as studio:
        viewers = [viewer(studio), viewer(studio, "bob"), viewer(studio), viewer(studio)]
        await viewers[0].open()
        with pytest.raises(Refused, match=r"503.*seats"):
            await viewers[1].open()
        await viewers[2].open()
        with pytest.raises(Refused, match=r"503.*As many are connected"):
            await viewers[3].open()
        await leave(*viewers)


async def test_end_of_the_session_ends_it_for_its_viewers(studio: Inside) -> None:
    viewers = [viewer(studio), viewer(studio)]
    await asyncio.gather(*(one.open() for one in viewers))
    (session_id,) = studio.app[HOST].sessions()
    await studio.app[HOST].close(session_id)
    await soon(lambda: not len(studio.app[VIEWERS].lines))
    await soon(lambda: all(one.pc.connectionState == "closed" for one in viewers))
    again = viewer(studio)
    await again.open()
    assert session_id not in studio.app[HOST].sessions()
    await leave(*viewers, again)


async def test_whoever_knows_the_session_speaks_to_all_viewers(studio: Inside, tmp_path: Path) -> None:
    one = viewer(studio)
    await one.open()
    async with studio.client.get(studio.url("/api/sessions")) as answer:
        ((session_id, avatar_id),) = [(row["id"], row["avatar_id"]) for row in (await answer.json())["sessions"]]
    assert avatar_id == "ada"
    quiet = max(len(data) for _, _, data in await one.received("audio", 5))
    form = aiohttp.FormData()
    form.add_field("audio", wav(tmp_path / "talk.wav", speech(1.0)).read_bytes(), filename="talk.wav")
    async with studio.client.post(studio.url(f"/api/sessions/{session_id}/say"), data=form) as answer:
        assert answer.status == 202
    await soon(lambda: studio.app[STATS].value("studio_beats_total", kind="speech") >= 10)
    await soon(lambda: max(len(data) for _, _, data in one.items["audio"]) > 2 * quiet)
    await leave(one)


async def test_other_sites_pages_may_watch_where_they_are_configured(open_studio: Opened) -> None:
    page = "https://shop.example"
    turn = IceSpec(
        stun=("stun:127.0.0.1:9",), turn=("turn:127.0.0.1:9?transport=udp",), turn_secret="s", gather_limit=0.05
    )

    def configured(spec: StudioSpec) -> StudioSpec:
        return dataclasses.replace(spec, server=dataclasses.replace(spec.server, origins=(page,)), ice=turn)

    async with open_studio(configured) as studio:
        asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "if-match"}
        for place in ("/whep/ada", "/whep/sessions/x", "/whip/x"):
            async with studio.client.options(studio.url(place), headers=asked) as answer:
                assert answer.status == 204 and answer.headers["Access-Control-Allow-Origin"] == page
                assert {"Authorization", "Content-Type", "If-Match"} <= words(answer, "Access-Control-Allow-Headers")
                assert {"OPTIONS", "POST", "PATCH", "DELETE"} <= words(answer, "Access-Control-Allow-Methods")
                assert {"ETag", "Link", "Location"} <= words(answer, "Access-Control-Expose-Headers")
        links = await viewer(studio).options()
        assert links[0] == '<stun:127.0.0.1:9>; rel="ice-server"'
        assert links[1].startswith('<turn:127.0.0.1:9?transport=udp>; rel="ice-server"; username="')
        assert '"; credential="' in links[1] and links[1].endswith('"; credential-type="password"')
        headers = {"Content-Type": "application/sdp", "Origin": page}
        async with studio.client.post(studio.url("/whep/nobody"), data=b"v=0", headers=headers) as answer:
            assert answer.status == 404 and answer.headers["Access-Control-Allow-Origin"] == page
        headers["Origin"] = "https://evil.example"
        async with studio.client.post(studio.url("/whep/ada"), data=b"v=0", headers=headers) as answer:
            assert answer.status == 403 and "Access-Control-Allow-Origin" not in answer.headers


def words(answer: aiohttp.ClientResponse, header: str) -> set[str]:
    return set(answer.headers[header].split(", "))


async def test_candidates_need_the_tag_of_their_own_session(studio: Inside) -> None:
    one = viewer(studio)
    await one.open()
    assert await one.patch("a=end-of-candidates", one.tag) == 204
    assert await one.patch("a=end-of-candidates", f'"other", {one.tag}') == 204
    assert await one.patch("a=end-of-candidates", None) == 428
    assert await one.patch("a=end-of-candidates", '"other"') == 412
    assert await one.patch("a=ice-ufrag:anew\r\na=ice-pwd:anew", "*") == 422, "aiortc cannot restart ICE"
    assert await one.patch("a=end-of-candidates", "*", "application/json") == 415
    one.place += "x"
    assert await one.patch("a=end-of-candidates", "*") == 404
    await leave(one)


async def test_ten_thousand_candidates_are_refused(studio: Inside) -> None:
    one = viewer(studio)
    await one.open()
    line = "candidate:1 1 udp 1 127.0.0.1 9 typ host"
    sdp = one.pc.localDescription.sdp
    assert await one.patch(fragment(sdp, [(line, 0)] * 10_000), "*") == 413
    assert await one.patch(fragment(sdp, [(line, 0)] * 200), "*") == 400
    statuses = [await one.patch(fragment(sdp, [(f"candidate:1 1 udp 1 127.0.0.1 {port} typ host", 0)]), "*")
                for port in range(9000, 9000 + 130)]  # fmt: skip
    assert statuses[0] == 204 and statuses[-1] == 400
    other = viewer(studio)
    await other.pc.setLocalDescription(await other.pc.createOffer())
    many = "".join(f"a={line.replace(' 9 ', f' {port} ')}\r\n" for port in range(1_000, 1_800))
    with pytest.raises(Refused, match="candidates"):
        await other.post(other.pc.localDescription.sdp[:-2] + "\r\n" + many)
    assert len(await one.received("video", 5)) >= 5, "whoever watches is not disturbed"
    await leave(one, other)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"v=0", 400),
        (b"\xff\xfe\x00", 400),
        (
            b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n",
            400,
        ),
        (b"m=audio x y z\r\n" * 500, 400),
        (b"v" * 100_001, 413),
        (b"v" * 1_100_000, 413),
    ],
)
async def test_nonsense_is_refused_in_words_and_takes_no_seat(studio: Inside, body: bytes, status: int) -> None:
    studio.app[VIEWERS]._grace = 0.0
    headers = {"Content-Type": "application/sdp"}
    async with studio.client.post(studio.url("/whep/ada"), data=io.BytesIO(body), headers=headers) as got:
        assert got.status == status
        assert (await got.json())["error"]["message"].endswith(".")
    assert await studio.is_empty() and not len(studio.app[VIEWERS].lines)


async def test_offer_that_receives_nothing_is_refused(studio: Inside) -> None:
    one = Client(studio.client, studio.url("/whep/ada"))
    for kind in ("audio", "video"):
        one.pc.addTransceiver(kind, direction="sendonly")
    with pytest.raises(Refused, match="400"):
        await one.open()
    await leave(one)


async def test_only_the_methods_of_the_protocol_are_answered(studio: Inside) -> None:
    for method in ("GET", "PUT", "HEAD"):
        async with studio.client.request(method, studio.url("/whep/ada")) as answer:
            assert answer.status == 405
    async with studio.client.post(studio.url("/whep/ada"), json={"sdp": ""}) as answer:
        assert answer.status == 415
