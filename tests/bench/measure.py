"""What the benches share: the configuration they start, what a server has spent between two looks, and the machine."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import psutil

from tests.loopback import isolate
from tests.server import ROOT, Server, studio

AVATARS = ("mira", "omar", "robot", "astronaut")
CARD = {"id": "card", "engine": "testcard", "source": str(ROOT / "static" / "icon.svg")}
LABEL = re.compile(r'(\w+)="([^"]*)"')


def shipped(avatars: Sequence[str] = AVATARS) -> list[dict[str, str]]:
    """Return configuration entries of those of ``avatars`` that are in this checkout."""
    folder = ROOT / "static" / "avatars"
    sources = [(avatar, folder / avatar) for avatar in avatars]
    sources = [(avatar, path if path.is_dir() else path.with_suffix(".png")) for avatar, path in sources]
    return [{"id": avatar, "source": str(path)} for avatar, path in sources if path.exists()]


def configuration(avatars: Sequence[str] = AVATARS, cache: Path | None = None) -> dict[str, Any]:
    """Return a configuration with shipped avatars and no seat limit worth the name; ``card`` is a test card."""
    entries = shipped(avatars) + ([CARD] if "card" in avatars else [])
    return {"cache": str(cache or ROOT / ".studio"), "limits": {"sessions": 64}, "avatars": entries}


def chosen(avatar: str) -> tuple[str, ...]:
    """Return the avatars that a bench loads where everybody visits ``avatar``: all, or the test card alone."""
    return ("card",) if avatar == "card" else AVATARS


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser of the options that every bench of a server has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line on standard output")
    parser.add_argument("--avatar", default="astronaut", help="whom everybody visits; card: no avatar")
    parser.add_argument("--cache", type=Path, help="folder of prepared avatars (.studio)")
    return parser


def report(run: Callable[[argparse.Namespace, TextIO], Awaitable[dict[str, Any]]], options: argparse.Namespace) -> int:
    """Run a bench where only 127.0.0.1 is in reach, print its result as one line of JSON, and return the exit code."""

    async def ran() -> dict[str, Any]:
        return await run(options, sys.stderr if options.json else sys.stdout)

    isolate()
    print(json.dumps(asyncio.run(ran())))
    return 0


def machine() -> dict[str, object]:
    """Return what a figure needs to be read later: processor, cores, Python, time, load."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "load": round(os.getloadavg()[0], 2),
    }


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor()


async def prepare(folder: Path, config: dict[str, Any]) -> None:
    """Start a studio once, so that every avatar is prepared and the measured ones only load them."""
    if config["avatars"] != [CARD]:
        async with studio(folder, config):
            pass


def part_cores() -> int | None:
    """Move this process off its first core and return that core for a server; None where nothing can be pinned."""
    if not hasattr(psutil.Process, "cpu_affinity"):
        return None
    cores = psutil.Process().cpu_affinity()
    if len(cores) > 1:
        psutil.Process().cpu_affinity(cores[1:])
    return int(cores[0])


def labelled(metrics: Mapping[str, float], name: str, label: str) -> dict[str, float]:
    """Return the values of a metric by one of its labels."""
    found = {}
    for key, value in metrics.items():
        family, _, labels = key.partition("{")
        if family == name:
            found[dict(LABEL.findall(labels)).get(label, "")] = value
    return found


@dataclass(frozen=True)
class Look:
    """What a server and its core had spent at one moment."""

    at: float
    server_s: float
    """CPU seconds of the server."""
    core_s: float
    """CPU seconds of everybody on the server's core."""
    metrics: Mapping[str, float]

    @classmethod
    async def at_server(cls, server: Server, core: int | None) -> Look:
        """Look now."""
        times = psutil.cpu_times(percpu=True)[core] if core is not None else psutil.cpu_times()
        busy = times.user + times.nice + times.system + times.irq + times.softirq
        return cls(time.monotonic(), server.cpu_seconds(), busy, await server.metrics())

    def since(self, before: Look) -> dict[str, Any]:
        """Return what was spent between two looks; CPU in milliseconds per beat."""
        seconds = self.at - before.at
        beats = labelled(self.metrics, "studio_beats_total", "kind")
        sent = {kind: count - labelled(before.metrics, "studio_beats_total", "kind").get(kind, 0)
                for kind, count in beats.items()}  # fmt: skip
        total, spent = sum(sent.values()), self.server_s - before.server_s
        lateness = labelled(self.metrics, "studio_beat_lateness_recent_ms", "quantile")
        return {
            "cpu": round(spent / seconds, 3),
            "neighbours": round(max(0.0, self.core_s - before.core_s - spent) / seconds, 3),
            "speaking": round(sent.get("speech", 0) / total, 2) if total else 0.0,
            "spoilt": round(self._spoilt(before) / total, 3) if total else 0.0,
            "cpu_ms_per_beat": round(1000 * spent / total, 2) if total else None,
            "stages_ms": self._stages(before, total, 1000 * spent) if total else {},
            "lateness_ms": {f"p{float(q) * 100:g}": round(ms, 2) for q, ms in sorted(lateness.items())},
        }

    def _spoilt(self, before: Look) -> float:
        """Return how many beats left late as idle ones, and pictures, sounds and beats given up."""
        names = ("studio_late_beats_total", "studio_dropped_total")
        return sum(value - before.metrics.get(key, 0) for key, value in self.metrics.items() if key.startswith(names))

    def _stages(self, before: Look, beats: float, spent_ms: float) -> dict[str, float]:
        """Return CPU milliseconds per beat by stage; what no stage claims is the event loop's or the threads'."""
        name = "studio_cpu_ms_total"
        earlier = labelled(before.metrics, name, "stage")
        stages = {stage: ms - earlier.get(stage, 0) for stage, ms in labelled(self.metrics, name, "stage").items()}
        loop = self.metrics.get("studio_loop_cpu_ms", 0) - before.metrics.get("studio_loop_cpu_ms", 0)
        on_loop = sum(stages.get(stage, 0) for stage in ("hear", "send", "convert_rgb"))
        in_threads = sum(stages.values()) - on_loop
        stages |= {"rest_of_loop": loop - on_loop, "rest_of_threads": spent_ms - loop - in_threads}
        return {stage: round(ms / beats, 3) for stage, ms in stages.items()}
