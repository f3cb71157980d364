"""What the client may be asked, and what it makes of strangers' words."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.cli.arguments import parse
from studio.cli.client import check_outputs, order_of
from studio.client.door import quoted, said
from studio.client.ears import Counter
from studio.client.order import Order, base_url, clean, local
from studio.client.rtc import MAX_SERVERS, ice_servers
from studio.client.visit import check
from studio.errors import ConfigError


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("localhost:8080/", "http://localhost:8080"),
        ("wss://studio.example", "https://studio.example"),
        ("ws://10.0.0.7:80/studio/ws", "http://10.0.0.7:80/studio"),
        ("https://[::1]:8443/a b/", "https://[::1]:8443/a%20b"),
    ],
)
def test_servers_are_understood(given_: str, expected: str) -> None:
    assert base_url(given_) == expected


@pytest.mark.parametrize(
    "text",
    ["", "ftp://x", "http://", "http://x:99999", "http://u:p@x", "http://x/?q=1", "http://x#y", "file:///etc", "//"],
)
def test_what_is_no_server_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--server"):
        base_url(text)


@given(st.text(max_size=400))
def test_cleaned_texts_are_one_short_printable_line(text: str) -> None:
    assert clean(text).isprintable()
    assert len(clean(text)) <= 300


@given(st.binary(max_size=200))
def test_refusals_of_any_bytes_have_words(data: bytes) -> None:
    assert said(data)[0] in ":."


def test_refusals_are_quoted() -> None:
    assert said(b'{"detail": "full\\u001b[31m"}') == ": full [31m"
    assert said(b'{"error": {"message": "All seats are taken."}}') == ": All seats are taken."
    assert said(b"<html>nginx</html>") == "."
    assert quoted("a/../b c") == "a%2F..%2Fb%20c"


def order(**more: str) -> Order:
    return Order("http://x", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"avatar": "mira", "source": "me.png", "audio": "a.wav"},
        {"transport": "binary"},
        {"source": "me.png"},
    ],
)
def test_orders_that_no_studio_can_follow_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError):
        check(order(**wrong))


def test_orders_that_can_be_followed_pass() -> None:
    check(order())
    check(order(audio=__file__, avatar="mira"))
    check(order(audio="uploads/x.wav", source="me.png"))
    check(order(audio="uploads/x.wav", transport="json"))


def test_an_avatar_hears_what_lies_here_and_recites_what_lies_there() -> None:
    assert order().is_conversation
    assert order(audio=__file__, avatar="mira").is_conversation
    assert not order(audio="uploads/x.wav", avatar="mira").is_conversation
    assert not order(audio=__file__, source="me.png").is_conversation
    assert not order(audio=__file__, transport="binary").is_conversation


def test_options_become_an_order() -> None:
    words = (
        "client --server ws://h:1 --client_id me --audio_path a.wav --source_path p.png --transport json --timeout 5"
        " --frame-scale 0.5 --sampling-timesteps 12 --chunk-config 2,3,2 --engine ditto --insecure"
    )
    found = order_of(parse(words.split()))
    assert found == Order(
        "http://h:1", "json", "me", "a.wav", "p.png", "", "ditto", {"sampling_timesteps": 12},
        {"frame_scale": 0.5, "chunksize": [2, 3, 2]}, 5.0, "", "", True,
    )  # fmt: skip


@pytest.mark.parametrize(
    "words",
    ["--timeout 0", "--timeout nan", "--timeout 1e9", "--frame-scale 2", "--chunk-config 1,2", "--chunk-config 0,1,2",
     "--chunk-config 1,2,x", "--transport smoke", "--client_id .."],
)  # fmt: skip
def test_nonsense_is_a_usage_error(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(["client", *words.split()])
    assert ended.value.code == 2
    assert words.split()[0] in capsys.readouterr().err


def test_outputs_are_looked_at_first(tmp_path: Path) -> None:
    def asked(*words: object) -> None:
        check_outputs(parse(["client", *map(str, words)]))

    asked("--json", tmp_path / "a.json", "--save_frames", tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").touch()
    for wrong in (
        ("--json", tmp_path),
        ("--report", tmp_path / "none" / "a.html"),
        ("--record-file", tmp_path / "film.avi"),
        ("--save_frames", tmp_path / "file"),
    ):
        with pytest.raises(ConfigError, match=wrong[0]):
            asked(*wrong)


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 2**31 - 1), max_size=30))
def test_counters_never_run_backwards_over_their_end(start: int, steps: list[int]) -> None:
    counter, truth = Counter(32), start
    assert counter.put(start) == start
    for step in steps:
        truth += step
        assert counter.put(truth % 2**32) == truth


def test_counters_place_what_is_late_before_the_newest() -> None:
    counter = Counter(16)
    counter.put(65_535)
    assert counter.put(1) == 65_537
    assert counter.put(65_534) == 65_534
    assert counter.near(2) == 65_538
    assert Counter(16).near(7) == 7


@given(
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers() | st.just("stun:a:1"),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["urls", "username", "credential"]), inner, max_size=3)
        ),
        max_leaves=12,
    )
)
def test_ice_servers_of_any_json_are_few_and_plain(body: object) -> None:
    found = ice_servers(body)
    assert len(found) <= MAX_SERVERS
    assert all(str(one.urls).startswith(("stun:", "turn:", "turns:")) for one in found)


def test_ice_servers_are_taken_over() -> None:
    given_ = [{"urls": ["stun:a", "turn:b?transport=udp"], "username": "u", "credential": "p"}, {"urls": "stun:c"}, 7]
    assert [(s.urls, s.username) for s in ice_servers(given_)] == [
        ("stun:a", "u"),
        ("turn:b?transport=udp", "u"),
        ("stun:c", None),
    ]


def test_tokens_come_from_files_and_are_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a-secret-of-16-characters\n")
    found = order_of(parse(["client", "--token-file", str(path)]))
    assert found.token == "a-secret-of-16-characters"
    assert "secret" not in repr(found)
    for wrong in ("", "two\nlines", "n\u00f6"):
        path.write_text(wrong)
        with pytest.raises(ConfigError, match="--token-file"):
            order_of(parse(["client", "--token-file", str(path)]))
    with pytest.raises(ConfigError, match="--token-file"):
        order_of(parse(["client", "--token-file", str(tmp_path / "none")]))


def test_path_that_no_file_can_have_is_the_servers(tmp_path: Path) -> None:
    file = tmp_path / "talk.wav"
    file.touch()
    assert local(str(file)) == file
    for path in ("", "uploads/talk.wav", str(tmp_path), "a" * 5000, "a\0b", "~nobody-of-that-name/talk.wav"):
        assert local(path) is None
