"""How many speaking portrait sessions does one core hold?

The studio runs pinned to one core; real aiortc receivers that do not decode run in this process on another. Visitors
(512x512, 25 fps, sound, each with a microphone that speaks without a pause) are added one by one until a visitor falls
below 24 fps; the last number that held is reported. In the same run the same content is sent the usual way
(`tests.bench.usual`): the same engine, but rgb24 frames into aiortc's own VP8 encoder and aiortc's own audio path.

Usage: python -m tests.bench.sessions [--json] [--most N] [--seconds S]

The last line of output is JSON. Timings depend on the machine; the ratio is measured side by side and travels better.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from tests.server import ROOT, Server, studio
from tests.visitor import Visitor, install_loopback_and_counting, make_speech, opus_packets

ENOUGH_FPS = 24.0
SETTLE_SECONDS = 2.5


def configuration(avatars: Sequence[str]) -> dict[str, object]:
    """Return a configuration with shipped ``avatars`` and no seat limit worth the name."""
    entries = []
    for avatar in avatars:
        source = ROOT / "static" / "avatars" / avatar
        entries.append({"id": avatar, "source": str(source if source.is_dir() else source.with_suffix(".png"))})
    return {"limits": {"sessions": 64}, "avatars": entries}


async def hold(server: Server, packets: Sequence[bytes], most: int, seconds: float, log: Any) -> dict[str, Any]:
    """Add visitors until one falls below 24 fps; return what held and what it cost."""
    visitors: list[Visitor] = []
    rows: list[dict[str, Any]] = []
    idle_mb = server.memory_mb()
    try:
        for count in range(1, most + 1):
            visitor = Visitor(server.ws, "mira", packets, start=137 * count)
            visitors.append(visitor)
            try:
                await visitor.connect()
            except (TimeoutError, ConnectionError) as error:
                print(f"  {count}: no more: {error}", file=log)
                break
            await asyncio.sleep(SETTLE_SECONDS)
            cpu = server.cpu_seconds()
            await asyncio.sleep(seconds)
            slowest = min(v.fps(seconds) for v in visitors)
            busy = (server.cpu_seconds() - cpu) / seconds
            rows.append({"sessions": count, "fps_min": slowest, "cpu": busy, "rss_mb": server.memory_mb()})
            print(f"  {count}: slowest {slowest:.1f} fps, {100 * busy:.0f} % of a core", file=log)
            if slowest < ENOUGH_FPS:
                break
        metrics = await server.metrics() if rows else {}
    finally:
        await asyncio.gather(*(v.close() for v in visitors))
    held = [row for row in rows if row["fps_min"] >= ENOUGH_FPS]
    per_session = [(b["rss_mb"] - a["rss_mb"]) for a, b in itertools.pairwise(held)]
    return {
        "sessions": held[-1]["sessions"] if held else 0,
        "rows": rows,
        "rss_loaded_mb": round(idle_mb, 1),
        "rss_per_session_mb": round(statistics.median(per_session), 1) if per_session else None,
        "metrics": {k: v for k, v in metrics.items() if "bucket" not in k},
    }


async def run(most: int, seconds: float, log: Any) -> dict[str, Any]:
    """Measure the studio, then the usual way, in one run."""
    install_loopback_and_counting()
    cores = psutil.Process().cpu_affinity()
    server_core = cores[0]
    if len(cores) > 1:
        psutil.Process().cpu_affinity(cores[1:])
    result: dict[str, Any] = {"seconds": seconds, "cores": len(cores)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        packets = opus_packets(make_speech(folder / "speech.wav"))
        ways = {"studio": ("start_studio.py",), "usual": ("-m", "tests.bench.usual")}
        for way, entry in ways.items():
            print(way, file=log)
            config = configuration(("mira", "omar", "robot", "astronaut"))
            async with studio(folder, config, core=server_core, entry=entry) as server:
                result[way] = await hold(server, packets, most, seconds, log)
    usual = result["usual"]["sessions"]
    result["ratio"] = round(result["studio"]["sessions"] / usual, 2) if usual else None
    return result


def main() -> int:
    """Parse the command line and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line on standard output")
    parser.add_argument("--most", type=int, default=24, help="visitors at the most (24)")
    parser.add_argument("--seconds", type=float, default=6.0, help="measured seconds a step (6)")
    options = parser.parse_args()
    log = sys.stderr if options.json else sys.stdout
    print(json.dumps(asyncio.run(run(options.most, options.seconds, log))))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
