from __future__ import annotations

import numpy as np
import pytest

from studio.audio import HANGOVER_BEATS
from studio.beat import BEAT_SECONDS
from studio.engine import Options
from studio.errors import EngineFault
from studio.pipeline import LIVE_BEATS
from tests.fakes import FakeAvatar, FakeEngine, FakeLoaded, silence, speech
from tests.unit.pipeline_stage import spoken, stage


async def test_silent_visitor_sees_the_idle_loop_and_the_engine_is_not_asked() -> None:
    async with stage() as it:
        it.pipeline.feed(silence(0.4), live=True)
        beats = await it.slots(8)
        assert [beat.phase for beat in beats] == list(range(8))
        assert not any(beat.speech or beat.pcm.any() for beat in beats)
        assert it.pipeline.slot == 7 and not it.engine.takes[0].heard


@pytest.mark.parametrize("lookahead", [0, 2, 6])
async def test_recorded_speech_leaves_whole_and_then_the_loop_goes_on(lookahead: int) -> None:
    async with stage(lookahead) as it:
        pcm = speech(1.0)
        await it.slots(3)
        assert it.pipeline.feed(pcm) == len(pcm)
        it.pipeline.end()
        beats = await it.slots(60)
        assert np.array_equal(spoken(beats), pcm)
        first = next(i for i, beat in enumerate(beats) if beat.pcm.any())
        assert all(beat.index >= 0 for beat in beats[first : first + 25]), "no idle slot inside"
        assert beats[-1].index == -1 and it.pipeline.late == 0
        assert it.pipeline.is_finished


async def test_idle_loop_and_speech_meet_in_phase() -> None:
    async with stage(2) as it:
        await it.slots(7)
        it.pipeline.feed(speech(0.6))
        it.pipeline.end()
        phases = [beat.phase for beat in await it.slots(60)]
        assert phases == [(phases[0] + i) % 200 for i in range(60)]


async def test_live_speech_is_heard_within_three_beats() -> None:
    async with stage(2) as it:
        beats = await it.talk(2.0)
        first = next(i for i, beat in enumerate(beats) if beat.speech)
        assert first <= 5
        assert all(beat.index >= 0 for beat in beats[first:])
        assert it.pipeline.depth <= 2 + 3


async def test_arrival_comes_out_with_its_beat() -> None:
    async with stage() as it:
        for i in range(10):
            it.pipeline.feed(speech(0.04), live=True, arrived=it.now)
            arrived = it.now
            await it.slot()
            if i > 3:
                assert 0 < it.pipeline.arrived <= arrived
                assert arrived - it.pipeline.arrived <= 3 * BEAT_SECONDS + 1e-6


async def test_take_rests_after_the_hangover() -> None:
    async with stage(2) as it:
        await it.talk(1.0)
        for _ in range(HANGOVER_BEATS + 8):
            it.pipeline.feed(silence(0.04), live=True)
            await it.slot()
        assert it.pipeline._timeline.is_resting and it.pipeline.depth == 0
        heard = len(it.engine.takes[0].heard)
        it.pipeline.feed(silence(1.0), live=True)
        await it.slots(5)
        assert len(it.engine.takes[0].heard) == heard


async def test_source_that_stops_without_a_word_is_filled_with_silence() -> None:
    async with stage(2) as it:
        await it.talk(1.0)
        beats = await it.slots(30)
        assert beats[-1].index == -1 and not beats[-1].pcm.any()
        assert it.pipeline._timeline.is_resting
        assert sum(beat.speech for beat in beats) <= 8


async def test_interrupt_closes_the_mouth_within_three_beats_and_the_sound_at_once() -> None:
    for lookahead in (0, 2, 6):
        async with stage(lookahead) as it:
            it.pipeline.feed(speech(10))
            it.pipeline.end()
            before = await it.slots(20)
            cut = it.pipeline.interrupt()
            assert cut.spoken_ms == 40 * sum(beat.speech for beat in before)
            assert cut.spoken_ms + cut.discarded_ms >= 10_000
            after = await it.slots(12)
            assert not any(beat.pcm.any() or beat.speech for beat in after), "sound is off at once"
            heard = it.engine.takes[0].heard
            first_cut = next(i for i, chunk in enumerate(heard) if chunk.cut)
            assert [chunk.index for chunk in heard[first_cut:]] == list(
                range(heard[first_cut].index, heard[first_cut].index + len(heard) - first_cut)
            )
            closing = [i for i, beat in enumerate(after) if beat.index >= 0]
            assert closing and closing[0] <= 2, "the closing mouth is seen within three beats"
            assert after[-1].index == -1 and it.pipeline.interrupt() == type(cut)(0, 0)


