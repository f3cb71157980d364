"""What engines are tried on before anybody visits: a photograph of a face, and a sound like a voice.

Knows no engine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.config import home
from studio.engines.imagefile import decode, opaque

PHOTOGRAPH = "static/avatars/astronaut.png"
FACE = (161, 64, 289, 192)
"""x0, y0, x1, y1 of the face in it, end exclusive."""
PITCH_HZ, HARMONICS = 120.0, 40


def photograph() -> NDArray[np.uint8]:
    """Return the photograph (512, 512, 3) RGB that comes with the studio."""
    path = home() / PHOTOGRAPH
    return decode(path.read_bytes(), path.name, 512 * 512, opaque)


def voice(samples: int) -> NDArray[np.float32]:
    """Return (samples,) at 16 kHz in [-1, 1] of something like a voice: harmonics under two wandering formants."""
    t = np.arange(samples) / SAMPLE_RATE
    formants = (500 + 200 * np.sin(9 * t), 1500 + 500 * np.cos(7 * t))
    wave = np.zeros(samples)
    for harmonic in range(1, HARMONICS):
        pitch = PITCH_HZ * harmonic
        level = sum(np.exp(-(((pitch - formant) / 250) ** 2)) for formant in formants)
        wave += (0.05 + level) / harmonic**0.5 * np.sin(2 * np.pi * pitch * t)
    return np.asarray(0.3 * wave / np.abs(wave).max(), np.float32)
