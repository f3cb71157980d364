"""Two hundred visitors come and go; nothing of them stays."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import pytest

from tests.bench.measure import configuration, shipped
from tests.server import Server, studio
from tests.visitor import Visitor, make_speech, opus_packets

VISITORS = 200
TOGETHER = 4
STAY_SECONDS = 0.6
GROWTH_MB = 20
AVATARS = [entry["id"] for entry in shipped()]


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
    finally:
        await visitor.close()


async def settle(server: Server) -> dict[str, float]:
    """Wait until no session is left (bounded) and return the metrics."""
    for _ in range(50):
        metrics = await server.metrics()
        if metrics["studio_sessions"] == 0:
            break
        await asyncio.sleep(0.1)
    return metrics


@pytest.mark.soak
@pytest.mark.usefixtures("counting_peers")
async def test_soak_of_200_visitors_leaves_nothing(tmp_path: Path) -> None:
    packets = opus_packets(make_speech(tmp_path / "speech.wav"))
    async with studio(tmp_path, configuration()) as server:
        for n in range(0, 40, TOGETHER):
            await asyncio.gather(*(visit(server, packets, n + k) for k in range(TOGETHER)))
        before = await settle(server)
        threads, descriptors, memory = server.process.num_threads(), server.process.num_fds(), server.memory_mb()
        for n in range(0, VISITORS, TOGETHER):
            await asyncio.gather(*(visit(server, packets, n + k) for k in range(TOGETHER)))
        gc.collect()
        after = await settle(server)
        assert after["studio_sessions"] == 0
        assert after["studio_tasks"] <= before["studio_tasks"]
        assert server.process.num_threads() <= threads
        assert server.process.num_fds() <= descriptors
        assert server.memory_mb() - memory < GROWTH_MB
    log = (tmp_path / "server.log").read_text()
    assert "Traceback" not in log, log[-3000:]
