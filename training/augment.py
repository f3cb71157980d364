"""What microphones, rooms and lines do to a voice; every function takes and returns (n,) float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter as butterworth
from scipy.signal import fftconvolve, istft, lfilter, sosfilt, stft

Float = NDArray[np.float32]
RATE = 16000


def spoil(sound: Float, dice: np.random.Generator, others: Sequence[Float]) -> Float:
    """Return ``sound`` as some device would deliver it.

    Args:
        sound: Clean speech.
        dice: Draws everything.
        others: Voices to make babble of.
    """
    if dice.random() < 0.06:
        sound = _whisper(sound, dice)
    if dice.random() < 0.8:
        sound = _colour(sound, dice)
    if dice.random() < 0.45:
        sound = _room(sound, dice)
    if dice.random() < 0.2:
        sound = _line(sound, dice)
    if dice.random() < 0.8:
        sound = sound + _noise(len(sound), dice, others) * (_rms(sound) * 10 ** (-dice.uniform(3, 40) / 20))
    sound = sound * (10 ** (dice.uniform(-42, -12) / 20) / _rms(sound))
    if dice.random() < 0.1:
        limit = 0.25 * float(np.abs(sound).max())
        sound = np.clip(sound, -limit, limit)
    dither = dice.standard_normal(len(sound)) * 10 ** (dice.uniform(-90, -70) / 20)
    return np.asarray(np.clip(sound + dither, -1, 1), np.float32)


def racket(count: int, dice: np.random.Generator) -> Float:
    """Return (n,) sound of RMS 0.05 that is nobody's voice: noise that swells, a hum, keys and clicks, or music."""
    kind = dice.choice(["noise", "hum", "clicks", "music"])
    t = np.arange(count) / RATE
    if kind == "hum":
        base = dice.choice([50.0, 60.0]) * dice.integers(1, 4)
        sound = sum(dice.uniform(0.1, 1) / k * np.sin(2 * np.pi * base * k * t + k) for k in range(1, 12))
    elif kind == "clicks":
        impulses = (dice.random(count) < dice.uniform(1, 8) / RATE) * dice.standard_normal(count)
        length = int(dice.uniform(0.002, 0.06) * RATE)
        ring = dice.standard_normal(length) * np.exp(-np.arange(length) * 5 / length)
        sound = fftconvolve(impulses, ring)[:count] + 1e-3 * dice.standard_normal(count)
    elif kind == "music":
        sound = _music(count, dice)
    else:
        swell = 10 ** (dice.uniform(2, 12) * np.sin(2 * np.pi * dice.uniform(0.05, 3) * t) / 20)
        sound = _coloured_noise(count, dice, dice.integers(0, 3)) * swell
    sound = np.asarray(sound, np.float32)
    return np.asarray(sound * (0.05 / _rms(sound)), np.float32)


def _music(count: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """Return notes of a scale, plucked or held, each with six partials, some with a beat of noise under them."""
    sound = np.zeros(count)
    root, beat = dice.uniform(110, 440), dice.uniform(0.12, 0.6)
    decay = dice.uniform(0.1, 3.0)
    for start in np.arange(0, count / RATE, beat):
        length = int(min(count - int(start * RATE), RATE * beat * dice.choice([1, 2, 4])))
        t = np.arange(length) / RATE
        for _ in range(dice.integers(1, 4)):
            pitch = root * 2 ** (dice.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16]) / 12)
            wobble = 2 * np.pi * pitch * t + dice.uniform(0, 0.5) * np.sin(2 * np.pi * 5.5 * t)
            note = sum(dice.uniform(0, 1) / k * np.sin(k * wobble) for k in range(1, 7))
            sound[int(start * RATE) :][:length] += note * np.exp(-t / decay) * np.minimum(t / 0.01, 1.0)
        if dice.random() < 0.3:
            drum = dice.standard_normal(length) * np.exp(-t / 0.05)
            sound[int(start * RATE) :][:length] += drum
    return sound


