"""A visit that is relayed by coturn, with time-limited credentials from the studio's configuration; on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCIceTransportPolicy

from studio.ice import turn_login
from studio.spec import IceSpec
from tests.conftest import need
from tests.integration.conftest import House, soon
from tests.server import free_port

Open = Callable[..., contextlib.AbstractAsyncContextManager[House]]
SECRET = "north wind"


@dataclass(frozen=True)
class Turn:
    """A running TURN server."""

    port: int

    def ice(self, secret: str = SECRET) -> IceSpec:
        """Return the studio's configuration for it."""
        return IceSpec(turn=(f"turn:127.0.0.1:{self.port}?transport=udp",), turn_secret=secret, connect_limit=5.0)

    def relay_only(self, ice: IceSpec) -> RTCConfiguration:
        """Return what a visitor behind a strict firewall uses: nothing but this server."""
        user, password = turn_login(ice, time.time())
        server = RTCIceServer(ice.turn[0], user, password)
        return RTCConfiguration(iceServers=[server], iceTransportPolicy=RTCIceTransportPolicy.RELAY)


@pytest.fixture
async def turn(tmp_path: Path) -> AsyncIterator[Turn]:
    """Coturn on a free port of 127.0.0.1, for the time of a test."""
    program, port = need("turnserver", "coturn"), free_port()
    options = [
        "-n", "--listening-ip=127.0.0.1", "--relay-ip=127.0.0.1", f"--listening-port={port}",
        "--min-port=49200", "--max-port=49300", "--use-auth-secret", f"--static-auth-secret={SECRET}",
        "--realm=studio.test", "--allow-loopback-peers", "--no-tls", "--no-dtls", "--no-cli",
        "--log-file=stdout", f"--pidfile={tmp_path / 'turn.pid'}", f"--userdb={tmp_path / 'turn.db'}",
    ]  # fmt: skip
    with (tmp_path / "turn.log").open("w") as log:
        process = await asyncio.create_subprocess_exec(program, *options, stdout=log, stderr=log)
    try:
        await soon(lambda: is_listening(port), limit=10)
        yield Turn(port)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 5)
        except TimeoutError:
            process.kill()
            await process.wait()


def is_listening(port: int) -> bool:
    """Say whether somebody has bound the UDP port; coturn listens to TCP on the same one."""

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


async def test_visitor_who_can_only_be_relayed_sees_and_hears(turn: Turn, open_house: Open) -> None:
    ice = turn.ice()
    async with open_house(ice=ice) as house:
        visitor = house.visitor()
        visitor.configuration = turn.relay_only(ice)
        await visitor.open()
        answer = await visitor.offer()
        assert " typ relay" in answer["sdp"]
        async with asyncio.timeout(10):
            await visitor.connected()
        connection = visitor.pc.getTransceivers()[0].receiver.transport.transport._connection
        assert connection._nominated[1].local_candidate.type == "relay"
        await soon(lambda: len(visitor.video) > 25 and len(visitor.audio) > 50)
        await visitor.heard("state", speaking=True)


async def test_studio_with_a_wrong_secret_answers_in_time_without_the_relay(turn: Turn, open_house: Open) -> None:
    async with open_house(ice=turn.ice("south wind")) as house:
        visitor = house.visitor()
        await visitor.open()
        began = time.monotonic()
        answer = await visitor.offer()
        assert " typ relay" not in answer["sdp"] and time.monotonic() - began < 2
        await visitor.connected()
        await soon(lambda: visitor.video)


async def test_turn_server_that_is_dead_costs_less_than_a_second(open_house: Open) -> None:
    async with open_house(ice=Turn(free_port()).ice()) as house:
        visitor = house.visitor()
        await visitor.open()
        began = time.monotonic()
        await visitor.offer()
        assert time.monotonic() - began < 1.5
        await visitor.connected()
