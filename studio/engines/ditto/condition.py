"""The condition of the diffusion network: one row for each frame of speech.

A row is ``[speech 1024 | emotion 8 | eye openness 2 | eyeballs 6 | shape 63]``, each part only where the checkpoint
uses it. Frames are counted from 0 with the first sound; what lies before (the online silence) has negative numbers.
Specification: section 7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.engines.ditto.types import CheckpointInfo, Floats, Reference
from studio.engines.loop import mirror

EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise", "contempt")
SPEECH_DIM = 1024
_CHOSEN = 8.0
"""What stands at a chosen emotion before the softmax; 0 elsewhere."""

Emotion = int | Sequence[int] | Sequence[Sequence[int]] | Floats


def emotion_rows(emotion: Emotion) -> Floats:
    """Return the emotions in turn, (m, 8) float32.

    Args:
        emotion: A label 0..7, several labels at once, a list of such lists (one row each), or rows (m, 8) as they are.
    """
    if isinstance(emotion, np.ndarray):
        return emotion.reshape(-1, len(EMOTIONS)).astype(np.float32)
    if isinstance(emotion, int):
        return _emotion_row([emotion])[None]
    labels = [[one] if isinstance(one, int) else one for one in emotion]
    if all(isinstance(one, int) for one in emotion):
        labels = [[label for one in labels for label in one]]
    return np.stack([_emotion_row(one) for one in labels])


def _emotion_row(labels: Sequence[int]) -> Floats:
    logits = np.zeros(len(EMOTIONS))
    logits[list(labels)] = _CHOSEN
    weights = np.exp(logits)
    row: Floats = (weights / weights.sum()).astype(np.float32)
    return row


class Condition:
    """Everything of the rows that is not speech.

    Args:
        person: Whose eyes and shape the network sees.
        emotions: (m, 8), used in turn.
        first_eyes_only: Eyes of the first frame for ever.
        info: Which parts the checkpoint uses.
    """

    def __init__(self, person: Reference, emotions: Floats, first_eyes_only: bool, info: CheckpointInfo) -> None:
        self._emotions = emotions if info.uses_emotion else emotions[:, :0]
        opened = person.eye_open if info.uses_eye_open else person.eye_open[:, :0]
        balls = person.eye_ball if info.uses_eye_ball else person.eye_ball[:, :0]
        self._eyes = np.concatenate([opened, balls], axis=1, dtype=np.float32)
        if first_eyes_only:
            self._eyes = self._eyes[:1]
        self._shape = person.sc if info.uses_shape else person.sc[:0]

    def tail(self, first: int, count: int) -> Floats:
        """Return what follows the speech in rows ``first`` .. ``first + count``: (count, <= 79)."""
        frames = np.maximum(np.arange(first, first + count), 0)
        emotions = self._emotions[frames % len(self._emotions)]
        eyes = self._eyes[[mirror(int(frame), len(self._eyes)) for frame in frames]]
        shape = np.broadcast_to(self._shape, (count, self._shape.size))
        return np.concatenate([emotions, eyes, shape], axis=1, dtype=np.float32)

    def rows(self, speech: Floats, first: int) -> Floats:
        """Return whole rows (count, 1103) for ``speech`` (count, 1024) that begins at frame ``first``."""
        return np.concatenate([speech, self.tail(first, len(speech))], axis=1, dtype=np.float32)
