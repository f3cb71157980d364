"""Ten thousand malformed messages over real sockets: nothing crashes, nothing stays, no socket closes.

Three sources: hypothesis' own ideas of JSON, mutations of valid messages, and mutations of a real SDP offer. After
every batch the same socket must still answer a ping.
"""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import logging
import random
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiortc import RTCPeerConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.web.keys import HOST
from tests.inside import Inside, heard, inside, spec_of

MUTATIONS, MUTATED_OFFERS = 8_000, 150
IDEAS, PER_IDEA = 50, 40
BATCH = 25
CODES = {
    "bad_json", "unknown_type", "bad_message", "avatar_not_found", "avatar_not_ready", "offer_invalid",
    "codec_unsupported", "capacity", "rate_limited", "too_large", "peer_timeout",
}  # fmt: skip
"""Words of the contract that a visitor alone can provoke; `internal` and `engine_failed` are faults of ours."""
TYPES = {"avatars", "avatar_selected", "answer", "interrupted", "stopped", "pong", "state", "stats", "error"}
LEAKS = ("Traceback", ".py", "/home", "/root", "/work", "site-packages", "0x")
CANDIDATE = "candidate:842163049 1 udp 1677729535 127.0.0.1 46154 typ host generation 0 ufrag AbCd network-cost 999"

Message = str | bytes


@pytest.fixture
def quiet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if anything was logged as an error: a visitor can only provoke refusals."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


def roomy(folder: Path) -> Any:
    """A configuration that does not hide what is behind the rate limit."""
    return spec_of(folder, messages_per_second=100_000, sessions=8)


@pytest.fixture
async def studio(tmp_path: Path, counting_peers: None, quiet: None) -> AsyncIterator[Inside]:
    """A studio that must be as empty afterwards as before."""
    async with inside(roomy(tmp_path)) as one:
        await settle()
        tasks, threads = len(asyncio.all_tasks()), threading.active_count()
        yield one
        await one.client.close()
        assert await one.is_empty()
        await settle()
        assert one.app[HOST]._visitors == {}
        assert len(asyncio.all_tasks()) <= tasks
        assert threading.active_count() <= threads + 4  # of the pools, which start one when they need it


async def settle() -> None:
    """Let what is ending end."""
    gc.collect()
    await asyncio.sleep(0.3)


async def offer_sdp() -> str:
    """Return what the MuseTalk page would offer: a microphone, a camera."""
    pc = RTCPeerConnection()
    pc.addTransceiver("audio", direction="sendrecv")
    pc.addTransceiver("video", direction="sendrecv")
    await pc.setLocalDescription(await pc.createOffer())
    sdp = str(pc.localDescription.sdp)
    await pc.close()
    return sdp


async def throw(socket: aiohttp.ClientWebSocketResponse, messages: Sequence[Message], mark: int) -> None:
    """Send a batch, then a ping, and read until its pong: every answer must be in the contract's words."""
    for message in messages:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
        else:
            await socket.send_str(message)
    await socket.send_str(json.dumps({"type": "ping", "timestamp": f"mark {mark}"}))
    async with asyncio.timeout(20):
        while True:
            answer = await socket.receive()
            assert answer.type is aiohttp.WSMsgType.TEXT, f"{answer!r} after {messages!r:.2000}"
            body = json.loads(answer.data)
            judge(body)
            if body["type"] == "pong" and body["timestamp"] == f"mark {mark}":
                return


def judge(body: dict[str, Any]) -> None:
    """Check an answer's words."""
    assert body["type"] in TYPES
    if body["type"] == "error":
        assert body["code"] in CODES, body
        assert not body["fatal"], body
        assert not any(leak in body["message"] for leak in LEAKS), body


