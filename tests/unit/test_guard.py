"""Who may ask, how often, and under which name."""

from __future__ import annotations

import re

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from studio.errors import OperatorOnly, Unauthorized
from studio.spec import ServerSpec, StudioSpec
from studio.web.guard import (
    BURST_SECONDS,
    Allowance,
    add_headers,
    caller,
    check_operator,
    check_origin,
    is_loopback,
    is_operator,
)
from studio.web.keys import SPEC

TOKEN = "a-token-of-some-length"
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
        ("http://studio.lan", True),
        ("https://studio.lan", True),
        ("https://STUDIO.lan", True),
        ("https://ok.example", True),
        ("https://studio.lan:444", False),
        ("https://studio.lan.evil.example", False),
        ("https://evil.example/studio.lan", False),
        ("https://evil.example#@studio.lan", False),
        ("https://user@studio.lan", False),
        ("ftp://studio.lan", False),
        ("studio.lan", False),
        ("null", False),
        ("", False),
        ("http://[::", False),
    ],
)
def test_origin_of_a_socket(origin: str, allowed: bool) -> None:
    server = ServerSpec(host="0.0.0.0", origins=("https://ok.example",))
    assert is_allowed(asking(server, Host="studio.lan", Origin=origin, **UPGRADE)) is allowed
    assert is_allowed(asking(server, "POST", Host="studio.lan", Origin=origin)) is allowed
    assert is_allowed(asking(server, "DELETE", Host="studio.lan", Origin=origin)) is allowed


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


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("10.0.0.7", True), ("192.168.1.5:8080", True), ("[fe80::1]:80", True), ("nas", True), ("nas:8080", True),
        ("Nas.Local:8080", True), ("nas.local.", True), ("studio.home.arpa", True), ("localhost", True),
        ("shop.example", True), ("SHOP.example:80", True), ("evil.example", False), ("10.0.0.7.evil.example", False),
        ("shop.example.evil.example", False), ("evillocal.example", False), ("[::1", False), ("", False),
    ],
)  # fmt: skip
def test_names_that_a_studio_in_a_network_answers_to(host: str, allowed: bool) -> None:
    """A page whose name was made to point here is of the same origin to its browser: the name gives it away."""
    server = ServerSpec(host="0.0.0.0", origins=("https://shop.example",))
    assert is_allowed(asking(server, Host=host)) is allowed
    assert is_allowed(asking(server, "POST", Host=host, Origin=f"http://{host}")) is allowed


@pytest.mark.parametrize(
    ("remote", "forwarded", "name"),
    [
        ("8.8.4.4", "", "8.8.4.4"), ("8.8.4.4", "9.9.9.9", "8.8.4.4"), ("127.0.0.1", "", ""),
        ("127.0.0.1", "9.9.9.9", "9.9.9.9"), ("172.18.0.2", "1.2.3.4, 9.9.9.9", "9.9.9.9"),
        ("127.0.0.1", "unknown", ""), ("192.168.1.9", "", "192.168.1.9"), ("::ffff:10.0.0.1", "", "10.0.0.1"),
        ("2001:db8:1:2:3::4", "", "2001:db8:1:2::/64"), ("127.0.0.1", "127.0.0.1", ""), ("", "", ""),
    ],
)  # fmt: skip
def test_callers_are_told_apart(remote: str, forwarded: str, name: str) -> None:
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    assert caller(asking(ServerSpec(), **headers).clone(remote=remote)) == name


@pytest.mark.parametrize(
    ("server", "remote", "headers", "may"),
    [
        (ServerSpec(), "127.0.0.1", {}, True),
        (ServerSpec(host="0.0.0.0"), "127.0.0.1", {}, True),
        (ServerSpec(host="0.0.0.0"), "127.0.0.1", {"Host": "nas"}, False),
        (ServerSpec(host="0.0.0.0"), "127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, False),
        (ServerSpec(host="0.0.0.0"), "192.168.1.9", {}, False),
        (ServerSpec(host="0.0.0.0"), "192.168.1.9", {"Authorization": "Bearer "}, False),
        (ServerSpec(origins=("https://a.example",)), "127.0.0.1", {}, False),
        (ServerSpec(host="0.0.0.0", token=TOKEN), "192.168.1.9", {"Authorization": f"Bearer {TOKEN}"}, True),
        (ServerSpec(host="0.0.0.0", token=TOKEN), "192.168.1.9", {"Authorization": f"bearer  {TOKEN} "}, True),
        (ServerSpec(host="0.0.0.0", token=TOKEN), "192.168.1.9", {"Authorization": f"Basic {TOKEN}"}, False),
        (ServerSpec(host="0.0.0.0", token=TOKEN), "192.168.1.9", {"Authorization": "Bearer ÿ"}, False),
        (ServerSpec(host="0.0.0.0", token=TOKEN), "192.168.1.9", {"Authorization": f"Bearer {TOKEN[:-1]}"}, False),
    ],
)
def test_operator_sits_here_or_has_the_token(
    server: ServerSpec, remote: str, headers: dict[str, str], may: bool
) -> None:
    request = asking(server, "POST", **{"Host": "localhost", **headers}).clone(remote=remote)
    assert is_operator(request) is may
    check_operator(request, is_open=True)
    if not may:
        with pytest.raises(OperatorOnly):
            check_operator(request, is_open=False)


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
