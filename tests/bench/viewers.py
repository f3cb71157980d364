"""How many viewers of one broadcast does a core carry, and how many if each had an encoder of its own?

The studio runs pinned to one core; real aiortc viewers that do not decode run in this process on the others, and come
over WHEP in growing numbers. The avatar speaks without a pause, and is rendered once however many watch, in both ways.
A number of viewers holds if, in a window of --seconds after a warm-up, the one worst off received at least 24 pictures
and 47 packets of sound a second. What a viewer costs is the slope of the studio's processor time over all windows that
held; from it follows how many a whole core would carry (``per_core``), which neighbours on the machine and the viewers'
own cost disturb less than the number that held.

Usage: python -m tests.bench.viewers [--json] [--most N] [--seconds S]

The last line of output is JSON. Timings depend on the machine; the ratio is measured side by side and travels better.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from studio.beat import BEAT_SECONDS
from tests.bench.measure import Look, chosen, configuration, machine, parser, part_cores, prepare, report
from tests.bench.sessions import ENOUGH_FPS, ENOUGH_SOUNDS
from tests.reader import Client, reader
from tests.server import Server, studio
from tests.visitor import install_loopback_and_counting, make_speech

STEPS = (1, 2, 4, 8, 12, 16, 24, 32, 40, 48, 64, 80, 96)
WAYS = {"shared": ("start_studio.py",), "separate": ("-m", "tests.bench.separate")}
BEAT_MS = BEAT_SECONDS * 1000


class Crowd:
    """Viewers of one server's broadcast, coming until one of them gets too little."""

    def __init__(
        self, server: Server, core: int | None, speech: Path, options: argparse.Namespace, log: TextIO
    ) -> None:
        self._server, self._core, self._speech, self._log = server, core, speech, log
        self._options = options
        self._viewers: list[Client] = []
        self._rows: list[dict[str, Any]] = []

    async def run(self) -> dict[str, Any]:
        """Let them come; return what held and what it cost."""
        async with aiohttp.ClientSession() as web:
            try:
                for count in STEPS:
                    if count > self._options.most:
                        break
                    await self._come(web, count)
                    if not await self._holds():
                        break
            finally:
                await asyncio.gather(*(viewer.close() for viewer in self._viewers))
        held = [row for row in self._rows if row["held"]]
        return {"held": held[-1]["viewers"] if held else 0, **cost(held), "rows": self._rows}

    async def _come(self, web: aiohttp.ClientSession, count: int) -> None:
        is_first = not self._viewers
        while len(self._viewers) < count:
            viewer = reader(web, f"{self._server.http}/whep/{self._options.avatar}")
            viewer.keeps_data = False
            self._viewers.append(viewer)
            await viewer.open(trickles=False)
        if is_first:
            await self._speak(web)
        await asyncio.sleep(self._options.warm_up)

    async def _speak(self, web: aiohttp.ClientSession) -> None:
        async with web.get(f"{self._server.http}/api/sessions") as answer:
            (session,) = (await answer.json())["sessions"]
        for _ in range(4):
            form = aiohttp.FormData({"audio": self._speech.open("rb")})
            async with web.post(f"{self._server.http}/api/sessions/{session['id']}/say", data=form) as answer:
                answer.raise_for_status()

    async def _holds(self) -> bool:
        """Measure until a window holds; neighbours spoil some."""
        for _ in range(self._options.tries):
            if await self._measure():
                return True
        return False

    async def _measure(self) -> bool:
        """Measure one window; return whether it held."""
        seconds = self._options.seconds
        before = await Look.at_server(self._server, self._core)
        await asyncio.sleep(seconds)
        since = time.monotonic() - seconds
        rates = {kind: min(self._rate(viewer, kind, since) for viewer in self._viewers) for kind in ("video", "audio")}
        row: dict[str, Any] = {
            "viewers": len(self._viewers),
            "held": rates["video"] >= ENOUGH_FPS and rates["audio"] >= ENOUGH_SOUNDS,
            "fps_min": round(rates["video"], 2),
            "sounds_min": round(rates["audio"], 1),
            "rss_mb": round(self._server.memory_mb(), 1),
            **(await Look.at_server(self._server, self._core)).since(before),
        }
        self._rows.append(row)
        print(
            f"  {row['viewers']}: slowest {row['fps_min']:.1f} fps, sound {row['sounds_min']:.0f}/s, "
            f"{row['cpu_ms_per_beat']} ms of a beat's {BEAT_MS:.0f}{'' if row['held'] else ': too little'}",
            file=self._log,
        )
        return bool(row["held"])

    def _rate(self, viewer: Client, kind: str, since: float) -> float:
        seconds: float = self._options.seconds
        return sum(1 for item in viewer.items[kind] if item[0] >= since) / seconds


def cost(rows: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """Return what the first and what each further viewer costs, in CPU milliseconds a beat, and how many fill a core.

    The straight line through all windows with the least squares of its errors.
    """
    if len({row["viewers"] for row in rows}) < 2:
        return {"base_ms": None, "viewer_ms": None, "per_core": None}
    counts, spent = [row["viewers"] for row in rows], [row["cpu_ms_per_beat"] for row in rows]
    middle, mean = sum(counts) / len(counts), sum(spent) / len(spent)
    slope = sum((n - middle) * (ms - mean) for n, ms in zip(counts, spent, strict=True))
    slope /= sum((n - middle) ** 2 for n in counts)
    base = mean - slope * middle
    per_core = round((BEAT_MS - base) / slope, 1) if slope > 0 else None  # too few for too short a time
    return {"base_ms": round(base, 2), "viewer_ms": round(slope, 3), "per_core": per_core}


async def run(options: argparse.Namespace, log: TextIO) -> dict[str, Any]:
    """Measure both ways, in turn, in one run; of each the rounds are taken together."""
    install_loopback_and_counting()
    core = part_cores()
    result: dict[str, Any] = {"machine": machine(), "seconds": options.seconds, "avatar": options.avatar}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(chosen(options.avatar), options.cache)
        config["limits"]["viewers"] = 1000
        speech = make_speech(folder / "speech.wav", rate=16_000, repeat=8)
        await prepare(folder, config)
        rows: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        held = dict.fromkeys(WAYS, 0)
        for way in [*WAYS] * options.rounds:
            print(f"{way}, {options.avatar}", file=log)
            async with studio(folder, config, core=core, entry=WAYS[way]) as server:
                crowd = await Crowd(server, core, speech, options, log).run()
            rows[way] += crowd["rows"]
            held[way] = max(held[way], crowd["held"])
    for way in WAYS:
        fits = cost([row for row in rows[way] if row["held"]])
        result[way] = {"held": held[way], **fits, "rows": rows[way]}
    ours, theirs = result["shared"]["per_core"], result["separate"]["per_core"]
    return result | {"ratio": round(ours / theirs, 2) if ours and theirs else None}


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    options = parser(__doc__)
    options.add_argument("--most", type=int, default=48, help="viewers at the most (48)")
    options.add_argument("--seconds", type=float, default=8.0, help="measured seconds a step (8)")
    options.add_argument("--warm-up", type=float, default=2.0, help="seconds between coming and measuring (2)")
    options.add_argument("--tries", type=int, default=3, help="windows that one number of viewers gets (3)")
    options.add_argument("--rounds", type=int, default=1, help="of each way (1)")
    return options.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(report(run, parse()))
