"""Speech whose loudness can be seen and heard, and what tells that one goes with the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BURST_SECONDS = 0.4


def bursts(count: int, rate: int) -> NDArray[np.int16]:
    """Return ``count`` times a loud tone and then silence, mono."""
    t = np.arange(round(BURST_SECONDS * rate)) / rate
    tone = 20_000 * np.sin(2 * np.pi * 200 * t)
    return np.tile(np.concatenate((tone, np.zeros_like(tone))), count).astype(np.int16)


REST_SECONDS = 0.25
"""Less quiet than this is a hitch of a busy machine, and no new burst."""


class Witness:
    """Watches a test card whose mouth opens with loudness, and listens; both counted in seconds of sound heard."""

    def __init__(self) -> None:
        self.opened: list[float] = []
        self.began: list[float] = []
        self.pictures = 0
        self.heard = self.loud = 0.0
        self._open_until = self._loud_until = -1.0

    def see(self, rgb: NDArray[np.uint8]) -> None:
        """Look at a picture, (512, 512, 3)."""
        self.pictures += 1
        if rgb[345, 256].mean() < 40:  # black in an open mouth, grey around a closed one, white in a flash
            self.opened += [self.heard] if self.heard - self._open_until > REST_SECONDS else []
            self._open_until = self.heard

    def hear(self, pcm: NDArray[np.int16], rate: int) -> None:
        """Listen to mono sound."""
        for start in range(0, len(pcm), step := rate // 100):
            part = pcm[start : start + step]
            if np.abs(part.astype(np.int32)).max(initial=0) > 4000:
                self.began += [self.heard] if self.heard - self._loud_until > REST_SECONDS else []
                self.loud += len(part) / rate
                self._loud_until = self.heard
            self.heard += len(part) / rate

    @property
    def skews(self) -> list[float]:
        """How much later each burst was heard than its mouth was seen, seconds."""
        return [sound - sight for sight, sound in zip(self.opened, self.began, strict=True)]
