"""Single functions of the picture's side on the random input of ``units.npz``: crop, eyes, retargeting, paste."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np

from studio.engines.ditto import detect, eyes, retarget
from studio.engines.ditto.crop import crop_matrix, cut
from studio.engines.ditto.options import setup_of
from studio.engines.ditto.paste import mask
from studio.engines.ditto.pasteportable import blend
from studio.engines.ditto.registration import smoothed
from studio.engines.ditto.retarget import Retarget
from studio.engines.ditto.source import fitted
from studio.engines.ditto.types import WIDTHS, Motion, Reference
from tests.conformance.ditto.units import Arrays, stored_motion
from tests.conformance.ditto.verdict import MATRIX, SMALL, judge
from tests.conformance.verdict import Verdict

OPTION_SETS = "units_motion_stitch_options.json"
BLINKS: tuple[tuple[int, int, int | list[int], int], ...] = (
    (60, 15, -1, 0), (300, 15, 40, 0), (300, 15, [30, 50, 20], 0),
    (1000, 15, 0, 11), (40, 15, 60, 0), (3000, 15, 0, 12),
)  # fmt: skip
"""Frames, rows of the blink, gap and random seed of ``blink_*``."""
MASK_ROWS = (0, 3, 10, 25, 26, 256, 485, 486, 500, 511)
"""Of ``mask512_rows``."""
PIXEL = 4.0 * 3
"""Levels of 255 by which a crop may differ, area-averaged ones far less: other libraries round a warp differently."""


def face_units(folder: Path, units: Arrays) -> Iterator[Verdict]:
    """Compare them all."""
    yield from crops(units)
    yield from eye_units(units)
    yield from points(units)
    yield from option_sets(json.loads((folder / OPTION_SETS).read_text()), units)
    yield from pastes(units)


def crops(units: Arrays) -> Iterator[Verdict]:
    """Compare sizes, crops, suppression and smoothing."""
    if units["resize_in"].shape[1] == 3:
        sizes = np.array([fitted(*(int(n) for n in row)) for row in units["resize_in"]])
        yield judge("units", "resize_out", sizes, units["resize_out"][:, :2])
    yield judge("units", "nms_keep", detect.suppress(units["nms_in"]), units["nms_keep"])
    for i, args in enumerate(units["crop_args"]):
        count, size = int(args[0]), int(args[1])
        matrix = crop_matrix(units["crop_pts"][i, :count], size, float(args[2]), float(args[3]), bool(args[4]))
        yield judge("units", f"crop_M_o2c {i}", matrix, units["crop_M_o2c"][i], MATRIX)
        small = cv2.resize(cut(units["crop_img"], matrix, size), (56, 56), interpolation=cv2.INTER_AREA)
        yield judge("units", f"crop_out_area56 {i}", np.asarray(small), units["crop_out_area56"][i], PIXEL)
    for width in (13, 4):
        motions = [{key: np.zeros((1, n), np.float32) for key, n in WIDTHS.items()} | {"exp": row.reshape(1, 63)}
                   for row in units["meanfilter_in"]]  # fmt: skip
        means = np.stack([motion["exp"] for motion in smoothed(motions, width)])
        yield judge("units", f"meanfilter_{width}", means, units[f"meanfilter_{width}"], SMALL)


def eye_units(units: Arrays) -> Iterator[Verdict]:
    """Compare the face in the crop, its mesh, and what is measured there."""
    yield judge("units", "blaze_anchors", eyes.anchors(), units["blaze_anchors"], 1e-6)
    found = eyes.faces({"regressors": units["blaze_reg"], "classificators": units["blaze_cls"]})
    yield judge("units", "blaze_out", found, units["blaze_out"])
    for i, (x, y, side, _, angle) in enumerate(units["roi"]):
        mesh = eyes.restored(units["mesh_in"], eyes.Square(float(x), float(y), float(side), float(angle)))
        yield judge("units", f"mesh_out {i}", mesh, units["mesh_out"][i])
    measured = [eyes.features(mesh) for mesh in units["eye_lmk"]]
    yield judge("units", "eye_open", np.stack([opened for opened, _ in measured]), units["eye_open"])
    yield judge("units", "eye_ball", np.stack([ball for _, ball in measured]), units["eye_ball"])


def points(units: Arrays) -> Iterator[Verdict]:
    """Compare angles, keypoints and blinks."""
    yield judge("units", "bin_deg", retarget.degrees(units["bin_in"]), units["bin_deg"])
    turned = np.stack([retarget.rotation(*(float(a) for a in angles)) for angles in units["rot_in"]])
    yield judge("units", "rot_out", turned, units["rot_out"], SMALL)
    yield judge("units", "tk_out", retarget.keypoints(stored_motion(units["tk_in"])), units["tk_out"], SMALL)
    for i, (frames, rows, gap, seed) in enumerate(BLINKS):
        yield judge("units", f"blink_{i}", retarget.blink_rows(frames, rows, gap, Random(seed)), units[f"blink_{i}"])


def option_sets(sets: dict[str, Any], units: Arrays) -> Iterator[Verdict]:
    """Compare retargeting, the stitch network left out."""
    sources = [stored_motion(numbers) for numbers in units["ms_src"]]
    driven = [stored_motion(numbers) for numbers in units["ms_drv"]]
    for i, given in enumerate(sets["options"]):
        options = dict(given)
        is_image = options.pop("is_image_flag", True)
        if options.pop("ch", False):
            options["ch_info"] = person(stored_motion(units["ms_ch"]))
        if isinstance(options.get("delta_eye_arr"), str):
            options["delta_eye_arr"] = units[options["delta_eye_arr"]]
        take = Retarget(setup_of(options), person(*(sources[:1] if is_image else sources)), is_image, Random(0))
        pairs = [take.drive(driven[k], 0 if is_image else k, controls) for k, controls in enumerate(sets["per_frame"])]
        yield judge("units", f"ms_xs {i}", np.stack([x_s for x_s, _ in pairs]), units["ms_xs"][i], SMALL)
        yield judge("units", f"ms_xd {i}", np.stack([x_d for _, x_d in pairs]), units["ms_xd"][i], SMALL)


def pastes(units: Arrays) -> Iterator[Verdict]:
    """Compare the mask and the blend."""
    whole = mask()
    yield judge("units", "mask512_rows", whole[list(MASK_ROWS)], units["mask512_rows"], SMALL)
    yield judge("units", "mask512_sum", whole.sum().reshape(1), units["mask512_sum"], 1.0)
    small = cv2.resize(whole, (64, 64), interpolation=cv2.INTER_AREA)
    yield judge("units", "mask512_thumb", np.asarray(small), units["mask512_thumb"], SMALL)
    out = blend(units["blend_mask"][..., None], units["blend_warped"], units["blend_frame"])
    yield judge("units", "blend_out", out, units["blend_out"], 1.0)


def person(*motions: Motion) -> Reference:
    """Return somebody who moves like this."""
    count = len(motions)
    still = np.zeros((count, 2), np.float32), np.zeros((count, 6), np.float32)
    return Reference(motions, *still, np.zeros(63, np.float32))
