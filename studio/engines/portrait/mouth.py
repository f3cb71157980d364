"""Arranges the inside of the mouth for one moment (specification section 5).

The upper teeth follow the skull, the lower teeth the jaw, the tongue the jaw and its own parameter; all are seen
through the opening between the lips. What is arranged here is painted by the `warp.Tools` at hand, in output space.

Places in the picture are complex numbers, x + iy: a sprite's pixel p lies at ``turn * p + at``.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import SHAPES
from studio.engines.portrait.interior import Interior
from studio.engines.portrait.opening import PARTED_MM, Sprite
from studio.engines.portrait.parameters import EXPRESSION, INDEX
from studio.engines.portrait.rig import CONTOUR_POINTS, Float, Geometry

_LIPS = [INDEX[n] for n in EXPRESSION if n not in ("browup", "browin", "squint")]
_JAW, _SIDE, _TONGUE = INDEX["jaw"], INDEX["jawside"], INDEX["tongue"]
REST_FADES = 0.25
"""Activity of the lips at which the correction towards the untouched photo is gone."""
_LOWER_MIDDLE = CONTOUR_POINTS + CONTOUR_POINTS // 2


class Kind(IntEnum):
    """How a layer is painted."""

    PLAIN = 0
    PHOTO = 1
    """After the shade of the lips, which dims it in speech only."""
    REST = 2
    """Not behind the lips: a correction added to the picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One sprite at one moment."""

    pixels: Float
    """(h, w, 4) premultiplied Y, U - 128, V - 128, alpha."""
    turn: complex
    at: complex
    kind: Kind


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What lies behind the lips at one moment, from back to front."""

    layers: tuple[Layer, ...]
    rest: Layer | None
    """What turns the picture back into the untouched photo, to be added with weight 1 - act / `REST_FADES`."""
    colours: Float
    """(2, 3) cavity and wet lip: Y, U - 128, V - 128."""
    mm: float
    """Pixels per millimetre of this mouth."""
    relief: float
    """0..1: how strongly the lips shade what is behind them."""
    act: float
    """0..1: 0 at rest, where a photo is to be seen as it is."""
    seam: bool
    """Lips of a parted source that meet need a dark line between them."""


class Mouth:
    """One face's mouth, immutable; shared by all takes.

    Args:
        geometry: The rig.
        interior: What `interior.prepare_interior` made of the picture.
    """

    def __init__(self, geometry: Geometry, interior: Interior) -> None:
        self._interior = interior
        self._mm = 0.5 * (geometry.scale + geometry.half_width / 25.0 * geometry.scale)
        self._roll = cmath.exp(1j * geometry.roll)
        rest = _complex(np.concatenate([geometry.upper, geometry.lower]))
        moves = _complex(np.concatenate([geometry.upper_bases, geometry.lower_bases], axis=1))
        self._middle = complex(rest.mean())
        # A least-squares similarity of the lips' places is linear in the head's parameters.
        arms = rest - self._middle
        self._turns = (moves[SHAPES:] - moves[SHAPES:].mean(axis=1, keepdims=True)) @ arms.conj() / np.vdot(arms, arms)
        self._shifts = moves[SHAPES:].mean(axis=1)
        self._jaw = moves[[_JAW, _SIDE], _LOWER_MIDDLE]
        self._upper, self._lower, self._tongue = (_place(s) for s in (interior.upper, interior.lower, interior.tongue))
        self._tip = self._upper + 1j * self._roll * 1.0 * self._mm
        self._parted = geometry.gap > PARTED_MM

    def scene(self, pose: Float) -> Scene:
        """Return what lies behind the lips at ``pose`` (COUNT,)."""
        interior = self._interior
        head = pose[SHAPES : SHAPES + len(self._turns)]
        turn = 1 + complex(head @ self._turns)
        offset = self._middle + complex(head @ self._shifts) - turn * self._middle
        raised = float(pose[_TONGUE])
        jaw = complex(pose[_JAW] * self._jaw[0] + pose[_SIDE] * self._jaw[1])
        tongue_at = self._tongue + jaw + raised * (self._tip + 0.35 * jaw - self._tongue - jaw)

        def layer(sprite: Sprite, at: complex, kind: Kind = Kind.PLAIN, upright: bool = False) -> Layer:
            own = 1 + 0j if upright else self._roll
            origin = complex(sprite.origin[0], sprite.origin[1])
            return Layer(sprite.pixels, turn * own, turn * (at - own * origin) + offset, kind)

        teeth = layer(interior.lower, self._lower + jaw)
        tongue = layer(interior.tongue, tongue_at)
        back = (teeth, tongue) if raised >= 0.5 else (tongue, teeth)
        act = float(min(1.0, 1.2 * np.abs(pose[_LIPS]).sum() + 1.2 * raised))
        rest = None
        if interior.photo is None:
            front = layer(interior.upper, self._upper)
        else:
            front = layer(interior.photo, _place(interior.photo), Kind.PHOTO, upright=True)
            if interior.rest is not None and act < REST_FADES:
                rest = layer(interior.rest, _place(interior.rest), Kind.REST, upright=True)
        return Scene((*back, front), rest, interior.colours, self._mm, interior.relief, act, self._parted)


def _complex(points: Float) -> NDArray[np.complex128]:
    flat: NDArray[np.complex128] = points[..., 0].astype(np.float64) + 1j * points[..., 1].astype(np.float64)
    return flat


def _place(sprite: Sprite) -> complex:
    return complex(float(sprite.anchor[0]), float(sprite.anchor[1]))
