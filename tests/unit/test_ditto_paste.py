"""Pasting: golden mask and blend, compiled against portable, I420 against RGB, and nothing outside of the face."""

import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio import picture
from studio.engines.ditto import paste, pasteportable
from studio.engines.ditto.paste import SIDE, Painter, box_of, mask
from studio.engines.ditto.types import Bytes, Floats


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
    for blend in (paste.kernels().blend, pasteportable.blend):
        for channel in range(3):
            plane = np.ascontiguousarray(units["blend_frame"][..., channel])
            blend(units["blend_mask"], np.ascontiguousarray(units["blend_warped"][..., channel]), plane)
            assert np.array_equal(plane, units["blend_out"][..., channel])


def test_mask_is_symmetric_and_closed() -> None:
    assert np.array_equal(mask(), mask()[::-1])
    assert np.array_equal(mask(), mask().T)
    assert mask()[0].max() == 0
    assert mask()[26:-26, 26:-26].min() == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 100), st.sampled_from(((1, 1), (7, 33), (64, 130))))
def test_compiled_and_portable_kernels_are_equal(seed: int, shape: tuple[int, int]) -> None:
    draw = np.random.default_rng(seed)
    weight, colour = draw.random(shape).astype(np.float32), (draw.random(shape) * 255).astype(np.float32)
    plane = draw.integers(0, 256, shape).astype(np.uint8)
    one, other = plane.copy(), plane.copy()
    paste.kernels().blend(weight, colour, one)
    pasteportable.blend(weight, colour, other)
    assert np.array_equal(one, other)
    face = np.ascontiguousarray(draw.normal(0.5, 1, (3, 8, 8)), np.float32)
    filled, also = np.zeros((2, 3, 8, 8), np.float32)
    paste.kernels().fill(face, filled)
    pasteportable.fill(face, also)
    assert np.array_equal(filled, also)


def test_every_colour_becomes_the_same_yuv() -> None:
    """All reds and greens with some blues: compiled and OpenCV's conversion agree to the bit."""
    red, green = (np.ascontiguousarray(plane, np.uint8) for plane in np.meshgrid(np.arange(256), np.arange(256)))
    for blue in (0, 1, 77, 128, 254, 255):
        one, other = np.zeros((2, 384, 256), np.uint8)
        paste.kernels().convert(red, green, np.full_like(red, blue), *picture.planes(one))
        pasteportable.convert(red, green, np.full_like(red, blue), *picture.planes(other))
        assert np.array_equal(one, other)


@settings(max_examples=8, deadline=None)
@given(st.floats(0.2, 1.5), st.floats(-1, 1), st.floats(-200, 150), st.floats(-200, 150))
def test_paste_is_the_formula_and_leaves_the_rest(zoom: float, angle: float, x: float, y: float) -> None:
    rgb, matrix, face = frame(202, 254), placed(zoom, angle, x, y), drawn()
    painter = Painter(rgb[None], matrix[None])
    found, expected = painter.rgb(0, face), plainly(rgb, matrix, face)
    apart = np.abs(found.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() < 0.02
    box = box_of(matrix, 202, 254)
    untouched = np.ones(rgb.shape[:2], bool)
    untouched[box.top : box.bottom, box.left : box.right] = False
    assert np.array_equal(found[untouched], rgb[untouched])
    assert np.array_equal(painter.picture(0, face), picture.from_rgb(found))


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
