from __future__ import annotations

import pytest

from studio.errors import BadMessage, OfferInvalid, RateLimited, SessionNotFound, StudioFull
from studio.line import Line
from studio.lines import Lines, RestartRefused, TagMismatch, TagMissing
from studio.messages import Candidate
from studio.spec import IceSpec, MediaSpec
from studio.stats import Stats
from studio.trickle import Fragment
from tests.fakes import until

OFFER = "v=0\r\na=ice-ufrag:abcd\r\n"
NOTHING = Fragment(frozenset(), ())


class FakeLine(Line):
    """Answers without a network."""

    def __init__(self) -> None:
        super().__init__(IceSpec(), MediaSpec(), "127.0.0.1", {}, None, Stats())
        self.candidates: list[Candidate] = []

    async def accept(self, sdp: str) -> str:
        if not sdp:
            raise OfferInvalid
        return "answer"

    def add_candidate(self, candidate: Candidate) -> None:
        if not candidate.candidate:
            raise BadMessage
        self.candidates.append(candidate)


async def test_connection_is_known_by_names_that_nobody_guesses() -> None:
    lines = Lines(lambda: 2, 9, 60)
    first, second = [await lines.open(FakeLine(), OFFER) for _ in range(2)]
    assert first.sdp == "answer" and len({first.id, second.id, first.tag, second.tag}) == 4
    assert len(first.id) >= 24 and first.tag[0] == first.tag[-1] == '"'
    with pytest.raises(StudioFull):
        await lines.open(FakeLine(), OFFER)
    await lines.close(first.id)
    with pytest.raises(SessionNotFound):
        await lines.close(first.id)
    assert len(lines) == 1
    await lines.aclose()
    await lines.aclose()
    await until(lambda: not len(lines))


async def test_one_caller_leaves_places_to_others() -> None:
    lines = Lines(lambda: 5, 1, 60)
    await lines.open(FakeLine(), OFFER, "192.0.2.1")
    refused = FakeLine()
    with pytest.raises(RateLimited):
        await lines.open(refused, OFFER, "192.0.2.1")
    assert refused.state == "closed" and len(lines) == 1
    for who in ("192.0.2.2", "", ""):  # this machine's own programs are not counted: a proxy speaks for many
        await lines.open(FakeLine(), OFFER, who)
    await lines.aclose()


async def test_offer_that_is_refused_takes_no_place_and_is_closed() -> None:
    lines, line = Lines(lambda: 1, 9, 60), FakeLine()
    with pytest.raises(OfferInvalid):
        await lines.open(line, "")
    assert not len(lines) and line.state == "closed"


async def test_connection_that_does_not_come_about_is_forgotten() -> None:
    lines, line = Lines(lambda: 1, 9, 0.0), FakeLine()
    opened = await lines.open(line, OFFER)
    await until(lambda: not len(lines))
    await line.aclose()
    with pytest.raises(SessionNotFound):
        lines.trickle(opened.id, "*", NOTHING)


async def test_connection_that_finds_no_path_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    lines, stuck = Lines(lambda: 1, 9, 60, counts.append), FakeLine()
    await lines.open(stuck, OFFER)
    with pytest.raises(StudioFull):
        await lines.open(FakeLine(), OFFER)
    monkeypatch.setattr("studio.lines.CONNECT_PATIENCE", 0.0)
    await lines.open(FakeLine(), OFFER)
    assert stuck.state == "closed" and len(lines) == 1
    await lines.aclose()
    assert counts[-1] == 0 and max(counts) == 1


async def test_connection_that_hangs_up_is_forgotten() -> None:
    lines, line = Lines(lambda: 1, 9, 60), FakeLine()
    await lines.open(line, OFFER)
    await line.hang_up()
    await until(lambda: not len(lines))


async def test_candidates_are_taken_from_who_knows_the_tag() -> None:
    lines, line = Lines(lambda: 1, 9, 60), FakeLine()
    opened = await lines.open(line, OFFER)
    ours, one = frozenset({"abcd"}), Candidate("candidate:1", "0")
    for tags in ("*", opened.tag, f' "x", {opened.tag} '):
        lines.trickle(opened.id, tags, Fragment(ours, (one,)))
    assert line.candidates == [one] * 3
    for tags, fragment, error in (
        ("", NOTHING, TagMissing),
        ('"x"', NOTHING, TagMismatch),
        (opened.tag.strip('"'), NOTHING, TagMismatch),
        (f"W/{opened.tag}", NOTHING, TagMismatch),
        ("*", Fragment(frozenset({"anew"}), (one,)), RestartRefused),
        ("*", Fragment(ours, (Candidate(""),)), BadMessage),
    ):
        with pytest.raises(error):
            lines.trickle(opened.id, tags, fragment)
    assert len(line.candidates) == 3
    await lines.aclose()
