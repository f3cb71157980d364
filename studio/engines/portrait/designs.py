"""How each landmark moves for each expression parameter at 1: the face's muscles, in millimetres.

Amplitudes and shapes are those of specification section 3; they were tuned by eye on portraits. Displacements live in
the face's own frame (`anatomy`), so that one design serves frontal and three-quarter views.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from studio.engines.portrait import anatomy
from studio.engines.portrait.anatomy import Face
from studio.engines.portrait.parameters import EXPRESSION

Double = NDArray[np.float64]

USUAL_HALF_WIDTH = 25.0
"""Half the width in mm of a mouth at rest."""


def smoothstep(low: ArrayLike, high: ArrayLike, x: ArrayLike) -> Double:
    """Return 0 below ``low``, 1 above ``high``, the cubic 3 u^2 - 2 u^3 between."""
    u = np.clip((np.asarray(x, float) - low) / (np.asarray(high, float) - low), 0.0, 1.0)
    return np.asarray(u * u * (3 - 2 * u))


def bump(distance: ArrayLike, width: float) -> Double:
    """Return the gaussian exp(-(d / width)^2), 1 for negative distances."""
    return np.asarray(np.exp(-((np.maximum(distance, 0.0) / width) ** 2)))


class Sketch:
    """One face's landmarks with what all designs need of them; arrays are (478,) unless stated."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.hw: Final = face.half_width
        self.x = face.points[:, 0] - face.middle
        self.y = face.points[:, 1]
        self.z = face.points[:, 2]
        line = face.lip_line(face.points[:, 0])
        self.above_line = self.y - line
        self.t = self._across()
        self.bell = 1 - self.t**2
        self.flatten = (float(face.lip_line(np.array(face.middle))) - line) * np.abs(self.t)
        """Moves every point of the lip line to the height of its middle, most at the corners."""
        self.beside = np.maximum(np.abs(self.x) - self.hw, 0.0)
        self.upper, self.upper_row = _rows(anatomy.UPPER_LIP)
        self.lower, self.lower_row = _rows(anatomy.LOWER_LIP)
        self.corner = np.zeros(len(self.x), bool)
        self.corner[anatomy.CORNERS] = True
        skin = ~(self.upper | self.lower | self.corner)
        column = np.exp(-((self.x / (0.75 * self.hw)) ** 2))
        top = face.row(anatomy.UPPER_LIP[0], face.points[:, 0]) - self.y
        bottom = self.y - face.row(anatomy.LOWER_LIP[0], face.points[:, 0])
        self.skin_above = skin * (self.above_line < 0) * column * bump(top, 11.0)
        """The skin between upper lip and nose, 1 at the lip's edge."""
        self.skin_below = skin * (self.above_line >= 0) * column * bump(bottom, 13.0)
        """The skin between lower lip and chin, 1 at the lip's edge."""
        self.skin = skin

    def _across(self) -> Double:
        """Return x relative to the mouth, -1..1: each lip row reaches 1 at its own corner; corners move as one."""
        t = np.clip(self.x / self.hw, -1.0, 1.0)
        for lip in (anatomy.UPPER_LIP, anatomy.LOWER_LIP):
            for row in lip:
                left, right = self.x[row[[0, -1]]]
                t[row] = np.clip(2 * (self.x[row] - left) / (right - left) - 1, -1.0, 1.0)
        return t

    def zone(self, across: float, along: float, lift: float = 0.0) -> Double:
        """Return a gaussian around the mouth: 1 over its width, falling in ``across`` and ``along`` mm."""
        return bump(self.beside, across) * np.exp(-(((self.above_line + lift) / along) ** 2))

    def lips(self, upper: tuple[float, float], lower: tuple[float, float], powers: tuple[float, float]) -> Double:
        """Return dy in mm: (outer row, inner row) for either lip, times the bell to a power."""
        up = self.upper * (upper[0] + (upper[1] - upper[0]) * self.upper_row) * self.bell ** powers[0]
        low = self.lower * (lower[0] + (lower[1] - lower[0]) * self.lower_row) * self.bell ** powers[1]
        return np.asarray(up + low)


