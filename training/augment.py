"""What microphones, rooms and lines do to a voice; every function takes and returns (n,) float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter as butterworth
from scipy.signal import fftconvolve, lfilter, sosfilt

Float = NDArray[np.float32]
RATE = 16000


def spoil(sound: Float, dice: np.random.Generator, others: Sequence[Float]) -> Float:
    """Return ``sound`` as some device would deliver it.

    Args:
        sound: Clean speech.
        dice: Draws everything.
        others: Voices to make babble of.
    """
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
        spectrum = np.fft.rfft(dice.standard_normal(count))
        spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** (0.5 * kind)
        noise = np.fft.irfft(spectrum, count)
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
