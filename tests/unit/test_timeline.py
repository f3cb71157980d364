from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from studio.audio import SILENCE, Heard
from studio.beat import BEAT_SECONDS, AudioChunk, Beat
from studio.pacer import Pacer, Slot
from studio.timeline import AHEAD, Timeline
from tests.fakes import FakeAvatar

PICTURE = np.zeros((3, 2), np.uint8)


def heard(number: int, awake: bool = True, filler: bool = False, arrived: float = 0.0) -> Heard:
    return Heard(np.full(640, number, np.int16), awake, awake, filler, arrived)


def pause(lookahead: int, beats: int = 3) -> list[Heard]:
    """What follows speech: the hangover, in which the engine still listens, and then nothing."""
    return [Heard(SILENCE, False, True)] * (lookahead + 2) + [Heard(SILENCE, False, False)] * beats


class Stage:
    """A timeline with an engine that answers when told."""

    def __init__(self, lookahead: int = 0, paced: bool = True, restless: bool = False) -> None:
        self.chunks: list[AudioChunk] = []
        self.pacer = Pacer(0.0)
        self.lookahead, self.done = lookahead, 0
        self.timeline = Timeline(lambda chunk, position: self.chunks.append(chunk), self.pacer if paced else None)
        self.timeline.play(FakeAvatar(restless=restless), lookahead)

    def speak(self, *beats: Heard) -> None:
        for one in beats:
            self.timeline.add(one)
        self.timeline.pump()

    def engine(self) -> None:
        """Make what can be made."""
        while self.done < len(self.chunks) - self.lookahead:
            chunk = self.chunks[self.done]
            self.done += 1
            self.timeline.made([Beat(chunk.index, PICTURE, chunk.pcm, chunk.speech, chunk.phase)])

    def slot(self) -> Slot:
        self.engine()
        slot = self.pacer.take(self.pacer.next_time + 1e-6, self.timeline.is_owed())
        self.timeline.pump()
        assert slot is not None
        return slot

    def left(self, count: int) -> list[int]:
        """The sounds of the next slots; -1 where idle."""
        return [int(slot.beat.pcm[0]) if slot.beat else -1 for slot in (self.slot() for _ in range(count))]


def test_silence_that_nothing_follows_costs_nothing() -> None:
    stage = Stage()
    stage.speak(*(heard(i, awake=False) for i in range(50)))
    assert not stage.chunks and stage.timeline.waiting == 0 and stage.timeline.is_resting


def test_engine_hears_one_beat_before_speech() -> None:
    stage = Stage()
    stage.speak(heard(1, awake=False), heard(2, awake=False))
    stage.speak(heard(3))
    assert [int(chunk.pcm[0]) for chunk in stage.chunks] == [2, 3]
    assert [chunk.index for chunk in stage.chunks] == [0, 1]


@given(st.lists(st.booleans(), max_size=30), st.sets(st.integers(0, 30)))
def test_unpaced_the_engine_hears_the_same_however_the_sound_is_cut(awake: list[bool], cuts: set[int]) -> None:
    beats = [*(heard(i, awake=is_awake) for i, is_awake in enumerate(awake, 1)), heard(0, awake=False, filler=True)]

    def asked(places: set[int]) -> tuple[list[int], list[int]]:
        stage = Stage(lookahead=2, paced=False)
        for i, one in enumerate(beats):
            stage.timeline.add(one)
            if i in places:
                stage.timeline.pump()
                stage.engine()
        for _ in range(len(beats)):
            stage.timeline.pump()
            stage.engine()
        left = [int(beat.pcm[0]) for beat in stage.timeline.ready]
        return [int(chunk.pcm[0]) for chunk in stage.chunks], left

    whole = asked(set())
    assert asked(cuts) == whole and whole[1] == list(range(1, len(whole[1]) + 1))


def test_window_in_the_engine_is_bounded() -> None:
    for lookahead in (0, 4):
        stage = Stage(lookahead)
        stage.speak(*(heard(i) for i in range(100)))
        assert len(stage.chunks) == lookahead + AHEAD
        assert stage.timeline.waiting == 100 - len(stage.chunks)


def test_speech_leaves_complete_and_in_order() -> None:
    stage = Stage(lookahead=2)
    stage.speak(*(heard(i) for i in range(1, 21)), *pause(2))
    left = stage.left(30)
    spoken = [number for number in left if number > 0]
    assert spoken == list(range(1, 21))
    first = left.index(1)
    assert left[first : first + 20] == list(range(1, 21)), "no idle slot inside the speech"


def test_beat_is_seen_where_its_phase_says() -> None:
    stage = Stage(lookahead=1)
    stage.left(5)
    stage.speak(*(heard(i) for i in range(1, 6)))
    for _ in range(8):
        slot = stage.slot()
        if slot.beat is not None:
            assert slot.beat.phase == slot.position


def test_arrival_travels_with_the_beat() -> None:
    stage = Stage()
    stage.speak(heard(1, arrived=7.5), heard(2, arrived=7.6), heard(3))
    arrived = [slot.arrived for slot in (stage.slot() for _ in range(4)) if slot.beat]
    assert arrived == [7.5, 7.6, 0.0]


