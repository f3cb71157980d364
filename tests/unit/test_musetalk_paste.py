from __future__ import annotations

import numpy as np
import pytest

from studio import picture
from studio.engines.musetalk import blend
from studio.engines.musetalk.paste import paste
from studio.engines.musetalk.types import Box, Bytes


def smooth(height: int, width: int, seed: int) -> Bytes:
    """A picture whose colours change slowly, so that halved chroma shows it well."""
    y, x = np.mgrid[0:height, 0:width] / 40
    rng = np.random.default_rng(seed)
    waves = [127 + 100 * np.sin(y * rng.uniform(0.5, 1) + x * rng.uniform(0.5, 1) + i) for i in range(3)]
    return np.stack(waves, axis=-1).astype(np.uint8)


def soft(box: Box) -> Bytes:
    """A mask that is empty above and soft at its edges."""
    y, x = np.mgrid[0 : box[3] - box[1], 0 : box[2] - box[0]]
    ramp = np.minimum(np.minimum(x, x[:, ::-1]) * 6, (y - (box[3] - box[1]) // 2) * 8)
    return np.asarray(np.clip(ramp, 0, 255), np.uint8)


def expected(frame: Bytes, face: Bytes, box: Box, mask: Bytes) -> Bytes:
    made = blend.pasted(frame, face, box, box, mask)
    return picture.from_rgb(np.ascontiguousarray(made[..., ::-1]))


@pytest.mark.parametrize("box", [(60, 40, 160, 180), (61, 41, 162, 179), (0, 0, 99, 101), (141, 139, 240, 240)])
def test_result_is_that_of_the_long_way(box: Box) -> None:
    frame, face, mask = smooth(240, 240, 1), smooth(256, 256, 2), soft(box)
    made = paste(picture.from_rgb(np.ascontiguousarray(frame[..., ::-1])), face, box, mask)
    apart = np.abs(made.astype(int) - expected(frame, face, box, mask))
    assert apart[:240].max() <= 2
    assert apart[240:].max() <= 12 and apart[240:].mean() < 0.3


def test_nothing_changes_outside_the_box_and_the_base_is_untouched() -> None:
    base = picture.from_rgb(smooth(120, 160, 1))
    before, box = base.copy(), (31, 20, 91, 90)
    mask = np.full((70, 60), 255, np.uint8)
    made = paste(base, np.zeros((256, 256, 3), np.uint8), box, mask)
    luma = made[:120].copy()
    luma[20:90, 31:91] = before[20:90, 31:91]
    assert np.array_equal(luma, before[:120])
    assert np.all(made[20:90, 31:91] == 16)
    assert np.array_equal(base, before) and not np.shares_memory(made, base)


def test_no_share_and_no_mask_give_the_frame() -> None:
    base = picture.from_rgb(smooth(64, 64, 1))
    face, box = smooth(256, 256, 2), (10, 10, 50, 50)
    full = np.full((40, 40), 255, np.uint8)
    assert np.array_equal(paste(base, face, box, full, share=0.0), base)
    assert np.array_equal(paste(base, face, box, full * 0), base)


def test_half_a_share_lies_between() -> None:
    base = picture.from_rgb(np.zeros((64, 64, 3), np.uint8))
    face, box = np.full((256, 256, 3), 255, np.uint8), (10, 10, 50, 50)
    made = paste(base, face, box, np.full((40, 40), 255, np.uint8), share=0.5)
    assert abs(int(made[30, 30]) - (16 + 235) // 2) <= 1
