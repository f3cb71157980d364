"""Paints the inside of the mouth into a finished picture, in output space (specification section 5).

The upper teeth follow the skull, the lower teeth the jaw, the tongue the jaw and its own parameter; all are seen through
the opening between the lips. Knows nothing of how the lips came to where they are.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import SHAPES, LipLine
from studio.engines.portrait.interior import PARTED_MM, Interior, Sprite
from studio.engines.portrait.parameters import EXPRESSION, INDEX
from studio.engines.portrait.rig import CONTOUR_POINTS, SIZE, Box, Float, Geometry

Byte = NDArray[np.uint8]
_MIDDLE = CONTOUR_POINTS // 2
_LIPS = [INDEX[n] for n in EXPRESSION if n not in ("browup", "browin", "squint")]
_JAW, _SIDE, _TONGUE = INDEX["jaw"], INDEX["jawside"], INDEX["tongue"]
_CLOSED_PX = 0.7
"""Openings below this many pixels show nothing of the inside: no dark dashes where lips touch."""


class Mouth:
    """One face's mouth, immutable; shared by all takes.

    Args:
        geometry: The rig.
        interior: What `interior.prepare_interior` made of the picture.
    """

    def __init__(self, geometry: Geometry, interior: Interior) -> None:
        self._interior = interior
        self._mm = 0.5 * (geometry.scale + geometry.half_width / 25.0 * geometry.scale)
        self._roll = geometry.roll
        self._rest = np.concatenate([geometry.upper, geometry.lower]).astype(np.float64)
        self._bases = np.concatenate([geometry.upper_bases, geometry.lower_bases], axis=1).astype(np.float64)
        self._tip = interior.upper.anchor + 1.0 * self._mm * np.array([-np.sin(geometry.roll), np.cos(geometry.roll)])
        gap = geometry.gap * geometry.scale if geometry.gap > PARTED_MM else 0.0
        self._gap = gap

    def paint(self, pose: Float, line: LipLine, out: Byte) -> None:
        """Paint into the I420 picture ``out`` (768, 512) what the lips ``line`` uncover at ``pose`` (COUNT,)."""
        opening = line.lower - line.upper
        if not len(opening) or (opening.max() <= _CLOSED_PX and not self._gap):
            return
        box = _block(line)
        upper, lower = _columns(line, box)
        act = float(min(1.0, 1.2 * np.abs(pose[_LIPS]).sum() + 1.2 * pose[_TONGUE]))
        rows = np.arange(box[1], box[3], dtype=np.float32)[:, None]
        if self._gap and act > 0:
            _draw_seam(out, box, rows, upper, lower, act, self._mm)
        mask = _mask(rows, upper, lower)
        if not mask.any():
            return
        inside = self._inside(pose, box, rows, upper, lower, act)
        _composite(out, box, mask, inside)

    def _inside(self, pose: Float, box: Box, rows: Float, upper: Float, lower: Float, act: float) -> Float:
        """Return the inside (h, w, 3) as Y, U - 128, V - 128 of ``box``."""
        interior, mm = self._interior, self._mm
        skull = _similarity(
            self._rest, self._rest + np.tensordot(pose[SHAPES : len(self._bases)], self._bases[SHAPES:], 1)
        )
        jaw = (
            pose[_JAW] * self._bases[_JAW, CONTOUR_POINTS + _MIDDLE]
            + pose[_SIDE] * self._bases[_SIDE, CONTOUR_POINTS + _MIDDLE]
        )
        inside = np.empty((box[3] - box[1], box[2] - box[0], 3), np.float32)
        inside[:] = interior.colours[0]
        raised = float(pose[_TONGUE])
        lift = raised * (self._tip + 0.35 * jaw - interior.tongue.anchor - jaw)
        tongue = self._place(interior.tongue, skull, jaw + lift, box)
        if raised < 0.5:
            _over(inside, tongue)
        _over(inside, self._place(interior.lower, skull, jaw, box))
        if interior.photo is None:
            _over(inside, self._place(interior.upper, skull, np.zeros(2), box))
        if raised >= 0.5:
            tongue *= np.clip((rows - upper) / mm - 1.6, 0, 1)[..., None]
            _over(inside, tongue)
        shade = 1 - interior.relief * (1 - _shade(rows, upper, lower, mm))
        inside[..., 0] = 16 + (inside[..., 0] - 16) * shade
        if interior.photo is not None:
            photo = self._place(interior.photo, skull, np.zeros(2), box, upright=True)
            dim = 1 - act * (1 - np.minimum(1, 1.25 * shade))
            photo[..., 0] *= dim
            _over(inside, photo)
        near = np.minimum(rows - upper, lower - rows) / np.float32(0.55 * mm)
        wet = (0.62 * act) * np.clip(1 - near, 0, 1)[..., None]
        inside += wet * (interior.colours[1] - inside)
        return inside

    def _place(self, sprite: Sprite, skull: Float, shift: Float, box: Box, upright: bool = False) -> Float:
        """Draw a sprite into a block (h, w, 4): rotated by the mouth's rest roll, shifted, then moved with the skull."""
        c, s = (1.0, 0.0) if upright else (np.cos(self._roll), np.sin(self._roll))
        rest = np.array([[c, -s, 0.0], [s, c, 0.0], [0, 0, 1]])
        rest[:2, 2] = sprite.anchor - rest[:2, :2] @ sprite.origin
        turn = np.vstack([skull, (0, 0, 1)])
        whole = (turn @ rest)[:2]
        whole[:, 2] += skull[:, :2] @ shift - (box[0], box[1])
        size = (box[2] - box[0], box[3] - box[1])
        drawn: Float = cv2.warpAffine(sprite.pixels, whole, size, flags=cv2.INTER_LINEAR)
        return drawn


