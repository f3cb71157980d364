"""The two ways to draw are twins: what one returns the other returns, within two levels."""

from __future__ import annotations

import numpy as np
import pytest

from studio.engines.portrait.compiled import CompiledTools, pack
from studio.engines.portrait.field import contours, shape
from studio.engines.portrait.parameters import COUNT, pose
from studio.engines.portrait.portable import PortableTools
from studio.engines.portrait.renderer import Face, Renderer
from studio.engines.portrait.rig import BASES
from tests.unit.portrait_fixtures import geometry, source


@pytest.fixture(scope="module", params=[0.0, 8.0])
def face(request: pytest.FixtureRequest) -> Face:
    return Face.prepare(source(request.param), geometry(request.param), lambda done, doing: None)


POSES = [
    pose(jaw=0.6, upraise=0.3),
    pose(yaw=0.08, pitch=-0.05, roll=0.06, tx=2, zoom=0.01),
    pose(jaw=0.3, pucker=0.7, blink_left=0.4, gx=0.8),
    pose(jaw=0.4, tongue=0.8, yaw=-0.06),
]


@pytest.mark.parametrize("i", range(len(POSES)))
def test_twins_draw_the_same_picture(face: Face, i: int) -> None:
    one, other = (Renderer(face, tool).render(POSES[i]).astype(int) for tool in (CompiledTools(0), PortableTools()))
    difference = np.abs(one - other)
    # Steep edges differ by a rounding of the weights: 8 bits against OpenCV's 5.
    assert difference.mean() < 0.2 and np.percentile(difference, 99.9) <= 4


@pytest.mark.parametrize("using", [CompiledTools, PortableTools])
def test_still_face_is_its_texture_bit_for_bit(using: type[CompiledTools] | type[PortableTools]) -> None:
    face = Face.prepare(source(), geometry(), lambda done, doing: None)
    assert np.array_equal(Renderer(face, using()).render(np.zeros(COUNT, np.float32)), face.texture)


def test_twins_see_the_same_lip_line() -> None:
    contour = contours(shape(geometry(8.0)), pose(jaw=0.5, wide=0.5, roll=0.05)[: len(BASES)])
    one, other = CompiledTools().lip_line(contour), PortableTools().lip_line(contour)
    assert one.first == other.first
    for name in ("upper", "lower", "luma", "chroma"):
        assert np.allclose(getattr(one, name), getattr(other, name), atol=0.01)


def test_packed_word_holds_four_neighbours() -> None:
    plane = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert pack(plane)[0, 0] == 0 | 1 << 8 | 4 << 16 | 5 << 24
    assert pack(plane)[2, 3] == 11 * 0x01010101


def test_pose_of_another_length_is_refused(face: Face) -> None:
    with pytest.raises(ValueError, match="parameters"):
        Renderer(face).render(np.zeros(3, np.float32))
