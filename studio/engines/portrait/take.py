"""One visit's face: sound in, a pose for each beat, and its picture.

The pose is the avatar's idle pose at the beat's phase, plus speech life, plus the mouth. Where nothing is added, the
picture is the idle loop's own, so that a resting take and the idle loop are the same picture to the bit.
"""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engine import Avatar
from studio.engines.portrait.life import SpeechLife
from studio.engines.portrait.parameters import COUNT, HIGHEST, INDEX, LOWEST
from studio.engines.portrait.voice import REST, MouthRow, Voice, mouth_pose

Float = NDArray[np.float32]
Picture = NDArray[np.uint8]

_BEAT_LIMITS = {"jaw": 0.36, "press": 0.8, "close": 0.8, "ff": 0.8}
SPEED: Final = np.array([_BEAT_LIMITS.get(name, 0.4) for name in INDEX], np.float32)
"""Largest change of a mouth parameter from beat to beat (specification section 12: jaw 9/s, press 20/s, lips 10/s)."""
QUIET: Final = (1.0, 0.6, 0.25)
"""What is left of the mouth in the first beats of silence; nothing in the later ones, whatever the model says."""
CUT: Final = (0.6, 0.2, 0.0)
"""What is left of the mouth that an interruption met, beat by beat."""


class Painter(Protocol):
    """What draws poses; one take's own."""

    def render(self, pose: Float) -> Picture:
        """Return the picture (768, 512) I420 of ``pose`` (COUNT,)."""


class Portrait(Avatar, Protocol):
    """The avatar of a take."""

    @property
    def poses(self) -> Float:
        """(idle_length, COUNT) of the idle loop."""


class Mouth:
    """Mouth poses from rows: speed limits, silence, interruptions."""

    def __init__(self, expressiveness: float) -> None:
        self._expressiveness = expressiveness
        self._followed = np.zeros(COUNT, np.float32)
        self._met = np.zeros(COUNT, np.float32)
        self._since_cut = len(CUT)
        self._silent = len(QUIET)
        self.pose: Float = np.zeros(COUNT, np.float32)
        """What the last beat showed."""

    def cut(self) -> None:
        """Close from where the mouth is now; what is heard from here on may open it again."""
        self._met, self._since_cut, self._silent = self.pose, 0, len(QUIET)
        self._followed = np.zeros(COUNT, np.float32)

    def step(self, row: MouthRow, speech: bool) -> Float:
        """Return the mouth's pose (COUNT,) for the next beat: zero but at the mouth, and zero there too at rest."""
        self._silent = 0 if speech else self._silent + 1
        left = 1.0 if speech else QUIET[self._silent - 1] if self._silent <= len(QUIET) else 0.0
        target = mouth_pose(row, self._expressiveness) * np.float32(left)
        change = np.minimum(np.maximum(target - self._followed, -SPEED), SPEED)
        self._followed = self._followed + change
        self.pose = self._followed
        if self._since_cut < len(CUT):
            kept = np.float32(CUT[self._since_cut])
            self._since_cut += 1
            self.pose = kept * self._met + (1 - kept) * self._followed
        return self.pose


class PortraitTake:
    """Everything one visit changes; used by one thread at a time.

    A beat is drawn when the next chunk has come: the mouth needs that much of the future.

    Args:
        avatar: Whom it plays.
        voice: Its ears, new.
        painter: Its renderer.
        seed: Of everything random.
        expressiveness: 0.6..1.6, how far the mouth opens.
    """

    def __init__(
        self, avatar: Portrait, voice: Voice, painter: Painter, seed: int, expressiveness: float = 1.0
    ) -> None:
        self.avatar: Portrait = avatar
        self._voice, self._painter = voice, painter
        self._life = SpeechLife(seed)
        self._mouth = Mouth(expressiveness)
        self._held: AudioChunk | None = None

    def hear(self, chunk: AudioChunk) -> list[Beat]:
        """Take the next chunk; return the beat of the one before, nothing for the first."""
        if chunk.cut:
            beats = self._beats(None)  # what was heard of it is void: the mouth stays as it is
            self._voice.reset()
            self._voice.feed(chunk.pcm)
            self._mouth.cut()
        else:
            rows = self._voice.feed(chunk.pcm)
            beats = self._beats(rows[-1] if rows else REST)
        self._held = chunk
        return beats

    def _beats(self, row: MouthRow | None) -> list[Beat]:
        if (held := self._held) is None:
            return []
        poses = self.avatar.poses
        idle = poses[held.phase % len(poses)]
        mouth = self._mouth.pose if row is None else self._mouth.step(row, held.speech)
        blink = float(idle[INDEX["blink_left"]])
        added = self._life.step(row.energy if row else 0.0, held.speech, blink) + mouth
        if added.any():
            picture = self._painter.render(np.minimum(np.maximum(idle + added, LOWEST), HIGHEST))
        else:
            picture = self.avatar.idle(held.phase)
        return [Beat(held.index, picture, held.pcm, held.speech, held.phase)]
