"""JSON of strangers: one object, of this world, with texts of a length."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import BadJson, BadMessage, TooLarge
from studio.jsontext import MAX_PARTS, read_object, read_optional_text, read_text


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "1", "null", '"a"', '{"a": NaN}', '{"a": -Infinity}', '{"a": "\\ud800"}', "[" * 100_000]
)
def test_what_is_no_object_is_refused(text: str) -> None:
    with pytest.raises(BadJson):
        read_object(text)


def test_objects_of_many_parts_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = "[]," * (MAX_PARTS // 2 - 2)
    assert len(read_object(f'{{"a": [{parts}1]}}')) == 1
    monkeypatch.setattr("studio.jsontext.json.loads", None)
    for text in (f'{{"a": [{parts}{parts}1]}}', "[" * (MAX_PARTS + 1), '{"a":' * (MAX_PARTS + 1)):
        with pytest.raises(BadJson, match="parts at most"):
            read_object(text)


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=5))))
def test_objects_are_read_as_they_are(body: dict[str, object]) -> None:
    assert read_object(json.dumps(body)) == body


def test_whole_characters_in_two_halves_are_read() -> None:
    assert read_object('{"a": "\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


def test_texts_that_may_be_missing_are_texts() -> None:
    bodies: tuple[dict[str, object], ...] = ({"a": "b"}, {"a": ""}, {"a": None}, {})
    assert [read_optional_text(body, "a") for body in bodies] == ["b", "", "", ""]
    values: tuple[object, ...] = (1, False, [], {})
    for value in values:
        with pytest.raises(BadMessage, match="a must be a text"):
            read_optional_text({"a": value}, "a")


def test_texts_are_there_and_bounded() -> None:
    assert read_text({"a": "bc"}, "a", 2) == "bc"
    for body in ({}, {"a": ""}, {"a": 1}, {"a": None}):
        with pytest.raises(BadMessage, match="needs a"):
            read_text(body, "a", 2)
    with pytest.raises(TooLarge, match="longer than 2"):
        read_text({"a": "bcd"}, "a", 2)
