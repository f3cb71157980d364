"""Wire contract E, WHIP: a microphone from outside speaks in a session that goes on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import re
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiortc import VideoStreamTrack

from studio.spec import IceSpec
from studio.web.keys import HOST, STATS
from studio.web.whep import SPEAKERS
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import nothing_left, soon
from tests.reader import Client, Refused, capabilities, reader
from tests.visitor import SpeechTrack


@contextlib.asynccontextmanager
async def watched(folder: Path, connect_limit: float = 20.0) -> AsyncIterator[tuple[Inside, str]]:
    """Run a studio with a session that goes on, a watched broadcast; yield both."""
    spec = dataclasses.replace(spec_of(folder, sessions=2), ice=IceSpec(connect_limit=connect_limit))
    async with nothing_left(), inside(spec) as studio:
        viewer = reader(studio.client, studio.url("/whep/ada"))
        await viewer.open()
        (session_id,) = studio.app[HOST].sessions()
        yield studio, studio.url(f"/whip/{session_id}")
        await viewer.close()


def writer(studio: Inside, url: str, packets: list[bytes]) -> Client:
    """Return a client that sends what OBS sends: Opus and H.264."""
    client = Client(studio.client, url)
    client.pc.addTransceiver(SpeechTrack(packets), direction="sendonly")
    picture = client.pc.addTransceiver(VideoStreamTrack(), direction="sendonly")
    picture.setCodecPreferences(capabilities(("H264",)))
    return client


def spoken(studio: Inside) -> float:
    return studio.app[STATS].value("studio_beats_total", kind="speech")


async def test_obs_speaks_and_its_picture_is_declined(
    tmp_path: Path, counting_peers: None, packets: list[bytes]
) -> None:
    async with watched(tmp_path) as (studio, url):
        obs = writer(studio, url, packets)
        await obs.open(trickles=False)
        assert re.search(r"/whip/sessions/[\w-]{24}$", obs.place) and obs.headers["ETag"]
        answer = obs.pc.remoteDescription.sdp
        assert answer.index("a=recvonly") < answer.index("m=video") < answer.index("a=inactive")
        await soon(lambda: spoken(studio) >= 20)
        assert not any("inbound" in one.type for one in (await obs.pc.getStats()).values() if one.type == "video")
        assert await obs.delete() == 200
        await obs.close()
        assert not len(studio.app[SPEAKERS].lines)


async def test_one_microphone_has_the_floor_at_a_time(
    tmp_path: Path, counting_peers: None, packets: list[bytes]
) -> None:
    async with watched(tmp_path) as (studio, url):
        first, second, third = (writer(studio, url, packets) for _ in range(3))
        await first.open()
        with pytest.raises(Refused, match=r"400.*Another agent speaks"):
            await second.open()
        session_id = url.rpartition("/")[2]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="400"):
            await studio.client.ws_connect(studio.url(f"/api/sessions/{session_id}/audio"))
        await first.delete()
        await third.open()
        before = spoken(studio)
        await soon(lambda: spoken(studio) > before + 10)
        await asyncio.gather(*(one.close() for one in (first, second, third)))


async def test_end_of_the_session_hangs_up(tmp_path: Path, counting_peers: None, packets: list[bytes]) -> None:
    async with watched(tmp_path) as (studio, url):
        obs = writer(studio, url, packets)
        await obs.open()
        await studio.app[HOST].close(url.rpartition("/")[2])
        await soon(lambda: not len(studio.app[SPEAKERS].lines))
        await soon(lambda: obs.pc.connectionState == "closed")
        late = writer(studio, url, packets)
        with pytest.raises(Refused, match="404"):
            await late.open()
        await asyncio.gather(obs.close(), late.close())


async def test_microphone_that_never_connects_gives_the_floor_back(
    tmp_path: Path, counting_peers: None, packets: list[bytes]
) -> None:
    async with watched(tmp_path, connect_limit=1.0) as (studio, url):
        lost, late = writer(studio, url, packets), writer(studio, url, packets)
        await lost.pc.setLocalDescription(await lost.pc.createOffer())
        lines = [line for line in lost.pc.localDescription.sdp.splitlines() if "candidate" not in line]
        await lost.post("\r\n".join(lines) + "\r\n")
        await soon(lambda: not len(studio.app[SPEAKERS].lines))
        await late.open()
        await soon(lambda: spoken(studio) >= 5)
        await asyncio.gather(lost.close(), late.close())


OBS_OFFER = """\
v=0
o=rtc 1469353117 0 IN IP4 127.0.0.1
s=-
t=0 0
a=group:BUNDLE 0 1
a=group:LS 0 1
a=msid-semantic:WMS *
a=setup:actpass
a=ice-ufrag:Kx9f
a=ice-pwd:0123456789abcdefghijkl
a=ice-options:ice2,trickle
a=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08
m=audio 61234 UDP/TLS/RTP/SAVPF 111
c=IN IP4 127.0.0.1
a=mid:0
a=sendonly
a=ssrc:1001 cname:qaRz
a=ssrc:1001 msid:stream stream-audio
a=msid:stream stream-audio
a=rtcp-mux
a=rtpmap:111 opus/48000/2
a=fmtp:111 minptime=10;maxaveragebitrate=96000;stereo=1;sprop-stereo=1;useinbandfec=1
a=candidate:1 1 UDP 2122317823 127.0.0.1 61234 typ host
a=end-of-candidates
m=video 61234 UDP/TLS/RTP/SAVPF 96
c=IN IP4 127.0.0.1
a=mid:1
a=sendonly
a=ssrc:1002 cname:qaRz
a=ssrc:1002 msid:stream stream-video
a=msid:stream stream-video
a=rtcp-mux
a=rtpmap:96 H264/90000
a=rtcp-fb:96 nack
a=rtcp-fb:96 nack pli
a=rtcp-fb:96 goog-remb
a=fmtp:96 profile-level-id=42e01f;packetization-mode=1;level-asymmetry-allowed=1
""".replace("\n", "\r\n")
"""In the manner of libdatachannel, on which OBS rests: what can be is said once for the whole session."""


@pytest.mark.parametrize("codec", ["H264/90000", "AV1/90000", "H265/90000"])
async def test_offer_in_the_manner_of_obs_is_answered(tmp_path: Path, counting_peers: None, codec: str) -> None:
    async with watched(tmp_path) as (studio, url):
        obs = Client(studio.client, url)
        answer = await obs.post(OBS_OFFER.replace("H264/90000", codec))
        sound, picture = answer.split("m=video")
        assert "a=recvonly" in sound and " opus/48000" in sound and "a=inactive" in picture
        assert await obs.delete() == 200
        await obs.close()


async def test_offer_without_a_voice_is_refused(tmp_path: Path, counting_peers: None) -> None:
    async with watched(tmp_path) as (studio, url):
        one, other = reader(studio.client, url), reader(studio.client, studio.url("/whip/nobody"))
        with pytest.raises(Refused, match=r"400.*no voice"):
            await one.open()
        with pytest.raises(Refused, match="404"):
            await other.open()
        await asyncio.gather(one.close(), other.close())
