"""The portrait engine on the shipped photo: what it writes, refuses, reads back, and how it rests."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from studio.beat import AudioChunk
from studio.engine import Options, Prepared
from studio.engines.portrait.engine import IDLE_FILE, PICTURE_BYTES, PortraitAvatar, PortraitEngine
from studio.errors import AvatarNotReady, BadMessage, BadPortrait, ConfigError
from studio.spec import AvatarSpec

PHOTO = Path(__file__).parents[2] / "static" / "avatars" / "astronaut.png"
SPEC = AvatarSpec("astronaut", PHOTO)
Seen = list[tuple[float, str]]


@pytest.fixture(scope="module")
def engine() -> PortraitEngine:
    return PortraitEngine()


@pytest.fixture(scope="module")
def told() -> Seen:
    return []


@pytest.fixture(scope="module")
def folder(engine: PortraitEngine, told: Seen, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("astronaut")
    findings = engine.prepare(SPEC, path, lambda done, doing: told.append((done, doing)))
    assert {finding.subject for finding in findings} >= {"face size", "sharpness"}
    return path


@pytest.fixture
def avatar(engine: PortraitEngine, folder: Path) -> PortraitAvatar:
    return engine.load(Prepared(SPEC, folder))


def test_preparation_reports_its_progress(folder: Path, told: Seen) -> None:
    done = [fraction for fraction, _ in told]
    assert done == sorted(done)
    assert done[-1] == 1.0
    assert all(doing for _, doing in told)


def test_preparation_writes_no_pickles(folder: Path) -> None:
    for path in folder.glob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)


def test_idle_pictures_come_from_the_file(avatar: PortraitAvatar, folder: Path) -> None:
    assert (folder / IDLE_FILE).stat().st_size == avatar.idle_length * PICTURE_BYTES
    first, again = avatar.idle(3), avatar.idle(3 + avatar.idle_length)
    assert first.shape == (768, 512)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, avatar.idle(60))


def test_idle_loop_has_no_seam(avatar: PortraitAvatar) -> None:
    def step(a: int, b: int) -> float:
        return float(np.abs(avatar.idle(a)[:512].astype(int) - avatar.idle(b)[:512]).mean())

    assert step(avatar.idle_length - 1, 0) <= 1.5 * max(step(i, i + 1) for i in range(20))


def test_idle_survives_the_loss_of_its_folder(engine: PortraitEngine, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    avatar = engine.load(Prepared(SPEC, copy))
    shutil.rmtree(copy)
    assert avatar.idle(0).any()


def test_coming_to_rest_continues_in_the_idle_loop(engine: PortraitEngine, avatar: PortraitAvatar) -> None:
    take = engine.begin(avatar, Options(seed=3))
    noise = np.random.default_rng(0).normal(0, 4000, (40, 640)).astype(np.int16)
    noise[25:] = 0
    beats = []
    for i, pcm in enumerate(noise):
        beats += engine.step([(take, AudioChunk(i, pcm, i < 25, (230 + i) % 250))])[0]
    pictures = [beat.picture[:512].astype(int) for beat in beats]
    loop = [avatar.idle(beat.phase)[:512].astype(int) for beat in beats]
    assert all(np.array_equal(a, b) for a, b in zip(pictures[28:], loop[28:], strict=True))
    away = [float(np.abs(a - b).mean()) for a, b in zip(pictures, loop, strict=True)]
    assert away[27] < away[24]
    assert away[27] < 1.0


@pytest.mark.parametrize("damage", ["missing", "short"])
def test_damaged_idle_loop_is_not_ready(engine: PortraitEngine, folder: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    if damage == "missing":
        (copy / IDLE_FILE).unlink()
    else:
        with (copy / IDLE_FILE).open("r+b") as file:
            file.truncate(PICTURE_BYTES * 100)
    with pytest.raises(AvatarNotReady, match="Prepare it again"):
        engine.load(Prepared(SPEC, copy))


def test_fingerprint_follows_source_options_and_name(engine: PortraitEngine, tmp_path: Path) -> None:
    copy = tmp_path / "astronaut.png"
    shutil.copy(PHOTO, copy)
    beside = tmp_path / "astronaut.landmarks.npz"
    shutil.copy(PHOTO.with_name(beside.name), beside)
    spec = replace(SPEC, source=copy)
    first = engine.fingerprint(spec)
    assert first == engine.fingerprint(SPEC)
    prints = {first, engine.fingerprint(replace(spec, options={"expressiveness": 1.2}))}
    prints.add(engine.fingerprint(replace(spec, id="other")))
    with copy.open("ab") as file:
        file.write(b"x")
    prints.add(engine.fingerprint(spec))
    beside.unlink()
    prints.add(engine.fingerprint(spec))
    assert len(prints) == 5


def test_missing_source_is_a_sentence(engine: PortraitEngine, tmp_path: Path) -> None:
    with pytest.raises(BadPortrait, match="no picture called"):
        engine.fingerprint(AvatarSpec("me", tmp_path / "me.jpg"))


@pytest.mark.parametrize(
    "options", [{"expressiveness": 3}, {"expressiveness": "much"}, {"expressiveness": True}, {"smile": 1}]
)
def test_options_out_of_range_are_refused(
    engine: PortraitEngine, avatar: PortraitAvatar, options: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match="expressiveness"):
        engine.fingerprint(replace(SPEC, options=options))
    with pytest.raises(BadMessage, match="expressiveness"):
        engine.admit(avatar, Options(values=options))
