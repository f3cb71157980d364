"""Two hundred visitors come and go; nothing of them stays."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.measure import configuration, shipped
from tests.server import Server, studio
from tests.visitor import Visitor, make_speech, opus_packets

WARM_UP, VISITORS = 40, 200
TOGETHER = 4
STAY_SECONDS = 0.6
GROWTH_MB = 20
SETTLE_SECONDS = 12
"""Sockets close, and free memory is returned to the system every 5 s."""
AVATARS = [entry["id"] for entry in shipped()]


@dataclass(frozen=True)
class Left:
    """What a server holds when nobody is there."""

    sessions: float
    tasks: float
    threads: int
    descriptors: int
    connections: int
    """Sockets, bound ones included: a peer that stays keeps its UDP socket."""
    memory_mb: float

    @classmethod
    async def at_server(cls, server: Server) -> Left:
        """Look now, garbage collected."""
        metrics = await server.metrics("?gc")
        process = server.process
        counts = (process.num_threads(), process.num_fds(), len(process.net_connections("all")))
        return cls(metrics["studio_sessions"], metrics["studio_tasks"], *counts, round(server.memory_mb(), 1))

    def is_within(self, before: Left) -> bool:
        """Return whether nothing was added to ``before`` but a little memory."""
        counts = (self.sessions, self.tasks, self.threads, self.descriptors, self.connections)
        limits = (0, before.tasks, before.threads, before.descriptors, before.connections)
        within = all(count <= limit for count, limit in zip(counts, limits, strict=True))
        return within and self.memory_mb < before.memory_mb + GROWTH_MB


async def visit(server: Server, packets: list[bytes], n: int) -> None:
    """Come, speak, sometimes switch or interrupt, and leave in one of the ways people leave."""
    visitor = Visitor(server.ws, AVATARS[n % len(AVATARS)], packets if n % 3 else None, start=n)
    try:
        await visitor.connect()
        await asyncio.sleep(STAY_SECONDS)
        if n % 5 == 0:
            await visitor.ws.send_json({"type": "select_avatar", "avatar_id": AVATARS[(n + 1) % len(AVATARS)]})
        if n % 7 == 0:
            await visitor.ws.send_json({"type": "interrupt"})
        if n % 4 == 0:
            await visitor.ws.send_json({"type": "stop"})
            await asyncio.sleep(0.1)
        if n % 4 == 1:
            await visitor.pc.close()  # before the socket; the others after it
    finally:
        await visitor.close()


async def visits(server: Server, packets: list[bytes], count: int) -> None:
    """Let ``count`` visitors come, a few at a time."""
    for n in range(0, count, TOGETHER):
        await asyncio.gather(*(visit(server, packets, n + k) for k in range(TOGETHER)))


@pytest.mark.soak
@pytest.mark.usefixtures("counting_peers")
async def test_soak_of_200_visitors_leaves_nothing(tmp_path: Path) -> None:
    packets = opus_packets(make_speech(tmp_path / "speech.wav"))
    async with studio(tmp_path, configuration()) as server:
        await visits(server, packets, WARM_UP)
        await asyncio.sleep(SETTLE_SECONDS)
        before = await Left.at_server(server)
        await visits(server, packets, VISITORS)
        after = await Left.at_server(server)
        for _ in range(int(SETTLE_SECONDS)):
            if after.is_within(before):
                break
            await asyncio.sleep(1)
            after = await Left.at_server(server)
    assert after.is_within(before), f"before {before}\nafter  {after}"
    log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log, log[-3000:]
