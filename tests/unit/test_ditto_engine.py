"""The engine as a whole, on the stand-in networks of the reference material, with a short idle loop."""

from __future__ import annotations

import gc
import shutil
import tracemalloc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.beat import SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Options, Prepared
from studio.engines.ditto import idle, store
from studio.engines.ditto.engine import DittoAvatar, DittoEngine
from studio.engines.ditto.take import take_bytes
from studio.errors import AvatarNotReady, BadMessage, BadNetwork, BadPortrait, ConfigError, EngineFault
from studio.outputs.movie import render_movie
from studio.spec import AvatarSpec, LimitsSpec


@dataclass(frozen=True, slots=True)
class Set:
    """An engine with one avatar."""

    engine: DittoEngine
    spec: AvatarSpec
    avatar: DittoAvatar
    golden: Path
    folder: Path

    def play(self, sound: NDArray[np.int16], values: Mapping[str, object], seed: int = 1) -> list[Beat]:
        options = Options(seed=seed, values=values)
        self.engine.admit(self.avatar, options)
        take = self.engine.begin(self.avatar, options)
        return [beat for chunk in chunks(sound) for beat in self.engine.step([(take, chunk)])[0]]


def nothing(done: float, phrase: str) -> None:
    pass


def chunks(sound: NDArray[np.int16]) -> list[AudioChunk]:
    padded = np.pad(sound, (0, -len(sound) % SAMPLES_PER_BEAT)).reshape(-1, SAMPLES_PER_BEAT)
    return [AudioChunk(i, pcm, True, i) for i, pcm in enumerate(padded)]


def pictures(beats: Sequence[Beat]) -> NDArray[np.uint8]:
    return np.stack([beat.picture for beat in beats])


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Path:
    shared: Path = request.getfixturevalue("shared")
    return shared / "golden" / "ditto"


@pytest.fixture(scope="module")
def whole(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle, "SHORTEST", 6)
        patch.setattr(idle, "SEAM", 3)
        engine = DittoEngine()
        options = {"checkpoint": str(golden / "standins"), "max_size": 128, "sampling_timesteps": 2, "latency": "low"}
        spec = AvatarSpec("someone", golden / "inputs" / "image.png", engine="ditto", options=options)
        folder = tmp_path_factory.mktemp("ditto")
        findings = engine.prepare(spec, folder, nothing)
        assert findings and all(finding.text for finding in findings)
        yield Set(engine, spec, engine.load(Prepared(spec, folder)), golden, folder)
        engine.close()


@pytest.fixture(scope="module")
def sound(golden: Path) -> NDArray[np.int16]:
    wave: NDArray[np.float32] = np.load(golden / "inputs" / "audio16k.npy")
    return np.asarray(wave[: 20 * SAMPLES_PER_BEAT] * 32767, np.int16)


@pytest.mark.parametrize(("latency", "beats"), [("released", 22), ("low", 12), ("lowest", 8)])
def test_lookahead_follows_the_visits_latency(whole: Set, latency: str, beats: int) -> None:
    assert whole.engine.admit(whole.avatar, Options(values={"latency": latency})) == beats
    assert whole.engine.lookahead >= beats


def test_same_seed_and_sound_give_the_same_pictures_and_another_seed_others(
    whole: Set, sound: NDArray[np.int16]
) -> None:
    first, again, other = (whole.play(sound, {"latency": "lowest"}, seed) for seed in (1, 1, 2))
    assert len(first) == 12
    assert np.array_equal(pictures(first), pictures(again))
    assert not np.array_equal(pictures(first), pictures(other))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"sampling_timesteps": "many"}, "sampling_timesteps is a whole number from 1 to 1000, not 'many'"),
        ({"sampling_timesteps": True}, "sampling_timesteps"),
        ({"emo": 9}, "an emotion 0..7"),
        ({"latency": "none"}, "one of released, low, lowest"),
        ({"overlap_v2": 10}, "at least 40 for a live avatar"),
        ({"frame_scale": 0}, "frame_scale is a number from 0.1 to 1, not 0"),
        ({"frame_scale": "half"}, "frame_scale is a number from 0.1 to 1, not 'half'"),
        ({"frame_scale": True}, "frame_scale is a number from 0.1 to 1, not True"),
        ({"max_size": 512}, "belongs to the avatar's preparation"),
        ({"speed": 2}, "has no option 'speed'"),
        ({"overall_ctrl_info": {"delta_pitch": float("nan")}}, "delta_pitch is a number"),
        ({"use_d_keys": {"exp": None}}, "with weights"),
        ({"delta_eye_arr": [[1.0]]}, "rows of 63 numbers"),
        ({"ch_info": {"sc": []}}, "a person as released"),
    ],
)
def test_a_visits_illegal_options_are_refused_in_words(whole: Set, values: Mapping[str, object], word: str) -> None:
    with pytest.raises(BadMessage, match=word.replace("(", r"\(")):
        whole.engine.admit(whole.avatar, Options(values=values))


