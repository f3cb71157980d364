"""Pasting: golden mask and blend, compiled against portable, I420 against RGB, and nothing outside of the face."""

import threading
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio import picture
from studio.engines.ditto import paste, pastekernels, pasteportable
from studio.engines.ditto.paste import SIDE, Painter, mask
from studio.engines.ditto.types import Bytes, Floats

TOOLS = cast(tuple[paste.Kernels, ...], (pastekernels, pasteportable))


def placed(zoom: float, angle: float, x: float, y: float) -> Floats:
    """Return where a crop lies in a frame."""
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, x], [s, c, y], [0, 0, 1]], np.float32)


def drawn(seed: int = 0) -> Floats:
    """Return a face whose colours leave 0..1 a little."""
    small = np.random.default_rng(seed).random((32, 32, 3)).astype(np.float32) * 1.2 - 0.1
    large = np.asarray(cv2.resize(small, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.ascontiguousarray(large.transpose(2, 0, 1))


def frame(height: int, width: int) -> Bytes:
    return np.random.default_rng(7).integers(0, 256, (height, width, 3)).astype(np.uint8)


def plainly(rgb: Bytes, matrix: Floats, face: Floats) -> Bytes:
    """Paste as the specification says it, on the whole frame."""
    size = rgb.shape[1::-1]
    colours = np.clip(face.transpose(1, 2, 0) * np.float32(255), 0, 255)
    warped = cv2.warpAffine(np.ascontiguousarray(colours), matrix[:2], size, flags=cv2.INTER_LINEAR)
    weight = np.asarray(cv2.warpAffine(mask(), matrix[:2], size, flags=cv2.INTER_LINEAR))[:, :, None]
    return np.clip(weight * warped + (1 - weight) * rgb, 0, 255).astype(np.uint8)


def test_mask_and_blend_equal_the_golden_ones(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    assert abs(float(mask().sum(dtype=np.float64)) - float(units["mask512_sum"][0])) < 0.1
    thumb = cv2.resize(mask(), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(thumb - units["mask512_thumb"]).max() < 1e-6
    for row in units["mask512_rows"]:
        assert np.abs(mask() - row).max(axis=1).min() < 1e-6
    for channel in range(3):
        made = pasteportable.blend(
            units["blend_mask"], units["blend_warped"][..., channel], units["blend_frame"][..., channel]
        )
        assert np.array_equal(made, units["blend_out"][..., channel])


def test_mask_is_symmetric_and_closed() -> None:
    assert np.array_equal(mask(), mask()[::-1])
    assert np.array_equal(mask(), mask().T)
    assert mask()[0].max() == 0
    assert mask()[26:-26, 26:-26].min() == 1


@settings(max_examples=8, deadline=None)
@given(st.floats(0.2, 1.5), st.floats(-1, 1), st.floats(-200, 150), st.floats(-200, 150))
def test_paste_is_the_formula_and_leaves_the_rest(zoom: float, angle: float, x: float, y: float) -> None:
    rgb, matrix, face = frame(202, 254), placed(zoom, angle, x, y), drawn()
    expected = plainly(rgb, matrix, face)
    for tools in TOOLS:
        painter = Painter(rgb[None], matrix[None], tools)
        found, live = painter.rgb(0, face), painter.picture(0, face)
        apart = np.abs(found.astype(int) - expected)
        assert apart.max() <= 1
        assert (apart > 0).mean() < 0.02
        beside = cv2.warpAffine(np.ones_like(mask()), matrix[:2], (254, 202), flags=cv2.INTER_LINEAR) == 0
        assert np.array_equal(found[beside], rgb[beside])
        converted = picture.from_rgb(expected)
        assert np.abs(live.astype(int) - converted).max() <= 1
        for plane, aim in zip(picture.planes(live), picture.planes(converted), strict=True):
            assert abs(plane.mean() - aim.mean()) < 0.05
        assert np.array_equal(live[:202][beside], picture.from_rgb(rgb)[:202][beside])


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-3, 2.5), st.floats(-3.2, 3.2), st.floats(-3000, 3000), st.floats(-3000, 3000), st.sampled_from((2, 90))
)
def test_compiled_and_portable_kernels_agree_wherever_a_face_lies(
    power: float, angle: float, x: float, y: float, height: int
) -> None:
    """Also turned, upside down, smaller than a pixel or hundreds of times as large, and far away."""
    rgb, matrix = frame(height, 64), placed(10**power, angle, x, y)
    one, other = (Painter(rgb[None], matrix[None], tools).picture(0, drawn()) for tools in TOOLS)
    assert np.abs(one.astype(int) - other).max() <= 1


def test_black_white_and_what_leaves_the_range_are_exact() -> None:
    rgb, matrix = frame(64, 64), placed(1.0, 0.1, -200, -230)
    for colour in (0.0, 1.0, -0.5, 1.5):
        whole = np.full_like(rgb, 255 * (colour > 0.5))
        for tools in TOOLS:
            painter = Painter(rgb[None], matrix[None], tools)
            face = np.full((3, SIDE, SIDE), colour, np.float32)
            assert np.array_equal(painter.rgb(0, face), whole)
            assert np.array_equal(painter.picture(0, face), picture.from_rgb(whole))


def test_face_outside_of_the_frame_changes_nothing() -> None:
    rgb = frame(64, 96)
    painter = Painter(rgb[None], placed(0.1, 0.0, 500, 500)[None])
    assert np.array_equal(painter.rgb(0, drawn()), rgb)
    assert np.array_equal(painter.picture(0, drawn()), picture.from_rgb(rgb))


def test_each_template_frame_has_its_own_place() -> None:
    frames = np.stack([frame(128, 128), frame(128, 128)[::-1]])
    matrices = np.stack([placed(0.1, 0, 10, 10), placed(0.1, 0, 70, 60)])
    painter = Painter(frames, matrices)
    for i in range(2):
        assert np.abs(painter.rgb(i, drawn(i)).astype(int) - plainly(frames[i], matrices[i], drawn(i))).max() <= 1


def test_painting_twice_and_in_threads_gives_the_same() -> None:
    painter = Painter(frame(130, 150)[None], placed(0.25, 0.2, 8, 4)[None])
    faces = [drawn(seed) for seed in range(4)]
    alone = [painter.picture(0, face) for face in faces]
    found: dict[int, list[bool]] = {}

    def paint(i: int) -> None:
        found[i] = [np.array_equal(painter.picture(0, faces[i]), alone[i]) for _ in range(5)]

    threads = [threading.Thread(target=paint, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [True] * 5 for i in range(4)}


def test_render_clips_to_bytes() -> None:
    face = np.zeros((3, SIDE, SIDE), np.float32)
    face[0], face[1], face[2] = -1, 0.5, 2
    assert paste.render(face)[5, 5].tolist() == pytest.approx([0, 127.5, 255])
