"""What a visit counts, for its visitor and for the house."""

from __future__ import annotations

import numpy as np
import pytest

from studio.beat import SAMPLES_PER_BEAT, Beat
from studio.engine import Options
from studio.pipeline import Pipeline
from studio.stats import Stats
from studio.tally import Tally
from tests.fakes import FakeEngine, FakeLoaded
from tests.unit.test_session import visit


def beat(index: int, speech: bool) -> Beat:
    return Beat(index, np.zeros((72, 64), np.uint8), np.zeros(SAMPLES_PER_BEAT, np.int16), speech, index)


async def test_report_tells_what_happened_since_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("studio.tally.time.monotonic", lambda: now)
    async with visit() as (session, _, _):
        stats = Stats()
        tally = Tally(stats)
        for index in range(50):
            tally.count(beat(index, speech=index < 20), lateness=index / 1000)
        now += 2.0
        report = tally.report(session._pipeline, session.output, stale=3)
        assert (report.fps, report.dropped) == (25.0, 0) and 46 <= report.beat_lateness_ms <= 48
        now += 1.0
        assert tally.report(session._pipeline, session.output, stale=3).fps == 0.0
        assert stats.value("studio_beats_total", kind="speech") == 20
        assert stats.value("studio_beats_total", kind="idle") == 30


async def test_losses_are_counted_once() -> None:
    stats, loaded = Stats(), FakeLoaded.of(FakeEngine())
    tally, pipeline = Tally(stats), Pipeline(loaded, Options())
    try:
        for stale in (2, 2, 5):
            tally.count_losses(pipeline, stale)
        assert stats.value("studio_dropped_total", what="stale_sound") == 5
    finally:
        await pipeline.aclose()
        await loaded.scheduler.aclose()
