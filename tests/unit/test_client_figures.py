"""The client's numbers against values worked out by hand, and against the standard library's."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.client import figures
from studio.client.figures import Offset, Unmeasured
from studio.client.intake import Arrival, Flood, Intake
from studio.client.order import Outcome

MOMENTS = st.lists(st.floats(0, 5000, allow_nan=False), min_size=1, max_size=60)


def pictures(*at: float, size_bytes: int = 1000) -> list[Arrival]:
    return [Arrival(moment, 0.0, size_bytes, i) for i, moment in enumerate(at)]


def test_spread_is_what_one_finds_by_hand() -> None:
    found = figures.spread(np.array([10.0, 20, 30, 40, 100]))
    assert found is not None
    assert (found.count, found.mean, found.median, found.min, found.max) == (5, 40.0, 30.0, 10.0, 100.0)
    assert found.std == pytest.approx(35.3553, abs=1e-4)  # sqrt((900 + 400 + 100 + 0 + 3600) / 4)
    assert found.p95 == pytest.approx(88.0)  # 40 + 0.8 of the way to 100
    assert found.p99 == pytest.approx(97.6)


def test_spread_of_one_and_of_none() -> None:
    one = figures.spread(np.array([40.0]))
    assert one is not None
    assert (one.std, one.p99) == (0.0, 40.0)
    assert figures.spread(np.zeros(0)) is None


@given(MOMENTS)
def test_spread_agrees_with_the_standard_library(values: list[float]) -> None:
    found = figures.spread(np.array(values))
    assert found is not None
    assert found.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert found.median == pytest.approx(statistics.median(values))
    if len(values) > 1:
        assert found.std == pytest.approx(statistics.stdev(values), abs=1e-6)
    assert found.min <= found.p95 <= found.p99 <= found.max


def test_intervals_and_rate() -> None:
    row = pictures(1.0, 1.04, 1.10, 1.20)
    assert figures.intervals(row) == pytest.approx([40, 60, 100])
    assert figures.frame_rate(row) == pytest.approx(15.0)


@pytest.mark.parametrize("row", [pictures(), pictures(1.0), pictures(2.0, 2.0)])
def test_rate_of_too_little_is_none(row: list[Arrival]) -> None:
    assert figures.frame_rate(row) is None


def test_rates_count_by_seconds_and_scale_the_last_one() -> None:
    row = pictures(*(5 + i * 0.25 for i in range(11)))  # 2.5 s: 4, 4, and 2 of 0.5 s (its end not included)
    found = figures.rates(row, [Arrival(5.1, 0, 500), Arrival(4.0, 0, 9999)])
    assert found.fps == pytest.approx([4, 4, 4])
    assert found.kbps == pytest.approx([36, 32, 32])
    assert figures.rates([], []).fps == ()


@given(st.lists(st.floats(0, 0.5), min_size=2, max_size=200))
def test_rates_lose_no_picture_but_those_of_the_rest(gaps: list[float]) -> None:
    row = pictures(*np.cumsum(gaps).tolist())
    found = figures.rates(row, [])
    whole = int(row[-1].at - row[0].at)
    inside = sum(one.at - row[0].at < whole for one in row)
    assert sum(found.fps[:whole]) == pytest.approx(inside)


def test_verdicts_hold_at_their_limits_and_fail_beyond() -> None:
    assert all(verdict.passed for verdict in figures.verdicts(22.5, 3.0, 60.0))
    assert not any(verdict.passed for verdict in figures.verdicts(22.49, 3.01, 60.1))
    unknown = figures.verdicts(None, None, None)
    assert not any(verdict.passed for verdict in unknown)
    assert "not measured" in unknown[0].text


def conversation(late: float, drift: float = 0.0) -> Intake:
    """Ten seconds: pictures leave at their time and travel ``late`` seconds longer than the sound."""
    intake = Intake(clock=lambda: 0.0)
    for i in range(250):
        sent = i * 0.04
        intake.pictures.append(Arrival(100 + sent + 0.02 + late + drift * sent, 7 + sent, 1000, i))
    for i in range(500):
        sent = i * 0.02
        intake.sounds.append(Arrival(100 + sent + 0.02, 3000 + sent, 80))
    for second in (1, 2, 3):
        intake.report("video", 4e9 + second, 7 + second)
        intake.report("audio", 4e9 + second, 3000 + second)
    return intake


def test_transit_offset_finds_late_pictures_whatever_the_clocks_begin_with() -> None:
    found = figures.transit_offset(conversation(late=0.03))
    assert isinstance(found, Offset)
    assert (found.mean, found.median, found.max_abs) == pytest.approx((30, 30, 30), abs=0.01)
    assert found.drift_ms_per_minute == pytest.approx(0, abs=0.01)


def test_transit_offset_finds_drift_and_early_pictures() -> None:
    found = figures.transit_offset(conversation(late=-0.01, drift=0.001))
    assert isinstance(found, Offset)
    assert found.drift_ms_per_minute == pytest.approx(60, rel=0.01)
    assert found.mean == pytest.approx(-5, abs=0.2)


def test_transit_offset_without_reports_or_sound_is_not_guessed() -> None:
    intake = conversation(0.0)
    intake.reports["audio"].clear()
    unreported = figures.transit_offset(intake)
    assert isinstance(unreported, Unmeasured)
    assert "sender report" in unreported.reason
    intake.sounds.clear()
    assert isinstance(figures.transit_offset(intake), Unmeasured)


def test_one_odd_report_does_not_move_the_clock() -> None:
    assert figures.sender_clock([(10.0, 1.0), (11.0, 2.0), (99.0, 3.0)]) == pytest.approx(9.0)
    assert figures.sender_clock([]) is None


def test_stamp_offset_compares_stamps_with_places() -> None:
    row = [Arrival(0.0, 50 + i * 0.04 + (0.005 if i % 10 == 3 else 0.3 * (i == 0)), 10, i) for i in range(100)]
    found = figures.stamp_offset(row)
    assert isinstance(found, Offset)
    assert (found.median, found.p95_abs, found.max_abs) == pytest.approx((0, 5, 300), abs=0.01)
    assert isinstance(figures.stamp_offset(row[:3]), Unmeasured)


def test_intake_counts_bounds_and_judges_the_end() -> None:
    now = [10.0]
    intake = Intake(clock=lambda: now[0])
    intake.ask()
    assert intake.picture(1.0, 500, 0) == 0
    now[0] = 10.5
    intake.more(250)
    assert (intake.pictures[0].at, intake.pictures[0].size_bytes) == (10.5, 750)
    ends = []
    for now[0] in (12.0, 13.0):
        intake.end(Outcome.TIMEOUT, "enough")
        ends.append(intake.outcome)
    assert ends == [Outcome.TIMEOUT, Outcome.STALLED]
    for i in range(50):
        intake.remark(f"remark {i}")
    assert len(intake.remarks) == 20


def test_a_flood_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("studio.client.intake.MAX_PICTURES", 2)
    monkeypatch.setattr("studio.client.intake.MAX_SOUNDS", 2)
    intake = Intake(clock=lambda: 0.0)
    for _ in range(2):
        intake.picture(0, 1, 0)
        intake.sound(0, 1)
    with pytest.raises(Flood):
        intake.picture(0, 1, 0)
    with pytest.raises(Flood):
        intake.sound(0, 1)


def test_live_rate_is_of_the_last_two_seconds() -> None:
    now = [0.0]
    intake = Intake(clock=lambda: now[0])
    for i in range(100):
        now[0] = i * 0.04
        intake.picture(0, 500, i)
    fps, bps = intake.live()
    assert fps == pytest.approx(25, abs=1)
    assert bps == pytest.approx(100_000, rel=0.05)
