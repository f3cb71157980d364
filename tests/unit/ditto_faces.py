"""Made-up landmarks for tests of the Ditto engine's picture side."""

from __future__ import annotations

import numpy as np

from studio.engines.ditto.crop import MARKS
from studio.engines.ditto.types import Floats


def landmarks(count: int, angle: float, size: float, centre: tuple[float, float]) -> Floats:
    """Return ``count`` landmarks of a face turned by ``angle`` (radians): a ring, with eyes above and lips below."""
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    points = np.stack([np.sin(turns) * 0.4, np.cos(turns) * 0.5], axis=1)
    marks = MARKS[count]
    points[list(marks.left_eye)] = (-0.2, -0.2)
    points[list(marks.right_eye)] = (0.2, -0.2)
    points[list(marks.lips)] = ((-0.1, 0.25), (0.1, 0.25))
    c, s = np.cos(angle), np.sin(angle)
    turned: Floats = (points @ np.array([[c, s], [-s, c]]) * size + centre).astype(np.float32)
    return turned