VALID: tuple[dict[str, Any], ...] = (
    {"type": "get_avatars"},
    {"type": "select_avatar", "avatar_id": "ada"},
    {"type": "offer", "sdp": "v=0\r\n", "avatar_id": "ada", "options": {}},
    {
        "type": "ice_candidate",
        "candidate": {"candidate": CANDIDATE, "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "AbCd"},
    },
    {"type": "ice_candidate", "candidate": None},
    {"type": "interrupt"},
    {"type": "stop"},
    {"type": "ping", "timestamp": 1.5},
)
ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 1e308, 10**400, "", "x", "ada", "\0", "\u202e", "😀" * 50, "x" * 5_000, [], {},
    [[]], {"a": {"b": {}}}, "../../etc/passwd", "candidate:", "stop", ["stop"], {"type": "stop"}, 2**63, -(2**31),
)  # fmt: skip


class Mutator:
    """Breaks valid messages, the same way for the same seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def message(self) -> Message:
        """Return one message, hardly ever a valid one."""
        body = json.loads(json.dumps(self.random.choice(VALID)))
        for _ in range(self.random.randint(1, 3)):
            self.mutate(body)
        match self.random.randrange(20):
            case 0:
                return self.random.randbytes(self.random.randrange(300))
            case 1:
                return json.dumps(body)[: self.random.randrange(60)]
            case 2:
                return self.splice(json.dumps(body))
            case 3:
                return "[" * self.random.choice((10, 900, 5_000)) + "]" * self.random.randrange(5_000)
            case 4:
                return self.random.choice(("NaN", "null", "", " ", "{}", "[]", '"ping"', "1e999", "\ufeff{}", "{" * 99))
            case 5:
                return json.dumps(
                    {**body, "type": self.random.choice(("error", "Offer", "offer ", "avatars", "x" * 99))}
                )
            case 6:
                return json.dumps({**body, "more": "x" * self.random.randrange(200_000)})
        return json.dumps(body, ensure_ascii=self.random.random() < 0.5)

    def mutate(self, body: dict[str, Any]) -> None:
        """Drop, replace or add one value, at any depth."""
        key = self.random.choice([*body, "type", "sdp", "avatar_id"])
        inner = body.get(key)
        if isinstance(inner, dict) and inner and self.random.random() < 0.7:
            self.mutate(inner)
        elif self.random.random() < 0.3:
            body.pop(key, None)
        elif key == "candidate" and isinstance(inner, str):
            body[key] = self.candidate(inner)
        else:
            body[key] = copy.deepcopy(self.random.choice(ODD))

    def candidate(self, line: str) -> str:
        """Replace words of a candidate line."""
        words = line.split()
        for _ in range(self.random.randint(1, 3)):
            words[self.random.randrange(len(words))] = self.random.choice(
                ("0", "-1", "65536", "99999999999", "udp", "tcp", "abc.local", "::1", "typ", "relay", "é", "127.0.0.1")
            )
        return " ".join(words[: self.random.randint(1, len(words))])

    def splice(self, text: str) -> str:
        """Put something odd in the middle of a text."""
        at = self.random.randrange(len(text))
        return (
            text[:at] + self.random.choice(("\0", '"', "{", "\\", "\\ud800", "é", ",,", "/*", "1e999")) + text[at + 1 :]
        )

    def sdp(self, sdp: str) -> str:
        """Break an offer: lines dropped, doubled, swapped, cut, numbers blown up."""
        lines = sdp.splitlines()
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(lines))
            match self.random.randrange(7):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, lines[at])
                case 2:
                    other = self.random.randrange(len(lines))
                    lines[at], lines[other] = lines[other], lines[at]
                case 3:
                    lines[at] = lines[at][: self.random.randrange(len(lines[at]) + 1)]
                case 4:
                    lines[at] = "".join(self.random.choice("09-") if c.isdigit() else c for c in lines[at])
                case 5:
                    lines[at] = lines[at].replace(
                        "=", "=" + self.random.choice(("é", " ", "999999999999", "\0", ":/ "))
                    )
                case 6:
                    lines = lines[: max(1, at)]
        return self.random.choice(("\r\n", "\r\n", "\r\n", "\n", "\r")).join(lines)


async def test_mutated_messages_are_answered_in_words(studio: Inside) -> None:
    mutator = Mutator(1)
    async with asyncio.timeout(60), studio.socket(max_msg_size=0) as one, studio.socket(max_msg_size=0) as other:
        for n in range(MUTATIONS // BATCH // 2):
            for socket in (one, other):
                await throw(socket, [mutator.message() for _ in range(BATCH)], n)


async def test_mutated_offers_are_answered_or_refused(studio: Inside) -> None:
    mutator, sdp = Mutator(2), await offer_sdp()
    outcomes: dict[str, int] = {}
    async with asyncio.timeout(60), studio.socket() as socket:
        for n in range(MUTATED_OFFERS):
            await socket.send_json({"type": "offer", "sdp": mutator.sdp(sdp)})
            body = await heard(socket, "answer", "error")
            judge(body)
            outcomes[body.get("code", "answer")] = outcomes.get(body.get("code", "answer"), 0) + 1
            if n % 10 == 0:
                await throw(socket, [mutator.message() for _ in range(BATCH)], n)
    assert outcomes["answer"] > 5
    assert outcomes["offer_invalid"] > 5


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)  # fmt: skip
kinds = st.sampled_from([body["type"] for body in VALID]) | st.text(max_size=10) | values
fields = st.sampled_from(["sdp", "avatar_id", "options", "candidate", "timestamp", "sdpMid", "sdpMLineIndex", "id"])
bodies = st.builds(lambda kind, rest: {"type": kind, **rest}, kinds, st.dictionaries(fields, values, max_size=4))
ideas: st.SearchStrategy[Message] = (
    st.builds(json.dumps, bodies | values) | st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
    | st.binary(max_size=80)
)  # fmt: skip


def test_any_message_is_answered_in_words(tmp_path: Path, counting_peers: None, quiet: None) -> None:
    with asyncio.Runner() as runner:
        context = inside(roomy(tmp_path))
        studio = runner.run(context.__aenter__())
        socket = runner.run(studio.client.ws_connect(studio.url("/ws"), max_msg_size=0))

        @given(messages=st.lists(ideas, min_size=PER_IDEA, max_size=PER_IDEA))
        @settings(max_examples=IDEAS, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        def converse(messages: list[Message]) -> None:
            runner.run(throw(socket, messages, 0))

        try:
            converse()
        finally:
            runner.run(socket.close())
            assert runner.run(studio.is_empty())
            runner.run(context.__aexit__(None, None, None))


SECTION = "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:{}\r\na=rtcp-mux\r\na=sendrecv\r\n"
MANY_SECTIONS = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" + "".join(map(SECTION.format, range(900)))
"""Each section would cost sockets."""


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("[" * 200_000, "bad_json"),
        ("[" * 100_000 + "]" * 100_000, "bad_json"),
        ('{"type":"ping","timestamp":' + "9" * 200_000 + "}", "bad_json"),
        ('{"a":' * 40_000 + "1" + "}" * 40_000, "bad_json"),
        ('{"type":"ping","timestamp":1e999}', "bad_message"),
        ('{"type":"ping","timestamp":NaN}', "bad_json"),
        ('{"type":"' + "x" * 262_144 + '"}', "too_large"),
        ("é" * 200_000, "too_large"),
        (json.dumps({"type": "offer", "sdp": "x" * 200_000}), "too_large"),
        (json.dumps({"type": "offer", "sdp": "x", "options": {str(n): n for n in range(65)}}), "bad_message"),
        (json.dumps({"type": "offer", "sdp": "v=0\r\n" + "a=x\r\n" * 15_000}), "offer_invalid"),
        (json.dumps({"type": "offer", "sdp": MANY_SECTIONS}), "offer_invalid"),
        (json.dumps({"type": "select_avatar", "avatar_id": "x" * 129}), "too_large"),
    ],
    ids=lambda value: value if len(value) < 20 else value[:16],
)
async def test_bomb_is_refused_with_its_word(studio: Inside, text: str, code: str) -> None:
    async with studio.socket() as socket:
        await socket.send_str(text)
        assert (await heard(socket, "error"))["code"] == code
        await throw(socket, [], 1)
