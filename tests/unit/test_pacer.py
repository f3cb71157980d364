from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from studio.audio import SILENCE
from studio.beat import BEAT_SECONDS, Beat
from studio.pacer import BURST, MAX_DEBT, Pacer

PICTURE = np.zeros((3, 2), np.uint8)


def beat(index: int, speech: bool = True) -> Beat:
    return Beat(index, PICTURE, SILENCE, speech)


def at(slot: int) -> float:
    """A moment just after the time of a slot."""
    return 100.0 + slot * BEAT_SECONDS + 1e-6


def test_nothing_leaves_before_its_time() -> None:
    pacer = Pacer(100.0)
    assert pacer.take(99.999) is None
    assert pacer.take(at(0)) is not None
    assert pacer.take(at(0)) is None
    assert pacer.next_time == pytest.approx(100.04)


def test_slots_without_beats_are_idle_and_follow_the_loop() -> None:
    pacer = Pacer(100.0, position=7)
    slots = [pacer.take(at(i)) for i in range(3)]
    assert [(s.index, s.beat, s.position) for s in slots if s] == [(0, None, 7), (1, None, 8), (2, None, 9)]


def test_early_beat_waits_for_its_position() -> None:
    pacer = Pacer(100.0)
    pacer.put(beat(0), position=2, arrived=99.5)
    slots = [pacer.take(at(i)) for i in range(3)]
    assert [s.beat is not None for s in slots if s] == [False, False, True]
    assert slots[2] is not None and (slots[2].position, slots[2].arrived) == (2, 99.5)
    assert pacer.late == 0


def test_late_beat_leaves_at_once_and_the_loop_follows_it() -> None:
    pacer = Pacer(100.0, position=10)
    pacer.put(beat(0), position=4)
    slot = pacer.take(at(0))
    assert slot is not None and slot.beat is not None and slot.position == 4
    assert pacer.position == 5


def test_owed_beat_that_is_missing_makes_a_debt_paid_with_silence() -> None:
    pacer = Pacer(100.0)
    for i in range(2):
        slot = pacer.take(at(i), owed=True)
        assert slot is not None and slot.beat is None
    assert (pacer.late, pacer.debt) == (2, 2)
    for i, speech in enumerate([True, False, False, False, True]):
        pacer.put(beat(i, speech), position=i)
    left = [pacer.take(at(2 + i)) for i in range(3)]
    assert [s.beat.index for s in left if s and s.beat] == [0, 3, 4]
    assert (pacer.skipped, pacer.debt) == (2, 0)


def test_speech_is_never_skipped() -> None:
    pacer = Pacer(100.0)
    for i in range(30):
        pacer.take(at(i), owed=True)
    assert pacer.debt == MAX_DEBT
    for i in range(20):
        pacer.put(beat(i), position=i)
    left = [pacer.take(at(30 + i)) for i in range(20)]
    assert [s.beat.index for s in left if s and s.beat] == list(range(20))


def test_debt_known_from_outside_only_grows_and_is_bounded() -> None:
    pacer = Pacer(100.0)
    pacer.owe_at_least(3)
    pacer.owe_at_least(1)
    assert pacer.debt == 3
    pacer.owe_at_least(99)
    assert pacer.debt == MAX_DEBT
    pacer.owe_at_least(-5)
    assert pacer.debt == MAX_DEBT
    pacer.settle()
    assert pacer.debt == 0


def test_short_stall_is_made_up_at_once() -> None:
    pacer = Pacer(100.0)
    pacer.take(at(0))
    now = at(BURST)
    indexes = []
    while slot := pacer.take(now):
        indexes.append(slot.index)
    assert indexes == [1, 2, 3] and pacer.missed == 0


def test_long_stall_is_jumped_over_and_the_idle_loop_goes_on() -> None:
    pacer = Pacer(100.0)
    pacer.take(at(0))
    slot = pacer.take(at(50))
    assert slot is not None and (slot.index, slot.position) == (50, 50)
    assert slot.lateness < BEAT_SECONDS and pacer.missed == 49
    assert pacer.take(at(50)) is None


def test_long_stall_skips_no_speech_that_waits() -> None:
    pacer = Pacer(100.0)
    pacer.take(at(0))
    for i in range(4):
        pacer.put(beat(i), position=1 + i)
    left = [pacer.take(at(50 + i)) for i in range(4)]
    assert [s.beat.index for s in left if s and s.beat] == [0, 1, 2, 3]


def test_time_of_a_position_counts_from_the_next_slot() -> None:
    pacer = Pacer(100.0)
    pacer.take(at(0))
    assert pacer.time_of(1) == pytest.approx(pacer.next_time)
    assert pacer.time_of(3) == pytest.approx(pacer.next_time + 2 * BEAT_SECONDS)


def test_clear_returns_what_waited() -> None:
    pacer = Pacer(100.0)
    pacer.put(beat(0), 0)
    pacer.put(beat(1), 1)
    assert [b.index for b in pacer.beats] == [0, 1] and pacer.depth == 2
    assert [b.index for b in pacer.clear()] == [0, 1] and pacer.depth == 0


def test_begin_moves_slot_zero() -> None:
    pacer = Pacer(100.0)
    pacer.begin(200.0)
    assert pacer.take(199.0) is None
    slot = pacer.take(200.01)
    assert slot is not None and slot.lateness == pytest.approx(0.01)


@given(st.lists(st.tuples(st.floats(0, 0.5), st.booleans(), st.integers(0, 3)), max_size=60))
def test_whatever_happens_slots_rise_and_speech_leaves_in_order(steps: list[tuple[float, bool, int]]) -> None:
    pacer, now, index = Pacer(0.0), 0.0, 0
    slots, given_speech, left_speech = [], [], []
    for wait, owed, arrivals in steps:
        now += wait
        for i in range(arrivals):
            speech = (index + i) % 3 > 0
            pacer.put(beat(index, speech), pacer.position + i)
            given_speech += [index] if speech else []
            index += 1
        while slot := pacer.take(now, owed):
            slots.append(slot.index)
            if slot.beat is not None and slot.beat.speech:
                left_speech.append(slot.beat.index)
    assert slots == sorted(set(slots))
    assert left_speech == given_speech[: len(left_speech)]
    assert len(left_speech) + sum(b.speech for b in pacer.beats) == len(given_speech)
