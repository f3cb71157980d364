from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from studio import picture
from studio.engines.musetalk.boxes import calmed
from studio.engines.musetalk.masks import crop_box
from studio.engines.musetalk.report import findings
from studio.engines.musetalk.store import FILES, ROW, Draft, Room, Stored
from studio.engines.musetalk.types import LATENT, Box, Frame
from studio.errors import AvatarNotReady, BadPortrait

ROOM = Room(3, 10_000_000)
PACKED = Room(3, 200_000)
"""More than half of it would be taken by three frames as they are."""


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
    with Draft(tmp_path, 80, 64, ROOM) as draft:
        for one in frames:
            draft.add(one)
        draft.finish()
    stored = Stored(tmp_path)
    assert (stored.width, stored.height, stored.count) == (80, 64, 3)
    for index, one in enumerate(frames):
        assert stored.box(index) == one.box
        assert np.array_equal(stored.latents()[index], one.latents)
        assert np.array_equal(stored.mask(index), cut(one.mask, one, one.box))
        sharp = one.mask if one.sharp is None else one.sharp
        assert np.array_equal(stored.mask(index, sharp=True), cut(sharp, one, one.box))
        assert np.array_equal(picture.to_rgb(stored.picture(index))[0, 0], one.picture[0, 0])
    assert stored.memory_bytes == sum((tmp_path / name).stat().st_size for name in FILES)


def test_odd_sides_lose_a_row_and_a_column(tmp_path: Path) -> None:
    one = frame(0, box=(30, 20, 81, 65), size=(81, 65))
    with Draft(tmp_path, 81, 65, ROOM) as draft:
        draft.add(one)
        draft.finish()
    stored = Stored(tmp_path)
    assert (stored.width, stored.height, stored.box(0)) == (80, 64, (30, 20, 80, 64))
    assert np.array_equal(stored.mask(0), cut(one.mask, one, stored.box(0)))


@pytest.mark.parametrize("room", [ROOM, PACKED], ids=["plain", "compressed"])
@pytest.mark.parametrize("torn", FILES)
def test_a_torn_draft_goes_on_after_the_last_whole_frame(tmp_path: Path, torn: str, room: Room) -> None:
    with Draft(tmp_path, 80, 64, room) as draft:
        for seed in range(3):
            draft.add(frame(seed))
    whole = {name: (tmp_path / name).read_bytes() for name in FILES}
    (tmp_path / torn).write_bytes(whole[torn][:-1])
    with Draft(tmp_path, 80, 64, room) as draft:
        assert draft.count == 2
        draft.add(frame(2))
        draft.finish()
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == whole
    assert Stored(tmp_path).count == 3


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64, ROOM) as draft, pytest.raises(BadPortrait, match="same size"):
        draft.add(frame(0, size=(64, 64)))


def test_an_unfinished_draft_is_no_avatar(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64, ROOM) as draft:
        draft.add(frame(0))
    with pytest.raises(AvatarNotReady):
        Stored(tmp_path)


def test_boxes_outside_the_picture_are_no_avatar(tmp_path: Path) -> None:
    with Draft(tmp_path, 80, 64, ROOM) as draft:
        draft.add(frame(0))
        draft.finish()
    rows = np.fromfile(tmp_path / "frames", ROW)
    rows["box"] = (40, 10, 81, 51)
    rows.tofile(tmp_path / "frames")
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
    ("boxes", "lost", "subject"),
    [
        ([(0, 0, 400, 500)] * 100, 0, "face size"),
        ([(0, 0, 90, 100)] * 100, 0, "face size"),
        ([(8 * (i % 2), 0, 200, 230) for i in range(100)], 0, "box jitter"),
        ([(0, 0, 200, 230)] * 100, 3, "face seen"),
        ([(0, 0, 200, 230)] * 20, 0, "length"),
    ],
)
def test_a_report_says_what_to_improve(tmp_path: Path, boxes: list[Box], lost: int, subject: str) -> None:
    with Draft(tmp_path, 80, 64, ROOM) as draft:
        assert [one.subject for one in findings(boxes, lost, draft) if not one.good] == [subject]


