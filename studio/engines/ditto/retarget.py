"""From a motion of somebody else to the keypoints of this avatar, frame after frame.

A motion is laid over the avatar relative to a first one, restricted to lips and eyes, turned by controls, faded, and
becomes 21 points in space. Numerically upstream's, oddities included: pose differences are differences of logits, and
the gaze is measured against the first frame for ever. Specification: section 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.options import Controls, Setup
from studio.engines.ditto.types import POSE, WIDTHS, Floats, Motion, Reference

EYES: Final = [11, 13, 15, 16, 18]
LIPS: Final = [6, 12, 14, 17, 19, 20]
"""Of the 21 points."""
FOR_IMAGE, FOR_VIDEO = ("exp", "pitch", "yaw", "roll", "t"), ("exp",)
"""Keys that a motion drives where nothing is said."""
RESIZED: Final = ("exp", *POSE)
"""Keys whose motion grows with the person's size."""
BLINKS: Final = 3000
"""Frames after which the list of blinks starts again, where the number of frames is not known."""
BINS: Final = np.arange(WIDTHS["yaw"], dtype=np.float32)


def degrees(pose: Floats) -> Floats:
    """Return angles (n,) in degrees of logits (n, 66); what has another width is in degrees already."""
    if pose.ndim < 2 or pose.shape[1] != len(BINS):
        return pose.reshape(-1)
    weights = np.exp(pose - pose.max(axis=1, keepdims=True))
    return np.asarray((weights * BINS).sum(axis=1) / weights.sum(axis=1) * 3 - 97.5, np.float32)


def angles(motion: Motion) -> tuple[float, float, float]:
    """Return pitch, yaw and roll in degrees."""
    poses = [motion[axis] for axis in POSE]
    if len({one.shape for one in poses}) == 1:
        found = degrees(np.concatenate(poses))  # in one go, which takes a third of the time
    else:
        found = np.concatenate([degrees(one) for one in poses])
    pitch, yaw, roll = found.tolist()
    return pitch, yaw, roll


def rotation(pitch: float, yaw: float, roll: float) -> Floats:
    """Return the matrix (3, 3) by which rows of points are turned; angles in degrees."""
    (cx, sx), (cy, sy), (cz, sz) = ((np.cos(a), np.sin(a)) for a in np.radians([pitch, yaw, roll], dtype=np.float32))
    x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]], np.float32)
    y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]], np.float32)
    z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]], np.float32)
    return np.asarray((z @ y @ x).T, np.float32)


def keypoints(motion: Motion) -> Floats:
    """Return the points (21, 3) of a whole motion, ``kp`` included."""
    return placed(motion, angles(motion))


def placed(motion: Motion, pose: tuple[float, float, float]) -> Floats:
    """Return the points (21, 3) of a motion whose pose is known in degrees."""
    turned = motion["kp"].reshape(21, 3) @ rotation(*pose)
    points: Floats = (turned + motion["exp"].reshape(21, 3)) * motion["scale"].reshape(())
    points[:, :2] += motion["t"].reshape(3)[:2]
    return points


def blink_rows(count: int, rows: int, gap: int | Sequence[int], random: Random) -> NDArray[np.int64]:
    """Return for each of ``count`` frames which row of a blink it shows; row 0 between blinks.

    Args:
        count: Frames.
        rows: Of the blink.
        gap: Frames between blinks: -1 none, 0 random (60 to 100), a number, or numbers in turn.
        random: For random gaps; drawn from in the order start, end, then one after each blink.
    """
    found = np.zeros(count, np.int64)
    if gap == -1:
        return found
    gaps: Sequence[int] = () if gap == 0 else (gap,) if isinstance(gap, int) else gap
    turn = 0

    def following() -> int:
        nonlocal turn
        turn += 1
        return gaps[(turn - 1) % len(gaps)] if gaps else random.randint(60, 100)

    at = following()
    end = count - max(gaps[-1] if gaps else random.randint(60, 100), rows)
    while at < end:
        found[at : at + rows] = np.arange(rows)
        at += rows + following()
    return found


