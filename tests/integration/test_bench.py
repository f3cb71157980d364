"""The benches still run and say what they promise; how fast anything is is none of a test's business."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import latency, sessions, viewers
from tests.bench.latency import Probe, buzz, opus_of
from tests.bench.measure import Look, labelled
from tests.conftest import need
from tests.server import ROOT


async def bench(name: str, *arguments: str) -> dict[str, Any]:
    """Run a bench in a process of its own, on the test card, and return its JSON."""
    need("espeak-ng", "espeak-ng")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"tests.bench.{name}", "--json", "--avatar", "card", "--warm-up", "0.5", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()[-2000:]
    result = json.loads(out)
    assert isinstance(result, dict)
    return result


async def test_sessions_counts_both_ways(tmp_path: Path) -> None:
    result = await bench("sessions", "--seconds", "2", "--most", "1", "--rounds", "1", "--cache", str(tmp_path))
    assert {"machine", "seconds", "avatar", "avatars", "studio", "usual", "ratio", "cpu_ratio"} == result.keys()
    for way in ("studio", "usual"):
        row = result[way]["rows"][0]
        assert row["sessions"] == 1
        assert row["cpu_ms_per_beat"] > 0
        assert {"hear", "step", "encode_video", "encode_audio", "rest_of_loop"} <= row["stages_ms"].keys()
        assert row["lateness_ms"].keys() == {"p50", "p95", "p99"}
        assert {"sessions", "best", "rss_loaded_mb", "rss_first_session_mb", "rss_per_session_mb"} <= result[way].keys()


async def test_viewers_share_an_encoder_or_have_their_own(tmp_path: Path) -> None:
    result = await bench("viewers", "--seconds", "2", "--most", "2", "--cache", str(tmp_path))
    assert {"machine", "seconds", "avatar", "shared", "separate", "ratio"} == result.keys()
    for way in ("shared", "separate"):
        assert {"held", "base_ms", "viewer_ms", "per_core", "rows"} == result[way].keys()
        assert {row["viewers"] for row in result[way]["rows"]} <= {1, 2}
        assert all(row["cpu_ms_per_beat"] > 0 and row["stages_ms"]["send"] > 0 for row in result[way]["rows"])


def test_cost_of_a_viewer_is_the_slope() -> None:
    rows = [{"viewers": count, "cpu_ms_per_beat": 8 + 0.5 * count} for count in (1, 2, 4, 8)]
    assert viewers.cost(rows) == {"base_ms": 8.0, "viewer_ms": 0.5, "per_core": 64.0}
    assert viewers.cost(rows[:1])["per_core"] is None
    assert viewers.cost([{**row, "cpu_ms_per_beat": 8.0} for row in rows])["per_core"] is None


async def test_latency_looks_from_inside_and_outside(tmp_path: Path) -> None:
    result = await bench("latency", "--seconds", "3", "--visitors", "1", "--cache", str(tmp_path))
    (run,) = result["runs"]
    assert run["visitors"] == 1
    assert run["inside_ms"].keys() == {"p50", "p95", "p99"}
    assert run["outside_ms"].keys() == {"p50", "p95", "buzzes", "missing"}
    assert run["inside_ms"]["p50"] > 0


def test_options_have_defaults() -> None:
    assert sessions.parse([]).seconds >= 10
    assert latency.parse([]).visitors == [1, 4]
    assert latency.parse(["--visitors", "2"]).visitors == [2]


def test_cost_is_what_happened_between_two_looks() -> None:
    def look(seconds: float, beats: float) -> Look:
        counts = {'studio_beats_total{kind="speech"}': beats, 'studio_beats_total{kind="idle"}': beats}
        stages = {'studio_cpu_ms_total{stage="step"}': 4 * beats, 'studio_cpu_ms_total{stage="hear"}': beats}
        lateness = {'studio_beat_lateness_recent_ms{quantile="0.5"}': 1.25}
        return Look(
            seconds, seconds / 2, seconds / 2, {**counts, **stages, **lateness, "studio_loop_cpu_ms": 3 * beats}
        )

    spent = look(10, 125).since(look(0, 0))
    assert spent["cpu"] == 0.5
    assert spent["speaking"] == 0.5
    assert spent["cpu_ms_per_beat"] == 20
    assert spent["stages_ms"] == {"step": 2.0, "hear": 0.5, "rest_of_loop": 1.0, "rest_of_threads": 16.5}
    assert spent["lateness_ms"] == {"p50": 1.25}


def test_labels_are_read() -> None:
    metrics = {'x{stage="a",kind="k"}': 1.0, 'x{stage="b"}': 2.0, "x": 3.0, 'xy{stage="a"}': 4.0}
    assert labelled(metrics, "x", "stage") == {"a": 1.0, "b": 2.0, "": 3.0}


def test_a_buzz_is_found_where_it_arrives() -> None:
    probe = Probe("ws://nowhere", "card")
    packets = opus_of(buzz())
    probe.arrived = [(960 * n, 10 + 0.02 * n, packets[n % len(packets)]) for n in range(3 * len(packets))]
    probe.sent = [10 + 0.02 * len(packets) * k - 0.1 for k in range(4)]
    found, missing = probe.latencies()
    assert missing == 0
    assert found == pytest.approx([100, 100], abs=20.1)