def _rows(lip: NDArray[np.int_]) -> tuple[NDArray[np.bool_], Double]:
    """Return which landmarks are inside a lip, and their row: 0 at the outer edge, 1 at the inner."""
    member, row = np.zeros(478, bool), np.zeros(478)
    for r, indices in enumerate(lip):
        member[indices[1:-1]] = True
        row[indices[1:-1]] = r / 3
    return member, row


def _stack(dx: ArrayLike, dy: ArrayLike, dz: ArrayLike) -> Double:
    rows = np.zeros((478, 3))
    rows[:, 0], rows[:, 1], rows[:, 2] = dx, dy, dz
    return rows


def _hinge(sketch: Sketch) -> Double:
    """Return y, z in mm of the axis on which the jaw turns."""
    return np.asarray(sketch.face.points[[234, 454], 1:].mean(0))


def jaw_weight(sketch: Sketch) -> Double:
    """Return how far each landmark follows the jaw bone, 0..1."""
    hinge_y = _hinge(sketch)[0]
    line = sketch.y - sketch.above_line
    rise = np.clip(sketch.beside / 45.0, 0.0, 1.0)
    weight = smoothstep(-6.0, 16.0, sketch.y - (line + rise * (hinge_y + 5.0 - line)))
    t = np.abs(sketch.t)
    weight = np.where(sketch.lower, 0.42 + 0.58 * (1 - t**2.8) ** 0.75, weight)
    weight = np.where(sketch.upper, 0.40 * t**3.5, weight)
    return np.where(sketch.corner, 0.42, weight)


def jaw(sketch: Sketch) -> Double:
    """Turn the jaw about its hinge until the lower lip is 20 mm down; draw the corners in."""
    y, z = sketch.y - _hinge(sketch)[0], sketch.z - _hinge(sketch)[1]
    angle = 20.0 / float(np.hypot(y[14], z[14]))
    weight = jaw_weight(sketch)
    lips = sketch.zone(14.0, 16.0)
    # The mesh's depth is too coarse at the jaw's angle to tell which skin would rise: none does.
    dy = weight * np.maximum(y * (np.cos(angle) - 1) - z * np.sin(angle), 0.0)
    dz = weight * (y * np.sin(angle) + z * (np.cos(angle) - 1))
    # Opening undoes part of the smile's curve; without the inward pull an open mouth is a frozen grin.
    dy += 0.45 * sketch.flatten * lips + 0.5 * sketch.upper * sketch.bell + 0.8 * straighten(sketch)
    outside = np.hypot(np.abs(sketch.x) - sketch.hw - 10.0, sketch.above_line)
    dy += 3.0 * sketch.skin * bump(outside, 14.0) * (1 - weight)
    return _stack(-3.6 * sketch.t * lips, dy, dz)


def jawside(sketch: Sketch) -> Double:
    """Slide the jaw 4 mm to the image's right."""
    return _stack(4.0 * jaw_weight(sketch), 0.0, 0.0)


def straighten(sketch: Sketch) -> Double:
    """Return dy in mm that makes each row of the lower lip a plain arc.

    A closed mouth's line dips under the upper lip's bow; carried along, the dip would make every opening a V.
    """
    dy = np.zeros(478)
    for row in anatomy.LOWER_LIP:
        t, y = sketch.t[row], sketch.face.points[row, 1]
        away = np.polyval(np.polyfit(t, y, 2), t) - y
        dy[row[1:-1]] = (away * (1 - t**4))[1:-1]
    return dy


