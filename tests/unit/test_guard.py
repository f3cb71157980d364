"""Who may ask, how often, and under which name."""

from __future__ import annotations

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import Unauthorized
from studio.spec import ServerSpec, StudioSpec
from studio.web.guard import BURST_SECONDS, Allowance, add_headers, check_origin, is_loopback
from studio.web.keys import SPEC

UPGRADE = {"Connection": "Upgrade", "Upgrade": "websocket"}


def asking(server: ServerSpec, method: str = "GET", **headers: str) -> web.Request:
    """Return a request as it comes in."""
    app = web.Application()
    app[SPEC] = StudioSpec((), server)
    return make_mocked_request(method, "/ws", headers={k.replace("_", "-"): v for k, v in headers.items()}, app=app)


def is_allowed(request: web.Request) -> bool:
    """Ask the guard."""
    try:
        check_origin(request)
    except Unauthorized:
        return False
    return True


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://studio.example", True),
        ("https://studio.example", True),
        ("https://STUDIO.example", True),
        ("https://ok.example", True),
        ("https://studio.example:444", False),
        ("https://studio.example.evil.example", False),
        ("https://evil.example/studio.example", False),
        ("https://evil.example#@studio.example", False),
        ("https://user@studio.example", False),
        ("ftp://studio.example", False),
        ("studio.example", False),
        ("null", False),
        ("", False),
        ("http://[::", False),
    ],
)
def test_origin_of_a_socket(origin: str, allowed: bool) -> None:
    server = ServerSpec(host="0.0.0.0", origins=("https://ok.example",))
    assert is_allowed(asking(server, Host="studio.example", Origin=origin, **UPGRADE)) is allowed
    assert is_allowed(asking(server, "POST", Host="studio.example", Origin=origin)) is allowed
    assert is_allowed(asking(server, "DELETE", Host="studio.example", Origin=origin)) is allowed


def test_plain_reading_and_programs_need_no_origin() -> None:
    server = ServerSpec(host="0.0.0.0")
    assert is_allowed(asking(server, Host="x", Origin="https://evil.example"))
    assert is_allowed(asking(server, Host="x", **UPGRADE))


def test_any_origin_may_be_let_in_by_configuration() -> None:
    assert is_allowed(
        asking(ServerSpec(host="0.0.0.0", origins=("*",)), Host="x", Origin="https://e.example", **UPGRADE)
    )


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("localhost", True), ("localhost:8080", True), ("LOCALHOST", True), ("127.0.0.1:1", True), ("127.8.8.8", True),
        ("[::1]", True), ("[::1]:80", True), ("[:::::]", False), ("shop.example", True), ("evil.example", False),
        ("localhost.evil.example", False), ("127.0.0.1.evil.example", False), ("", False), ("a b", False),
        ("[::1", False), ("::1", False), ("10.0.0.1", False),
    ],
)  # fmt: skip
def test_names_that_a_studio_on_loopback_answers_to(host: str, allowed: bool) -> None:
    assert is_allowed(asking(ServerSpec(origins=("https://shop.example",)), Host=host)) is allowed


@given(host=st.text(max_size=30), origin=st.text(max_size=30))
def test_any_header_is_judged(host: str, origin: str) -> None:
    is_allowed(asking(ServerSpec(), Host=host, Origin=origin, **UPGRADE))
    is_allowed(asking(ServerSpec(host="0.0.0.0"), Host=host, Origin=origin, **UPGRADE))


@given(host=st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
async def test_no_host_writes_into_the_policy(host: str) -> None:
    answer = web.Response()
    await add_headers(asking(ServerSpec(), Host=host), answer)
    assert re.fullmatch(r"[\w\s:/;'.*\[\]-]+", answer.headers["Content-Security-Policy"])
    assert answer.headers["Content-Security-Policy"].count(";") == 7


@pytest.mark.parametrize(
    ("host", "is_here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("a.example", False),
    ],
)
def test_loopback_is_known(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here


def test_allowance_lets_a_burst_pass_and_then_the_rate() -> None:
    allowance = Allowance(10, now=100.0)
    assert sum(allowance.take(100.0) for _ in range(200)) == 10 * BURST_SECONDS
    assert not allowance.take(100.05)
    assert allowance.take(100.16)
    assert not allowance.take(100.17)
    assert sum(allowance.take(1_000.0) for _ in range(200)) == 10 * BURST_SECONDS


@given(st.lists(st.floats(0, 1), max_size=200))
def test_allowance_is_never_exceeded(gaps: list[float]) -> None:
    now, taken = 0.0, 0
    allowance = Allowance(20, now)
    for gap in gaps:
        now += gap
        taken += allowance.take(now)
        assert taken <= 20 * (now + BURST_SECONDS) + 1e-6
