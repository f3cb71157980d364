"""A whole recording at 16 kHz, as the original implementations of the engines load it: for films made beforehand.

Upstream reads files with librosa: channels are averaged, and the rate is changed by soxr's high quality. The filter
here has soxr's bands and its Kaiser window, so that what comes out differs by some 1e-4 of full scale at most
(`tests/unit/test_resampling.py`); it sees the whole sound at once. `audio.Resampler` does the same bit by bit and a
little steeper, for whatever is heard live.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from itertools import groupby
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.errors import BadAudio, TooLarge

Wave = NDArray[np.float32]
Pcm = NDArray[np.int16]

PASS = 0.9137
"""Part of the lower Nyquist frequency that soxr's high quality passes; it stops at 1."""
BETA = 13.0
"""Of its Kaiser window: 127 dB."""
BLOCK = 1 << 16
"""Samples of one transform, about."""


def read_whole(path: Path, max_seconds: float) -> Pcm:
    """Return the first audio stream of a file, (n,) mono 16 kHz.

    Args:
        path: Of somebody who owns this machine: whatever FFmpeg reads.
        max_seconds: Longest sound.

    Raises:
        BadAudio: Not a sound file, or one without sound.
        TooLarge: It lasts longer than ``max_seconds``.
    """
    try:
        with av.open(str(path)) as container:
            parts = [resampled(wave, rate) for rate, wave in _runs(container, max_seconds)]
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadAudio(detail=f"{type(error).__name__} in {path.name}") from error
    whole = np.concatenate([*parts, np.zeros(0, np.float32)])
    if not len(whole):
        raise BadAudio("This file has no sound.")
    pcm: Pcm = np.rint(np.clip(whole * 32768, -32768, 32767)).astype(np.int16)
    return pcm


def resampled(wave: Wave, rate: int) -> Wave:
    """Return a sound (n,) of any rate at 16 kHz: ceil(n * 16000 / rate) samples, neither early nor late.

    Overlap-save (Oppenheim and Schafer, 8.7.3) with a windowed sinc; transforms of whole blocks change the rate.
    """
    if rate == SAMPLE_RATE:
        return wave
    common = math.gcd(rate, SAMPLE_RATE)
    up, down = SAMPLE_RATE // common, rate // common
    kernel = _kernel(rate)
    margin = -(-(len(kernel) // 2) // down)  # in units of `down` samples, of which each makes `up`
    units = max(BLOCK // down, 4 * margin)
    size, made = units * down, units * up
    response = np.fft.rfft(np.roll(np.pad(kernel, (0, size - len(kernel))), -(len(kernel) // 2)))
    count = -(-len(wave) * up // down)
    good = units - 2 * margin
    steps = -(-count // (good * up))
    padded = np.pad(wave, (margin * down, max(0, (steps * good + margin) * down - len(wave))))
    result = np.empty((steps, good * up), np.float32)
    for step in range(steps):
        block = padded[step * good * down :][:size].astype(np.float64)
        spectrum = np.fft.rfft(block) * response
        result[step] = np.fft.irfft(spectrum[: made // 2 + 1], made)[margin * up :][: good * up] * (up / down)
    return result.ravel()[:count]


def _kernel(rate: int) -> NDArray[np.float64]:
    """Return the filter at the rate of its input, (2 n + 1,), its middle in the middle; its length: Kaiser 1974."""
    nyquist = min(rate, SAMPLE_RATE) / 2 / rate
    reach = math.ceil((BETA / 0.1102 + 0.7) / (2.285 * 2 * np.pi * (1 - PASS) * nyquist) / 2)
    at = np.arange(-reach, reach + 1)
    cutoff = (1 + PASS) * nyquist
    window = np.i0(BETA * np.sqrt(1 - (at / reach) ** 2)) / np.i0(BETA)
    made: NDArray[np.float64] = cutoff * np.sinc(cutoff * at) * window
    return made


def _runs(container: av.container.InputContainer, max_seconds: float) -> Iterator[tuple[int, Wave]]:
    """Yield the sound in runs of one rate, of which nearly every file has one: (n,), channels averaged."""
    if not container.streams.audio:
        raise BadAudio("This file has no sound.")
    for rate, pieces in groupby(_pieces(container, max_seconds), lambda piece: piece[0]):
        yield rate, np.concatenate([wave for _, wave in pieces])


def _pieces(container: av.container.InputContainer, max_seconds: float) -> Generator[tuple[int, Wave], None, None]:
    """Yield each frame's rate and samples."""
    left, shape, converter = max_seconds, None, av.AudioResampler(format="fltp")
    for frame in container.decode(container.streams.audio[0]):
        left -= frame.samples / frame.sample_rate
        if left < 0:
            raise TooLarge(f"This sound is longer than {max_seconds:.0f} seconds.")
        if shape != (shape := (frame.format.name, frame.layout.name, frame.sample_rate)):
            converter = av.AudioResampler(format="fltp")
        frame.pts = None
        for plain in converter.resample(frame):
            yield frame.sample_rate, plain.to_ndarray().mean(axis=0, dtype=np.float32)
