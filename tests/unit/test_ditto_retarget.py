"""Retargeting: the golden option sets, and what must hold for any motion."""

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.ditto import retarget
from studio.engines.ditto.options import setup_of
from studio.engines.ditto.retarget import Retarget
from studio.engines.ditto.types import WIDTHS, Floats, Motion, Reference
from tests.conformance.ditto.units import stored_motion

BLINKS = ((60, 15, -1, 0), (300, 15, 40, 0), (300, 15, [30, 50, 20], 0), (1000, 15, 0, 11), (40, 15, 60, 0),
          (3000, 15, 0, 12))  # fmt: skip
"""Frames, rows, gap and seed of the golden ``blink_*``."""


def person(*motions: Motion) -> Reference:
    """Return somebody who moves like this."""
    count = len(motions)
    return Reference(motions, np.zeros((count, 2), np.float32), np.zeros((count, 6), np.float32), np.zeros(63, "f4"))


def motion(seed: int, whole: bool = True) -> Motion:
    """Return a made-up motion, with ``kp`` if it is ``whole``."""
    draw = np.random.default_rng(seed)
    made = {key: draw.normal(0, 0.05, (1, width)).astype(np.float32) for key, width in WIDTHS.items()}
    made["scale"] += 1
    return {key: made[key] for key in WIDTHS if whole or key != "kp"}


def relative(points: Floats, base: Floats) -> Floats:
    return np.asarray(np.abs(points - base), np.float32)


