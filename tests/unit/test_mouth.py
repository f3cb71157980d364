from __future__ import annotations

import numpy as np
import pytest

from studio.engines.portrait.interior import load_interior, prepare_interior, save_interior
from studio.engines.portrait.mouth import Mouth, Scene
from studio.engines.portrait.parameters import pose
from studio.engines.portrait.rig import Float
from tests.unit.portrait_fixtures import geometry, source


def scene(row: Float, gap: float = 0.0) -> Scene:
    return Mouth(geometry(gap), prepare_interior(source(gap), geometry(gap))).scene(row)


def test_upper_teeth_stay_with_the_skull_when_the_jaw_drops() -> None:
    rest, opened = scene(pose()), scene(pose(jaw=0.8))
    assert opened.layers[2].at == rest.layers[2].at
    assert (opened.layers[1].at - rest.layers[1].at).imag > 10


def test_tongue_lags_behind_the_jaw() -> None:
    rest, opened = scene(pose()), scene(pose(jaw=0.8))
    tongue, teeth = ((opened.layers[i].at - rest.layers[i].at).imag for i in (0, 1))
    assert 0.3 * teeth < tongue < 0.7 * teeth


def test_raised_tongue_lies_before_the_teeth() -> None:
    assert len(scene(pose(jaw=0.3, tongue=1)).layers) == len(scene(pose(jaw=0.3)).layers) + 1


def test_whole_mouth_turns_with_the_head() -> None:
    layers = zip(scene(pose()).layers, scene(pose(roll=0.08)).layers, strict=True)
    assert all(np.angle(after.turn / before.turn) == pytest.approx(0.08, abs=0.02) for before, after in layers)


def test_parted_photo_keeps_its_own_teeth_and_gets_a_seam() -> None:
    parted = scene(pose(), gap=8.0)
    assert [layer.photo for layer in parted.layers] == [False, False, True] and parted.seam
    assert not scene(pose()).seam


def test_interior_comes_back_as_it_was_saved() -> None:
    interior = prepare_interior(source(8.0), geometry(8.0))
    back = load_interior(save_interior(interior))
    assert np.allclose(back.upper.pixels, interior.upper.pixels, atol=0.1) and back.photo is not None


@pytest.mark.parametrize("wrong", [{"relief": np.zeros(2)}, {"upper_pixels": np.zeros((3, 3))}])
def test_damaged_interior_is_refused(wrong: dict[str, np.ndarray]) -> None:
    arrays = save_interior(prepare_interior(source(), geometry()))
    with pytest.raises(ValueError, match=r"relief|sprite"):
        load_interior({**arrays, **wrong})