def _whisper(sound: Float, dice: np.random.Generator) -> Float:
    """Speak without a voice: the spectrum's envelope (30 cepstral coefficients), its phases drawn anew."""
    _, _, spectrum = stft(sound, RATE, nperseg=512, noverlap=384)
    cepstrum = np.fft.irfft(np.log(np.abs(spectrum) + 1e-7), axis=0)
    cepstrum[30:-29] = 0.0
    envelope = np.exp(np.fft.rfft(cepstrum, axis=0).real)
    drawn = envelope * np.exp(2j * np.pi * dice.random(envelope.shape))
    _, whispered = istft(drawn, RATE, nperseg=512, noverlap=384)
    return np.asarray(lfilter([1.0, -0.9], [1.0], np.resize(whispered, len(sound))), np.float32)


def _rms(sound: Float) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) + 1e-6


def _colour(sound: Float, dice: np.random.Generator) -> Float:
    """Tilt the spectrum by one zero or pole, then bend it with up to two peaking filters (the audio EQ cookbook)."""
    tilt = dice.uniform(-0.6, 0.75)
    sound = (
        lfilter([1.0, -tilt], [1.0], sound) if dice.random() < 0.5 else lfilter([1.0 - abs(tilt)], [1.0, -tilt], sound)
    )
    for _ in range(int(dice.integers(0, 3))):
        w = 2 * np.pi * float(np.exp(dice.uniform(np.log(150), np.log(6000)))) / RATE
        alpha = np.sin(w) / (2 * dice.uniform(0.5, 3))
        gain = 10 ** (dice.uniform(-9, 9) / 40)
        above = [1 + alpha * gain, -2 * np.cos(w), 1 - alpha * gain]
        below = [1 + alpha / gain, -2 * np.cos(w), 1 - alpha / gain]
        sound = lfilter(above, below, sound)
    return np.asarray(sound, np.float32)


def _room(sound: Float, dice: np.random.Generator) -> Float:
    """Add the tail of a room: decaying noise, RT60 0.08 .. 0.6 s."""
    rt60 = dice.uniform(0.08, 0.6)
    t = np.arange(int(rt60 * RATE)) / RATE
    tail = dice.standard_normal(len(t)) * 10 ** (-3 * t / rt60)
    tail *= dice.uniform(0.05, 0.6) / np.sqrt((tail**2).sum())
    tail[0] += 1.0
    return np.asarray(fftconvolve(sound, tail)[: len(sound)], np.float32)


def _line(sound: Float, dice: np.random.Generator) -> Float:
    """Cut the treble; half of the time the bass as well, as a telephone does."""
    sound = sosfilt(butterworth(4, float(dice.choice([3400, 4000, 5500])), fs=RATE, output="sos"), sound)
    if dice.random() < 0.5:
        sound = sosfilt(butterworth(2, 300, "high", fs=RATE, output="sos"), sound)
    return np.asarray(sound, np.float32)


def _noise(count: int, dice: np.random.Generator, others: Sequence[Float]) -> Float:
    """Return noise of RMS 1: white, pink, brown, babble of five voices, or humming tones."""
    kind = dice.integers(0, 5)
    if kind < 3:
        noise = _coloured_noise(count, dice, kind)
    elif kind == 3:
        noise = np.zeros(count)
        for i in dice.integers(0, len(others), 5):
            voice = np.resize(others[i], count)
            noise += np.roll(voice / _rms(voice), int(dice.integers(0, count)))
    else:
        t = np.arange(count) / RATE
        noise = sum(
            dice.uniform(0.2, 1) * np.sin(2 * np.pi * dice.uniform(50, 2000) * t + dice.uniform(0, 6)) for _ in range(6)
        )
    return np.asarray(noise / _rms(np.asarray(noise, np.float32)), np.float32)


def _coloured_noise(count: int, dice: np.random.Generator, colour: int) -> NDArray[np.float64]:
    """Return (n,) white (0), pink (1) or brown (2) noise."""
    spectrum = np.fft.rfft(dice.standard_normal(count))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** (0.5 * colour)
    return np.asarray(np.fft.irfft(spectrum, count))
