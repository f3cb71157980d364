"""What the speech encoder hears: whole sounds, or an utterance that grows. Specification 4.3 and 4.5.

Live, the encoder sees a canvas of 30 s that is anchored where the utterance began and fills up: so no feature moves to
another place between two pictures, which would change it more than half a syllable does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.beat import FPS, SAMPLES_PER_BEAT
from studio.engines.musetalk import windows
from studio.engines.musetalk.mel import LOG_POWER_BYTES, SEGMENT, LogPower, log_mel
from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.types import FACE, STATES, WIDTH, Floats
from studio.engines.runtime import Array, host

BEFORE = 12
"""Beats (0.48 s) of what was heard before an utterance that its canvas begins with; silence where there was nothing."""
WEARY = 20 * FPS
"""Beats on a canvas after which the next pause begins a new one."""
FULL = 28 * FPS
"""Beats on a canvas after which a new one begins in the midst of speech."""
KEPT = 8 * FPS
"""Beats that the latter begins with."""
VISIT_BYTES = LOG_POWER_BYTES + KEPT * SAMPLES_PER_BEAT * 2 + 4 * 3 * FACE * FACE
"""What a visit keeps in memory: its canvas, the sound that the next one may begin with, and the faces made last,
four at the most."""
ROWS_PER_BEAT = windows.ROW_RATE // FPS

Pcm = NDArray[np.int16]


def features(networks: Networks, wave: Floats) -> Floats:
    """Return the features (rows, 5, 384) of a whole sound, as upstream: cut hard into pieces of 30 s.

    Args:
        networks: Has the encoder.
        wave: (n,) mono 16 kHz in [-1, 1].
    """
    rows = windows.row_count(len(wave))
    parts = [host(networks.hear(log_mel(wave[at : at + SEGMENT])[None]))[0] for at in range(0, len(wave), SEGMENT)]
    return np.concatenate([*parts, np.zeros((0, STATES, WIDTH), np.float32)])[:rows]


def film_prompts(networks: Networks, sound: Pcm) -> Floats:
    """Return the prompts (n, 50, 384) of a whole sound (samples,), places encoded: what upstream makes of a file.

    The last beat, which the sound may fill in part, has one too; upstream leaves it out.
    """
    beats = -(-len(sound) // SAMPLES_PER_BEAT)
    rows = windows.window_rows(len(sound), pictures=beats)
    return windows.prompts(features(networks, as_wave(sound)), rows) + windows.encoding()


def as_wave(pcm: Pcm) -> Floats:
    """Return int16 samples as float32 in [-1, 1]."""
    return pcm.astype(np.float32) / np.float32(32768)


class Canvas:
    """One visit's growing sound. Beats are numbered as the visit's chunks are."""

    def __init__(self) -> None:
        self._power = LogPower()
        self._recent: deque[Pcm] = deque(maxlen=KEPT)
        self._first = self._next = 0
        """Beat numbers of the canvas's first beat, and of the one to come."""

    def begin(self, beat: int) -> None:
        """Forget everything: the next beat is number ``beat``, and silence was before it."""
        self._recent.clear()
        self._anchor(beat)

    def hear(self, pcm: Pcm, is_pause: bool) -> None:
        """Add the next beat, (640,).

        Args:
            pcm: Its samples.
            is_pause: Nobody speaks here, so that nothing is seen of a new anchor.
        """
        length = self._next - self._first
        if length >= WEARY and is_pause:
            self._anchor(self._next, BEFORE)
        elif length >= FULL:
            self._anchor(self._next, KEPT)
        self._power.extend(as_wave(pcm))
        self._recent.append(pcm)
        self._next += 1

    def picture(self) -> Floats:
        """Return what the encoder shall see: (80, 3000)."""
        return self._power.picture()

    def prompts(self, states: Array, beats: Sequence[int]) -> Floats:
        """Return the prompts (n, 50, 384) of some of the beats heard, places encoded.

        Args:
            states: (1500, 5, 384), the encoder's answer to `picture`; if on the device, only what is heard comes here.
            beats: Numbers of beats; what would lie before the canvas is zero.
        """
        first = ROWS_PER_BEAT * (np.array(beats) - self._first - windows.PADDING)
        rows = first[:, None] + np.arange(2 * (2 * windows.PADDING + 1))
        known = ROWS_PER_BEAT * (self._next - self._first)
        start, stop = max(int(rows.min()), 0), min(int(rows.max()) + 1, known)
        placed = np.where((rows >= start) & (rows < stop), rows - start, windows.NOTHING)
        return windows.prompts(host(states[start:stop]), placed) + windows.encoding()

    def _anchor(self, beat: int, keep: int = 0) -> None:
        """Begin a new canvas that holds the last ``keep`` beats, or `BEFORE` beats of silence."""
        kept = list(self._recent)[-keep:] if keep else []
        silence = [np.zeros(SAMPLES_PER_BEAT, np.int16)] * max(0, BEFORE - len(kept))
        self._power = LogPower()
        self._power.extend(as_wave(np.concatenate([*silence, *kept])))
        self._first, self._next = beat - len(silence) - len(kept), beat
