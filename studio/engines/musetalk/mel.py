"""Log-mel pictures as the Whisper models hear them: 80 x 3000 for 30 s, of which the sound may be the beginning.

Specification 4.2: n_fft 400, hop 160, periodic Hann, centred with reflection, power, Slaney mel filters (Slaney's
Auditory Toolbox, 1998: linear to 1 kHz, logarithmic above, each filter of unit area), log10, a floor 8 below the
loudest value of the whole picture, (v + 4) / 4.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.engines.musetalk.types import Floats

BANDS = 80
HOP = 160
WINDOW = 400
FRAMES = 3000
SEGMENT = FRAMES * HOP
"""480000 samples: 30 s."""
LOG_POWER_BYTES = 4 * (SEGMENT + WINDOW + BANDS * FRAMES)
"""Of a growing sound."""
_FLOOR = 8.0
_LEAST = 1e-10


def log_mel(wave: Floats) -> Floats:
    """Return the picture (80, 3000) of up to 30 s of sound, padded with silence.

    Args:
        wave: (n,) mono 16 kHz in [-1, 1], n <= 480000.
    """
    raw = LogPower()
    raw.extend(wave)
    return raw.picture()


class LogPower:
    """The picture of a sound that grows: columns that no later sample reaches are computed once."""

    def __init__(self) -> None:
        self._wave = np.zeros(SEGMENT + WINDOW, np.float32)
        """The sound with half a window before it; what follows the sound is silence."""
        self._columns = np.full((BANDS, FRAMES), np.log10(_LEAST), np.float32)
        self._done = 0
        """Columns that are final."""
        self.samples = 0

    def extend(self, wave: Floats) -> None:
        """Append (n,) samples.

        Raises:
            ValueError: More than 30 s altogether.
        """
        if self.samples + len(wave) > SEGMENT:
            raise ValueError("a picture has 30 s")
        half = WINDOW // 2
        self._wave[half + self.samples :][: len(wave)] = wave
        self.samples += len(wave)
        self._wave[:half] = self._wave[half + 1 : WINDOW + 1][::-1]  # reflection, the first sample not repeated
        # The reflection at the far end only matters where sound reaches within 200 samples of it.
        self._wave[half + SEGMENT :] = self._wave[SEGMENT - 1 : half + SEGMENT - 1][::-1]
        reach = min(FRAMES, (self.samples + half) // HOP + 1)
        self._columns[:, self._done : reach] = self._computed(self._done, reach)
        self._done = max(0, min(reach, (self.samples - half) // HOP + 1 if self.samples > WINDOW else 0))

    def picture(self) -> Floats:
        """Return (80, 3000): the sound so far, silence after it."""
        # log10 is monotonous: the floor may be applied to the logarithms.
        lowest = np.float32(self._columns.max() - np.float32(_FLOOR))
        shown = np.maximum(self._columns, lowest)
        shown += np.float32(4)
        shown /= np.float32(4)
        return shown

    def _computed(self, start: int, stop: int) -> NDArray[np.float32]:
        if stop <= start:
            return self._columns[:, start:stop]
        windows = np.lib.stride_tricks.sliding_window_view(self._wave, WINDOW)[start * HOP : (stop - 1) * HOP + 1 : HOP]
        spectrum = np.fft.rfft(windows * _hann())
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        logs: NDArray[np.float32] = np.log10(np.maximum(filters() @ power.T, _LEAST)).astype(np.float32)
        return logs


@cache
def _hann() -> NDArray[np.float64]:
    window: NDArray[np.float64] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return window


@cache
def filters() -> NDArray[np.float64]:
    """Return the mel filters (80, 201): triangles of unit area on Slaney's scale, 0..8000 Hz."""
    edges = _hertz(np.linspace(0.0, _mel(SAMPLE_RATE / 2), BANDS + 2))
    bins = np.linspace(0, SAMPLE_RATE / 2, WINDOW // 2 + 1)
    slopes = edges[:, None] - bins[None]
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    area = 2.0 / (edges[2:] - edges[:-2])
    bank: NDArray[np.float64] = np.maximum(0, np.minimum(rising, falling)) * area[:, None]
    return bank


_LINEAR = 200.0 / 3
"""Hertz per mel below 1 kHz."""
_KNEE = 1000.0 / _LINEAR
_STEP = np.log(6.4) / 27.0


def _mel(hertz: float) -> float:
    return float(_KNEE + np.log(hertz / 1000.0) / _STEP)


def _hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    above = 1000.0 * np.exp(_STEP * (np.maximum(mel, _KNEE) - _KNEE))
    return np.where(mel < _KNEE, _LINEAR * mel, above)