def fade_plan(frames: int, fade_in: int, fade_out: int) -> Mapping[int, float]:
    """Return ``fade_alpha`` by frame for an output of so many frames that fades in and out; 0 or less: not."""
    plan = {i: i / fade_in for i in range(min(fade_in, frames))}
    if fade_out > 0:
        plan |= {i: (frames - 1 - i) / fade_out for i in range(max(frames - fade_out - 1, 0), frames)}
    return plan


class Retarget:
    """One take's way from motions to keypoints; counts frames, remembers the first.

    Args:
        setup: Options.
        person: The avatar's own motions, one for each template frame.
        is_image: The source is a picture, not a video.
        random: For blinks.
        frames: Of the output, where they are known.
    """

    def __init__(
        self, setup: Setup, person: Reference, is_image: bool, random: Random, frames: int | None = None
    ) -> None:
        self._setup, self._person, self._is_image = setup, person, is_image
        self._weights = _weights(setup, person, is_image)
        self._is_weighted = isinstance(setup.use_d_keys, Mapping) or _ratio(setup, person) != 1
        self._drives_eyes = is_image if setup.drive_eye is None else setup.drive_eye
        self._blink = setup.delta_eye_arr if self._drives_eyes else None
        self._rows = self._blink_rows(random, frames or max(setup.N_d, 0) or BLINKS)
        self._driven, self._added = _masks(self._drives_eyes, self._blink is not None)
        self._still = keypoints(person.motions[0]) if is_image else None
        self._first: Motion | None = None
        """``d0``: what all motions are relative to."""
        self._faded_to: Motion | None = None
        self._looked = 0.0, 0.0
        """Degrees: yaw and pitch of the first frame's source, against which the gaze is measured."""
        self._count = 0

    @property
    def relative_to(self) -> Motion | None:
        """``d0``, None before there is one."""
        return self._first

    def refer(self, motion: Motion) -> None:
        """Set the motion that all others are relative to (``d0``), whatever ``relative_d`` says."""
        self._first = {key: value.copy() for key, value in motion.items()}

    def drive(self, motion: Motion, template: int, controls: Controls | None = None) -> tuple[Floats, Floats]:
        """Return source and driven keypoints (21, 3) of the next frame, before stitching.

        Args:
            motion: As `types.motion_of` makes it; left as it is.
            template: Which of the avatar's frames lies beneath.
            controls: The frame's own, already checked; they win over ``overall_ctrl_info``.
        """
        own = self._person.motions[template]
        if self._first is None and self._setup.relative_d:
            self.refer(motion)
        given = {**self._setup.overall_ctrl_info, **(controls or {})}
        driven = self._laid_over(motion, own)
        driven["exp"] = self._masked(driven["exp"], own["exp"])
        _control(driven, own, given)
        self._fade(driven, own, given)
        pose = angles(driven)
        if self._drives_eyes:
            self._look(driven, own, pose)
        self._count += 1
        return (keypoints(own) if self._still is None else self._still), placed(driven, pose)

    def _blink_rows(self, random: Random, frames: int) -> NDArray[np.int64]:
        if self._setup.delta_eye_arr is None:
            return np.zeros(1, np.int64)
        return blink_rows(frames, len(self._setup.delta_eye_arr), self._setup.delta_eye_open_n, random)

    def _laid_over(self, motion: Motion, own: Motion) -> Motion:
        """Return the whole motion (a copy) that ``motion`` makes of the avatar's own."""
        driven = {key: value.copy() for key, value in own.items()}
        for key, weight in self._weights.items():
            if self._first is not None:
                driven[key] = own[key] + (motion[key] - self._first[key]) * weight
            else:
                driven[key] = motion[key] * weight if self._is_weighted else motion[key].copy()
        return driven

    def _masked(self, driven: Floats, own: Floats) -> Floats:
        """Return expressions (1, 63): lips and eyes driven, the rest the avatar's."""
        expression: Floats = driven * self._driven + own * (1 - self._driven)
        if self._blink is not None:
            row = self._rows[self._count % len(self._rows)]
            expression += self._blink[row].reshape(1, -1) * self._added
        return expression

    def _fade(self, driven: Motion, own: Motion, given: Controls) -> None:
        kind = self._setup.fade_type
        if not kind:
            return
        if self._faded_to is None and (kind == "d0" or self._is_image):
            towards = driven if kind == "d0" else self._person.motions[0]
            self._faded_to = {key: value.copy() for key, value in towards.items()}
        alpha = given.get("fade_alpha")
        if alpha is None:
            return
        assert isinstance(alpha, (int, float))
        keys = given.get("fade_out_keys") or self._setup.fade_out_keys
        assert isinstance(keys, Sequence)
        towards = own if self._faded_to is None else self._faded_to
        for key in keys:
            end = towards[key]
            if end.shape != driven[key].shape:  # one of them is in degrees already
                driven[key], end = degrees(driven[key]), degrees(end)
            driven[key] = driven[key] * np.float32(alpha) + end * np.float32(1 - alpha)

    def _look(self, driven: Motion, own: Motion, pose: tuple[float, float, float]) -> None:
        """Turn the eyes against the head."""
        if self._count == 0:
            pitch, yaw, _ = angles(own)
            self._looked = yaw, pitch
        dx = 0.26 * (pose[1] - self._looked[0])
        dy = 0.28 * (pose[0] - self._looked[1])
        flat = driven["exp"].reshape(-1)  # points 11 and 15, x and y
        flat[33] += dx * (0.0007 if dx > 0 else 0.001)
        flat[45] += dx * (0.001 if dx > 0 else 0.0007)
        flat[34] -= 0.001 * dy
        flat[46] -= 0.001 * dy