def test_an_avatars_illegal_options_are_refused_before_anything_is_read(whole: Set) -> None:
    with pytest.raises(ConfigError, match="crop_scale is a number from 1 to 10"):
        whole.engine.fingerprint(replace(whole.spec, options={**whole.spec.options, "crop_scale": 0}))
    with pytest.raises(ConfigError, match="has no option"):
        whole.engine.fingerprint(replace(whole.spec, options={"colour": "red"}))


def test_fingerprint_changes_with_options_and_not_with_the_way_of_rendering(whole: Set) -> None:
    engine, spec = whole.engine, whole.spec
    own = engine.fingerprint(spec)
    assert engine.fingerprint(replace(spec, options={**spec.options, "crop_scale": 2.0})) != own
    assert engine.fingerprint(replace(spec, options={**spec.options, "online_mode": True})) == own
    assert engine.fingerprint(replace(spec, options={**spec.options, "frame_scale": 0.5})) == own


def test_size_that_is_sent_is_judged_for_avatar_and_visit(whole: Set) -> None:
    assert whole.engine.admit(whole.avatar, Options(values={"frame_scale": 0.5})) == 12
    with pytest.raises(ConfigError, match=r"frame_scale is a number from 0\.1 to 1, not 7"):
        whole.engine.fingerprint(replace(whole.spec, options={**whole.spec.options, "frame_scale": 7}))


@pytest.mark.parametrize("latency", ["released", "lowest"])
def test_a_visit_keeps_what_the_preparation_said_and_no_more(
    whole: Set, sound: NDArray[np.int16], latency: str
) -> None:
    options = Options(values={"latency": latency, "sampling_timesteps": 10})
    talk = chunks(np.tile(sound, 3))
    whole.play(sound, options.values)
    tracemalloc.start()
    try:
        take = whole.engine.begin(whole.avatar, options)
        for chunk in talk:
            whole.engine.step([(take, chunk)])
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.8 * take_bytes(take.player.setup) < kept < 1.05 * take_bytes(take.player.setup)


class Nonsense:
    def standard_normal(self, size: tuple[int, ...]) -> NDArray[np.float64]:
        return np.full(size, np.nan)


def test_numbers_that_are_none_end_the_take_and_no_other(whole: Set, sound: NDArray[np.int16]) -> None:
    engine, options = whole.engine, Options(values={"latency": "lowest"})
    good, bad = engine.begin(whole.avatar, options), engine.begin(whole.avatar, Options(seed=9, values=options.values))
    alone = whole.play(sound, options.values, seed=0)
    beats: list[Beat] = []
    for chunk in chunks(sound):
        if chunk.index == 14:
            bad.player.noise = Nonsense()
        try:
            beats += engine.step([(good, chunk), (bad, chunk)])[0]
        except EngineFault:
            assert chunk.index >= 14
            beats += engine.step([(good, chunk)])[0]
            with pytest.raises(EngineFault):
                engine.step([(bad, chunk)])
    assert np.array_equal(pictures(beats), pictures(alone)), "a step that is tried again loses nothing"


def test_a_picture_that_is_no_number_is_the_idle_loops(
    whole: Set, sound: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"latency": "lowest"}
    good = whole.play(sound, options)
    drawn, calls = whole.avatar.crew.drawn, iter(range(99))

    def spoilt(faces: Any) -> list[NDArray[np.float32]]:
        bad = next(calls) == 3
        return [np.full_like(face, np.nan) if bad else face for face in drawn(faces)]

    with monkeypatch.context() as broken:
        broken.setattr(whole.avatar.crew, "drawn", spoilt)
        beats = whole.play(sound, options)
    other = [i for i, beat in enumerate(beats) if not np.array_equal(beat.picture, good[i].picture)]
    assert len(beats) == len(good) and len(other) == 1
    assert np.array_equal(beats[other[0]].picture, whole.avatar.idle(beats[other[0]].phase))


