"""Avatars that upstream prepared: read as they are, refused with a sentence where they do not fit."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.musetalk.importer import Info, Upstream, is_upstream
from studio.engines.musetalk.types import Frame
from studio.errors import BadPortrait
from tests.unit.torch_fixtures import save_list

Change = Callable[["Folder"], object]
PIXELS, BYTES = 100_000, 1_000_000
BOX, CROP = [10, 12, 40, 52], [-5, 2, 55, 62]


def pixels(path: Path, how: int = cv2.IMREAD_COLOR) -> NDArray[Any]:
    """Read a picture."""
    return np.asarray(cv2.imread(str(path), how))


class Folder:
    """An avatar of ``frames`` frames as MuseTalk writes it, which a test may spoil."""

    def __init__(self, path: Path, frames: int = 3, mirrored: bool = True) -> None:
        self.path = path
        indices = [*range(frames), *reversed(range(frames))] if mirrored else list(range(frames))
        self.boxes: list[Any] = [[np.int32(BOX[0] + k), BOX[1], np.int64(BOX[2] + k), BOX[3]] for k in indices]
        self.crops: list[Any] = [list(CROP) for _ in indices]
        self.latents = [np.full((1, 8, 32, 32), k, np.float16) for k in indices]
        for name in ("full_imgs", "mask"):
            (path / name).mkdir(parents=True)
        for place, k in enumerate(indices):
            cv2.imwrite(str(path / f"full_imgs/{place:08d}.png"), np.full((70, 60, 3), 50 + k, np.uint8))
            cv2.imwrite(str(path / f"mask/{place:08d}.png"), np.full((60, 60), 100 + k, np.uint8))
        info = {"avatar_id": "me", "video_path": "me.mp4", "bbox_shift": 0, "version": "v15"}
        (path / "avator_info.json").write_text(json.dumps(info))
        self.write()

    def write(self) -> None:
        """Write lists and latents anew."""
        (self.path / "coords.pkl").write_bytes(pickle.dumps(self.boxes))
        (self.path / "mask_coords.pkl").write_bytes(pickle.dumps(self.crops))
        save_list(self.path / "latents.pt", self.latents)

    def read(self) -> list[Frame]:
        """Read all frames."""
        with Upstream(self.path, PIXELS, BYTES) as avatar:
            frames = list(avatar.frames())
            assert len(frames) == avatar.count
        return frames


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """A good avatar of three frames."""
    return Folder(tmp_path / "me")


def test_mirrored_avatar_is_read_once(folder: Folder) -> None:
    assert is_upstream(folder.path)
    frames = folder.read()
    assert [frame.box for frame in frames] == [(10 + k, 12, 40 + k, 52) for k in range(3)]
    assert [frame.crop for frame in frames] == [tuple(CROP)] * 3
    for k, frame in enumerate(frames):
        assert (frame.picture.shape, frame.picture.dtype.name, frame.picture.max()) == ((70, 60, 3), "uint8", 50 + k)
        assert (frame.mask.shape, frame.mask.dtype.name, frame.mask.max()) == ((60, 60), "uint8", 100 + k)
        assert (frame.latents.shape, frame.latents.dtype.name, frame.latents.max()) == ((8, 32, 32), "float32", k)


def test_description_is_read_and_need_not_be_there(folder: Folder) -> None:
    with Upstream(folder.path, PIXELS, BYTES) as avatar:
        assert avatar.info == Info("me", "me.mp4", "v15", 0)
        assert (avatar.count, avatar.left_out, avatar.width, avatar.height) == (3, 0, 60, 70)
    (folder.path / "avator_info.json").unlink()
    with Upstream(folder.path, PIXELS, BYTES) as avatar:
        assert avatar.info == Info()


@pytest.mark.parametrize("frames", [1, 3, 4])
def test_avatar_of_livetalking_has_no_second_half(tmp_path: Path, frames: int) -> None:
    assert len(Folder(tmp_path / "me", frames, mirrored=False).read()) == frames


def test_still_head_that_is_not_mirrored_keeps_all_frames(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "me", 4, mirrored=False)
    folder.boxes = [list(BOX)] * 4
    folder.write()
    assert len(folder.read()) == 4


def test_jpeg_pictures_are_sorted_by_number(folder: Folder) -> None:
    for path in list((folder.path / "full_imgs").iterdir()):
        cv2.imwrite(str(path.with_name(f"{int(path.stem)}.jpg")), pixels(path))
        path.unlink()
    (folder.path / "full_imgs/.DS_Store").touch()
    (folder.path / "full_imgs/Thumbs.db").touch()
    assert [frame.picture.max() for frame in folder.read()] == [50, 51, 52]


def test_mask_of_three_channels_is_read(folder: Folder) -> None:
    for path in (folder.path / "mask").iterdir():
        cv2.imwrite(str(path), pixels(path))
    assert [frame.mask.max() for frame in folder.read()] == [100, 101, 102]


def test_box_that_leaves_the_picture_is_cut(folder: Folder) -> None:
    folder.boxes = [[-3, -2, 70, 60]] * 6
    folder.crops = [[-20, -20, 90, 90]] * 6
    for path in (folder.path / "mask").iterdir():
        cv2.imwrite(str(path), np.zeros((110, 110), np.uint8))
    folder.write()
    assert folder.read()[0].box == (0, 0, 60, 60)


@pytest.mark.parametrize("with_latents", [True, False])
def test_few_frames_without_a_face_are_left_out(tmp_path: Path, with_latents: bool) -> None:
    folder = Folder(tmp_path / "me", 6)
    folder.boxes[2] = folder.boxes[9] = (0.0, 0.0, 0.0, 0.0)
    if not with_latents:
        folder.latents = [latent for k, latent in enumerate(folder.latents) if k not in (2, 9)]
    folder.write()
    with Upstream(folder.path, PIXELS, BYTES) as avatar:
        assert (avatar.count, avatar.left_out) == (5, 1)
        assert [frame.latents.max() for frame in avatar.frames()] == [0, 1, 3, 4, 5]


def spoil(**changes: Any) -> Change:
    """Return a change of lists."""

    def change(folder: Folder) -> None:
        for name, value in changes.items():
            setattr(folder, name, value)
        folder.write()

    return change


def replaced(name: str, content: bytes) -> Change:
    """Return a change of a file's content."""
    return lambda folder: (folder.path / name).write_bytes(content)


