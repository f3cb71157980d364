from __future__ import annotations

import re
from collections.abc import Set

import pytest

from studio import decline
from studio.decline import with_declined, without_unknown_pictures

HEAD = "v=0\r\na=group:BUNDLE 0 1\r\na=group:LS 0 1\r\n"
SOUND = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=rtpmap:111 opus/48000/2\r\n"
PICTURE = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=rtpmap:96 {}/90000\r\n"


def test_pictures_that_can_be_answered_stay() -> None:
    for codec in ("VP8", "H264", "h264"):
        offer = HEAD + SOUND + PICTURE.format(codec)
        assert without_unknown_pictures(offer) == (offer, {})


def test_unknown_pictures_are_declined_in_their_place() -> None:
    offer, declined = without_unknown_pictures(HEAD + PICTURE.format("AV1") + SOUND)
    assert offer == HEAD.replace("BUNDLE 0 1", "BUNDLE 0") + SOUND
    answer = with_declined("v=0\r\na=group:BUNDLE 0\r\n" + SOUND, declined)
    refusal = "m=video 0 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\na=mid:1\r\n"
    assert answer == "v=0\r\na=group:BUNDLE 0\r\n" + refusal + SOUND


def test_several_are_declined_and_keep_their_order() -> None:
    unnamed = "m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=rtpmap:97 H265/90000\r\n"
    offer, declined = without_unknown_pictures(HEAD + PICTURE.format("AV1") + SOUND + unnamed)
    assert offer.count("m=") == 1
    sections = with_declined(offer, declined).split("m=")[1:]
    assert [section.split()[0] for section in sections] == ["video", "audio", "video"]
    assert "a=mid" not in sections[2]


def test_long_offer_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    searches: list[str] = []

    def count(found: re.Match[str], mids: Set[str]) -> str:
        searches.append(found[0])
        return without(found, mids)

    without = decline._without
    monkeypatch.setattr(decline, "_without", count)
    head = "v=0\r\n" + "a=group:BUNDLE 1\r\n" * 50
    offer, declined = without_unknown_pictures(head + PICTURE.format("AV1") * 50)
    assert "m=" not in offer and len(declined) == 50
    assert len(searches) == 50, "each group once, not once for each section"


def test_what_is_no_description_is_left_as_it_is() -> None:
    for text in ("", "nonsense", "m=video", "m=video 9\r\n", "m=video\r\na=mid:"):
        assert without_unknown_pictures(text) == (text, {})