def test_a_decoder_that_answers_nonsense_for_a_second_ends_the_take(
    whole: Set, sound: NDArray[np.int16], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = whole.avatar.crew.drawn
    monkeypatch.setattr(whole.avatar.crew, "drawn", lambda faces: [np.full_like(face, np.nan) for face in drawn(faces)])
    with pytest.raises(EngineFault, match="26 times"):
        whole.play(np.tile(sound, 3), {"latency": "lowest"})


def test_the_limits_of_the_configuration_reach_the_registration(
    whole: Set, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits, seen = LimitsSpec(avatar_memory_mb=77), []

    def register(*arguments: object) -> None:
        seen.append(arguments[-1])
        raise BadPortrait("This video has more than 7 pictures, which is all that an avatar of its size may keep.")

    monkeypatch.setattr("studio.engines.ditto.engine.register", register)
    engine = DittoEngine(limits)
    with pytest.raises(BadPortrait):
        engine.prepare(whole.spec, tmp_path, lambda done, phrase: None)
    engine.close()
    assert seen == [limits]


def test_film_of_the_offline_way_shows_every_frame_from_the_first(whole: Set, sound: NDArray[np.int16]) -> None:
    options = Options(values={"sampling_timesteps": 2, "fade_in": 3, "fade_out": 3}, sound=sound[:-1])
    assert whole.engine.admit(whole.avatar, options) == 0
    take = whole.engine.begin(whole.avatar, options)
    beats = [beat for chunk in chunks(sound[:-1]) for beat in whole.engine.step([(take, chunk)])[0]]
    assert [beat.index for beat in beats] == list(range(20))
    assert np.abs(np.diff(pictures(beats).astype(int), axis=0)).max() > 0


@pytest.mark.parametrize("beforehand", [False, True])
def test_films_last_as_long_as_their_sound(whole: Set, tmp_path: Path, beforehand: bool) -> None:
    import soundfile

    path = tmp_path / "short.wav"
    soundfile.write(path, np.sin(np.arange(3000) / 8).astype(np.float32) * 0.3, 16000)
    report = render_movie(
        whole.avatar, whole.engine, path, tmp_path / "out.mp4", nothing, beforehand=beforehand
    )  # fmt: skip
    assert report.seconds == pytest.approx(0.2), "ceil(3000 * 25 / 16000) = 5 pictures"


def test_missing_and_foreign_networks_are_named(whole: Set, tmp_path: Path) -> None:
    shutil.copytree(whole.golden / "standins", tmp_path / "c")
    (tmp_path / "c" / "ditto_onnx").chmod(0o755)
    spec = replace(whole.spec, options={**whole.spec.options, "checkpoint": str(tmp_path / "c")})
    networks = tmp_path / "c" / "ditto_onnx"
    (networks / "hubert.onnx").unlink()
    with pytest.raises(BadNetwork, match=r"hubert\.onnx is missing"):
        DittoEngine().load(Prepared(spec, whole.folder))
    shutil.copy(networks / "stitch_network.onnx", networks / "hubert.onnx")
    with pytest.raises(BadNetwork, match=r"hubert\.onnx is not the network that belongs there"):
        DittoEngine().load(Prepared(spec, whole.folder))
    spec = replace(spec, options={**spec.options, "checkpoint": str(tmp_path / "nowhere")})
    with pytest.raises(AvatarNotReady, match="hubert_cfg_trt_online"):
        DittoEngine().load(Prepared(spec, whole.folder))


@pytest.mark.parametrize("name", [store.FRAMES, store.FEATURES, store.FACE, store.LOOP, store.IDLE])
def test_damaged_preparation_is_noticed(whole: Set, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "prepared"
    shutil.copytree(whole.folder, folder)
    (folder / name).write_bytes((folder / name).read_bytes()[:-100])
    with pytest.raises(AvatarNotReady, match="Prepare it again"):
        whole.engine.load(Prepared(whole.spec, folder))