def test_slow_engine_is_not_taken_for_a_silent_source() -> None:
    stage = Stage()
    stage.speak(heard(1))
    stage.pacer.take(1.0)
    assert stage.timeline.is_owed() and not stage.timeline.is_starving
    stage.engine()
    assert not stage.timeline.is_starving
    stage.left(2)
    assert stage.timeline.is_starving


def test_lookahead_that_wants_more_sound_starves() -> None:
    stage = Stage(lookahead=2)
    stage.speak(heard(1), heard(2))
    assert stage.timeline.is_starving
    stage.speak(heard(3))
    assert not stage.timeline.is_starving


def test_fillers_are_forgotten_when_the_source_speaks_again() -> None:
    stage = Stage(lookahead=0)
    stage.speak(*(heard(i) for i in range(AHEAD)), heard(9, filler=True), heard(9, filler=True))
    assert stage.timeline.waiting == 2
    stage.timeline.drop_fillers()
    assert stage.timeline.waiting == 0


def test_oldest_sound_is_dropped_first() -> None:
    stage = Stage()
    stage.speak(*(heard(i) for i in range(10)))
    assert stage.timeline.drop_oldest(keep=4) == 10 - AHEAD - 4
    assert stage.timeline.drop_oldest(keep=4) == 0
    assert stage.left(8)[1:] == [0, 1, 2, 6, 7, 8, 9]


def test_cut_asks_for_a_closing_mouth_at_once() -> None:
    stage = Stage(lookahead=2)
    stage.speak(*(heard(i) for i in range(1, 30)))
    stage.left(6)
    asked = len(stage.chunks)
    stage.timeline.cut(recalled=2, beats=4)
    closing = stage.chunks[asked:]
    assert [chunk.cut for chunk in closing] == [True] + [False] * 5
    assert closing[0].index == asked - 2 and not any(chunk.pcm.any() for chunk in closing)
    assert closing[0].phase == stage.pacer.position
    assert stage.timeline.speech == 0 and stage.timeline.is_resting


def test_cut_while_resting_asks_for_nothing() -> None:
    stage = Stage()
    stage.timeline.cut(recalled=0, beats=4)
    assert not stage.chunks


def test_beats_of_what_was_cut_are_ignored() -> None:
    stage = Stage()
    stage.speak(heard(1), heard(2))
    old = list(stage.chunks)
    stage.timeline.clear()
    stage.timeline.made([Beat(chunk.index, PICTURE, chunk.pcm, True, 0) for chunk in old])
    assert stage.timeline.underway == 0


def test_switch_asks_the_new_take_for_what_has_not_left() -> None:
    stage = Stage()
    stage.speak(*(heard(i) for i in range(1, 8)))
    stage.engine()
    stage.chunks.clear()
    stage.done = 0
    stage.timeline.play(FakeAvatar(), 0)
    assert [chunk.index for chunk in stage.chunks] == list(range(AHEAD))
    assert [number for number in stage.left(12) if number > 0] == list(range(1, 8))


def test_restless_avatar_is_asked_in_silence_too() -> None:
    stage = Stage(restless=True)
    stage.speak(heard(1, awake=False), heard(2, awake=False))
    assert len(stage.chunks) == 2


def test_unpaced_every_beat_of_the_sound_comes_out() -> None:
    stage = Stage(lookahead=2, paced=False)
    sound = [heard(i, awake=i % 20 < 10) for i in range(60)]
    made: list[int] = []
    for one in [*sound, *(heard(0, awake=False, filler=True) for _ in range(4))]:
        stage.speak(one)
        stage.engine()
        while stage.timeline.ready:
            made.append(int(stage.timeline.ready.popleft().pcm[0]))
            stage.timeline.pump()
            stage.engine()
    assert made == list(range(60))
    assert stage.timeline.sound == 0


utterances = st.lists(st.tuples(st.integers(1, 8), st.integers(0, 5), st.integers(0, 4)), max_size=12)


@given(utterances, st.integers(0, 4))
def test_whatever_the_rhythm_speech_leaves_once_and_in_order(talk: list[tuple[int, int, int]], lookahead: int) -> None:
    stage, number, left = Stage(lookahead), 0, []
    for length, silence, slots in talk:
        for _ in range(length):
            number += 1
            stage.speak(heard(number))
            left += stage.left(slots)
        for one in pause(lookahead, silence):
            stage.speak(one)
            left += stage.left(slots)
    left += stage.left(number + len(talk) * 12 + 10)
    assert [n for n in left if n > 0] == list(range(1, number + 1))
    assert stage.pacer.next_time >= BEAT_SECONDS and stage.timeline.speech == 0


def test_idle_beats_follow_the_loop() -> None:
    beat = Stage().timeline.idle_beat(203)
    assert beat.phase == 3 and beat.picture[0, 0] == 3 and beat.pcm is SILENCE and beat.index == -1
