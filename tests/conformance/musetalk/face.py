"""Faces: landmarks, detector, box rule, parser, masks, blends."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from studio.engines.musetalk import blend, boxes, detector, landmarks, masks
from studio.engines.musetalk.finding import found
from studio.engines.musetalk.types import Box, Rules
from tests.conformance.musetalk.golden import Golden
from tests.conformance.musetalk.verdict import (
    EXACT,
    FLOATS,
    HALF_INPUT,
    KEYPOINTS,
    MASK,
    POSE_INPUT,
    judge,
)
from tests.conformance.verdict import Verdict


def check(golden: Golden) -> Iterator[Verdict]:
    """Yield one verdict for each array and picture that has to do with faces and masks."""
    yield from _landmarks(golden)
    yield from _rules(golden)
    yield from _decoding(golden)
    yield from _kernels(golden)
    yield from _masks(golden)


def _landmarks(golden: Golden) -> Iterator[Verdict]:
    there = golden.arrays("landmarks.npz")
    finds = [found(golden.networks, frame) for frame in golden.frames]
    points = np.stack([find.points for find in finds])
    yield judge("landmarks/keypoints", points, there["keypoints"], KEYPOINTS)
    yield judge("landmarks/scores", np.stack([find.scores for find in finds]), there["scores"], 2e-3)
    detected = np.array([find.detected or (0, 0, 0, 0) for find in finds])
    yield judge("landmarks/s3fd_boxes", detected, there["s3fd_boxes"], 1.0)
    for shift in golden.options["bbox_shifts"]:
        made = [boxes.face_box(find.points, find.detected, shift) or (0, 0, 0, 0) for find in finds]
        yield judge(f"landmarks/coords_shift_{shift}", np.array(made), there[f"coords_shift_{shift}"], 1.0)
    seen = landmarks.network_input(golden.frames[0])
    yield judge("landmarks/pose_input_frame0", seen, there["pose_input_frame0"], POSE_INPUT)


def _rules(golden: Golden) -> Iterator[Verdict]:
    points = golden.arrays("landmarks.npz")["rule_keypoints"]
    for number, (case, person) in enumerate(zip(golden.list("bbox_rules.json"), points, strict=True)):
        made = boxes.face_box(person, _box(case["box"]), case["bbox_shift"]) or (0, 0, 0, 0)
        yield judge(f"bbox_rules/{number:02d}", np.array(made), np.array(case["coords"]), EXACT)


def _decoding(golden: Golden) -> Iterator[Verdict]:
    there = golden.arrays("s3fd_decode.npz")
    maps = [there[f"map{number}"] for number in range(12)]
    raw = detector.candidates(maps)
    yield judge("s3fd_decode/raw", raw, there["raw"], FLOATS)
    yield judge("s3fd_decode/keep", detector.apart(there["raw"]), there["keep"], EXACT)
    yield judge("s3fd_decode/final", detector.faces(maps), there["final"], FLOATS)


def _kernels(golden: Golden) -> Iterator[Verdict]:
    there = golden.arrays("jaw_kernels.npz")
    yield judge("jaw_kernels/cone", masks.jaw_kernel(), there["cone"], EXACT)
    yield judge("jaw_kernels/cheek", masks.cheek_kernel(), there["cheek"], EXACT)
    for name in (name for name in there if name.startswith("cheek_mask_")):
        left, right = map(int, name.split("_")[2:])
        columns = np.broadcast_to(masks.cheek_columns(left, right), (masks.SIDE, masks.SIDE))
        yield judge(f"jaw_kernels/{name}", np.packbits(columns.ravel()), there[name], EXACT)


def _masks(golden: Golden) -> Iterator[Verdict]:
    picture, face = golden.frames[0], golden.picture("face_recon_0.png")
    cases = golden.list("masks/cases.json")
    seen = None
    for case in cases:
        name = f"masks/{case['index']:02d}"
        rules = Rules(0, case["mode"], case["left_cheek"], case["right_cheek"], case["upper_boundary_ratio"])
        box = _box(case["face_box"])
        assert box is not None
        crop = masks.crop_box(box, case["expand"])
        yield judge(f"{name}_crop_box", np.array(crop), np.array(case["crop_box"]), EXACT)
        seen = masks.parser_input(masks.cut(picture, crop))
        area = masks.talking_area(golden.networks.parse(seen)[0], rules)
        yield judge(f"{name}_parse512", area, golden.grey(f"{name}_parse512.png"), MASK)
        ratio = rules.upper_boundary_ratio
        soft = masks.soft_mask(area, box, crop, ratio)
        yield judge(f"{name}_mask", soft, golden.grey(f"{name}_mask.png"), MASK)
        sharp = masks.soft_mask(area, box, crop, ratio, masks.OFFLINE_BLUR)
        for kind, mask in (("realtime", soft), ("offline", sharp)):
            made = within(blend.pasted(picture, face, box, crop, mask), crop)
            yield judge(f"{name}_blend_{kind}", made, golden.picture(f"{name}_blend_{kind}.png"), MASK)
    there = golden.arrays("jaw_kernels.npz")
    if seen is not None:
        yield judge("jaw_kernels/parse_input", seen, there["parse_input"], HALF_INPUT)


def within(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], crop: Box
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the part of a picture that lies in a crop box, clipped to the picture."""
    return picture[max(crop[1], 0) : crop[3], max(crop[0], 0) : crop[2]]


def _box(given: list[int] | None) -> Box | None:
    if given is None:
        return None
    x0, y0, x1, y1 = given
    return x0, y0, x1, y1