def film(folder: Path, frames: list[Frame], room: Room) -> Stored:
    height, width = frames[0].picture.shape[:2]
    with Draft(folder, width, height, room) as draft:
        for one in frames:
            draft.add(one)
        draft.finish()
    return Stored(folder)


def shaded(seed: int) -> Frame:
    """A frame as cameras make them: shades and a little noise."""
    rng = np.random.default_rng(seed)
    one = frame(seed, (200, 100, 440, 400), (640, 480))
    shades = np.linspace(30, 200, 640)[None, :, None] + np.linspace(0, 40, 480)[:, None, None]
    one.picture[:] = np.clip(shades + rng.normal(0, 2, one.picture.shape), 0, 255)
    one.mask[:] = np.linspace(0, 255, one.mask.shape[1])[None].astype(np.uint8)
    return one


def test_what_memory_cannot_hold_is_compressed(tmp_path: Path) -> None:
    frames = [shaded(seed) for seed in range(3)]
    places = [tmp_path / name for name in ("plain", "small")]
    for place in places:
        place.mkdir()
    plain, small = film(places[0], frames, Room(3, 10_000_000)), film(places[1], frames, Room(3, 2_000_000))
    assert (plain.is_compressed, small.is_compressed) == (False, True)
    assert small.memory_bytes < 0.4 * plain.memory_bytes
    for index in range(3):
        apart = np.abs(plain.picture(index).astype(int) - small.picture(index))
        assert apart.mean() < 1.5 and apart.max() < 16
        assert np.array_equal(plain.mask(index), small.mask(index))
        assert np.array_equal(plain.mask(index, sharp=True), small.mask(index, sharp=True))
        assert not small.picture(index).flags.writeable


def test_five_minutes_of_1080p_fit_only_compressed() -> None:
    assert Room(7500, 2048 * 10**6).packing(1920, 1080) == "compressed"
    assert Room(250, 2048 * 10**6).packing(1920, 1080) == "plain"


def test_a_film_that_will_not_fit_is_refused_early_and_in_words(tmp_path: Path) -> None:
    words = (
        r"300 seconds needs \d+ MB of memory, even compressed; limits.avatar_memory_mb allows 64\. .* seconds: \d+\)"
    )
    one = shaded(0)
    with Draft(tmp_path, 640, 480, Room(7500, 64_000_000)) as draft:
        for _ in range(24):
            draft.add(one)
        with pytest.raises(BadPortrait, match=words) as refused:
            draft.add(one)
    fits = int(refused.value.message.split("seconds: ")[1].split(")")[0])
    each = (draft.picture_bytes + draft.rest_bytes) / draft.count
    assert fits * 25 * each <= 64_000_000 < (fits + 1) * 25 * each


def test_a_draft_of_the_other_kind_is_begun_anew(tmp_path: Path) -> None:
    for room, left in ((ROOM, 0), (PACKED, 0), (PACKED, 1)):
        with Draft(tmp_path, 80, 64, room) as draft:
            assert draft.count == left
            draft.add(frame(0))


@pytest.mark.parametrize("name", ["pictures", "masks"])
def test_compressed_files_that_were_changed_are_said_to_be_damaged(tmp_path: Path, name: str) -> None:
    stored = film(tmp_path, [shaded(0), shaded(1)], Room(2, 1_000_000))
    assert stored.is_compressed
    data = bytearray((tmp_path / name).read_bytes())
    data[: len(data) // 2] = bytes(len(data) // 2)
    (tmp_path / name).write_bytes(data)
    broken = Stored(tmp_path)
    with pytest.raises(AvatarNotReady, match="Prepare it again"):
        broken.picture(0) if name == "pictures" else broken.mask(0)