def close(sketch: Sketch) -> Double:
    """Bring parted lips together and take back part of their smile; nothing if they are closed."""
    if not sketch.face.parted:
        return np.zeros((478, 3))
    gap = sketch.face.opening(sketch.face.points[:, 0])
    shares = 0.42 * (sketch.upper + sketch.skin_above) - 0.58 * (sketch.lower + sketch.skin_below)
    # Lips are parted in a smile, and nobody speaks with all of it.
    cheek = sketch.zone(18.0, 24.0)
    inward = 0.2 * float(np.clip(sketch.hw - USUAL_HALF_WIDTH, 0.0, 10.0))
    return _stack(-inward * sketch.t * cheek, shares * gap + 0.3 * sketch.flatten * cheek, 0.0)


def upraise(sketch: Sketch) -> Double:
    """Raise the upper lip by 5 mm."""
    nose, lip = sketch.y[2], sketch.y[0]
    above = 1 - smoothstep(-5.0, 3.0, sketch.above_line)
    skin = sketch.skin * np.exp(-((sketch.x / sketch.hw) ** 2)) * smoothstep(nose - 6.0, lip, sketch.y) * above
    return _stack(0.0, sketch.lips((-4.0, -5.0), (0.0, 0.0), (0.8, 1.0)) - 3.2 * skin, 0.0)


def lodep(sketch: Sketch) -> Double:
    """Lower the lower lip by 6 mm."""
    lip, chin = sketch.y[17], sketch.y[152]
    below = smoothstep(-3.0, 5.0, sketch.above_line)
    skin = sketch.skin * np.exp(-((sketch.x / sketch.hw) ** 2)) * (1 - smoothstep(lip, chin - 2.0, sketch.y)) * below
    lips = sketch.lips((0.0, 0.0), (4.5, 6.0), (1.0, 0.8)) + 0.6 * straighten(sketch)
    return _stack(0.0, lips + 4.0 * skin, 0.0)


def wide(sketch: Sketch) -> Double:
    """Draw the corners out by 6.5 mm; the lips get thinner."""
    cheek = sketch.zone(18.0, 24.0)
    dy = -1.6 * np.abs(sketch.t) ** 3 * cheek + sketch.lips((1.0, 0.1), (-1.4, -0.1), (1.0, 1.0))
    return _stack(6.5 * sketch.t * cheek, dy, 3.0 * sketch.t**2 * cheek)


def pucker(sketch: Sketch) -> Double:
    """Draw the corners in by 9.5 mm, those of wide mouths by more; the lips get thicker and come forward."""
    cheek = sketch.zone(18.0, 24.0)
    dy = sketch.lips((-2.0, -1.0), (2.6, 1.4), (0.5, 0.42)) + 0.75 * sketch.flatten * cheek
    dy += -1.0 * sketch.skin_above + 1.4 * sketch.skin_below + 0.8 * straighten(sketch)
    forward = np.exp(-((sketch.x / sketch.hw) ** 2)) * sketch.zone(18.0, 20.0)
    inward = 9.5 * float(np.clip(sketch.hw / USUAL_HALF_WIDTH, 1.0, 1.1))
    return _stack(-inward * sketch.t * cheek, dy, -6.0 * forward)


def press(sketch: Sketch) -> Double:
    """Roll the lips in until 42 % of their height are gone."""
    x = sketch.face.points[:, 0]
    edges = [sketch.face.row(lip[r], x) for lip, r in ((anatomy.UPPER_LIP, 0), (anatomy.UPPER_LIP, 3),
                                                       (anatomy.LOWER_LIP, 3), (anatomy.LOWER_LIP, 0))]  # fmt: skip
    upper, lower = np.maximum(edges[1] - edges[0], 0.0), np.maximum(edges[3] - edges[2], 0.0)
    # Never more than the lip's own height there: towards the corners it is thin.
    dy = np.minimum(sketch.lips((0.42 * upper[13], 0.0), (0.0, 0.0), (0.5, 0.5)), 0.42 * upper)
    dy += np.maximum(sketch.lips((0.0, 0.0), (-0.42 * lower[14], 0.0), (0.5, 0.5)), -0.42 * lower)
    dy += 0.38 * (upper[13] * sketch.skin_above - lower[14] * sketch.skin_below)
    return _stack(0.0, dy, 0.0)


