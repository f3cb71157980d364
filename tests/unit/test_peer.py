"""What a peer refuses before anything is on the network."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from studio.errors import BadMessage, OfferInvalid
from studio.line import MAX_CANDIDATES, MAX_CODECS, MAX_LINES, MAX_WILDCARDS
from studio.messages import Candidate
from studio.peer import Peer
from studio.spec import IceSpec, MediaSpec
from studio.stats import Stats

LINE = "candidate:{n} 1 udp 2122260223 127.0.0.1 {port} typ host generation 0"
OFFER = ("v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 0.0.0.0",
         "a=mid:0", "a=sendrecv", "a=rtpmap:111 opus/48000/2")  # fmt: skip


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    one = Peer(IceSpec(), MediaSpec(), "127.0.0.1", lambda pcm, arrived: None, Stats())
    yield one
    await one.aclose()


async def test_candidates_are_limited(peer: Peer) -> None:
    for n in range(MAX_CANDIDATES):
        peer.add_candidate(Candidate(LINE.format(n=n, port=n + 1)))
    with pytest.raises(BadMessage, match=f"{MAX_CANDIDATES} candidates at most"):
        peer.add_candidate(Candidate(LINE.format(n=1, port=9)))


async def test_long_offer_is_not_read(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(sdp: str) -> None:
        raise AssertionError("it takes longer the longer it is")

    monkeypatch.setattr("studio.line.SessionDescription.parse", parse)
    with pytest.raises(OfferInvalid, match=f"{MAX_WILDCARDS} lines of"):
        await peer.accept("\r\n".join((*OFFER, *["a=rtcp-fb:* nack"] * (MAX_WILDCARDS + 1))))
    for newline in ("\n", "\r\n", "\r", "\u2028"):  # aiortc takes each for the end of a line
        with pytest.raises(OfferInvalid, match=f"{MAX_LINES} lines at most"):
            await peer.accept("v=0" + newline * (MAX_LINES + 1))


async def test_codecs_of_a_section_are_limited(peer: Peer) -> None:
    with pytest.raises(OfferInvalid, match=f"{MAX_CODECS} codecs at most"):
        await peer.accept("\r\n".join((*OFFER, *["a=rtpmap:112 opus/48000/2"] * MAX_CODECS, "")))


async def test_candidates_of_an_offer_are_limited(peer: Peer) -> None:
    lines = (f"a={LINE.format(n=n, port=n + 1)}" for n in range(MAX_CANDIDATES + 1))
    with pytest.raises(OfferInvalid, match=f"{MAX_CANDIDATES} candidates at most"):
        await peer.accept("\r\n".join((*OFFER, *lines, "")))


async def test_candidate_that_makes_no_sense_is_refused_before_the_offer_too(peer: Peer) -> None:
    with pytest.raises(BadMessage, match="cannot be read"):
        peer.add_candidate(Candidate("candidate:complete nonsense"))
