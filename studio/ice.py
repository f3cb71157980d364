"""What ICE is told: addresses to gather on, candidates to leave out, time-limited TURN logins. No network."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress

from studio.spec import IceSpec


def host_addresses(ice: IceSpec, host: str) -> tuple[str, ...]:
    """Return the addresses to gather on: configured ones, else loopback when bound to it, else none: all interfaces."""
    if ice.addresses:
        return ice.addresses
    if host == "localhost":
        return ("127.0.0.1",)
    try:
        return (host,) if ipaddress.ip_address(host).is_loopback else ()
    except ValueError:
        return ()


def udp_ports(ice: IceSpec) -> range:
    """Return the ports to bind, both ends included; none: whatever the system gives."""
    low, _, high = ice.ports.partition("-")
    return range(int(low), int(high) + 1) if ice.ports else range(0)


def turn_login(ice: IceSpec, now: float) -> tuple[str, str]:
    """Return user name and password that coturn accepts until ``ice.turn_ttl`` seconds after ``now`` (Unix time).

    Scheme: "A REST API For Access To TURN Services", draft-uberti-behave-turn-rest-00, section 2.2.
    """
    user = f"{int(now + ice.turn_ttl)}:studio"
    digest = hmac.new(ice.turn_secret.encode(), user.encode(), hashlib.sha1).digest()
    return user, base64.b64encode(digest).decode()


def is_mdns(candidate: str) -> bool:
    """Return whether a candidate line hides its address behind a ``.local`` name (multicast DNS, RFC 8828)."""
    fields = candidate.split()
    return len(fields) > 4 and fields[4].lower().endswith(".local")


def without_mdns(sdp: str) -> str:
    """Drop candidates with ``.local`` names, which take 1.2 s to resolve in vain, and the claim that none follow."""
    lines = sdp.splitlines()
    kept = [
        line
        for line in lines
        if line != "a=end-of-candidates" and not (line.startswith("a=candidate:") and is_mdns(line))
    ]
    return "\r\n".join(kept) + "\r\n"