def ff(sketch: Sketch) -> Double:
    """Bring the lower lip under the upper teeth."""
    dy = sketch.lips((-3.0, -3.0), (-3.4, -0.6), (0.7, 0.7)) - 1.8 * sketch.skin_above - 2.6 * sketch.skin_below
    return _stack(0.0, dy, 0.0)


def smile(sketch: Sketch) -> Double:
    """Draw the corners out and up by 5 mm; the cheeks follow."""
    zone = sketch.zone(20.0, 26.0, lift=6.0)
    return _stack(4.5 * sketch.t * zone, -5.0 * sketch.t**2 * zone, 0.0)


def _brow_weight(sketch: Sketch) -> Double:
    """Return 1 on the brows, falling to 0 at the hair line above, at the lids below and at the temples."""
    face, x = sketch.face, sketch.face.points[:, 0]
    top, bottom = face.row(anatomy.BROW_UPPER, x), face.row(anatomy.BROW_LOWER, x)
    lid = face.row(np.concatenate([anatomy.LEFT_LID_UPPER, anatomy.RIGHT_LID_UPPER]), x)
    hair = np.minimum(sketch.y[10], top - 8.0)
    outer = face.points[[46, 276], 0]
    beyond = np.maximum(outer[0] - x, x - outer[1])
    above = 1 - smoothstep(0.0, 1.0, (top - sketch.y) / (top - hair))
    below = 1 - smoothstep(0.0, 1.0, (sketch.y - bottom) / np.maximum(lid - bottom, 3.0))
    return np.asarray(above * below * bump(beyond, 10.0))


def browup(sketch: Sketch) -> Double:
    """Raise both brows by 5.5 mm."""
    return _stack(0.0, -5.5 * _brow_weight(sketch), 0.0)


def browin(sketch: Sketch) -> Double:
    """Draw the brows' inner ends 3 mm down and 2.5 mm together."""
    x, inner = sketch.face.points[:, 0], sketch.face.points[[55, 285], 0]
    inside = np.clip((x - inner[0]) / max(inner[1] - inner[0], 1.0) * 2 - 1, -1.0, 1.0)
    weight = _brow_weight(sketch) * bump(np.maximum(inner[0] - x, x - inner[1]), 16.0)
    return _stack(-2.5 * inside * weight, 3.0 * weight, 0.0)


def squint(sketch: Sketch) -> Double:
    """Raise the lower lids by 1.6 mm."""
    x, dy = sketch.face.points[:, 0], np.zeros(478)
    for upper, lower in (
        (anatomy.LEFT_LID_UPPER, anatomy.LEFT_LID_LOWER),
        (anatomy.RIGHT_LID_UPPER, anatomy.RIGHT_LID_LOWER),
    ):
        ends = x[[lower[0], lower[-1]]]
        across = np.clip(1 - (2 * (x - ends.mean()) / (1.15 * np.ptp(ends))) ** 2, 0.0, 1.0)
        lid = sketch.face.row(lower, x)
        weight = across * (1 - smoothstep(0.0, 14.0, sketch.y - lid)) * (sketch.y > lid - 1.0)
        weight[upper] = 0.0
        dy -= 1.6 * weight
    return _stack(0.0, dy, 0.0)


_DESIGNS: Mapping[str, Callable[[Sketch], Double]] = {
    design.__name__: design
    for design in (
        jaw, close, upraise, lodep, wide, pucker, press, ff, smile, jawside, browup, browin, squint,
    )
}  # fmt: skip


def displacements(face: Face) -> Double:
    """Return how the skin's landmarks move: (len(EXPRESSION), 468, 2) px per unit of each parameter."""
    sketch = Sketch(face)
    return face.project(np.stack([_DESIGNS[name](sketch) for name in EXPRESSION]))[:, : anatomy.SKIN]
