"""From landmarks to the face box, and what to do where there is none. Specification 5.4."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk.landmarks import FACE
from studio.engines.musetalk.types import LEAST_FACE, Box
from studio.errors import BadPortrait

_BRIDGE = 29
"""Of the 68 points: the middle of the nose, which halves the box."""
_PARABOLA = np.array([-2, 3, 6, 7, 6, 3, -2]) / 21
_MESH_BRIDGE = 195
"""Of MediaPipe's mesh: the same place."""
MOST_LOST = 0.2
"""Part of a video's frames that may lack a face."""


def face_box(points: NDArray[np.floating], detected: Box | None, bbox_shift: int = 0) -> Box | None:
    """Return the face box of one frame without margin, None if no face was detected.

    Args:
        points: (133, 2) whole-body landmarks in pixels.
        detected: The detector's box; stands in where the landmarks make no box.
        bbox_shift: Pixels that v1.0 moves the nose's point; v1.5 always has 0.
    """
    if detected is None:
        return None
    face = points[FACE].astype(np.int32)
    face[_BRIDGE, 1] += bbox_shift
    x0, x1, bottom = int(face[:, 0].min()), int(face[:, 0].max()), int(face[:, 1].max())
    middle = int(face[_BRIDGE, 1])
    return _around(x0, x1, middle, bottom) or detected


def mesh_box(mesh: NDArray[np.floating]) -> Box | None:
    """Return the face box of one frame by MediaPipe's mesh (478, 2 or more), in pixels, without margin.

    The mesh's oval stands for the 68 points' jaw, and its bridge for theirs: some pixels away from upstream's box.
    """
    points = mesh[:, :2].astype(np.int32)
    return _around(
        int(points[:, 0].min()), int(points[:, 0].max()), int(points[_MESH_BRIDGE, 1]), int(points[:, 1].max())
    )


def _around(x0: int, x1: int, middle: int, bottom: int) -> Box | None:
    """Return the box that reaches as far above the nose as below, None if that is none."""
    top = max(0, middle - (bottom - middle))
    return None if bottom - top <= 0 or x1 - x0 <= 0 or x0 < 0 else (x0, top, x1, bottom)


def with_margin(box: Box, extra_margin: int, height: int) -> Box:
    """Return the box with room below the chin, within a picture of that height."""
    x0, y0, x1, y1 = box
    return x0, y0, x1, min(y1 + extra_margin, height)


def inside(box: Box | None, width: int, height: int) -> Box | None:
    """Return the part of a box that lies in the picture, None if that is too little for a face."""
    if box is None:
        return None
    x0, y0, x1, y1 = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= LEAST_FACE else None


def filled(boxes: Sequence[Box | None]) -> tuple[slice, list[Box]]:
    """Return which frames to keep, and a box for each of them.

    Frames without a face are dropped at the ends and interpolated between neighbours in the middle.

    Raises:
        BadPortrait: No face at all, or more than a fifth of the frames without.
    """
    seen = [index for index, box in enumerate(boxes) if box is not None]
    if not seen:
        raise BadPortrait("There is no face in this video. Use one with a single face, seen from the front.")
    lost = len(boxes) - len(seen)
    if lost > MOST_LOST * len(boxes):
        percent = round(100 * lost / len(boxes))
        raise BadPortrait(f"The face is lost in {percent} % of this video. Use one in which it is seen all the time.")
    kept = slice(seen[0], seen[-1] + 1)
    known = np.array([boxes[index] for index in seen], np.float64)
    whole = np.stack([np.interp(np.arange(kept.start, kept.stop), seen, side) for side in known.T], axis=1)
    return kept, [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.rint(whole).astype(int).tolist()]


def calmed(boxes: Sequence[Box]) -> list[Box]:
    """Return boxes whose edges follow a parabola over seven frames (Savitzky and Golay 1964): no tremble, no lag.

    They may leave the picture by a pixel.
    """
    edges = np.array(boxes, np.float64)
    if len(edges) < len(_PARABOLA):
        return list(boxes)
    reach = len(_PARABOLA) // 2
    padded = np.pad(edges, ((reach, reach), (0, 0)), "reflect", reflect_type="odd")
    smooth = np.stack([np.convolve(side, _PARABOLA, "valid") for side in padded.T], axis=1)
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in np.rint(smooth).astype(int).tolist()]


def jitter(boxes: Sequence[Box]) -> float:
    """Return how far box edges move against their own mean over five frames, in pixels (root mean square)."""
    edges = np.array(boxes, np.float64)
    if len(edges) < 5:
        return 0.0
    calm = np.stack([np.convolve(side, np.full(5, 0.2), "valid") for side in edges.T], axis=1)
    return float(np.sqrt(np.mean(np.square(edges[2:-2] - calm))))
