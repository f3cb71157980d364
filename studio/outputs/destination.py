"""Where an RTMP stream goes: the address taken apart, its key kept out of sight, and who may be called at all.

A request that names a server makes the studio connect to it: whoever may start streams could use the studio to knock at
doors of its own network. So names are resolved once, each address is judged, and the one that passed is called.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from studio.errors import BadMessage, StudioError
from studio.lookup import look_up

PORTS = {"rtmp": 1935, "rtmps": 443}
MAX_URL = 2048
"""Characters."""
MASK = "***"
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Leads to the IPv4 address in its last four bytes (RFC 6052), as other prefixes do; that one is judged."""
UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is public in IPv6 (RFC 4291, 2.4)."""


class RtmpRefused(StudioError):
    """The RTMP server is not there, may not be called, or does not want this stream."""

    code = "rtmp_refused"
    status = 502
    retryable = True
    default = "The RTMP server did not take the stream. Check its address and the stream key."


@dataclass(frozen=True, slots=True)
class Destination:
    """An RTMP address; its text never shows the stream key."""

    scheme: str
    """``rtmp`` or ``rtmps``."""
    host: str
    port: int
    app: str
    """The path's first part."""
    key: str = field(repr=False)
    """The path's last part and the query: whoever knows it may stream."""

    @property
    def tc_url(self) -> str:
        """What the ``connect`` command names."""
        return f"{self.scheme}://{self._place}/{self.app}"

    def __str__(self) -> str:
        return f"{self.tc_url}/{MASK}"

    @property
    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def read_destination(url: str) -> Destination:
    """Take an address apart: ``rtmp[s]://host[:port]/app[/more]/key[?query]``.

    Raises:
        BadMessage: It is none. The sentence repeats nothing of it: it may hold a key.
    """
    wrong = "rtmp_url must look like rtmp://server/app/key or rtmps://server/app/key."
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise BadMessage(wrong)
    try:
        parts = urlsplit(url)
        host, port, scheme = parts.hostname, parts.port, parts.scheme.lower()
    except ValueError:
        raise BadMessage(wrong) from None
    if scheme not in PORTS or not host or "\\" in url or parts.fragment or port == 0:
        raise BadMessage(wrong)
    if parts.username is not None or parts.password is not None:
        raise BadMessage("rtmp_url must not hold a user or password. RTMP servers are told who streams by the key.")
    app, _, key = parts.path.strip("/").rpartition("/")
    if not app or not key:
        raise BadMessage(wrong)
    query = f"?{parts.query}" if parts.query else ""
    return Destination(scheme, host, port or PORTS[scheme], app, key + query)


async def resolve(destination: Destination, hosts: Collection[str], is_private: bool) -> str:
    """Return the address to call.

    Args:
        destination: Where to.
        hosts: The only names that may be called; empty: see the next.
        is_private: Addresses that are not public, this machine's own too, may be called.

    Raises:
        RtmpRefused: Its name is not allowed, unknown, or leads to an address that is not allowed.
    """
    refused = RtmpRefused("The studio may not stream to this server. Add its name to rtmp.hosts.")
    if hosts and destination.host not in hosts:
        raise refused
    try:
        found = await look_up(destination.host, destination.port)
    except OSError:
        raise RtmpRefused("The RTMP server's name is unknown.") from None
    allowed = [address for address in found if hosts or is_private or _is_public(address)]
    if not allowed:
        raise refused
    return allowed[0]


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(int(ip) % 2**32) if ip in NAT64 else None)
        if inner is None and ip not in UNICAST:
            return False
        ip = inner or ip
    return ip.is_global and not ip.is_multicast
