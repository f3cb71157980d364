"""Which candidates the studio offers: chosen ports, a public address, relayed ones alone; dead servers cost little."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from studio.lookup import look_up
from studio.spec import IceSpec
from tests.integration.conftest import House, soon
from tests.integration.test_turn import Turn, turn
from tests.server import free_port
from tests.visitor import Visitor

__all__ = ["turn"]

Open = Callable[..., contextlib.AbstractAsyncContextManager[House]]
CANDIDATE = re.compile(r"a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)(?: raddr (\S+) rport (\d+))?")


def is_seen(visitor: Visitor) -> bool:
    return len(visitor.video) > 5


def candidates(sdp: str) -> set[tuple[str, ...]]:
    return {found.groups("") for found in CANDIDATE.finditer(sdp)}


async def test_peers_use_the_configured_ports_and_give_them_back(open_house: Open) -> None:
    low = free_port()
    ice = IceSpec(ports=f"{low}-{low + 9}", connect_limit=5.0)
    async with open_house(ice=ice) as house:
        for _ in range(3):
            visitor = house.visitor()
            await visitor.open()
            answer = await visitor.offer()
            ports = {int(port) for _, port, *_ in candidates(answer["sdp"])}
            assert ports and ports <= set(range(low, low + 10))
            async with asyncio.timeout(10):
                await visitor.connected()
            await soon(partial(is_seen, visitor))
            await visitor.close()


async def test_visitor_for_whom_no_port_is_free_is_answered_without_one(open_house: Open) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        async with open_house(ice=IceSpec(ports=f"{port}-{port}")) as house:
            visitor = house.visitor()
            await visitor.open()
            assert not candidates((await visitor.offer())["sdp"])


async def test_public_address_is_offered_beside_the_private_one(open_house: Open) -> None:
    async with open_house(ice=IceSpec(public_address="203.0.113.7")) as house:
        visitor = house.visitor()
        await visitor.open()
        found = candidates((await visitor.offer())["sdp"])
        host = next(one for one in found if one[2] == "host")
        assert ("203.0.113.7", host[1], "srflx", host[0], host[1]) in found
        await visitor.connected()
        await soon(lambda: visitor.video)


async def test_relay_only_studio_offers_nothing_else_and_is_seen(turn: Turn, open_house: Open) -> None:
    async with open_house(ice=replace(turn.ice(), relay_only=True)) as house:
        visitor = house.visitor()
        await visitor.open()
        found = candidates((await visitor.offer())["sdp"])
        assert {one[2] for one in found} == {"relay"}
        async with asyncio.timeout(10):
            await visitor.connected()
        await soon(lambda: len(visitor.video) > 10)


@pytest.mark.parametrize("kind", ["stun", "turn"])
async def test_server_that_never_answers_delays_the_answer_by_less_than_a_second(kind: str, open_house: Open) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:  # takes everything, says nothing
        hole.bind(("127.0.0.1", 0))
        url = f"{kind}:127.0.0.1:{hole.getsockname()[1]}"
        ice = IceSpec(stun=(url,)) if kind == "stun" else IceSpec(turn=(url + "?transport=udp",), turn_secret="s")
        async with open_house(ice=IceSpec()) as house:
            usual = await answer_seconds(house)
        async with open_house(ice=ice) as house:
            assert await answer_seconds(house) - usual < 1.0


async def test_server_whose_name_is_unknown_costs_nothing(open_house: Open) -> None:
    async with open_house(ice=IceSpec(stun=("stun:stun.invalid:3478",))) as house:
        await answer_seconds(house)


async def answer_seconds(house: House) -> float:
    visitor = house.visitor()
    await visitor.open()
    began = time.monotonic()
    await visitor.offer()
    took = time.monotonic() - began
    async with asyncio.timeout(10):
        await visitor.connected()
    await visitor.close()
    return took


async def test_names_and_addresses_are_looked_up() -> None:
    assert await look_up("127.0.0.1", 80) == ["127.0.0.1"]
    assert "127.0.0.1" in await look_up("localhost", 80) or "::1" in await look_up("localhost", 80)
    with pytest.raises(OSError):
        await look_up("a..b", 80)
