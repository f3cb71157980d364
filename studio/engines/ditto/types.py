"""What both sides of the engine share: a face's motion, a registered source, and what a checkpoint says of itself.

A **motion** is what the motion extractor says of one face: a dict of seven float32 arrays of shape (1, width), see
`WIDTHS`. Pose is logits of 66 bins, never degrees. A **motion vector** is the 265 numbers the diffusion network knows:
scale minus 1, then pitch, yaw, roll, t, exp (`SLICES`); ``kp`` is not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]
Motion = dict[str, Floats]
"""Key of `WIDTHS` -> (1, width) float32; one that came out of a vector has no ``kp``."""

WIDTHS: Mapping[str, int] = {"pitch": 66, "yaw": 66, "roll": 66, "t": 3, "exp": 63, "scale": 1, "kp": 63}
"""The motion extractor's outputs, in the order in which it gives them."""
POSE = ("pitch", "yaw", "roll")
MOTION_DIM = 265
SLICES: Mapping[str, slice] = {
    "scale": slice(0, 1),
    "pitch": slice(1, 67),
    "yaw": slice(67, 133),
    "roll": slice(133, 199),
    "t": slice(199, 202),
    "exp": slice(202, 265),
}
"""Where each key lies in a motion vector."""


def vector_of(motion: Motion) -> Floats:
    """Return the motion vector (265,) of a motion; its first number is scale - 1."""
    vector = np.concatenate([motion[key].reshape(-1) for key in SLICES]).astype(np.float32)
    vector[0] -= np.float32(1)
    return vector


def motion_of(vector: Floats) -> Motion:
    """Return the motion of a vector (265,): copies of shape (1, width), without ``kp``; scale is the number plus 1."""
    motion = {key: vector[place].reshape(1, -1).copy() for key, place in SLICES.items()}
    motion["scale"] += np.float32(1)
    return motion


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """The person whom the diffusion network sees: ``ch_info`` of a checkpoint, or the avatar itself; m frames."""

    motions: tuple[Motion, ...]
    """m motions, smoothed."""
    eye_open: Floats
    """(m, 2) left, right."""
    eye_ball: Floats
    """(m, 6) x left, x right, y left, y right, z left, z right."""
    sc: Floats
    """(63,): ``kp`` of the first frame, unsmoothed."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A registered avatar, n template frames; a picture has one. Immutable, shared by all visits."""

    frames: Bytes
    """(n, H, W, 3) RGB, H and W even: what every output is pasted into."""
    features: Floats
    """(n, 32, 16, 64, 64): ``f_s``, the appearance extractor's output."""
    crop_to_frame: Floats
    """(n, 3, 3): ``M_c2o``, pixels of the 512 crop -> pixels of the frame."""
    person: Reference
    """Motions, eyes and shape of this avatar (n frames)."""
    is_image: bool


@dataclass(frozen=True, slots=True)
class CheckpointInfo:
    """What a ``ditto_cfg`` pickle says, read and checked by `checkpoint`."""

    networks: Mapping[str, str]
    """Role (``insightface_det``, ``landmark106``, ..., ``blaze_face``, ``face_mesh``, ``lmdm``) -> path as written."""
    defaults: Mapping[str, object]
    """``default_kwargs``: values of setup options, plain containers and arrays; `options` reads them."""
    audio_dim: int = 1103
    """Width of a condition row."""
    uses_emotion: bool = True
    uses_shape: bool = True
    uses_eye_open: bool = True
    uses_eye_ball: bool = True
