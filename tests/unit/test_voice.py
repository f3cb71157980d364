"""Sound to mouth: timing, chunking, silence, closures and the way to a pose."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.engines.portrait.features import FEATURES, HOP, LEVEL, OVER_FLOOR, Features, mel_filters
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.parameters import HIGHEST, INDEX, LOWEST
from studio.engines.portrait.voice import (
    EYES_MM,
    JAW_MM,
    LODEP_MM,
    LOOK_AHEAD,
    REST,
    UPRAISE_MM,
    MouthRow,
    certainty,
    mouth_pose,
)
from tests import speech
from tests.bench.lipsync import closures

Wave = NDArray[np.float64]


def vowel(seconds: float, formants: tuple[float, ...], pitch: float = 120.0, level: float = 0.2) -> Wave:
    """A buzz of -12 dB an octave through a cascade of resonances 80 Hz wide (Fant 1960), radiated (+6 dB)."""
    time = np.arange(int(seconds * 16000)) / 16000
    wave = np.zeros_like(time)
    for n in range(1, int(7600 / pitch)):
        hertz = n * pitch
        gain = hertz / (1 + (hertz / 100) ** 2)
        for f in (*formants, 3500.0, 4500.0):
            gain *= f**2 / np.hypot(f**2 - hertz**2, 80 * hertz)
        wave += gain * np.sin(2 * np.pi * hertz * time + n * n)
    return np.asarray(wave / np.sqrt((wave**2).mean()) * level)


def silence(seconds: float) -> Wave:
    return np.random.default_rng(5).normal(0, 3e-4, int(seconds * 16000))


def pcm(*parts: Wave) -> NDArray[np.int16]:
    return np.clip(np.concatenate(parts) * 32768, -32768, 32767).astype(np.int16)


AA, EE, OO = (750.0, 1200.0, 2500.0), (290.0, 2300.0, 3000.0), (310.0, 700.0, 2300.0)


def rows_of(sound: NDArray[np.int16]) -> list[MouthRow]:
    voice = LearnedVoice()
    return voice.feed(sound) + voice.flush()


def test_mel_filters_cover_the_range_and_sum_to_one() -> None:
    filters = mel_filters()
    assert filters.shape == (257, 40)
    np.testing.assert_allclose(filters.sum(0), 1.0, rtol=1e-5)
    assert not filters[:2].any()
    assert not filters[245:].any()


def test_features_of_a_tone_peak_in_its_band() -> None:
    time = np.arange(8000) / 16000
    hops = np.concatenate(Features().feed(pcm(0.3 * np.sin(2 * np.pi * 1000 * time))))
    assert len(hops) == 7680 // HOP  # whole beats only
    assert hops[0].shape == (FEATURES,)
    assert hops[-1].dtype == np.float32
    peak = int(hops[-1][:40].argmax())
    assert peak == int(mel_filters()[32].argmax())  # bin 32 of 512 is 1000 Hz


def test_level_features_are_independent_of_gain_after_a_while() -> None:
    sound = np.concatenate([silence(0.3), vowel(2.0, AA, level=0.3)])
    loud, soft = (np.concatenate(Features().feed(pcm(sound * gain)))[-50:] for gain in (1.0, 0.1))
    assert abs(float(loud[:, LEVEL].mean() - soft[:, LEVEL].mean())) < 0.1
    assert float(loud[:, OVER_FLOOR].min()) > 0.5


def test_row_leaves_exactly_when_its_look_ahead_has_arrived() -> None:
    voice = LearnedVoice()
    assert voice.feed(np.zeros(LOOK_AHEAD - 1, np.int16)) == []
    assert len(voice.feed(np.zeros(1, np.int16))) == 1
    assert voice.feed(np.zeros(639, np.int16)) == []
    assert len(voice.feed(np.zeros(1, np.int16))) == 1


def test_nothing_beyond_the_look_ahead_is_used() -> None:
    sound = pcm(silence(0.2), vowel(0.8, AA))
    other = sound.copy()
    other[640 * 10 + LOOK_AHEAD :] = 0
    assert rows_of(sound)[:11] == rows_of(other)[:11]


SPEECH = pcm(silence(0.1), vowel(0.3, AA), vowel(0.1, OO, level=0.01), vowel(0.3, EE), silence(0.2))
WHOLE = rows_of(SPEECH)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_any_chunking_gives_identical_bits(sizes: list[int]) -> None:
    voice, rows, at = LearnedVoice(), [], 0
    for size in sizes:
        rows += voice.feed(SPEECH[at : at + size])
        at += size
    rows += voice.feed(SPEECH[at:]) + voice.flush()
    assert rows == WHOLE


def test_reset_equals_a_new_voice() -> None:
    voice = LearnedVoice()
    voice.feed(pcm(vowel(0.777, OO)))
    voice.reset()
    assert voice.feed(SPEECH) + voice.flush() == WHOLE


@pytest.mark.parametrize("noise_db", [-90, -60, -45])
def test_silence_keeps_the_mouth_exactly_shut(noise_db: int) -> None:
    noise = np.random.default_rng(1).normal(0, 10 ** (noise_db / 20), 36800)
    talk = np.concatenate([vowel(0.8, AA), np.zeros(24000)]) + noise
    rows = rows_of(pcm(noise[:6400], talk))
    assert max(row.open for row in rows[15:28]) > 0.03
    tail = rows[-20:]
    assert all(row == REST for row in tail[-10:]), tail[-1]
    assert max(row.open for row in tail) == 0.0


def noise(seconds: float, decibels: float, seed: int = 2) -> Wave:
    return np.random.default_rng(seed).normal(0, 10 ** (decibels / 20), int(seconds * 16000))


def hum(seconds: float) -> Wave:
    turns = 2 * np.pi * 50 * np.arange(int(seconds * 16000)) / 16000
    return np.asarray(0.03 * (np.sin(turns) + np.sin(2 * turns) / 2 + np.sin(3 * turns) / 3))


def clicks(seconds: float) -> Wave:
    """A keyboard: four strokes a second, each 8 ms of ringing noise."""
    dice, wave = np.random.default_rng(3), noise(seconds, -75)
    for start in range(2000, len(wave) - 200, 4000):
        at = start + int(dice.integers(1500))
        wave[at : at + 128] += dice.normal(0, 0.2, 128)[: len(wave) - at] * np.exp(-np.arange(128) / 30)
    return wave


def music(seconds: float) -> Wave:
    """Three voices of plucked notes."""
    dice, wave = np.random.default_rng(4), noise(seconds, -75)
    for start in range(0, len(wave) - 8000, 4000):
        t = np.arange(8000) / 16000
        for pitch in 220 * 2 ** (dice.choice([0, 3, 5, 7, 10, 12], 3) / 12):
            wave[start : start + 8000] += 0.04 * np.sin(2 * np.pi * pitch * t) * np.exp(-t / 0.3)
    return wave


@pytest.mark.parametrize("sound", [noise(8, -60), noise(8, -40), noise(8, -30), hum(8), clicks(8)])
def test_mouth_stays_shut_when_nobody_speaks(sound: Wave) -> None:
    rows = rows_of(pcm(silence(0.5), sound))[38:]  # a second may pass until a new noise is known for one
    openings = np.array([row.open for row in rows])
    assert np.percentile(openings, 90) < 0.02
    assert openings.max() < 0.06


def test_music_moves_the_mouth_less_than_speech() -> None:
    # Plucked notes have the rhythm of syllables: a limit that the model card names.
    played, said = (
        np.array([row.open for row in rows_of(sound)])
        for sound in (pcm(silence(0.5), music(8)), speech.sentence().sound)
    )
    assert np.percentile(played[38:], 90) < 0.7 * np.percentile(said, 90)


def telephone(wave: Wave) -> Wave:
    hertz = np.fft.rfftfreq(len(wave), 1 / 16000)
    return np.asarray(np.fft.irfft(np.fft.rfft(wave) * ((hertz > 300) & (hertz < 3400)), len(wave)))


def child(wave: Wave) -> Wave:
    """Formants and pitch a quarter higher, in the same time: frames of 30 ms, each played faster."""
    out, window = np.zeros(len(wave)), np.hanning(480)
    for at in range(0, len(wave) - 700, 120):
        out[at : at + 480] += window * np.interp(np.arange(480) * 1.25, np.arange(640), wave[at : at + 640])
    return np.asarray(out / 2)


def whisper(wave: Wave) -> Wave:
    """Noise under the envelope of the speech, band by band."""
    dice, out = np.random.default_rng(6), np.zeros(len(wave))
    hertz, window = np.fft.rfftfreq(512, 1 / 16000), np.hanning(512)
    blur = np.exp(-np.abs(hertz[:, None] - hertz) / 150)
    for at in range(0, len(wave) - 512, 128):
        power = np.abs(np.fft.rfft(wave[at : at + 512] * window)) ** 2
        level = np.sqrt(blur @ power / blur.sum(1))
        phases = np.exp(2j * np.pi * dice.random(len(hertz)))
        out[at : at + 512] += window * np.fft.irfft(level * phases, 512)
    return np.asarray(out * 0.5)


DEVICES: dict[str, Callable[[Wave], Wave]] = {
    "quiet": lambda wave: wave * 0.02,
    "loud and clipped": lambda wave: np.clip(wave * 12, -0.9, 0.9),
    "telephone": telephone,
    "child": child,
    "whisper": whisper,
    "noisy": lambda wave: wave + noise(len(wave) / 16000, -38)[: len(wave)],
    "humming": lambda wave: wave + 0.3 * hum(len(wave) / 16000 + 1)[: len(wave)],
}


@pytest.mark.parametrize("device", DEVICES)
def test_mouth_follows_a_voice_through_any_device(device: str) -> None:
    clip = speech.sentence()
    spoilt = DEVICES[device](clip.sound / 32768)
    clean = np.array([row.open for row in rows_of(clip.sound)])
    heard = np.array([row.open for row in rows_of(pcm(spoilt))])
    assert np.corrcoef(clean, heard[: len(clean)])[0, 1] > 0.6
    assert np.std(heard) > 0.4 * np.std(clean)  # does not freeze
    chatter = np.abs(np.diff(heard, 2)).mean() / max(float(np.std(heard)), 1e-3)
    assert chatter < 1.5 * np.abs(np.diff(clean, 2)).mean() / np.std(clean)


def test_vowels_are_told_apart() -> None:
    def middle(formants: tuple[float, ...]) -> MouthRow:
        rows = rows_of(pcm(silence(0.2), vowel(0.5, AA), vowel(0.3, formants), vowel(0.3, AA), silence(0.2)))
        return MouthRow(*np.mean(rows[19:23], axis=0))

    aa, ee, oo = middle(AA), middle(EE), middle(OO)
    assert min(aa.open, ee.open) > 0.02
    assert aa.open > oo.open
    assert ee.dwidth > 0.01 > oo.dwidth
    assert oo.round > 0.3 > max(aa.round, ee.round)
    assert max(certainty(row.press) for row in (aa, ee, oo)) == 0.0


def test_p_b_and_m_close_the_lips() -> None:
    clip = speech.sentence()
    hits, total = closures(np.array([row.open for row in rows_of(clip.sound)]), clip.phones)
    assert total == 21
    assert hits >= 0.8 * total


def test_rest_is_the_zero_pose() -> None:
    assert not mouth_pose(REST).any()


def test_pose_shares_the_opening_and_stays_in_range() -> None:
    pose = mouth_pose(MouthRow(open=0.15, dwidth=-0.05, round=0.5))
    lips = {name: pose[INDEX[name]] for name in ("jaw", "lodep", "upraise")}
    assert lips["jaw"] * JAW_MM == pytest.approx(0.8 * 0.15 * EYES_MM, rel=1e-5)
    assert lips["lodep"] * LODEP_MM == pytest.approx(2 * lips["upraise"] * UPRAISE_MM, rel=1e-5)
    whole = lips["jaw"] * JAW_MM + lips["lodep"] * LODEP_MM + lips["upraise"] * UPRAISE_MM
    assert whole == pytest.approx(0.15 * EYES_MM, rel=1e-5)
    assert pose[INDEX["pucker"]] == pytest.approx(0.45, rel=1e-5)
    wild = mouth_pose(MouthRow(2.0, 2.0, 1.0, 3.0, 1.0, 1.0, 1.0), 1.6)
    assert (wild <= HIGHEST).all()
    assert (wild >= LOWEST).all()


def test_expressiveness_scales_opening_but_not_closure() -> None:
    row = MouthRow(open=0.08, dwidth=0.03, press=0.9)
    calm, lively = mouth_pose(row, 0.6), mouth_pose(row, 1.6)
    assert calm[INDEX["jaw"]] < lively[INDEX["jaw"]]
    assert calm[INDEX["wide"]] < lively[INDEX["wide"]]
    assert calm[INDEX["press"]] == lively[INDEX["press"]] == 1.0
