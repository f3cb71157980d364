from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio import picture
from studio.engines.musetalk.boxes import calmed
from studio.engines.musetalk.masks import crop_box
from studio.engines.musetalk.report import findings
from studio.engines.musetalk.store import FILES, Draft, Stored, held_bytes
from studio.engines.musetalk.types import LATENT, Box, Frame
from studio.errors import AvatarNotReady, BadPortrait


def frame(seed: int, box: Box = (20, 10, 61, 51), size: tuple[int, int] = (80, 64), sharp: bool = True) -> Frame:
    rng = np.random.default_rng(seed)
    crop = crop_box(box)
    sides = crop[3] - crop[1], crop[2] - crop[0]
    masks = [rng.integers(0, 256, sides, np.uint8) for _ in range(2)]
    shot = np.full((size[1], size[0], 3), 40 + seed, np.uint8)
    return Frame(shot, box, crop, masks[0], rng.random(LATENT, np.float32), masks[1] if sharp else None)


def cut(
    mask: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], one: Frame, box: Box
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return mask[box[1] - one.crop[1] : box[3] - one.crop[1], box[0] - one.crop[0] : box[2] - one.crop[0]]


def test_frames_come_back_as_they_were(tmp_path: Path) -> None:
    frames = [frame(0), frame(1, (3, 5, 40, 48)), frame(2, sharp=False)]
    with Draft(tmp_path, 80, 64) as draft:
        for one in frames:
            draft.add(one)
        draft.finish()
    stored = Stored(tmp_path)
    assert (stored.width, stored.height, stored.count) == (80, 64, 3)
    for index, one in enumerate(frames):
        assert stored.box(index) == one.box
        assert np.array_equal(stored.latents[index], one.latents)
        assert np.array_equal(stored.mask(index), cut(one.mask, one, one.box))
        sharp = one.mask if one.sharp is None else one.sharp
        assert np.array_equal(stored.mask(index, sharp=True), cut(sharp, one, one.box))
        assert np.array_equal(picture.to_rgb(stored.pictures[index])[0, 0], one.picture[0, 0])
    assert stored.memory_bytes > 3 * 4 * np.prod(LATENT)
    assert stored.memory_bytes == held_bytes([stored.box(index) for index in range(3)])


def test_odd_sides_lose_a_row_and_a_column(tmp_path: Path) -> None:
    one = frame(0, box=(30, 20, 81, 65), size=(81, 65))
    with Draft(tmp_path, 81, 65) as draft:
        draft.add(one)
        draft.finish()
    stored = Stored(tmp_path)
    assert (stored.width, stored.height, stored.box(0)) == (80, 64, (30, 20, 80, 64))
    assert np.array_equal(stored.mask(0), cut(one.mask, one, stored.box(0)))


@pytest.mark.parametrize("torn", FILES)
def test_a_torn_draft_goes_on_after_the_last_whole_frame(tmp_path: Path, torn: str) -> None:
    with Draft(tmp_path, 80, 64) as draft:
        for seed in range(3):
            draft.add(frame(seed))
    whole = {name: (tmp_path / name).read_bytes() for name in FILES}
    (tmp_path / torn).write_bytes(whole[torn][:-1])
    with Draft(tmp_path, 80, 64) as draft:
        assert draft.count == 2
        draft.add(frame(2))
        draft.finish()
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == whole
    assert Stored(tmp_path).count == 3


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64) as draft, pytest.raises(BadPortrait, match="same size"):
        draft.add(frame(0, size=(64, 64)))


def test_an_unfinished_draft_is_no_avatar(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64) as draft:
        draft.add(frame(0))
    with pytest.raises(AvatarNotReady):
        Stored(tmp_path)


def test_boxes_outside_the_picture_are_no_avatar(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64) as draft:
        draft.add(frame(0))
        draft.finish()
    np.array([[40, 10, 81, 51]], np.int32).tofile(tmp_path / "boxes.i32")
    with pytest.raises(AvatarNotReady):
        Stored(tmp_path)


def test_calmed_boxes_keep_what_moves_and_lose_what_trembles() -> None:
    moving = [(i, 2 * i, 60 + i, 80 + 2 * i) for i in range(30)]
    assert calmed(moving) == moving
    rng = np.random.default_rng(0)
    trembling = [(int(x), 10, 60, 80) for x in 30 + rng.normal(0, 3, 200)]
    calm = np.array(calmed(trembling))[:, 0]
    assert calm.std() < 0.75 * np.array(trembling)[:, 0].std()
    assert calmed(moving[:5]) == moving[:5]


@pytest.mark.parametrize(
    ("boxes", "lost", "size", "subject"),
    [
        ([(0, 0, 400, 500)] * 100, 0, (1920, 1080), "face size"),
        ([(0, 0, 90, 100)] * 100, 0, (640, 480), "face size"),
        ([(8 * (i % 2), 0, 200, 230) for i in range(100)], 0, (640, 480), "box jitter"),
        ([(0, 0, 200, 230)] * 100, 3, (640, 480), "face seen"),
        ([(0, 0, 200, 230)] * 20, 0, (640, 480), "length"),
        ([(0, 0, 200, 230)] * 900, 0, (1920, 1080), "memory"),
    ],
)
def test_a_report_says_what_to_improve(boxes: list[Box], lost: int, size: tuple[int, int], subject: str) -> None:
    assert [one.subject for one in findings(boxes, lost, size) if not one.good] == [subject]
