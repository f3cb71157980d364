"""RTMP's notation, chunks and addresses: read back what was written, and whatever a hostile server says."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.errors import BadMessage
from studio.outputs import amf, chunks
from studio.outputs.chunks import ChunkError, Message, Reader, write
from studio.outputs.destination import RtmpRefused, read_destination, resolve

SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(SCALARS, lambda inner: st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4))


@given(st.lists(VALUES, max_size=5))
def test_values_are_read_as_they_were_written(values: list[amf.Value]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_values_or_one_error(data: bytes) -> None:
    try:
        amf.decode(data)
    except amf.AmfError:
        return


def test_arrays_dates_and_long_texts_are_read() -> None:
    array = b"\x08" + struct.pack(">I", 1) + b"\0\1a" + b"\x00" + struct.pack(">d", 2) + b"\0\0\x09"
    strict = b"\x0a" + struct.pack(">I", 2) + b"\x05\x06"
    date = b"\x0b" + struct.pack(">dh", 5, 0)
    text = b"\x0c" + struct.pack(">I", 2) + b"hi"
    assert amf.decode(array + strict + date + text) == [{"a": 2.0}, [None, None], 5.0, "hi"]


def test_values_nested_too_deeply_are_refused() -> None:
    with pytest.raises(amf.AmfError):
        amf.decode(b"\x03\0\1a" * 50)


MESSAGES = st.builds(
    Message,
    st.sampled_from((chunks.AUDIO, chunks.VIDEO, chunks.COMMAND)),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=1000),
    st.integers(0, 2**31),
)


@settings(max_examples=50)
@given(st.lists(MESSAGES, min_size=1, max_size=4), st.integers(1, 600), st.integers(1, 50))
def test_messages_are_read_as_they_were_written_however_they_arrive(
    messages: list[Message], chunk_bytes: int, step: int
) -> None:
    announced = Message(chunks.SET_CHUNK_SIZE, 0, chunk_bytes.to_bytes(4, "big"))
    data = write(announced, 2, 128) + b"".join(write(message, 5, chunk_bytes) for message in messages)
    reader = Reader()
    read: list[Message] = []
    for start in range(0, len(data), step):
        read += reader.feed(data[start : start + step])
    assert read == [announced, *messages]


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_servers_that_say_anything_are_read_or_refused(pieces: list[bytes]) -> None:
    reader = Reader()
    try:
        for piece in pieces:
            list(reader.feed(piece))
    except ChunkError:
        return


def test_short_headers_repeat_what_was_said_before() -> None:
    whole = b"\x05" + b"\0\0\x0a" + b"\0\0\2" + b"\x08" + b"\1\0\0\0" + b"ab"
    same_length = b"\x85" + b"\0\0\x14" + b"cd"  # 20 ms later
    same_delta = b"\xc5" + b"ef"
    got = list(Reader().feed(whole + same_length + same_delta))
    assert [(m.timestamp_ms, m.body, m.stream) for m in got] == [(10, b"ab", 1), (30, b"cd", 1), (50, b"ef", 1)]


def test_channels_with_large_numbers_are_read() -> None:
    header = b"\0\0\0" + b"\0\0\1" + b"\x08" + b"\0\0\0\0"
    got = list(Reader().feed(b"\x00\x05" + header + b"x" + b"\x01\x05\x01" + header + b"y"))
    assert [message.body for message in got] == [b"x", b"y"]


def test_aborted_message_is_forgotten() -> None:
    begun = write(Message(chunks.COMMAND, 0, bytes(200)), 5, 128)[:140]
    aborted = write(Message(chunks.ABORT, 0, (5).to_bytes(4, "big")), 2, 128)
    again = write(Message(chunks.COMMAND, 0, b"new"), 5, 128)
    assert [message.body for message in Reader().feed(begun + aborted + again)][-1] == b"new"


def test_message_of_a_megabyte_is_refused() -> None:
    with pytest.raises(ChunkError):
        list(Reader().feed(b"\x05\0\0\0\x10\0\0\x14\0\0\0\0"))


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("rtmp://Host/live/key", ("host", 1935, "live", "key")),
        ("rtmps://host/live/key", ("host", 443, "live", "key")),
        ("rtmp://[::1]:19350/live/inst/a?b=c/d", ("::1", 19350, "live/inst", "a?b=c/d")),
    ],
)
def test_addresses_are_taken_apart(url: str, parts: tuple[object, ...]) -> None:
    found = read_destination(url)
    assert (found.host, found.port, found.app, found.key) == parts
    assert found.key not in f"{found} {found!r}" and str(found).endswith("/***")


@pytest.mark.parametrize(
    "url",
    [
        "", "http://host/live/secret", "file:///etc/secret", "rtmp://host/secret", "rtmp:///live/secret",
        "rtmp://host:0/live/secret", "rtmp://host:99999/live/secret", "rtmp://user:secret@host/live/k",
        "rtmp://host/live/secret\r\nx", "rtmp://host/live/secret#x", "rtmp://host/live/sécret", "rtmp://[::1/a/secret",
        "rtmp://host/live/" + "secret" * 500, "rtmp://host\\@evil/live/secret",
    ],
)  # fmt: skip
def test_addresses_of_another_shape_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(BadMessage) as caught:
        read_destination(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "hosts", "is_private", "allowed"),
    [
        ("127.0.0.1", (), True, True),
        ("127.0.0.1", (), False, False),
        ("10.1.2.3", (), False, False),
        ("169.254.169.254", (), False, False),
        ("[::ffff:127.0.0.1]", (), False, False),
        ("[::1]", (), False, False),
        ("0.0.0.0", (), False, False),
        ("[::127.0.0.1]", (), False, False),
        ("[64:ff9b::a01:203]", (), False, False),
        ("[64:ff9b:1::a01:203]", (), False, False),
        ("[2002:a01:203::1]", (), False, False),
        ("[fec0::1]", (), False, False),
        ("[64:ff9b::101:101]", (), False, True),
        ("[2606:4700:4700::1111]", (), False, True),
        ("1.1.1.1", (), False, True),
        ("1.1.1.1", ("live.example",), True, False),
        ("10.1.2.3", ("10.1.2.3",), False, True),
    ],
)
async def test_private_addresses_are_called_only_where_that_is_allowed(
    host: str, hosts: tuple[str, ...], is_private: bool, allowed: bool
) -> None:
    destination = read_destination(f"rtmp://{host}/live/key")
    if allowed:
        assert await resolve(destination, hosts, is_private) == host.strip("[]")
        return
    with pytest.raises(RtmpRefused):
        await resolve(destination, hosts, is_private)
