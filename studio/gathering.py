"""Our ICE candidates: on chosen addresses and ports, behind a known public address, or relayed alone; within a limit.

Stands in for aioice's own gathering, which knows neither ports nor limits. Read in aioice 0.13.
"""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from aioice import Candidate, Connection
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import StunProtocol, server_reflexive_candidate
from aioice.turn import UDP_SOCKET_BUFFER_SIZE

from studio.lookup import look_up

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gathering:
    """What may be offered."""

    addresses: tuple[str, ...]
    """Of this machine; empty: those of all interfaces."""
    ports: range
    """To bind; empty: whatever the system gives."""
    public: str
    """The address by which the world knows this machine, whose ports are handed on unchanged; empty: none."""
    relay_only: bool
    """Offer nothing but what a TURN server relays."""
    limit: float
    """Seconds that STUN and TURN servers have."""

    async def candidates(self, connection: Connection, component: int, interfaces: Sequence[str]) -> list[Candidate]:
        """Return one component's candidates; their sockets belong to ``connection``."""
        hosts = [] if self.relay_only else list(self.addresses) or list(interfaces)
        protocols = [protocol for host in hosts if (protocol := await self._bind(connection, component, host))]
        connection._protocols += protocols
        found = [protocol.local_candidate for protocol in protocols]
        found += [_public(candidate, self.public) for candidate in found if self.public and "." in candidate.host]
        end = asyncio.get_running_loop().time() + self.limit
        asked = [_relayed(connection, component, end)]
        asked += [_reflected(protocol, connection.stun_server, end) for protocol in protocols]
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(answer, list):
                found += answer
            elif isinstance(answer, Exception):
                log.warning("a STUN or TURN server could not be asked: %s", type(answer).__name__)
        return found

    async def _bind(self, connection: Connection, component: int, host: str) -> StunProtocol | None:
        """Open a socket on an address, on any port that is free; None where that is impossible."""
        loop = asyncio.get_running_loop()
        for port in random.sample(self.ports, len(self.ports)) if self.ports else (0,):
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: StunProtocol(connection), local_addr=(host, port)
                )
            except OSError:
                continue
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_SOCKET_BUFFER_SIZE)
            place = transport.get_extra_info("sockname")
            protocol.local_candidate = Candidate(
                candidate_foundation("host", "udp", place[0]), component, "udp", candidate_priority(component, "host"),
                place[0], place[1], "host",
            )  # fmt: skip
            return protocol
        log.warning("no port of %s is free for another peer", host)
        return None


def _public(host: Candidate, address: str) -> Candidate:
    """Return what a STUN server would say of a host candidate behind a NAT that keeps its port."""
    return Candidate(
        candidate_foundation("srflx", "udp", host.host), host.component, "udp",
        candidate_priority(host.component, "srflx"), address, host.port, "srflx",
        related_address=host.host, related_port=host.port,
    )  # fmt: skip


async def _reflected(protocol: StunProtocol, server: tuple[str, int] | None, end: float) -> list[Candidate]:
    """Ask a STUN server until ``end`` how it sees a socket; IPv4 alone, as aioice."""
    if server is None or ":" in protocol.local_candidate.host:
        return []
    async with asyncio.timeout_at(end):
        address = _version4(await look_up(*server))
        candidate, _ = await server_reflexive_candidate(protocol, (address, server[1]))
    return [candidate]


async def _relayed(connection: Connection, component: int, end: float) -> list[Candidate]:
    """Let aioice get a relayed candidate until ``end``; a name is kept where a certificate must match it."""
    server, loop = connection.turn_server, asyncio.get_running_loop()
    if server is None:
        return []
    if not connection.turn_ssl:
        async with asyncio.timeout_at(end):
            connection.turn_server = ((await look_up(*server))[0], server[1])
    gather = type(connection).get_component_candidates
    left = max(0.01, end - loop.time())
    return await gather(connection, component, [], timeout=left)  # type: ignore[arg-type]


def _version4(addresses: Sequence[str]) -> str:
    for address in addresses:
        if ":" not in address:
            return address
    raise OSError("no IPv4 address")
