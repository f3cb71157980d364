"""Arranges the inside of the mouth for one moment (specification section 5).

The upper teeth follow the skull, the lower teeth the jaw, the tongue the jaw and its own parameter; all are seen
through the opening between the lips. What is arranged here is painted by the `warp.Tools` at hand, in output space.

Places in the picture are complex numbers, x + iy: a sprite's pixel p lies at ``turn * p + at``.
"""

from __future__ import annotations

import cmath
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.field import SHAPES
from studio.engines.portrait.interior import Interior
from studio.engines.portrait.opening import PARTED_MM, Sprite
from studio.engines.portrait.parameters import EXPRESSION, INDEX
from studio.engines.portrait.rig import CONTOUR_POINTS, Float, Geometry

_LIPS = [INDEX[n] for n in EXPRESSION if n not in ("browup", "browin", "squint")]
_JAW, _SIDE, _TONGUE, _PUCKER = (INDEX[n] for n in ("jaw", "jawside", "tongue", "pucker"))
REST_FADES = 0.25
"""Activity of the lips at which the correction towards the untouched photo is gone."""
_LOWER_MIDDLE = CONTOUR_POINTS + CONTOUR_POINTS // 2


TONGUE_LAG = 0.45
"""How far the tongue follows the jaw: in a wide mouth it is seen above the lower teeth."""
TIP_ABOVE, TIP_BELOW = 1.6, 0.48
"""A raised tongue's tip stays this many mm, and this share of the opening, under the upper lip."""
TIP_WIDTH = 0.7
"""Size of a raised tongue's tip compared with the resting tongue."""
ROUND_SHADE = 0.12
"""How much of what is behind puckered lips is lost in the cavity's dark."""


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One sprite at one moment."""

    pixels: Float
    """(h, w, 4) premultiplied Y, U - 128, V - 128, alpha."""
    turn: complex
    at: complex
    photo: bool = False
    """The photo's own: the lips shade it in speech only."""
    strength: float = 1.0
    """0..1: how opaque."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What lies behind the lips at one moment, from back to front."""

    layers: tuple[Layer, ...]
    rest: Layer | None
    """What turns the picture back into the untouched photo, to be added by its strength; not behind the lips."""
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
        self._interior = interior = _bordered(interior)
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
        middles = [CONTOUR_POINTS // 2, _LOWER_MIDDLE]
        self._gap, self._gaps = rest[middles], moves[:SHAPES, middles]
        self._upper, self._lower, self._tongue = (_place(s) for s in (interior.upper, interior.lower, interior.tongue))
        self._parted = geometry.gap > PARTED_MM

    def scene(self, pose: Float) -> Scene:
        """Return what lies behind the lips at ``pose`` (COUNT,)."""
        interior = self._interior
        head = pose[SHAPES : SHAPES + len(self._turns)]
        turn = 1 + complex(head @ self._turns)
        offset = self._middle + complex(head @ self._shifts) - turn * self._middle
        raised = float(pose[_TONGUE])
        jaw = complex(pose[_JAW] * self._jaw[0] + pose[_SIDE] * self._jaw[1])

        light = 1 - ROUND_SHADE * float(pose[_PUCKER])

        def layer(sprite: Sprite, at: complex, own: complex = self._roll, strength: float = light) -> Layer:
            origin = complex(sprite.origin[0], sprite.origin[1])
            photo = sprite is interior.photo
            return Layer(sprite.pixels, turn * own, turn * (at - own * origin) + offset, photo, strength)

        tongue = self._tongue + TONGUE_LAG * jaw
        layers = [layer(interior.tongue, tongue), layer(interior.lower, self._lower + jaw)]
        if interior.photo is None:
            layers.append(layer(interior.upper, self._upper))
        else:
            layers.append(layer(interior.photo, _place(interior.photo), 1 + 0j))
        if raised > 0:
            tip = tongue + raised * (self._tip(pose) - tongue)
            size = 1 - (1 - TIP_WIDTH) * raised
            layers.append(layer(interior.tongue, tip, self._roll * size, min(1.0, 2 * raised)))
        act = float(min(1.0, 1.2 * np.abs(pose[_LIPS]).sum() + 1.2 * raised))
        rest = None
        if interior.rest is not None and act < REST_FADES:
            rest = layer(interior.rest, _place(interior.rest), 1 + 0j, 1 - act / REST_FADES)
        return Scene(tuple(layers), rest, interior.colours, self._mm, interior.relief, act, self._parted)

    def _tip(self, pose: Float) -> complex:
        """Return where a raised tongue's tip is, without the head's motion."""
        upper, lower = self._gap + pose[:SHAPES] @ self._gaps
        down = 1j * self._roll
        opening = max(((lower - upper) / down).real, 0.0)
        return complex(upper + down * max(TIP_ABOVE * self._mm, TIP_BELOW * opening))


def _bordered(interior: Interior) -> Interior:
    """Return the interior with one pixel of nothing around its sprites: whoever samples them needs no other border."""

    def wider(sprite: Sprite) -> Sprite:
        return replace(sprite, pixels=np.pad(sprite.pixels, ((1, 1), (1, 1), (0, 0))), origin=sprite.origin + 1)

    upper, lower, tongue = wider(interior.upper), wider(interior.lower), wider(interior.tongue)
    photo = wider(interior.photo) if interior.photo is not None else None
    return replace(interior, upper=upper, lower=lower, tongue=tongue, photo=photo)


def _complex(points: Float) -> NDArray[np.complex128]:
    flat: NDArray[np.complex128] = points[..., 0].astype(np.float64) + 1j * points[..., 1].astype(np.float64)
    return flat


def _place(sprite: Sprite) -> complex:
    return complex(float(sprite.anchor[0]), float(sprite.anchor[1]))