def removed(name: str) -> Change:
    """Return the removal of a file or folder."""

    def remove(folder: Folder) -> None:
        path = folder.path / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def picture(name: str, *shape: int) -> Change:
    """Return the replacement of a picture by a black one."""
    return lambda folder: cv2.imwrite(str(folder.path / name), np.zeros(shape, np.uint8))


GOOD = np.zeros((1, 8, 32, 32), np.float32)
SPOILT: dict[str, tuple[Change, str]] = {
    "no latents": (removed("latents.pt"), "There is no file latents.pt"),
    "no boxes": (removed("coords.pkl"), "There is no file coords.pkl"),
    "no mask boxes": (removed("mask_coords.pkl"), "There is no file mask_coords.pkl"),
    "no pictures": (removed("full_imgs"), "full_imgs is missing"),
    "no masks": (removed("mask"), "mask is missing"),
    "a picture less": (removed("full_imgs/00000004.png"), "5 in full_imgs"),
    "a mask less": (removed("mask/00000004.png"), "5 in mask"),
    "fewer boxes": (spoil(boxes=[BOX] * 5), "5 in coords.pkl"),
    "fewer mask boxes": (spoil(crops=[CROP] * 5), "5 in mask_coords.pkl"),
    "fewer latents": (spoil(latents=[GOOD] * 5), "5 latents for 6 frames, 0 of them without a face"),
    "no entries": (spoil(boxes=[], crops=[], latents=[]), "list of 1 to"),
    "no list": (spoil(boxes={"a": 1}), "coords.pkl does not hold a list"),
    "ragged boxes": (spoil(boxes=[[1, [2], 3, 4]] * 6), "Entry 0 of coords.pkl"),
    "boxes of five": (spoil(boxes=[[1, 2, 3, 4, 5]] * 6), "Entry 0 of coords.pkl"),
    "half pixels": (spoil(boxes=[[1.5, 2, 30, 40]] * 6), "Entry 0 of coords.pkl"),
    "endless boxes": (spoil(boxes=[[1, 2, 30, float("inf")]] * 6), "Entry 0 of coords.pkl"),
    "boxes of truth": (spoil(boxes=[[True, 2, 30, 40]] * 6), "Entry 0 of coords.pkl"),
    "boxes of text": (spoil(boxes=["abcd"] * 6), "Entry 0 of coords.pkl"),
    "nothing seen": (spoil(boxes=[(0.0,) * 4] * 6), "3 of this avatar's 3 frames have no face"),
    "box outside": (spoil(boxes=[[100, 100, 150, 150]] * 6), "outside of the picture or is too small"),
    "box turned over": (spoil(boxes=[[40, 52, 10, 12]] * 6), "outside of the picture or is too small"),
    "small box": (spoil(boxes=[[10, 10, 25, 60]] * 6), "outside of the picture or is too small"),
    "enormous box": (spoil(boxes=[[-(10**30), 0, 10**30, 60]] * 6), "does not cover"),
    "mask beside the face": (spoil(crops=[[20, 2, 80, 62]] * 6), "does not cover its face box"),
    "enormous mask box": (spoil(crops=[[-(10**9), -(10**9), 10**9, 10**9]] * 6), "larger than any face"),
    "mask of another size": (spoil(crops=[[-5, 2, 56, 62]] * 6), "60 × 60 pixels instead of 61 × 60"),
    "other latents": (spoil(latents=[np.zeros((1, 4, 32, 32), np.float32)] * 6), "shape [1, 4, 32, 32]"),
    "not a number": (spoil(latents=[GOOD * np.nan] * 6), "no network of MuseTalk"),
    "endless latents": (spoil(latents=[GOOD + np.inf] * 6), "no network of MuseTalk"),
    "latents beyond single precision": (spoil(latents=[np.full(GOOD.shape, 1e300)] * 6), "no network of MuseTalk"),
    "whole latents": (spoil(latents=[GOOD.astype(np.int64)] * 6), "kind i8"),
    "great latents": (spoil(latents=[GOOD + 1e6] * 6), "no network of MuseTalk"),
    "damaged pickle": (replaced("coords.pkl", b"\x80\x04]"), "coords.pkl is damaged"),
    "damaged latents": (replaced("latents.pt", b"PK\3\4" * 20), "latents.pt is damaged"),
    "damaged description": (replaced("avator_info.json", b"{"), "avator_info.json is damaged"),
    "deep description": (replaced("avator_info.json", b"[" * 60_000), "avator_info.json is damaged"),
    "list as description": (replaced("avator_info.json", b"[]"), "avator_info.json is damaged"),
    "picture that is none": (replaced("full_imgs/00000001.png", b"no picture"), "is not a picture"),
    "first picture that is none": (replaced("full_imgs/00000000.png", b"no picture"), "is not a picture"),
    "picture of another size": (picture("full_imgs/00000001.png", 72, 60, 3), "60 × 72 pixels instead of 60 × 70"),
    "picture too large": (picture("full_imgs/00000000.png", 400, 400, 3), "the limit is"),
    "odd name": (picture("full_imgs/me.png", 70, 60, 3), "not named by a number"),
    "number twice": (picture("full_imgs/1.png", 70, 60, 3), "two pictures of number 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_avatar_is_refused_in_words(folder: Folder, name: str) -> None:
    change, expected = SPOILT[name]
    change(folder)
    with pytest.raises(BadPortrait) as caught:
        folder.read()
    assert expected in caught.value.message
    assert caught.value.message.endswith(".")


def test_boxes_that_were_moved_are_taken_only_when_asked_for(folder: Folder) -> None:
    (folder.path / "avator_info.json").write_text('{"bbox_shift": -7}')
    with Upstream(folder.path, PIXELS, BYTES) as avatar:
        avatar.agree(-7)
        for other in (0, 7):
            with pytest.raises(BadPortrait, match="Set bbox_shift: -7 to take it as it is"):
                avatar.agree(other)


def test_truncated_picture_is_refused(folder: Folder) -> None:
    path = folder.path / "full_imgs/00000002.png"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BadPortrait, match="cut off"):
        folder.read()


class Gadget:
    """Reduces to a call of the shell."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trap}",)


@pytest.mark.parametrize("name", ["coords.pkl", "mask_coords.pkl"])
def test_nothing_in_an_avatar_is_run(folder: Folder, tmp_path: Path, name: str) -> None:
    trap = tmp_path / "sprung"
    (folder.path / name).write_bytes(pickle.dumps([[1, 2, 3, Gadget(trap)]]))
    with pytest.raises(BadPortrait, match=r"posix\.system"):
        folder.read()
    assert not trap.exists()


def test_golden_avatar_is_read_as_upstream_wrote_it(shared: Path) -> None:
    folder = shared / "golden/musetalk/avatar_cache"
    golden = np.load(shared / "golden/musetalk/e2e.npz")
    with Upstream(folder, 50_000_000, 40_000_000) as avatar:
        frames = list(avatar.frames())
    assert len(frames) * 2 == len(golden["coords"])
    for k, frame in enumerate(frames):
        assert frame.box == tuple(golden["coords"][k])
        assert frame.crop == tuple(golden["mask_coords"][k])
        np.testing.assert_allclose(frame.latents, golden["latents"][k], atol=1e-6)
        np.testing.assert_array_equal(frame.picture, pixels(folder / f"full_imgs/{k:08d}.png"))
        np.testing.assert_array_equal(frame.mask, pixels(folder / f"mask/{k:08d}.png", -1))


def test_golden_avatar_with_latents_of_a_gpu(shared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "me"
    shutil.copytree(shared / "golden/musetalk/avatar_cache", folder, copy_function=shutil.copyfile)
    folder.chmod(0o755)
    (folder / "latents.pt").unlink()
    shutil.copyfile(shared / "golden/musetalk/latents_cuda_half.pt", folder / "latents.pt")
    with Upstream(folder, 50_000_000, 40_000_000) as avatar:
        assert len(list(avatar.frames())) == 4
