"""Any audio frame -> 16 kHz mono int16, cut into beats, with a gate that tells speech from silence and noise.

Knows nothing of clocks, peers or engines. `Resampler`, `Chunker` and `SpeechGate` keep the state of one source.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE, SAMPLES_PER_BEAT

Pcm = NDArray[np.int16]

LEVEL_BLOCK = 160
"""Samples of one level measurement: 10 ms."""
HANGOVER_BEATS = 10
"""400 ms: how long a take stays awake after the last active beat."""
SPEECH_BEATS = 4
"""160 ms: how long a beat still counts as speech after the last active one; longer than any closure inside a word."""
FLOOR_DB = -65.0
"""The noise floor is never thought lower: opens at -55 dBFS in a silent room."""
FLOOR_CEILING_DB = -30.0
"""The noise floor is never thought higher: steady sound above -20 dBFS is somebody singing, not a fan."""
OPEN_DB, STAY_DB = 10.0, 6.0
"""Above the floor: to open, and to stay open."""
FLOOR_BLOCKS = 250
"""The floor is the lowest smoothed level of the last 2.5 s (minimum statistics, Martin 2001)."""
TRUST_BLOCKS = 100
"""A new gate believes in a silent room for 1 s, so that speech that starts at once is heard."""
NOTHING_DB = -95.0
"""Below it a block is digital silence (a gap, a muted microphone) and says nothing of the room."""
PRE_EMPHASIS = 0.9
"""y[n] = x[n] - 0.9 x[n-1]: takes away mains hum and rumble, leaves consonants."""

PAUSE_BEATS = 5
"""200 ms without a voice end a hush."""
HUSH_BEATS = 75
"""3 s end it in any case."""
SILENCE: Pcm = np.zeros(SAMPLES_PER_BEAT, np.int16)
"""One beat of it; read-only."""
SILENCE.flags.writeable = False


class Resampler:
    """Turn av frames of any format, layout and rate into mono of one rate without seams between frames.

    Args:
        rate: Hertz of what comes out.
    """

    def __init__(self, rate: int = SAMPLE_RATE) -> None:
        self._rate = rate
        self._shape: tuple[str, str, int] | None = None
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=rate)

    def resample(self, frame: av.AudioFrame) -> Pcm:
        """Return the samples that are ready, (n,); a few stay in the filter until the next frame."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self._shape:  # the filter cannot change its input: start a new one
            self._shape = shape
            self._resampler = av.AudioResampler(format="s16", layout="mono", rate=self._rate)
        frame.pts = None  # gaps are the source's business; the filter must not fill them on its own
        return _joined(self._resampler.resample(frame))

    def resample_pcm(self, pcm: Pcm, rate: int) -> Pcm:
        """Return what `resample` does for (n,) mono samples of ``rate`` Hz; n may be 0."""
        if not len(pcm):
            return np.zeros(0, np.int16)
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        return self.resample(frame)

    def flush(self) -> Pcm:
        """Return what the filter still holds, (n,); the next frame starts anew."""
        if self._shape is None:
            return np.zeros(0, np.int16)
        self._shape = None
        return _joined(self._resampler.resample(None))


def _joined(frames: list[av.AudioFrame]) -> Pcm:
    parts = [frame.to_ndarray().reshape(-1) for frame in frames]
    return np.concatenate(parts).astype(np.int16, copy=False) if parts else np.zeros(0, np.int16)


class Chunker:
    """Cut a stream of samples into beats of 640."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.int16)

    @property
    def pending(self) -> int:
        """Samples that wait for the rest of their beat, 0..639."""
        return len(self._rest)

    def push(self, pcm: Pcm) -> list[Pcm]:
        """Add (n,) samples; return the complete beats, each (640,) and owning its memory."""
        joined = np.concatenate((self._rest, pcm))
        whole = len(joined) // SAMPLES_PER_BEAT * SAMPLES_PER_BEAT
        self._rest = joined[whole:].copy()
        return [joined[i : i + SAMPLES_PER_BEAT].copy() for i in range(0, whole, SAMPLES_PER_BEAT)]

    def pad(self) -> list[Pcm]:
        """Complete an unfinished beat with silence; none if nothing waits."""
        return self.push(np.zeros(-len(self._rest) % SAMPLES_PER_BEAT, np.int16))

    def clear(self) -> None:
        """Forget what waits."""
        self._rest = np.zeros(0, np.int16)


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says of one beat."""

    active: bool
    """There is a voice in this very beat."""
    speech: bool
    """Active now or within the last 160 ms: must not be skipped."""
    awake: bool
    """Active now or within the hangover: the engine is asked."""


