from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.audio import (
    HANGOVER_BEATS,
    HUSH_BEATS,
    PAUSE_BEATS,
    SPEECH_BEATS,
    Chunker,
    Listener,
    Resampler,
    SpeechGate,
)
from studio.beat import SAMPLE_RATE, SAMPLES_PER_BEAT
from tests.fakes import silence, speech

Pcm = NDArray[np.int16]


def beats(pcm: Pcm) -> list[Pcm]:
    return list(pcm[: len(pcm) // SAMPLES_PER_BEAT * SAMPLES_PER_BEAT].reshape(-1, SAMPLES_PER_BEAT))


def noise(seconds: float, level: float, seed: int = 1) -> Pcm:
    wave_ = np.random.default_rng(seed).normal(0, level * 32768, round(seconds * SAMPLE_RATE))
    return np.clip(wave_, -32768, 32767).astype(np.int16)


def tone(rate: int, seconds: float, hertz: float = 440) -> NDArray[np.float64]:
    wave_: NDArray[np.float64] = 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)
    return wave_


def frames(rate: int, layout: str, seconds: float, samples: int = 960) -> list[av.AudioFrame]:
    mono = (tone(rate, seconds) * 32767).astype(np.int16)
    channels = 2 if layout == "stereo" else 1
    made = []
    for i in range(0, len(mono) - samples + 1, samples):
        frame = av.AudioFrame.from_ndarray(
            np.repeat(mono[i : i + samples], channels).reshape(1, -1), format="s16", layout=layout
        )
        frame.sample_rate = rate
        made.append(frame)
    return made


@pytest.mark.parametrize(("rate", "layout"), [(48_000, "stereo"), (44_100, "mono"), (8_000, "mono"), (16_000, "mono")])
def test_resampler_keeps_time_pitch_and_level(rate: int, layout: str) -> None:
    resampler = Resampler()
    pcm = np.concatenate([resampler.resample(frame) for frame in frames(rate, layout, 1.0)] + [resampler.flush()])
    seconds = 960 * (rate // 960) / rate
    assert abs(len(pcm) - seconds * SAMPLE_RATE) <= 32
    expected = tone(SAMPLE_RATE, 1.0)[100:10_000] * 32767
    assert np.abs(pcm[100:10_000] - expected).max() < 400


def test_resampler_starts_anew_when_the_source_changes() -> None:
    resampler = Resampler()
    first = [resampler.resample(frame) for frame in frames(48_000, "stereo", 0.2)]
    second = [resampler.resample(frame) for frame in frames(16_000, "mono", 0.24)]
    assert sum(map(len, first)) == pytest.approx(0.2 * SAMPLE_RATE, abs=32)
    assert sum(map(len, second)) == 4 * 960


def test_resampler_flushed_without_sound_is_empty() -> None:
    assert len(Resampler().flush()) == 0


@given(st.lists(st.integers(0, 2000), max_size=20))
def test_chunker_loses_and_invents_nothing(lengths: list[int]) -> None:
    source = np.arange(sum(lengths), dtype=np.int16)
    chunker, made, at = Chunker(), [], 0
    for length in lengths:
        made += chunker.push(source[at : at + length])
        at += length
    assert all(len(beat) == SAMPLES_PER_BEAT and beat.base is None for beat in made)
    assert chunker.pending == len(source) % SAMPLES_PER_BEAT
    made += chunker.pad()
    joined = np.concatenate([np.zeros(0, np.int16), *made])
    assert np.array_equal(joined[: len(source)], source) and not joined[len(source) :].any()


def test_chunker_pads_only_what_is_unfinished_and_forgets_on_clear() -> None:
    chunker = Chunker()
    assert chunker.pad() == []
    chunker.push(np.ones(10, np.int16))
    chunker.clear()
    assert chunker.pending == 0 and chunker.pad() == []


def test_gate_opens_on_speech_and_stays_for_the_hangover() -> None:
    gate = SpeechGate()
    assert not any(gate.hear(beat).awake for beat in beats(silence(1)))
    assert all(gate.hear(beat).active for beat in beats(speech(1))[1:])
    after = [gate.hear(beat) for beat in beats(silence(2))]
    last = after[0].active  # the step back to zero may be heard as its last sound
    assert [g.speech for g in after].count(True) == SPEECH_BEATS + last
    assert [g.awake for g in after].count(True) == HANGOVER_BEATS + last


def test_gate_hears_speech_that_starts_at_once() -> None:
    assert SpeechGate().hear(beats(speech(0.2))[1]).active


@pytest.mark.parametrize("level", [0.0005, 0.003, 0.01])
def test_gate_learns_steady_noise_and_hears_speech_over_it(level: float) -> None:
    gate = SpeechGate()
    for beat in beats(noise(4, level)):
        gate.hear(beat)
    assert sum(gate.hear(beat).active for beat in beats(noise(2, level, seed=2))) <= 2
    loud = np.clip(speech(1).astype(int) + noise(1, level, seed=3), -32768, 32767).astype(np.int16)
    assert sum(gate.hear(beat).speech for beat in beats(loud)) >= 22


def test_gate_ignores_hum_and_clicks() -> None:
    gate = SpeechGate()
    hum = (0.02 * 32767 * np.sin(2 * np.pi * 50 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE)).astype(np.int16)
    assert not any(gate.hear(beat).active for beat in beats(hum)[25:])
    click = silence(0.04)
    click[300:310] = 20_000
    assert not gate.hear(click).active


def test_gate_is_not_fooled_by_gaps_of_digital_silence() -> None:
    gate = SpeechGate()
    for beat in beats(noise(3, 0.003)):
        gate.hear(beat)
    for beat in beats(silence(3)):
        gate.hear(beat)
    assert not any(gate.hear(beat).active for beat in beats(noise(1, 0.003, seed=2)))


def test_gate_that_misses_beats_falls_asleep_and_closes_at_once() -> None:
    gate = SpeechGate()
    gate.hear(beats(speech(0.2))[2])
    assert [gate.miss().awake for _ in range(12)] == [True] * HANGOVER_BEATS + [False] * 2
    gate.hear(beats(speech(0.2))[2])
    gate.close()
    assert not gate.miss().awake


def test_listener_tells_when_the_first_sample_of_a_beat_came() -> None:
    listener = Listener()
    heard = [one for i in range(6) for one in listener.hear(speech(0.02), arrived=10.0 + i)]
    assert [one.arrived for one in heard] == [10.0, 12.0, 14.0]
    heard = listener.hear(speech(0.1), arrived=20.0) + listener.hear(speech(0.02), arrived=21.0)
    assert [one.arrived for one in heard] == [20.0, 20.0, 20.0]


def test_listener_rests_after_the_unfinished_beat() -> None:
    listener = Listener()
    listener.hear(speech(0.06))
    unfinished, quiet = listener.rest()
    assert not unfinished.filler and unfinished.pcm[:320].any() and not unfinished.pcm[320:].any()
    assert quiet.filler and not quiet.pcm.any() and not quiet.speech
    assert [one.filler for one in listener.rest()] == [True]


def test_hushed_listener_hears_nothing_until_a_pause() -> None:
    listener = Listener()
    listener.hear(speech(0.5))
    listener.clear(hush=True)
    assert not any(one.awake or one.pcm.any() for one in listener.hear(speech(1)))
    listener.hear(silence((PAUSE_BEATS + 1) * 0.04))
    assert any(one.speech for one in listener.hear(speech(0.4)))


def test_hush_ends_in_any_case() -> None:
    listener = Listener()
    listener.clear(hush=True)
    heard = listener.hear(speech((HUSH_BEATS + 10) * 0.04))
    assert not any(one.speech for one in heard[: HUSH_BEATS - 1]) and heard[-1].speech


def test_listener_that_is_only_cleared_hears_at_once() -> None:
    listener = Listener()
    listener.hear(speech(0.5))
    listener.clear(hush=False)
    assert listener.hear(speech(0.4))[-1].speech
