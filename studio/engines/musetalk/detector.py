"""Finding the face: the maps of S3FD decoded (Zhang et al. 2017). Specification 5.3."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk.types import Box, Bytes, Floats

_MEAN = np.array([104, 117, 123], np.float32)
"""Subtracted from R, G, B: upstream's order, though the numbers are those of B, G, R."""
_CANDIDATE, _FACE = 0.05, 0.5
"""Scores from which a box is looked at, and believed."""
_OVERLAP = 0.3
_MOST = 5000
"""Candidates that are compared with each other."""
_CENTRE_SPREAD, _SIZE_SPREAD = 0.1, 0.2


def network_input(picture: Bytes) -> Floats:
    """Return what the network sees of a picture (H, W, 3) BGR: (1, 3, H, W) RGB less upstream's means."""
    seen = picture[..., ::-1].astype(np.float32) - _MEAN
    return np.ascontiguousarray(seen.transpose(2, 0, 1)[None])


def candidates(maps: Sequence[Floats]) -> Floats:
    """Return the boxes (n, 5) x0, y0, x1, y1, score of everything that may be a face.

    Args:
        maps: Six pairs: scores (1, 2, h, w), offsets (1, 4, h, w), strides 4, 8, ... 128.
    """
    found = [_level(maps[2 * level], maps[2 * level + 1], 4 << level) for level in range(len(maps) // 2)]
    return np.concatenate(found)


def apart(boxes: Floats, overlap: float = _OVERLAP) -> NDArray[np.int64]:
    """Return the indexes of boxes (n, 5) that no better one covers, best first (greedy, inclusive pixels)."""
    x0, y0, x1, y1, scores = boxes.T
    areas = (x1 - x0 + 1) * (y1 - y0 + 1)
    left = np.argsort(scores)[::-1]
    kept: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        kept.append(best)
        wide = np.maximum(0, np.minimum(x1[best], x1[left]) - np.maximum(x0[best], x0[left]) + 1)
        high = np.maximum(0, np.minimum(y1[best], y1[left]) - np.maximum(y0[best], y0[left]) + 1)
        shared = wide * high
        left = left[shared / (areas[best] + areas[left] - shared) <= overlap]
    return np.array(kept, np.int64)


def faces(maps: Sequence[Floats]) -> Floats:
    """Return the faces (n, 5), best first."""
    found = candidates(maps)
    if len(found) > _MOST:
        found = found[np.argsort(found[:, 4])[::-1][:_MOST]]
    kept = found[apart(found)]
    return kept[kept[:, 4] > _FACE]


def first_face(maps: Sequence[Floats]) -> Box | None:
    """Return the best face's box in whole pixels, None if there is none."""
    found = faces(maps)
    if not len(found):
        return None
    x0, y0, x1, y1 = np.maximum(found[0, :4], 0).astype(int).tolist()
    return x0, y0, x1, y1


def _level(scores: Floats, offsets: Floats, stride: int) -> Floats:
    """Decode one pair of maps; the boxes' own side is four strides."""
    high = np.exp(scores[0] - scores[0].max(axis=0, keepdims=True))
    score = high[1] / high.sum(axis=0)
    rows, columns = np.nonzero(score > _CANDIDATE)
    side = 4 * stride
    by = offsets[0][:, rows, columns]
    centre = np.stack([columns, rows]) * stride + stride / 2 + by[:2] * _CENTRE_SPREAD * side
    size = np.exp(by[2:] * _SIZE_SPREAD) * side
    corner = centre - size / 2
    return np.concatenate([corner, corner + size, score[None, rows, columns]]).T.astype(np.float32)
