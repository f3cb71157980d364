"""A recording is loaded as the original implementations load it: against soxr, and by ear."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from studio.errors import BadAudio, TooLarge
from studio.resampling import BLOCK, read_whole, resampled

RATES = (8000, 11025, 22050, 24000, 32000, 44100, 48000, 88200, 96000, 44056)


def noise(rate: int, seconds: float = 3.0) -> NDArray[np.float32]:
    """Everything at once, up to a peak of about 0.45; quiet at both ends."""
    wave = np.random.default_rng(rate).standard_normal(round(rate * seconds) + 77) * 0.1
    ramp = np.linspace(0, 1, rate // 10)
    wave[: len(ramp)] *= ramp
    wave[-len(ramp) :] *= ramp[::-1]
    return wave.astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
def test_it_is_what_soxr_makes_of_it(rate: int) -> None:
    soxr = pytest.importorskip("soxr", reason="upstream's resampler is not installed: pip install soxr")
    wave = noise(rate)
    theirs = soxr.resample(wave, rate, 16000, quality="HQ")
    ours = resampled(wave, rate)
    assert len(ours) == -(-len(wave) * 16000 // rate) and abs(len(ours) - len(theirs)) <= 1
    both = min(len(ours), len(theirs))
    apart = np.abs(ours[:both] - theirs[:both])
    assert apart.max() < 1e-3 and np.sqrt(np.mean(apart**2)) < 2e-4


@pytest.mark.parametrize("rate", RATES)
def test_a_tone_stays_in_its_place(rate: int) -> None:
    seconds = 2.5 * BLOCK / rate  # the seams between blocks, too
    tone = np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate).astype(np.float32)
    made = resampled(tone, rate)
    expected = np.sin(2 * np.pi * 440 * np.arange(len(made)) / 16000)
    assert np.abs(made - expected)[300:-300].max() < 1e-5


@pytest.mark.parametrize("length", [0, 1, 7, 700])
def test_short_sounds_have_their_length(length: int) -> None:
    assert len(resampled(np.ones(length, np.float32), 44100)) == -(-length * 16000 // 44100)


def test_what_is_too_high_is_gone() -> None:
    tone = np.sin(2 * np.pi * 8200 * np.arange(48000) / 48000).astype(np.float32)
    assert np.abs(resampled(tone, 48000))[300:-300].max() < 1e-5


@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_channels_are_averaged(tmp_path: Path, kind: str) -> None:
    left, right = noise(44100), noise(44100)[::-1]
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], 1), 44100, subtype=kind)
    stored, rate = soundfile.read(tmp_path / "a.wav", dtype="float32")
    expected = resampled(stored.mean(axis=1), rate)
    assert np.abs(read_whole(tmp_path / "a.wav", 10) / 32768 - expected).max() < 2e-5


def test_the_golden_recording_is_loaded_as_upstream_loads_it(shared: Path) -> None:
    golden = shared / "golden" / "musetalk"
    with np.load(golden / "audio.npz") as there:
        expected = there["extra0_waveform_16k"]
    made = read_whole(golden / "input" / "yongen_stereo48k_1s.wav", 10) / 32768
    assert np.abs(made - expected).max() < 1e-4


def test_what_is_no_sound_is_said(tmp_path: Path) -> None:
    (tmp_path / "note.wav").write_bytes(b"RIFF no sound")
    with pytest.raises(BadAudio):
        read_whole(tmp_path / "note.wav", 10)
    empty = io.BytesIO()
    soundfile.write(empty, np.zeros((0, 1)), 16000, format="WAV")
    (tmp_path / "empty.wav").write_bytes(empty.getvalue())
    with pytest.raises(BadAudio):
        read_whole(tmp_path / "empty.wav", 10)
    soundfile.write(tmp_path / "long.wav", noise(8000), 8000)
    with pytest.raises(TooLarge):
        read_whole(tmp_path / "long.wav", 2)
