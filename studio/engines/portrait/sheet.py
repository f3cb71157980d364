"""A contact sheet: one face in the sixteen states by which a person judges it (specification section 11)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.parameters import pose
from studio.engines.portrait.renderer import Face, Renderer
from studio.engines.portrait.rig import Float

STATES: dict[str, Float] = {
    "neutral": pose(),
    "aa": pose(close=1, jaw=0.85, lodep=0.25, upraise=0.15),
    "ee": pose(close=1, jaw=0.12, wide=0.9, upraise=0.55, lodep=0.6),
    "oo": pose(close=1, jaw=0.22, pucker=0.95),
    "oh": pose(close=1, jaw=0.55, pucker=0.55),
    "mm": pose(close=1, press=0.9),
    "ff": pose(close=1, ff=1, jaw=0.05),
    "th": pose(close=1, jaw=0.30, upraise=0.3, lodep=0.3, tongue=1),
    "smile": pose(smile=0.8, wide=0.2),
    "blink 50": pose(blink_left=0.5, blink_right=0.5),
    "blink 100": pose(blink_left=1, blink_right=1),
    "gaze, brow": pose(gx=1.2, browup=0.8),
    "yaw +5 aa": pose(close=1, jaw=0.85, lodep=0.25, upraise=0.15, yaw=0.087),
    "yaw -5 ee": pose(close=1, jaw=0.12, wide=0.9, upraise=0.55, lodep=0.6, yaw=-0.087),
    "pitch +5": pose(pitch=0.087),
    "roll 5 oh": pose(close=1, jaw=0.55, pucker=0.55, roll=0.087),
}
"""Label -> pose; the visemes are those of specification section 1."""


def contact_sheet(face: Face, side: int = 320, columns: int = 4) -> NDArray[np.uint8]:
    """Render the sixteen states side by side.

    Args:
        face: Whose.
        side: Pixels of each picture.
        columns: Pictures per row.

    Returns:
        (rows * side, columns * side, 3) uint8 RGB.
    """
    cells = [_cell(face, name, state, side) for name, state in STATES.items()]
    rows = [np.concatenate(cells[i : i + columns], axis=1) for i in range(0, len(cells), columns)]
    return np.concatenate(rows, axis=0)


def _cell(face: Face, name: str, state: Float, side: int) -> NDArray[np.uint8]:
    rgb = cv2.cvtColor(Renderer(face).render(state), cv2.COLOR_YUV2RGB_I420)
    small = np.asarray(cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
    small[:22] = small[:22] // 2
    cv2.putText(small, name, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return small