def _control(driven: Motion, own: Motion, given: Controls) -> None:
    """Apply a frame's controls in upstream's order; a pose with a delta is in degrees from there on."""
    vad = given.get("vad_alpha", 1.0)
    assert isinstance(vad, (int, float))
    if vad < 1:
        driven["exp"] = driven["exp"] * np.float32(vad) + own["exp"] * np.float32(1 - vad)
    for axis in POSE:
        delta, alpha = given.get(f"delta_{axis}"), given.get(f"alpha_{axis}")
        if delta is not None:
            assert isinstance(delta, (int, float))
            driven[axis] = degrees(driven[axis]) + np.float32(delta)
        if alpha is not None:
            assert isinstance(alpha, (int, float))
            driven[axis] = driven[axis] * np.float32(alpha)
    if (more := given.get("delta_exp")) is not None:
        driven["exp"] = driven["exp"] + np.asarray(more, np.float32).reshape(1, -1)


def _ratio(setup: Setup, person: Reference) -> np.float32:
    """Return how much larger the person whom the network sees is than the avatar."""
    if setup.ch_info is None:
        return np.float32(1)
    return np.float32(setup.ch_info.motions[0]["scale"].item() / person.motions[0]["scale"].item())


def _weights(setup: Setup, person: Reference, is_image: bool) -> Mapping[str, np.float32]:
    """Return the driven keys with their weights."""
    keys = setup.use_d_keys if setup.use_d_keys is not None else FOR_IMAGE if is_image else FOR_VIDEO
    weights = dict(keys) if isinstance(keys, Mapping) else dict.fromkeys(keys, 1.0)
    ratio = _ratio(setup, person)
    return {key: np.float32(weight * (ratio if key in RESIZED else 1)) for key, weight in weights.items()}


def _masks(drives_eyes: bool, blinks: bool) -> tuple[Floats, Floats]:
    """Return which of 63 numbers are driven, and to which a blink is added, (1, 63) each of 0 and 1."""
    driven, added = np.zeros((2, 21, 3), np.float32)
    driven[LIPS] = 1
    if drives_eyes:
        (added if blinks else driven)[EYES] = 1
    return driven.reshape(1, 63), added.reshape(1, 63)