async def test_interrupted_speaker_is_heard_again_after_a_pause() -> None:
    async with stage() as it:
        await it.talk(1.0)
        it.pipeline.interrupt()
        assert not any(beat.speech for beat in (await it.talk(1.0))[3:])
        for _ in range(10):
            it.pipeline.feed(silence(0.04), live=True)
            await it.slot()
        assert any(beat.speech for beat in await it.talk(0.5))


async def test_interrupt_while_the_engine_is_slow_still_stops_the_sound() -> None:
    async with stage() as it:
        it.pipeline.feed(speech(4))
        await it.slots(10)
        it.engine.gate.clear()
        await it.slots(3)
        it.pipeline.interrupt()
        it.engine.gate.set()
        assert not any(beat.pcm.any() for beat in await it.slots(10))


async def test_slow_engine_loses_no_word() -> None:
    async with stage() as it:
        pcm = speech(1.0)
        it.pipeline.feed(pcm)
        it.pipeline.end()
        beats = await it.slots(8)
        it.engine.gate.clear()
        beats += await it.slots(6)
        it.engine.gate.set()
        beats += await it.slots(60)
        assert np.array_equal(spoken(beats), pcm)
        assert 0 < it.pipeline.late <= 6


async def test_queue_is_bounded_and_says_how_much_it_took() -> None:
    async with stage(queue_seconds=2.0) as it:
        it.engine.gate.clear()
        taken = it.pipeline.feed(speech(10))
        assert taken == 2 * 16_000
        assert it.pipeline.feed(speech(10)) <= 4 * 640
        assert it.pipeline.depth <= 2 * 25 + 4


async def test_ending_what_has_ended_adds_nothing() -> None:
    async with stage() as it:
        it.pipeline.feed(speech(4))
        it.pipeline.end()
        depth = it.pipeline.depth
        for _ in range(1000):
            it.pipeline.end()
        assert it.pipeline.depth == depth


async def test_live_backlog_is_dropped_not_queued() -> None:
    async with stage() as it:
        await it.slots(1)
        it.pipeline.feed(speech(5), live=True)
        assert it.pipeline.depth <= LIVE_BEATS + 4 and it.pipeline.dropped >= 90


async def test_live_backlog_is_worked_off_in_the_next_pause() -> None:
    async with stage() as it:
        await it.talk(0.4)
        it.pipeline.feed(speech(0.4), live=True)
        await it.talk(0.4)
        assert it.pipeline.depth >= 9
        for _ in range(20):
            it.pipeline.feed(silence(0.04), live=True)
            await it.slot()
        await it.talk(0.4)
        assert it.pipeline.depth <= 3


async def test_switch_goes_on_speaking_with_the_other_avatar() -> None:
    async with stage(2) as it:
        other_engine = FakeEngine(lookahead=1)
        other = FakeLoaded.of(other_engine, FakeAvatar(idle_length=1), "omar")
        pcm = speech(2.0)
        it.pipeline.feed(pcm)
        it.pipeline.end()
        beats = await it.slots(20)
        it.pipeline.switch(other, Options())
        assert it.pipeline.loaded.spec.id == "omar" and it.loaded.scheduler.takes == 0
        beats += await it.slots(60)
        assert np.array_equal(spoken(beats), pcm)
        assert other_engine.takes[0].heard
        await it.pipeline.aclose()
        await other.scheduler.aclose()


async def test_switch_in_silence_shows_the_other_loop() -> None:
    async with stage() as it:
        await it.slots(5)
        other = FakeLoaded.of(FakeEngine(), FakeAvatar(width=32, height=32))
        it.pipeline.switch(other, Options())
        assert (await it.slot()).picture.shape == (48, 32)
        await it.pipeline.aclose()
        await other.scheduler.aclose()


async def test_fault_of_the_engine_comes_out_of_next_every_time() -> None:
    async with stage() as it:
        it.engine.fail_on = set(range(100))
        it.pipeline.feed(speech(1))
        for _ in range(2):
            with pytest.raises(EngineFault):
                await it.slots(3)


async def test_unpaced_every_sample_comes_out_as_fast_as_the_engine() -> None:
    async with stage(3, paced=False) as it:
        pcm = np.concatenate((silence(1), speech(1), silence(3), speech(1), silence(1), speech(0.01)))
        assert it.pipeline.feed(pcm) == len(pcm)
        it.pipeline.end()
        beats = []
        while not it.pipeline.is_finished:
            beats.append(await it.pipeline.next())
        joined = np.concatenate([beat.pcm for beat in beats])
        assert np.array_equal(joined[: len(pcm)], pcm) and len(beats) == -(-len(pcm) // 640)
        assert it.pipeline.slot == len(beats) - 1


async def test_closing_is_idempotent_and_gives_the_seat_back() -> None:
    async with stage() as it:
        it.pipeline.feed(speech(1))
        await it.pipeline.aclose()
        await it.pipeline.aclose()
        assert it.loaded.scheduler.takes == 0 and it.pipeline.depth == 0
