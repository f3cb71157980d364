"""The drawing tools: curves, SVG, lips, lids and hair; what they promise to the rig and to reproducibility."""

from __future__ import annotations

import importlib
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.portrait.drawing import curves, hair
from studio.engines.portrait.drawing.curves import MIDDLE
from studio.engines.portrait.drawing.eyes import Eye, brow_edges
from studio.engines.portrait.drawing.svg import Drawing, mix

SQUARE = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])


@pytest.fixture(scope="module", params=["mira", "omar"])
def sitter(request: pytest.FixtureRequest) -> ModuleType:
    """A drawn person's module."""
    pytest.importorskip("resvg_py", reason="the extra `draw` is not installed")
    return importlib.import_module(f"studio.engines.portrait.drawing.{request.param}")


# curves


@pytest.mark.parametrize("closed", [False, True])
def test_a_smooth_curve_goes_through_its_knots(closed: bool) -> None:
    knots = [(0.0, 0.0), (10.0, 5.0), (20.0, -3.0), (40.0, 8.0)]
    line = curves.smooth(knots, closed)
    for knot in knots:
        assert np.linalg.norm(line - knot, axis=1).min() < 1e-9
    ends = np.linalg.norm(line[0] - line[-1])
    assert ends < 4 if closed else ends == pytest.approx(np.hypot(40, 8))


def test_resampling_spaces_points_evenly() -> None:
    line = curves.resample(np.array([[0.0, 0.0], [1.0, 0.0], [10.0, 0.0]]), 5, 0.2, 1.0)
    assert np.allclose(line[:, 0], [2, 4, 6, 8, 10])
    assert not line[:, 1].any()


def test_symmetric_outlines_are_symmetric() -> None:
    outline = curves.symmetric([(0, 10), (40, 50), (30, 90), (0, 110)])
    mirrored = curves.mirrored(outline)
    gaps = np.linalg.norm(outline[:, None] - mirrored[None], axis=2).min(1)
    assert gaps.max() < 1e-6
    assert outline[:, 0].min() == pytest.approx(2 * MIDDLE - outline[:, 0].max())


def test_strokes_have_their_width_where_promised() -> None:
    line = np.stack([np.linspace(0, 40, 41), np.zeros(41)], 1)
    assert np.ptp(curves.ribbon(line, 6.0)[:, 1]) == pytest.approx(6)
    tapered = curves.tapered(line, 6.0)
    assert np.abs(tapered[20, 1]) == pytest.approx(3)
    assert np.allclose(tapered[[0, 40], 1], 0)
    pointed = curves.pointed(line, 6.0)
    assert np.abs(pointed[0, 1]) == pytest.approx(3)
    assert pointed[40, 1] == pytest.approx(0)


@pytest.mark.parametrize("power", [2.0, 4.0, 8.0])
def test_ellipses_fill_their_box(power: float) -> None:
    for line in (curves.ellipse(100, 80, 20, 10), curves.rounded(100, 80, 20, 10, power)):
        assert line.min(0) == pytest.approx([80, 70])
        assert line.max(0) == pytest.approx([120, 90])


# svg


def test_a_drawing_is_well_formed_and_defines_what_it_uses() -> None:
    art = Drawing()
    art.fill(SQUARE, paint=art.linear((0, 0), (9, 0), (0, "#102030"), (1, "#405060", 0.5)), blur=2.0)
    with art.inside(SQUARE, opacity=0.5):
        art.fill(SQUARE + 4, SQUARE * 0.5, paint=art.radial((5, 5), 3, (0, "#ffffff"), squash=0.5), opacity=0.25)
    text = art.text((8, 16, 32, 24))
    root = ET.fromstring(text)
    assert root.get("viewBox") == "8 16 32 24"
    used = set(re.findall(r"url\(#(\w+)\)", text))
    assert used == {node.get("id") for node in root.iter() if node.get("id")}
    assert len(used) == 4


def test_equal_paints_are_defined_once_and_the_invisible_is_left_out() -> None:
    art = Drawing()
    paints = {art.linear((0, 0), (9, 0), (0, "#102030")) for _ in range(3)}
    assert len(paints) == 1
    before = art.text()
    art.fill(SQUARE, paint="#000000", opacity=0.0)
    assert art.text() == before


def test_colours_mix() -> None:
    assert mix("#000000", "#ffffff", 0) == "#000000"
    assert mix("#000000", "#ffffff", 1) == "#ffffff"
    assert mix("#102030", "#304050", 0.5) == "#203040"


# hair


def test_inside_tells_inside_from_outside() -> None:
    points = np.array([[20.0, 20.0], [5.0, 20.0], [20.0, 35.0], [29.0, 11.0]])
    assert hair.inside(SQUARE, points).tolist() == [True, False, False, True]


def test_scattered_points_fill_an_outline_evenly() -> None:
    points = hair.scatter(SQUARE, 2.0, seed=1)
    assert hair.inside(SQUARE, points).all()
    assert len(points) == pytest.approx(100, abs=15)
    assert np.array_equal(points, hair.scatter(SQUARE, 2.0, seed=1))
    assert not np.array_equal(points[:20], hair.scatter(SQUARE, 2.0, seed=2)[:20])


