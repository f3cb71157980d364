"""How many speaking portrait sessions does one core hold?

The studio runs pinned to one core; real aiortc receivers that do not decode run in this process on the others. Visitors
(512x512, 25 fps, sound, each with a microphone that speaks without a pause) join one by one. A number of visitors
holds if in a window of --seconds, after a warm-up, every one of them, the worst included, received at least 24
pictures and 47 packets of sound a second, and if nearly as much of that was speech as with one visitor alone: a starved
engine lets idle pictures leave instead, 25 a second. A window that fails is measured once more. In the same run the
same content is sent the usual way (`tests.bench.usual`). Neighbours on the machine only ever take something away, so
both ways climb --rounds times, in turn, and the best climb of each counts.

Usage: python -m tests.bench.sessions [--json] [--most N] [--seconds S]

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

import psutil

from tests.bench.measure import Look, chosen, configuration, machine, parser, part_cores, prepare, report
from tests.server import Server, studio
from tests.visitor import Visitor, install_loopback_and_counting, make_speech, opus_packets

ENOUGH_FPS, ENOUGH_SOUNDS = 24.0, 47.0
ENOUGH_SPEECH = 0.95
"""Of the share of speech that the first visitor had alone."""
LIGHT = 0.5
"""Below this load of the core a window of a third of the length is enough: the number is not the one reported."""
WAYS = {"studio": ("start_studio.py",), "usual": ("-m", "tests.bench.usual")}


class Climb:
    """Visitors of one server, joining until one of them gets too little."""

    def __init__(
        self, server: Server, core: int | None, packets: Sequence[bytes], options: argparse.Namespace, log: TextIO
    ) -> None:
        self._server, self._core, self._packets, self._log = server, core, packets, log
        self._seconds, self._warm_up = options.seconds, options.warm_up
        self._avatar, self._most = options.avatar, options.most
        self._visitors: list[Visitor] = []
        self._rows: list[dict[str, Any]] = []

    async def run(self, known: int, until: float) -> dict[str, Any]:
        """Climb until ``--most`` visitors or the time ``until``; return what held and what it cost.

        Args:
            known: As many held in an earlier climb; only the first and the last two of these are measured.
            until: `time.monotonic`.
        """
        loaded_mb = self._server.memory_mb()
        try:
            while len(self._visitors) < self._most and time.monotonic() < until:
                await self._join()
                if 1 < len(self._visitors) < known - 1:
                    continue
                if not (await self._measure() or await self._measure()):
                    break
        finally:
            await asyncio.gather(*(visitor.close() for visitor in self._visitors))
        held = [row for row in self._rows if row["held"]]
        best = held[-1] if held else {"sessions": 0}
        return {
            "sessions": best["sessions"],
            "best": best,
            "rss_loaded_mb": round(loaded_mb, 1),
            "rss_first_session_mb": round(held[0]["rss_mb"] - loaded_mb, 1) if held else None,
            "rss_per_session_mb": _slope(held),
            "rows": self._rows,
        }

    async def _join(self) -> None:
        visitor = Visitor(self._server.ws, self._avatar, self._packets, start=137 * len(self._visitors))
        self._visitors.append(visitor)
        await visitor.connect()
        await asyncio.sleep(self._warm_up)

    async def _measure(self) -> bool:
        """Measure one window; return whether it held."""
        is_light = bool(self._rows) and self._rows[-1]["cpu"] < LIGHT
        seconds = self._seconds / 3 if is_light else self._seconds
        before, ours = await Look.at_server(self._server, self._core), _own_cpu()
        await asyncio.sleep(seconds)
        fps = sorted(visitor.fps(seconds) for visitor in self._visitors)
        since = time.monotonic() - seconds
        sounds = min(sum(at >= since for at in visitor.audio) / seconds for visitor in self._visitors)
        visitors_cpu = (_own_cpu() - ours) / seconds
        row: dict[str, Any] = {
            "sessions": len(self._visitors),
            "held": False,
            "fps_min": round(fps[0], 2),
            "fps_median": round(fps[len(fps) // 2], 2),
            "sounds_min": round(sounds, 1),
            "rss_mb": round(self._server.memory_mb(), 1),
            "visitors_cpu": round(visitors_cpu, 2),
            **(await Look.at_server(self._server, self._core)).since(before),
        }
        self._rows.append(row)
        is_spoken = row["speaking"] >= ENOUGH_SPEECH * self._rows[0]["speaking"]
        row["held"] = fps[0] >= ENOUGH_FPS and sounds >= ENOUGH_SOUNDS and is_spoken
        print(_line(row), file=self._log)
        return bool(row["held"])


def _line(row: dict[str, Any]) -> str:
    load = f"{100 * row['cpu']:.0f} % of the core, {row['cpu_ms_per_beat']} ms a beat"
    received = (
        f"slowest {row['fps_min']:.1f} fps, sound {row['sounds_min']:.0f}/s, {100 * row['speaking']:.0f} % speech"
    )
    return f"  {row['sessions']}: {received}, {load}{'' if row['held'] else ': too little'}"


def _own_cpu() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


def _slope(held: Sequence[dict[str, Any]]) -> float | None:
    """Return what each further session costs, first to last."""
    if len(held) < 2 or held[-1]["sessions"] == held[0]["sessions"]:
        return None
    slope: float = (held[-1]["rss_mb"] - held[0]["rss_mb"]) / (held[-1]["sessions"] - held[0]["sessions"])
    return round(slope, 1)


async def run(options: argparse.Namespace, log: TextIO) -> dict[str, Any]:
    """Measure the studio, then the usual way, in one run."""
    install_loopback_and_counting()
    core = part_cores()
    result: dict[str, Any] = {"machine": machine(), "seconds": options.seconds, "avatar": options.avatar}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration(chosen(options.avatar), options.cache)
        packets = opus_packets(make_speech(folder / "speech.wav"))
        result["avatars"] = len(config["avatars"])
        await prepare(folder, config)
        climbs: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways.split(",")}
        until = time.monotonic() + 60 * options.minutes
        for way in [*climbs] * options.rounds:
            print(f"{way}, {options.avatar}", file=log)
            async with studio(folder, config, core=core, entry=WAYS[way]) as server:
                climb = Climb(server, core, packets, options, log)
                climbs[way].append(await climb.run(max((c["sessions"] for c in climbs[way]), default=0), until))
    for way, tried in climbs.items():
        result[way] = max(tried, key=lambda climb: int(climb["sessions"])) | {"tried": [c["sessions"] for c in tried]}
    return result | _compare(result)


def _compare(result: dict[str, Any]) -> dict[str, float | None]:
    """Return how many times as many sessions the studio holds, and how many times as much CPU the usual way takes."""
    ours, usual = result.get("studio"), result.get("usual")
    if not (ours and usual and ours["sessions"] and usual["sessions"]):
        return {"ratio": None, "cpu_ratio": None}
    cost = [way["best"]["cpu_ms_per_beat"] for way in (usual, ours)]
    return {
        "ratio": round(ours["sessions"] / usual["sessions"], 2),
        "cpu_ratio": round(cost[0] / cost[1], 2) if all(cost) else None,
    }


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    options = parser(__doc__)
    options.add_argument("--most", type=int, default=24, help="visitors at the most (24)")
    options.add_argument("--seconds", type=float, default=10.0, help="measured seconds a step (10)")
    options.add_argument("--warm-up", type=float, default=2.5, help="seconds between joining and measuring (2.5)")
    options.add_argument("--rounds", type=int, default=2, help="climbs of each way (2)")
    options.add_argument("--minutes", type=float, default=9.0, help="stop climbing after that, all climbs together (9)")
    options.add_argument("--ways", default="studio,usual", help="which of studio,usual to measure")
    return options.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(report(run, parse()))
