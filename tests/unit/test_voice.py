"""Sound to mouth: timing, chunking, silence, closures and the way to a pose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from studio.engines.portrait.features import FEATURES, HOP, LEVEL, OVER_FLOOR, Features, mel_filters
from studio.engines.portrait.parameters import HIGHEST, INDEX, LOWEST
from studio.engines.portrait.voice import (
    EYES_MM,
    JAW_MM,
    LODEP_MM,
    LOOK_AHEAD,
    REST,
    UPRAISE_MM,
    BandVoice,
    MouthRow,
    certainty,
    cue_weights,
    mouth_pose,
)

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
    voice = BandVoice()
    return voice.feed(sound) + voice.flush()


def test_mel_filters_cover_the_range_and_sum_to_one() -> None:
    filters = mel_filters()
    assert filters.shape == (257, 40)
    np.testing.assert_allclose(filters.sum(0), 1.0, rtol=1e-5)
    assert not filters[:2].any()
    assert not filters[245:].any()
    np.testing.assert_allclose(cue_weights().sum(0), 1.0, rtol=1e-6)


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
    voice = BandVoice()
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
    voice, rows, at = BandVoice(), [], 0
    for size in sizes:
        rows += voice.feed(SPEECH[at : at + size])
        at += size
    rows += voice.feed(SPEECH[at:]) + voice.flush()
    assert rows == WHOLE


def test_reset_equals_a_new_voice() -> None:
    voice = BandVoice()
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


@pytest.mark.parametrize("noise_db", [-60, -40, -30])
def test_steady_noise_alone_opens_nothing_for_long(noise_db: int) -> None:
    noise = np.random.default_rng(2).normal(0, 10 ** (noise_db / 20), 64000)
    rows = rows_of(pcm(silence(0.5), noise))
    assert max(row.open for row in rows[-60:]) < 0.02
    turns = 2 * np.pi * 50 * np.arange(64000) / 16000
    hum = np.sin(turns) + np.sin(2 * turns) / 2 + np.sin(3 * turns) / 3
    assert max(row.open for row in rows_of(pcm(hum * 10 ** (noise_db / 20)))) == 0.0


def test_quiet_microphone_opens_the_mouth_as_a_loud_one() -> None:
    loud = np.concatenate([silence(0.5), *[vowel(0.25, AA), silence(0.15)] * 6])
    whole, quiet = (rows_of(pcm(loud * gain))[30:] for gain in (1.0, 0.03))
    openings = [float(np.mean([row.open for row in rows])) for rows in (whole, quiet)]
    assert openings[1] > 0.7 * openings[0] > 0.01


def test_vowels_are_told_apart() -> None:
    def middle(formants: tuple[float, ...]) -> MouthRow:
        rows = rows_of(pcm(silence(0.2), vowel(0.5, AA), vowel(0.3, formants), vowel(0.3, AA), silence(0.2)))
        return MouthRow(*np.mean(rows[19:23], axis=0))

    aa, ee, oo = middle(AA), middle(EE), middle(OO)
    assert aa.open > ee.open > 0.01
    assert aa.open > oo.open
    assert ee.dwidth > 0.01 > oo.dwidth
    assert oo.round > 0.3 > max(aa.round, ee.round)
    assert max(certainty(row.press) for row in (aa, ee, oo)) == 0.0


def test_stop_between_vowels_closes_the_lips() -> None:
    rows = rows_of(pcm(silence(0.2), vowel(0.4, AA), silence(0.1), vowel(0.4, AA), silence(0.2)))
    assert min(row.open for row in rows[8:13]) > 0.05
    assert min(row.open for row in rows[14:18]) == 0.0
    assert max(certainty(row.press) for row in rows[14:18]) == 1.0
    assert max(certainty(row.press) for row in rows[8:13]) == 0.0


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