class SpeechGate:
    """Tell speech from silence and steady noise, beat by beat, with a floor that adapts in about a second.

    Args:
        hangover: Beats that a take stays awake after the last active one.
    """

    def __init__(self, hangover: int = HANGOVER_BEATS) -> None:
        self.hangover = hangover
        self._since_active = hangover + 1
        self._last_sample = 0.0
        self._smooth_db = FLOOR_DB
        self._levels: deque[float] = deque([FLOOR_DB] * TRUST_BLOCKS, FLOOR_BLOCKS)
        self._trusted = TRUST_BLOCKS
        self._open = False

    def hear(self, pcm: Pcm) -> Gate:
        """Judge the next beat, (640,)."""
        levels = self._block_levels(pcm)
        floor = min(max(min(self._levels), FLOOR_DB), FLOOR_CEILING_DB)
        threshold = floor + (STAY_DB if self._open else OPEN_DB)
        needed = 1 if self._open else 2  # one block of 10 ms alone is a click
        self._open = sum(level > threshold for level in levels) >= needed
        self._remember(levels)
        self._since_active = 0 if self._open else self._since_active + 1
        return Gate(self._open, self._since_active <= SPEECH_BEATS, self._since_active <= self.hangover)

    def miss(self) -> Gate:
        """Let one beat pass in which nothing was heard at all; the noise floor stays."""
        self._open = False
        self._since_active += 1
        return Gate(False, False, self._since_active <= self.hangover)

    def close(self) -> None:
        """Forget that somebody spoke (after an interruption); the noise floor stays."""
        self._since_active = self.hangover + 1
        self._open = False

    def _block_levels(self, pcm: Pcm) -> list[float]:
        wave = pcm.astype(np.float64)
        emphasised = wave - PRE_EMPHASIS * np.concatenate(((self._last_sample,), wave[:-1]))
        self._last_sample = float(wave[-1])
        power = np.mean(np.square(emphasised.reshape(-1, LEVEL_BLOCK)), axis=1)
        levels: list[float] = (10 * np.log10(power / 32768**2 + 1e-10)).tolist()
        return levels

    def _remember(self, levels: list[float]) -> None:
        for level in levels:
            if level < NOTHING_DB:
                continue
            self._smooth_db += 0.3 * (level - self._smooth_db)
            self._levels.append(self._smooth_db)
            if self._trusted:  # the silence believed in at the start expires after 1 s, not after 2.5
                self._trusted -= 1
                self._levels.popleft()


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """One beat of sound, judged."""

    pcm: Pcm
    """(640,)"""
    speech: bool
    awake: bool
    filler: bool = False
    """Made up because the source went quiet; no part of its sound."""
    arrived: float = 0.0
    """Second in which its first sample came in; 0: unknown."""


class Listener:
    """Cut a source into judged beats; after `hush` it hears nothing until the speaker pauses.

    Args:
        hangover: Beats that a take stays awake after the last active one.
    """

    def __init__(self, hangover: int = HANGOVER_BEATS) -> None:
        self._chunker = Chunker()
        self._gate = SpeechGate(hangover)
        self._hush = self._pause = 0
        self._arrived = 0.0

    @property
    def hangover(self) -> int:
        """Beats that a take stays awake after the last active one; may be changed at any time."""
        return self._gate.hangover

    @hangover.setter
    def hangover(self, beats: int) -> None:
        self._gate.hangover = beats

    def hear(self, pcm: Pcm, arrived: float = 0.0) -> list[Heard]:
        """Add (n,) samples that came in at second ``arrived``; return the beats that became complete."""
        since = self._arrived if self._chunker.pending else arrived
        heard = []
        for beat in self._chunker.push(pcm):
            heard.append(self._judge(beat, since))
            since = arrived
        self._arrived = since
        return heard

    def rest(self) -> list[Heard]:
        """Return one beat of made-up silence, after the unfinished beat if there is one."""
        gate = self._gate.miss()
        quiet = Heard(SILENCE, False, gate.awake, filler=True)
        return [*(self._judge(beat, self._arrived) for beat in self._chunker.pad()), quiet]

    def clear(self, hush: bool) -> None:
        """Forget what waits and that somebody spoke.

        Args:
            hush: Hear nothing until a pause of 200 ms, at most for 3 s.
        """
        self._chunker.clear()
        self._gate.close()
        self._hush, self._pause = (HUSH_BEATS if hush else 0), 0

    def _judge(self, pcm: Pcm, arrived: float) -> Heard:
        gate = self._gate.hear(pcm)
        if not self._hush:
            return Heard(pcm, gate.speech, gate.awake, arrived=arrived)
        self._pause = 0 if gate.active else self._pause + 1
        self._hush = 0 if self._pause >= PAUSE_BEATS else self._hush - 1
        if not self._hush:
            self._gate.close()
        return Heard(SILENCE, False, False)