# the sitters: what the rig relies on


def test_lip_rows_are_closed_ordered_and_symmetric(sitter: ModuleType) -> None:
    upper, lower = sitter.LIPS.rows()
    assert upper.shape == lower.shape == (4, 11, 2)
    assert np.array_equal(upper[3], lower[3]), "the lips do not meet"
    assert np.allclose(upper[0, [0, -1]], lower[0, [0, -1]])
    for rows, sign in ((upper, 1), (lower, -1)):
        assert (np.diff(rows[:, 1:-1, 1], axis=0) * sign > 0).all(), "rows cross"
        assert (np.diff(rows[:, :, 0], axis=1) > 0).all()
        assert np.allclose(curves.mirrored(rows[0])[::-1], rows[0], atol=1e-6)
    corners, middle = upper[0, [0, -1], 1].mean(), upper[3, 5, 1]
    assert 2 < middle - corners < 9, "a hint of a smile, not a grin"


@pytest.mark.parametrize("side", [-1, 1])
def test_lids_open_and_shut(sitter: ModuleType, side: int) -> None:
    eye: Eye = replace(sitter.EYE, side=side)
    gaps = [_opening(replace(eye, blink=blink)) for blink in np.linspace(0, 1, 7)]
    assert gaps[0].max() > 15
    assert all((after <= before + 1e-9).all() for before, after in pairwise(gaps))
    assert gaps[-1].max() < 0.1, "a slit stays open"
    x, y = eye.iris_centre
    assert abs(x - eye.centre[0]) < 2
    assert eye.lids()[0][:, 1].min() > y - eye.iris.radius, "the upper lid shows white above the iris: a stare"


def _opening(eye: Eye) -> NDArray[np.float64]:
    upper, lower = eye.rims()
    x = np.linspace(eye.centre[0] - 18, eye.centre[0] + 18, 25)
    low, high = (np.interp(x, *rim[np.argsort(rim[:, 0])].T) for rim in (upper, lower))
    return np.asarray(high - low)


def test_gaze_moves_the_iris_only(sitter: ModuleType) -> None:
    eye: Eye = sitter.EYE
    aside = replace(eye, gaze=1.5)
    assert aside.iris_centre[0] - eye.iris_centre[0] == pytest.approx(1.5)
    assert np.array_equal(np.concatenate(aside.rims()), np.concatenate(eye.rims()))


@pytest.mark.parametrize("side", [-1, 1])
def test_brows_lie_above_the_eyes(sitter: ModuleType, side: int) -> None:
    top, bottom = brow_edges(sitter.BROW, side, 5)
    assert (top[:, 1] <= bottom[:, 1]).all()
    assert bottom[:, 1].max() < replace(sitter.EYE, side=side).lids()[0][:, 1].min() - 4
    assert (np.diff(top[:, 0]) * side > 0).all(), "from the nose outwards"


def test_a_persons_drawing_is_the_same_every_time(sitter: ModuleType) -> None:
    assert sitter.under().text() == sitter.under().text()


# raster


@pytest.fixture(scope="module")
def raster() -> ModuleType:
    """The module that needs resvg."""
    pytest.importorskip("resvg_py", reason="the extra `draw` is not installed")
    return importlib.import_module("studio.engines.portrait.drawing.raster")


def test_a_drawing_becomes_pixels_of_its_box(raster: ModuleType) -> None:
    art = Drawing()
    art.fill(SQUARE, paint="#ff8000")
    pixels = raster.render(art, (0, 4, 40, 44), 2)
    assert pixels.shape == (40, 40, 4)
    assert pixels[15, 20] == pytest.approx([255, 128, 0, 255], abs=0.6)
    assert not pixels[30, 20].any()
    over = raster.laid(np.full((40, 40, 3), 10, np.float32), pixels)
    assert over[15, 20] == pytest.approx([255, 128, 0], abs=0.6)
    assert over[30, 20] == pytest.approx([10, 10, 10])


def test_backdrop_is_lightest_at_its_glow_and_has_no_bands(raster: ModuleType) -> None:
    wall = raster.Backdrop("#c0d0e0", "#405060", (200, 150))
    levels = wall.paint()
    assert levels[150, 200] == pytest.approx([0xC0, 0xD0, 0xE0])
    assert levels.sum(2).argmax() == 150 * 512 + 200
    assert np.abs(np.diff(levels, axis=0)).max() < 1
    shown = raster.quantise(levels, raster.grain(1))
    assert np.abs(shown - levels).max() < 2
    assert np.array_equal(shown, raster.quantise(levels, raster.grain(1)))


def test_feather_rises_from_the_border(raster: ModuleType) -> None:
    share = raster.feather(20, 30, 4)[..., 0]
    assert not np.concatenate([share[0], share[-1], share[:, 0], share[:, -1]]).any()
    assert (share[4:-4, 4:-4] == 1).all()
