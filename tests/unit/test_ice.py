from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from studio.ice import host_addresses, is_mdns, turn_login, udp_ports, without_mdns
from studio.spec import IceSpec

HOST = "a=candidate:1 1 udp 2122260223 192.168.1.7 50000 typ host generation 0"
MDNS = "a=candidate:2 1 udp 2122260223 0b1c2d3e-4f5a-6789-abcd-ef0123456789.local 50001 typ host generation 0"


@pytest.mark.parametrize(
    ("configured", "host", "expected"),
    [
        ((), "127.0.0.1", ("127.0.0.1",)),
        ((), "127.0.0.2", ("127.0.0.2",)),
        ((), "localhost", ("127.0.0.1",)),
        ((), "::1", ("::1",)),
        ((), "0.0.0.0", ()),
        ((), "192.168.1.7", ()),
        ((), "studio.example", ()),
        (("10.0.0.5",), "127.0.0.1", ("10.0.0.5",)),
    ],
)
def test_addresses_follow_configuration_then_binding(
    configured: tuple[str, ...], host: str, expected: tuple[str, ...]
) -> None:
    assert host_addresses(IceSpec(addresses=configured), host) == expected


@pytest.mark.parametrize(
    ("line", "hidden"),
    [
        (MDNS.removeprefix("a="), True),
        (MDNS.removeprefix("a=").replace(".local", ".LOCAL"), True),
        (HOST.removeprefix("a="), False),
        ("candidate:3 1 udp 1 example.local.org 5 typ host", False),
        ("nonsense.local", False),
        ("", False),
    ],
)
def test_hidden_addresses_are_known_by_their_name(line: str, hidden: bool) -> None:
    assert is_mdns(line) is hidden


def test_offer_loses_hidden_candidates_and_the_claim_that_none_follow() -> None:
    sdp = "\r\n".join(["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", HOST, MDNS, "a=end-of-candidates", ""])
    assert without_mdns(sdp) == "\r\n".join(["v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", HOST, ""])


def test_offer_with_bare_newlines_is_repaired() -> None:
    assert without_mdns("v=0\ns=-\n") == "v=0\r\ns=-\r\n"


def test_turn_login_is_what_coturn_computes() -> None:
    user, password = turn_login(IceSpec(turn_secret="north", turn_ttl=60), now=1_000.9)
    assert user == "1060:studio"
    digest = base64.b64decode(password)
    assert digest == hmac.new(b"north", user.encode(), hashlib.sha1).digest()


def test_ports_are_a_range_with_both_ends() -> None:
    assert udp_ports(IceSpec()) == range(0)
    assert list(udp_ports(IceSpec(ports="50000-50002"))) == [50000, 50001, 50002]
