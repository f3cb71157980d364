from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadMessage
from studio.messages import Candidate
from studio.trickle import MOST_CANDIDATES, read_fragment, ufrags

LINE = "candidate:1 1 udp 2130706431 127.0.0.1 9 typ host"
EXAMPLE = f"""\
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=group:BUNDLE 0 1
m=audio 9 RTP/AVP 0
a=mid:0
a={LINE}
a=end-of-candidates
m=video 9 RTP/AVP 0
a={LINE} ufrag EsAw
""".replace("\n", "\r\n")


def test_fragment_brings_candidates_of_its_sections() -> None:
    fragment = read_fragment(EXAMPLE)
    assert fragment.ufrags == {"EsAw"}
    assert fragment.candidates == (Candidate(LINE, "0", None), Candidate(f"{LINE} ufrag EsAw", None, 1))


def test_candidates_without_a_section_are_the_first_ones() -> None:
    assert read_fragment(f"a={LINE}").candidates == (Candidate(LINE, None, 0),)
    assert read_fragment("a=end-of-candidates").candidates == ()


@pytest.mark.parametrize("text", ["", "nonsense", "m=audio 9 RTP/AVP 0", '{"candidate": ""}', f"{LINE}"])
def test_what_is_no_fragment_is_refused(text: str) -> None:
    with pytest.raises(BadMessage):
        read_fragment(text)


def test_too_much_is_refused() -> None:
    read_fragment(f"a={LINE}\n" * MOST_CANDIDATES)
    with pytest.raises(BadMessage, match="128"):
        read_fragment(f"a={LINE}\n" * (MOST_CANDIDATES + 1))
    with pytest.raises(BadMessage, match="cannot be read"):
        read_fragment("a=candidate:" + "x" * 5_000)


def test_names_of_ice_sessions_are_found_wherever_they_stand() -> None:
    assert ufrags("v=0\r\na=ice-ufrag:one\r\nm=audio\r\na=ice-ufrag:two \r\n") == {"one", "two"}
    assert ufrags("") == frozenset()


@given(st.text(alphabet=st.sampled_from("a=m:cndit\r\n 0-ufrg*é\x00"), max_size=200))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    try:
        read_fragment(text)
    except BadMessage as error:
        assert error.message.endswith(".")
