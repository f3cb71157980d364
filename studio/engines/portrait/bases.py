"""A portrait's geometry: everything that `field` and `mouth` need to move it.

Preparation only: about half a second per portrait. Puts together the designs (`designs`), the two fields of the skin
(`skin`), the head's motion (`depth`) and the lips' contours (`contours`); knows nothing of colours.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from studio.engine import Progress
from studio.engines.portrait import anatomy, contours, depth, designs, lips, skin
from studio.engines.portrait.parameters import EXPRESSION, HEAD, HIGHEST, LOWEST
from studio.engines.portrait.rig import NODES, Box, Geometry, Source

Float = NDArray[np.float32]
Double = NDArray[np.float64]

VISIBLE = 0.05
"""Pixels of motion below which a node belongs to no window: an eighth of a grey level on a steep edge."""


def build_geometry(source: Source, report: Progress) -> Geometry:
    """Measure a face and design how it moves.

    Args:
        source: The framed picture with its landmarks; nothing of it is changed.
        report: Hears how far the work is.
    """
    report(0.0, "finding the lips")
    face = anatomy.measure(source.landmarks if source.drawn else lips.refine(source.rgb, source.landmarks))
    upper, lower = contours.at_rest(face)
    report(0.4, "teaching the lips to move")
    high, low = skin.fields(face, designs.displacements(face), upper, lower)
    report(0.7, "turning the head")
    head = depth.head_fields(face, source.person)
    face_box = _box(np.maximum(_extent(high, EXPRESSION), _extent(low, EXPRESSION)))
    low_box = _within(_box(_extent(high - low, EXPRESSION)), face_box)
    head_box = _around(_box(_extent(head, HEAD)), face_box)
    bases = [_contour_bases(np.concatenate([side, head]), rest) for side, rest in ((high, upper), (low, lower))]
    upper_bases, lower_bases = contours.join_ends(bases[0], bases[1])
    k = EXPRESSION.index("close")
    upper_bases[k], lower_bases[k] = contours.join_ends(bases[0][k], bases[1][k], contours.JOINED_CLOSING)
    across = (upper[-1] - upper[0]) @ np.array([1.0, 1j])
    report(1.0, "geometry done")
    return Geometry(
        scale=face.scale,
        half_width=face.half_width,
        roll=float(np.angle(across)),
        gap=face.gap,
        centre=face.origin[:2].astype(np.float32),
        head_box=head_box,
        face_box=face_box,
        low_box=low_box,
        head=_cut(head, head_box),
        face=_cut(high, face_box),
        low=_cut(low, low_box),
        upper=upper.astype(np.float32),
        lower=lower.astype(np.float32),
        upper_bases=upper_bases.astype(np.float32),
        lower_bases=lower_bases.astype(np.float32),
    )


def _extent(fields: Float, names: tuple[str, ...]) -> Float:
    """Return each node's farthest motion (NODES, NODES) in px when one parameter goes to its limit."""
    start = 0 if names == EXPRESSION else len(EXPRESSION)
    limit = np.maximum(np.abs(LOWEST), np.abs(HIGHEST))[start : start + len(names)]
    return np.asarray((np.abs(fields).max(-1) * limit[:, None, None]).max(0))


def _box(extent: Float) -> Box:
    """Return the nodes that move visibly and one more on each side, as x0, y0, x1, y1."""
    moving = extent > VISIBLE
    rows, columns = np.flatnonzero(moving.any(1)), np.flatnonzero(moving.any(0))
    return (
        max(int(columns[0]) - 1, 0),
        max(int(rows[0]) - 1, 0),
        min(int(columns[-1]) + 2, NODES),
        min(int(rows[-1]) + 2, NODES),
    )


def _within(box: Box, outer: Box) -> Box:
    return max(box[0], outer[0]), max(box[1], outer[1]), min(box[2], outer[2]), min(box[3], outer[3])


def _around(box: Box, inner: Box) -> Box:
    return min(box[0], inner[0]), min(box[1], inner[1]), max(box[2], inner[2]), max(box[3], inner[3])


def _cut(fields: Float, box: Box) -> Float:
    x0, y0, x1, y1 = box
    return np.ascontiguousarray(fields[:, y0:y1, x0:x1])


def _contour_bases(fields: Float, contour: Double) -> Double:
    flat = np.moveaxis(fields, 0, 2).reshape(NODES, NODES, -1)
    return skin.sample(flat, contour).reshape(len(contour), -1, 2).swapaxes(0, 1)