def _block(line: LipLine) -> Box:
    """Even pixel box around the opening."""
    x0, x1 = line.first - 2, line.first + len(line.upper) + 2
    y0, y1 = int(line.upper.min()) - 3, int(line.lower.max()) + 4
    x0, y0 = max(x0 // 2 * 2, 0), max(y0 // 2 * 2, 0)
    return x0, y0, min((x1 + 1) // 2 * 2, SIZE), min((y1 + 1) // 2 * 2, SIZE)


def _columns(line: LipLine, box: Box) -> tuple[Float, Float]:
    """Return upper and lower edge per column of ``box``; shut outside the corners."""
    before = line.first - box[0]
    after = box[2] - box[0] - before - len(line.upper)
    return np.pad(line.upper, (before, after), mode="edge"), np.pad(
        np.minimum(line.lower, 1e6), (before, after), constant_values=0
    )


def _mask(rows: Float, upper: Float, lower: Float) -> Float:
    mask: Float = np.clip(rows - upper + 0.5, 0, 1)
    mask *= np.clip(lower - rows + 0.5, 0, 1)
    mask *= np.clip((lower - upper - _CLOSED_PX) / 1.2, 0, 1)
    return mask


def _shade(rows: Float, upper: Float, lower: Float, mm: float) -> Float:
    """Shadow of the lips and cheeks on the inside; 1 / (1 + u + u^2) stands for exp(-u)."""
    top = np.maximum(rows - upper, 0) * np.float32(1 / (1.7 * mm))
    bottom = np.maximum(lower - rows, 0) * np.float32(1 / (1.4 * mm))
    t = np.linspace(-1, 1, len(upper), dtype=np.float32)
    shade: Float = (1 - 0.50 / (1 + top + top * top)) * (1 - 0.30 / (1 + bottom + bottom * bottom))
    return shade * (1 - 0.45 * t**4)


def _over(under: Float, sprite: Float) -> None:
    under *= 1 - sprite[..., 3:]
    under += sprite[..., :3]


def _similarity(rest: Float, moved: Float) -> Float:
    """(2, 3) least-squares similarity that carries points (n, 2) to points (n, 2)."""
    a = (rest - rest.mean(axis=0)) @ np.array([1, 1j])
    b = (moved - moved.mean(axis=0)) @ np.array([1, 1j])
    turn = np.vdot(a, b) / np.vdot(a, a)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, moved.mean(axis=0) - linear @ rest.mean(axis=0)])


def _draw_seam(out: Byte, box: Box, rows: Float, upper: Float, lower: Float, act: float, mm: float) -> None:
    """Darken the line on which parted lips meet."""
    shut = act * np.clip(1.5 - (lower - upper), 0, 1)
    if not shut.any():
        return
    near = ((rows - 0.5 * (upper + lower)) / (0.42 * mm)) ** 2
    y = out[box[1] : box[3], box[0] : box[2]]
    y[:] = 16 + (y.astype(np.float32) - 16) * (1 - 0.42 * shut * np.exp(-near)) + 0.5


def _composite(out: Byte, box: Box, mask: Float, inside: Float) -> None:
    """Lay ``inside`` (h, w, 3) over the picture where ``mask`` (h, w) says so; chroma over 2 x 2 pixels."""
    x0, y0, x1, y1 = box
    y = out[y0:y1, x0:x1]
    y[:] = y * (1 - mask) + mask * inside[..., 0] + 0.5
    layers = np.dstack([mask, mask * inside[..., 1], mask * inside[..., 2]])
    half = cv2.resize(layers, ((x1 - x0) // 2, (y1 - y0) // 2), interpolation=cv2.INTER_AREA)
    planes = out[SIZE:].reshape(2, SIZE // 2, SIZE // 2)
    for c in range(2):
        plane = planes[c, y0 // 2 : y1 // 2, x0 // 2 : x1 // 2]
        plane[:] = (plane.astype(np.float32) - 128) * (1 - half[..., 0]) + half[..., c + 1] + 128.5
