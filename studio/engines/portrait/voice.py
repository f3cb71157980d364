"""From sound to a mouth: one `MouthRow` for each beat, 40 ms after the beat's sound is complete.

The contract (`Voice`, `MouthRow`) is that of the audio2mouth specification, section 1: row k belongs to samples
640 k .. 640 k + 639 and may use sound up to sample 640 k + 1280. Any chunking of the same sound gives the same bits.

`lipnet.LearnedVoice` is the model behind it.
Knows nothing of pictures; `mouth_pose` turns a row into the face's parameters.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT
from studio.engines.portrait.parameters import COUNT, HIGHEST, INDEX, LOWEST

Float = NDArray[np.float32]

LOOK_AHEAD = 2 * SAMPLES_PER_BEAT
"""Row k leaves when sample ``640 k + LOOK_AHEAD`` has arrived: its own beat and 40 ms of the next but one."""
EYES_MM = 91.0
"""Distance of an adult's outer eye corners, the unit of ``open`` and ``dwidth``, in mm."""

JAW_MM, LODEP_MM, UPRAISE_MM = 14.0, 5.9, 4.9
"""How far the parameters at 1 part the lips, in mm (measured on the contours of the shipped faces: jaw 13.7 to 14.6;
the jaw's 20 mm are those of its path, which leads backwards too)."""


class MouthRow(NamedTuple):
    """The mouth during one beat; all zero at rest."""

    open: float = 0.0
    """Inner lip opening as a fraction of the distance of the outer eye corners; vowels 0.08 .. 0.18."""
    dwidth: float = 0.0
    """Distance of the mouth corners minus that at rest, same unit: ee +0.045, oo -0.07."""
    jaw: float = 0.0
    """Chin drop 0..1."""
    round: float = 0.0
    """Pucker 0..1."""
    press: float = 0.0
    """Probability that the lips are together: p b m."""
    fv: float = 0.0
    """Probability that the lower lip is under the teeth: f v."""
    energy: float = 0.0
    """Loudness 0..1 relative to this voice's own."""


REST = MouthRow()


class Voice(Protocol):
    """One visitor's sound-to-mouth model; owned by one take, a few KB."""

    def feed(self, pcm: NDArray[np.int16]) -> list[MouthRow]:
        """Hear ``pcm`` (n,) mono 16 kHz, any n; return the rows that became complete, in order."""

    def flush(self) -> list[MouthRow]:
        """Hear 80 ms of silence: returns the rows still held back."""

    def reset(self) -> None:
        """Forget everything: the next sample is sample 0 of row 0."""


def certainty(probability: float) -> float:
    """Return a probability sharpened into a gate 0..1.

    Full from 0.5 on (audio2mouth, section 1, has 0.65): many a closure is shorter than a beat, whose row holds a part
    of it. On a voice never heard in training 0.93 of p b m close by it, 0.87 with the specification's, at equal r.
    """
    return min(max((probability - 0.2) / 0.3, 0.0), 1.0)


def mouth_pose(row: MouthRow, expressiveness: float = 1.0) -> Float:
    """Return the pose (COUNT,) that shows ``row``; ``expressiveness`` 0.6..1.6 scales opening and width, never closure.

    The jaw takes four fifths of the opening; the lips share the rest two to one (audio2mouth, section 1), so that the
    lips part by what the row asks for. A `REST` row gives the zero pose.
    """
    opening = EYES_MM * row.open * expressiveness
    width = EYES_MM * row.dwidth * expressiveness
    jaw = min(0.8 * max(opening, 0.0) / JAW_MM, 1.0)
    rest = max(opening - JAW_MM * jaw, 0.0)
    closed = certainty(row.press)
    pose = np.zeros(COUNT, np.float32)
    for name, value in (
        ("jaw", jaw),
        ("lodep", rest * (2 / 3) / LODEP_MM),
        ("upraise", rest * (1 / 3) / UPRAISE_MM),
        ("wide", width / 13.0),
        ("pucker", max(0.9 * row.round, -width / 19.0)),
        ("press", closed),
        ("close", min(2.0 * closed, 1.0)),
        ("ff", certainty(row.fv)),
    ):
        pose[INDEX[name]] = value
    return np.minimum(np.maximum(pose, LOWEST), HIGHEST)
