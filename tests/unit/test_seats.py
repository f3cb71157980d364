"""Seats follow what this machine was measured to spend."""

from __future__ import annotations

from collections import deque

import pytest

from studio.scheduler import Scheduler
from studio.seats import (
    ENCODE_MS,
    ENOUGH_BEATS,
    LOOP_MS,
    VIEWER_MS,
    encode_ms,
    measured_seats,
    measured_viewers,
    seats_for,
)
from studio.stats import Stats
from tests.fakes import FakeEngine


def test_encoding_is_believed_until_it_was_measured() -> None:
    stats = Stats()
    assert encode_ms(stats) == ENCODE_MS
    stats.count("studio_beats_total", 2 * ENOUGH_BEATS, kind="speech")
    stats.spend("encode_video", 20.0 * ENOUGH_BEATS)
    assert encode_ms(stats) == 10.0


def test_seats_follow_what_encoding_costs_here() -> None:
    stats = Stats()
    scheduler = Scheduler(FakeEngine(), stats)
    scheduler._steps = {1: deque([0.5])}
    before = measured_seats(scheduler, stats)
    stats.count("studio_beats_total", 1000, kind="speech")
    stats.spend("encode_video", 20_000)
    assert 1 <= measured_seats(scheduler, stats) < before


def test_visits_and_viewers_share_the_event_loop() -> None:
    assert measured_viewers(1) > 2 * measured_viewers(10) > 0
    assert measured_viewers(1) - measured_viewers(2) == pytest.approx(LOOP_MS / VIEWER_MS, abs=1)
    assert measured_viewers(1000) == 1
    stats = Stats()
    scheduler = Scheduler(FakeEngine(), stats)
    scheduler._steps = {1: deque([0.5])}
    before = measured_seats(scheduler, stats)
    stats.gauge("studio_viewers", measured_viewers(1))
    assert measured_seats(scheduler, stats) < before


def test_engine_on_the_processor_costs_seats_and_one_is_always_left() -> None:
    for lanes, steps in ((1, 30.0), (2, 1000.0)):
        scheduler = Scheduler(FakeEngine(lanes=lanes), Stats())
        scheduler._steps = {1: deque([steps])}
        assert measured_seats(scheduler, Stats()) == 1


@pytest.mark.parametrize(
    ("size", "seats"),
    [((512, 512, 25), 1), ((64, 64, 1), 1), ((512, 512, 60), 2), ((640, 480, 25), 1), ((1280, 720, 25), 3)],
)
def test_larger_picture_takes_more_seats(size: tuple[int, int, int], seats: int) -> None:
    assert seats_for(*size) == seats
