"""Speech whose loudness can be seen and heard, and what tells that one goes with the other."""

from __future__ import annotations

from statistics import median

import numpy as np
from numpy.typing import NDArray

LOUD_SECONDS, QUIET_SECONDS = 0.4, 0.6
REST_SECONDS = 0.2
"""Less quiet than this is a hitch of a busy machine and no new burst; and one that is late shortens silences."""


def bursts(count: int, rate: int) -> NDArray[np.int16]:
    """Return ``count`` seconds, mono: in each a loud tone and then silence."""
    t = np.arange(round(LOUD_SECONDS * rate)) / rate
    burst = np.concatenate((20_000 * np.sin(2 * np.pi * 200 * t), np.zeros(round(QUIET_SECONDS * rate))))
    return np.tile(burst, count).astype(np.int16)


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
    def skew(self) -> float:
        """How much later a burst was heard than its mouth was seen, seconds: the median, for machines have hitches."""
        assert self.began and self.opened, "nothing was heard, or no mouth opened"
        return median(min((sound - sight for sight in self.opened), key=abs) for sound in self.began)
