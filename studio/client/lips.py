"""Do the lips follow the sound? Measured on received pictures: the mouth by landmarks, the sound by its level.

The opening is the distance of the inner lips over that of the eyes, so that a moving head changes nothing. It is
compared with the loudness of the sound at many lags: a face that speaks this very sound correlates best near zero.
Loudness is not opening (a hum is loud and shut): even perfect lips reach about 0.5 to 0.7.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from studio import picture
from studio.audio import Pcm
from studio.beat import SAMPLE_RATE
from studio.client.figures import Floats, Unmeasured
from studio.engines.facedetector import infer, load_model
from studio.engines.facemesh import MESH_SHIFT, MESH_SIDE, PRESENT, FaceFinder, Square, upright_box
from studio.errors import BadPortrait
from studio.picture import Picture

MARGIN = 1.45
"""Side of the square that the mesh looks at, over the size of the face in the picture before."""
UPPER, LOWER, LEFT, RIGHT = 13, 14, 33, 263
"""Inner lips' middles and outer corners of the eyes, of MediaPipe's canonical mesh."""
LEAST = 50
"""Pictures with a face that are needed: 2 s."""
LAGS_MS = np.arange(-400, 401, 20)
LEVEL_SECONDS = 0.040
RANGE_DB = 35.0
"""Below the loudest by more counts as silence."""
STILL = 0.004
"""Standard deviation of the opening, in eye distances, below which the mouth does not move."""
TRIES = 5
"""Pictures in which a face is looked for."""


@dataclass(frozen=True, slots=True)
class Lips:
    """How lips and sound go together."""

    r: float
    """Pearson's correlation at lag 0."""
    best_r: float
    lag_ms: float
    """Of the best one; positive: the lips are late."""
    pictures: int
    """With a face."""


def measure(
    pictures: Sequence[Picture], times: Floats, pcm: Pcm, begins: float, note: Callable[[float], None]
) -> Lips | Unmeasured:
    """Look at the lips and compare; blocks for about 25 ms a picture.

    Args:
        pictures: I420, in order.
        times: (n,) seconds at which each is seen.
        pcm: (m,) mono 16 kHz.
        begins: Second at which it begins, on the clock of ``times``.
        note: Told the fraction done.
    """
    if len(pictures) < LEAST:
        return Unmeasured(f"{len(pictures)} pictures are too few to look at lips; {LEAST} are needed")
    if not len(pcm) or np.abs(pcm).max() < 100:
        return Unmeasured("there is no sound to compare the lips with")
    try:
        opening = openings(pictures, note)
    except BadPortrait as error:
        return Unmeasured(error.message)
    if opening is None:
        return Unmeasured("no face was found in the pictures")
    return compare(opening, times, pcm, begins)


def openings(pictures: Sequence[Picture], note: Callable[[float], None]) -> Floats | None:
    """Return (n,) openings in distances of the eyes, nan where the face was lost; None without a face.

    Raises:
        BadPortrait: The models are not installed.
    """
    finder, mesh_model = FaceFinder(), load_model("face_landmark")
    for first in range(0, len(pictures), max(1, len(pictures) // TRIES)):
        if faces := finder.find(picture.to_rgb(pictures[first])):
            break
    else:
        return None
    mesh = faces[0].landmarks[:468]
    found = np.full(len(pictures), np.nan)
    for i, one in enumerate(pictures):
        centre, side, angle = upright_box(mesh)
        square = Square(centre, side * MARGIN, angle, MESH_SIDE)
        points, presence = infer(mesh_model, square.cut(picture.to_rgb(one)), ("conv2d_20", "conv2d_30"))
        if 1 / (1 + np.exp(-float(presence[0]))) >= PRESENT:
            mesh = square.restore(points.reshape(468, 3) + MESH_SHIFT)
            found[i] = _distance(mesh, UPPER, LOWER) / _distance(mesh, LEFT, RIGHT)
        note((i + 1) / len(pictures))
    return found


def compare(opening: Floats, times: Floats, pcm: Pcm, begins: float) -> Lips | Unmeasured:
    """Correlate openings with the loudness of the sound.

    Args:
        opening: (n,), nan where unknown.
        times: (n,) seconds.
        pcm: (m,) mono 16 kHz.
        begins: Second of its first sample.
    """
    seen = np.isfinite(opening) & (times > begins + 0.5) & (times < begins + len(pcm) / SAMPLE_RATE - 0.5)
    if seen.sum() < LEAST:
        return Unmeasured(f"a face was seen in {int(seen.sum())} pictures with sound; {LEAST} are needed")
    if float(np.std(opening[seen])) < STILL:
        return Unmeasured("the mouth does not move")
    level_at, level = loudness(pcm)
    if float(np.std(level)) < 1.0:
        return Unmeasured("the sound is equally loud all the time")
    values = [_r(opening[seen], np.interp(times[seen] - lag / 1000, level_at + begins, level)) for lag in LAGS_MS]
    best = int(np.argmax(values))
    return Lips(values[len(LAGS_MS) // 2], values[best], float(LAGS_MS[best]), int(seen.sum()))


def loudness(pcm: Pcm) -> tuple[Floats, Floats]:
    """Return the middles of windows of 40 ms, 10 ms apart, in seconds, and their levels in dB over the silence."""
    width, step = round(LEVEL_SECONDS * SAMPLE_RATE), SAMPLE_RATE // 100
    power = np.concatenate(([0.0], np.cumsum((pcm.astype(np.float64) / 32768) ** 2)))
    starts = np.arange(0, max(1, len(pcm) - width), step)
    ends = np.minimum(starts + width, len(pcm))
    decibels = 10 * np.log10((power[ends] - power[starts]) / width + 1e-10)
    return (starts + width / 2) / SAMPLE_RATE, np.maximum(decibels - (decibels.max() - RANGE_DB), 0.0)


def _r(a: Floats, b: Floats) -> float:
    a, b = a - a.mean(), b - b.mean()
    size = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / size if size > 0 else 0.0


def _distance(mesh: NDArray[np.float32], a: int, b: int) -> float:
    return float(np.linalg.norm(mesh[a, :2] - mesh[b, :2]))