def test_angles_and_points_equal_the_golden_ones(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    assert np.abs(retarget.degrees(units["bin_in"]) - units["bin_deg"]).max() < 1e-4
    turned = np.stack([retarget.rotation(*(float(a) for a in angles)) for angles in units["rot_in"]])
    assert np.abs(turned - units["rot_out"]).max() < 1e-6
    assert np.abs(retarget.keypoints(stored_motion(units["tk_in"])) - units["tk_out"]).max() < 1e-5
    for i, (frames, rows, gap, seed) in enumerate(BLINKS):
        found = retarget.blink_rows(frames, rows, gap, Random(seed))  # type: ignore[arg-type]
        assert np.array_equal(found, units[f"blink_{i}"])


def test_retargeting_equals_the_golden_option_sets(shared: Path) -> None:
    golden = shared / "golden/ditto"
    units = np.load(golden / "units.npz")
    sets = json.loads((golden / "units_motion_stitch_options.json").read_text())
    sources = [stored_motion(numbers) for numbers in units["ms_src"]]
    driven = [stored_motion(numbers) for numbers in units["ms_drv"]]
    for i, options in enumerate(sets["options"]):
        is_image = options.pop("is_image_flag", True)
        if options.pop("ch", False):
            options["ch_info"] = person(stored_motion(units["ms_ch"]))
        if "delta_eye_arr" in options:
            options["delta_eye_arr"] = units["ms_delta_eye_arr"]
        avatar = person(*(sources[:1] if is_image else sources))
        take = Retarget(setup_of(options), avatar, is_image, Random(0))
        for k, controls in enumerate(sets["per_frame"]):
            source, target = take.drive(driven[k], 0 if is_image else k, controls)
            assert np.abs(source - units["ms_xs"][i, k]).max() < 1e-5
            assert np.abs(target - units["ms_xd"][i, k]).max() < 1e-5


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_first_motion_shows_the_avatar_as_it_is(seed: int, is_image: bool) -> None:
    take = Retarget(setup_of({"drive_eye": False}), person(motion(seed)), is_image, Random(0))
    source, target = take.drive(motion(seed + 1, whole=False), 0)
    assert np.abs(target - source).max() < 1e-6


def test_expression_moves_lips_and_eyes_alone() -> None:
    avatar, first = person(motion(1)), motion(2, whole=False)
    take = Retarget(setup_of({"use_d_keys": ["exp"]}), avatar, True, Random(0))
    take.refer(first)
    second = {**first, "exp": first["exp"] + 1}
    source, target = take.drive(second, 0)
    moves = np.flatnonzero(np.abs(target - source).max(axis=1) > 1e-4)
    assert set(moves) == {*retarget.LIPS, *retarget.EYES}


def test_video_keeps_its_own_head_and_eyes() -> None:
    avatar, first = person(motion(1), motion(3)), motion(2, whole=False)
    take = Retarget(setup_of({}), avatar, False, Random(0))
    take.refer(first)
    source, target = take.drive(motion(9, whole=False), 1)
    moves = np.flatnonzero(np.abs(target - source).max(axis=1) > 1e-6)
    assert set(moves) <= set(retarget.LIPS)
    assert np.allclose(source, retarget.keypoints(avatar.motions[1]))


def test_motion_given_is_left_as_it_is() -> None:
    given_motion, avatar = motion(5, whole=False), person(motion(6))
    before = {key: value.copy() for key, value in given_motion.items()}
    own = {key: value.copy() for key, value in avatar.motions[0].items()}
    setup = setup_of({"fade_type": "s", "overall_ctrl_info": {"delta_pitch": 2, "delta_exp": 0.1}})
    take = Retarget(setup, avatar, True, Random(0))
    for k in range(3):
        take.drive(given_motion, 0, {"fade_alpha": k / 3})
    assert all(np.array_equal(given_motion[key], before[key]) for key in before)
    assert all(np.array_equal(avatar.motions[0][key], own[key]) for key in own)


def test_fade_to_the_avatar_ends_at_the_avatar() -> None:
    setup = setup_of({"fade_type": "s", "use_d_keys": ["exp"], "drive_eye": False})
    take = Retarget(setup, person(motion(1)), True, Random(0))
    take.refer(motion(2, whole=False))
    source, target = take.drive(motion(3, whole=False), 0, {"fade_alpha": 0.0})
    assert np.abs(target - source).max() < 1e-6


def test_fading_a_pose_under_a_delta_stays_an_angle() -> None:
    setup = setup_of({"fade_type": "s", "fade_out_keys": ["pitch"], "overall_ctrl_info": {"delta_pitch": 10}})
    take = Retarget(setup, person(motion(1)), True, Random(0))
    take.refer(motion(2, whole=False))
    plain, _ = take.drive(motion(2, whole=False), 0)
    half = take.drive(motion(2, whole=False), 0, {"fade_alpha": 0.5})[1]
    whole = take.drive(motion(2, whole=False), 0, {"fade_alpha": 1.0})[1]
    assert 0.2 < relative(half, plain).max() / relative(whole, plain).max() < 0.8


def test_blinks_repeat_when_the_list_ends() -> None:
    blink = np.zeros((2, 63), np.float32)
    blink[1] = 0.2
    setup = setup_of({"delta_eye_arr": blink, "delta_eye_open_n": 3, "use_d_keys": []})
    take = Retarget(setup, person(motion(1)), True, Random(0), frames=12)
    shows = []
    for _ in range(24):
        source, target = take.drive(motion(2, whole=False), 0)
        shows.append(bool(relative(target, source).max() > 0.1))
    assert shows == [row == 1 for row in [*retarget.blink_rows(12, 2, 3, Random(0))] * 2]
    assert any(shows)


@pytest.mark.parametrize("gap", [0, 1, 7, (3, 0), (100,)])
def test_blinks_are_whole_and_fit(gap: int | tuple[int, ...]) -> None:
    for frames in (1, 14, 100, 500):
        rows = retarget.blink_rows(frames, 5, gap, Random(3))
        assert len(rows) == frames
        starts = np.flatnonzero(rows == 1) - 1
        assert all(list(rows[at : at + 5]) == [0, 1, 2, 3, 4] for at in starts)


def test_fade_plan_leads_in_and_out() -> None:
    assert retarget.fade_plan(10, 2, 3) == {
        0: 0.0,
        1: 0.5,
        6: 1.0,
        7: pytest.approx(2 / 3),
        8: pytest.approx(1 / 3),
        9: 0.0,
    }
    assert retarget.fade_plan(5, -1, -1) == {}
    assert set(retarget.fade_plan(2, 5, 5)) == {0, 1}
