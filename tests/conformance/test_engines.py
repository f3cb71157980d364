"""What every engine of `ENGINES` must do; a new one is done when it passes with a line in `CASES`."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import ENGINES, Avatar, Engine, Options, Prepared, load_engine
from studio.errors import BadMessage
from studio.spec import AvatarSpec, LimitsSpec
from tests.conftest import SHARED

AVATARS = Path(__file__).parents[2] / "static" / "avatars"


@dataclass(frozen=True, slots=True)
class Case:
    """How one engine is tested."""

    source: Path
    mouth: tuple[int, int, int, int]
    """x0, y0, x1, y1: where the mouth of this avatar moves."""
    tolerance: float = 0.0
    """Levels (mean of the picture) by which a batch may differ from single steps."""
    options: Mapping[str, object] = field(default_factory=dict)
    """Of the avatar."""
    has_stand_ins: bool = False
    """Its networks paint a strange mouth whatever they hear: that pauses are none of speech must be told."""


MUSETALK = SHARED / "golden" / "musetalk"
DITTO = SHARED / "golden" / "ditto"
CASES = {
    "testcard": Case(AVATARS / "none", (176, 280, 336, 440)),
    "portrait": Case(AVATARS / "astronaut.png", (190, 290, 320, 380)),
    "musetalk": Case(
        MUSETALK / "input" / "frames",
        (130, 210, 220, 280),
        0.01,
        {"checkpoint": str(MUSETALK / "standins"), "allow_small_networks": True},
        has_stand_ins=True,
    ),
    "ditto": Case(
        DITTO / "inputs" / "image.png",
        (90, 120, 170, 190),
        0.01,
        {"checkpoint": str(DITTO / "standins"), "max_size": 256, "latency": "lowest", "sampling_timesteps": 4},
        has_stand_ins=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine with one avatar loaded."""

    engine: Engine
    avatar: Avatar
    prepared: Prepared
    case: Case

    def play(self, chunks: Sequence[AudioChunk], seed: int = 1) -> list[Beat]:
        take = self.engine.begin(self.avatar, Options(seed=seed))
        return [beat for chunk in chunks for beat in self.engine.step([(take, chunk)])[0]]

    def mouth(self, picture: NDArray[np.uint8]) -> NDArray[np.int16]:
        x0, y0, x1, y1 = self.case.mouth
        return picture[y0:y1, x0:x1].astype(np.int16)


def test_every_engine_has_a_case() -> None:
    assert set(CASES) == set(ENGINES)


@pytest.fixture(scope="module", params=sorted(CASES))
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    case = CASES[request.param]
    if case.source.is_relative_to(SHARED):
        request.getfixturevalue("shared")
        pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")
    engine = load_engine(request.param)
    spec = AvatarSpec("someone", case.source, engine=request.param, options=case.options)
    folder = tmp_path_factory.mktemp(request.param)
    findings = engine.prepare(spec, folder, lambda done, doing: None)
    prepared = Prepared(spec, folder, tuple(findings))
    yield Stage(engine, engine.load(prepared), prepared, case)
    engine.close()


def talk(beats: int, seed: int = 0) -> NDArray[np.int16]:
    """Something like speech (beats, 640): a buzz whose formants wander, in syllables of a fifth of a second."""
    rng = np.random.default_rng(seed)
    time = np.arange(beats * SAMPLES_PER_BEAT) / 16000
    wave = np.zeros_like(time)
    wander = 1.0 + 0.4 * np.sin(2 * np.pi * 2.3 * time + rng.uniform(0, 6))
    for n in range(1, 40):
        hertz = 110.0 * n
        gain = 1 / (1 + ((hertz - 600 * wander) / 120) ** 2) + 0.4 / (1 + ((hertz - 1500 * wander) / 150) ** 2)
        wave += gain * np.sin(2 * np.pi * hertz * time + n * n)
    syllables = np.clip(np.sin(2 * np.pi * 5 * time), 0, 1)
    wave *= 0.25 * syllables / np.abs(wave).max()
    return (wave * 32767).astype(np.int16).reshape(beats, SAMPLES_PER_BEAT)


def chunks_of(sound: NDArray[np.int16], speech: slice = slice(None), phase: int = 0, cut: int = -1) -> list[AudioChunk]:
    spoken = set(range(len(sound))[speech])
    return [AudioChunk(i, pcm, i in spoken, phase + i, i == cut) for i, pcm in enumerate(sound)]


def quiet(beats: int) -> NDArray[np.int16]:
    return np.zeros((beats, SAMPLES_PER_BEAT), np.int16)


def same(a: Sequence[Beat], b: Sequence[Beat]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x.picture, y.picture) for x, y in zip(a, b, strict=True))


def test_constants_are_sane(stage: Stage) -> None:
    engine, avatar = stage.engine, stage.avatar
    assert engine.name in ENGINES
    assert avatar.width * avatar.height < avatar.memory_bytes < LimitsSpec().avatar_memory_mb * 10**6
    assert 0 <= engine.admit(avatar, Options()) <= engine.lookahead
    assert engine.lanes >= 1
    assert engine.max_batch >= 1
    assert avatar.width % 2 == avatar.height % 2 == 0
    assert avatar.idle_length == 1 or avatar.idle_length >= 200


def test_option_that_no_engine_has_is_refused_by_name(stage: Stage) -> None:
    with pytest.raises(BadMessage) as refusal:
        stage.engine.admit(stage.avatar, Options(values={"wingspan": 3}))
    assert refusal.value.message.endswith(".")


def test_idle_pictures_have_the_avatars_shape_and_wrap(stage: Stage) -> None:
    avatar = stage.avatar
    for phase in (0, 1, avatar.idle_length - 1):
        picture = avatar.idle(phase)
        assert picture.shape == (avatar.height * 3 // 2, avatar.width)
        assert picture.dtype == np.uint8
        assert np.array_equal(picture, avatar.idle(phase + avatar.idle_length))


def test_index_samples_speech_and_phase_come_out_as_they_went_in(stage: Stage) -> None:
    chunks = chunks_of(talk(40), slice(3, 30), phase=17)
    beats = stage.play(chunks)
    assert len(beats) >= len(chunks) - stage.engine.lookahead
    for chunk, beat in zip(chunks, beats, strict=False):
        assert (beat.index, beat.speech, beat.phase) == (chunk.index, chunk.speech, chunk.phase)
        assert np.array_equal(beat.pcm, chunk.pcm)


def test_pictures_have_the_avatars_shape(stage: Stage) -> None:
    for beat in stage.play(chunks_of(talk(6))):
        assert beat.picture.shape == (stage.avatar.height * 3 // 2, stage.avatar.width)
        assert beat.picture.dtype == np.uint8


def test_pictures_once_out_are_never_written_again(stage: Stage) -> None:
    take = stage.engine.begin(stage.avatar, Options())
    beats: list[Beat] = []
    copies: list[NDArray[np.uint8]] = []
    for chunk in chunks_of(talk(12)):
        new = stage.engine.step([(take, chunk)])[0]
        beats += new
        copies += [beat.picture.copy() for beat in new]
    assert all(np.array_equal(beat.picture, copy) for beat, copy in zip(beats, copies, strict=True))


def test_speech_moves_the_mouth(stage: Stage) -> None:
    beats = stage.play(chunks_of(talk(24)))[1:]
    apart = [
        float(np.abs(stage.mouth(beat.picture) - stage.mouth(stage.avatar.idle(beat.phase))).mean()) for beat in beats
    ]
    assert max(apart) > 4.0


def test_silence_keeps_the_mouth_still(stage: Stage) -> None:
    sound = np.concatenate([talk(20), quiet(30)])
    beats = stage.play(chunks_of(sound, slice(0, 20)))
    for beat in beats[30:]:
        if beat.index % 25:  # the test card flashes
            assert np.array_equal(stage.mouth(beat.picture), stage.mouth(stage.avatar.idle(beat.phase)))


def test_interruption_closes_the_mouth_within_three_beats(stage: Stage) -> None:
    sound = np.concatenate([talk(22), quiet(20)])
    beats = stage.play(chunks_of(sound, slice(0, 22), cut=22))
    for beat in beats:
        if beat.index > 25:
            away = np.abs(stage.mouth(beat.picture) - stage.mouth(stage.avatar.idle(beat.phase))).mean()
            assert away < 2.0, beat.index


def test_any_sound_gives_beats(stage: Stage) -> None:
    """Full scale, alternating, offset, clicks; a cut on the first chunk; a phase far beyond the loop."""
    rng = np.random.default_rng(3)
    sound = np.concatenate(
        [
            np.full((3, SAMPLES_PER_BEAT), 32767, np.int16),
            np.full((3, SAMPLES_PER_BEAT), -32768, np.int16),
            np.tile(np.array([-32768, 32767], np.int16), (3, SAMPLES_PER_BEAT // 2)),
            rng.integers(-32768, 32768, (3, SAMPLES_PER_BEAT)).astype(np.int16),
            (rng.uniform(size=(3, SAMPLES_PER_BEAT)) < 0.01).astype(np.int16) * 32767,
        ]
    )
    for cut in (0, 1, 7):
        beats = stage.play(chunks_of(sound, phase=10**9, cut=cut))
        assert len(beats) >= len(sound) - stage.engine.lookahead
        assert [beat.index for beat in beats] == list(range(len(beats)))


def test_mouth_follows_the_sound_not_its_own_clock(stage: Stage) -> None:
    """Syllables between pauses: the mouth is farther from rest in the former."""
    syllables = np.concatenate([talk(8), quiet(8)] * 4)
    chunks = chunks_of(syllables)
    if stage.case.has_stand_ins:
        chunks = [replace(chunk, speech=chunk.index % 16 < 8) for chunk in chunks]
    beats = stage.play(chunks)
    away = [float(np.abs(stage.mouth(b.picture) - stage.mouth(stage.avatar.idle(b.phase))).mean()) for b in beats]
    spoken = [a for a, beat in zip(away, beats, strict=True) if beat.index % 16 < 8]
    paused = [a for a, beat in zip(away, beats, strict=True) if 11 <= beat.index % 16 < 15]
    assert np.mean(spoken) > 1.5 * np.mean(paused)


def test_batch_equals_single_steps(stage: Stage) -> None:
    engine, avatar = stage.engine, stage.avatar
    sounds = [chunks_of(talk(12, seed), phase=7 * seed) for seed in range(min(3, engine.max_batch))]
    alone = [stage.play(chunks, seed) for seed, chunks in enumerate(sounds)]
    takes = [engine.begin(avatar, Options(seed=seed)) for seed in range(len(sounds))]
    together: list[list[Beat]] = [[] for _ in takes]
    for heard in zip(*sounds, strict=True):
        for beats, new in zip(together, engine.step(list(zip(takes, heard, strict=True))), strict=True):
            beats += new
    for one, other in zip(alone, together, strict=True):
        for a, b in zip(one, other, strict=True):
            assert np.abs(a.picture.astype(int) - b.picture).mean() <= stage.case.tolerance


def test_takes_do_not_leak_into_each_other(stage: Stage) -> None:
    engine, avatar = stage.engine, stage.avatar
    alone = stage.play(chunks_of(talk(15)))
    take, other = engine.begin(avatar, Options(seed=1)), engine.begin(avatar, Options(seed=2))
    beats: list[Beat] = []
    for i, chunk in enumerate(chunks_of(talk(15))):
        engine.step([(other, AudioChunk(i, talk(15, 9)[14 - i], True, 3 * i))])
        beats += engine.step([(take, chunk)])[0]
    assert same(alone, beats)


def test_same_input_gives_the_same_output(stage: Stage) -> None:
    assert same(stage.play(chunks_of(talk(15))), stage.play(chunks_of(talk(15))))


def test_lanes_may_step_at_once(stage: Stage) -> None:
    sounds = [chunks_of(talk(15, seed)) for seed in range(2)]
    expected = [stage.play(chunks, seed) for seed, chunks in enumerate(sounds)]
    with ThreadPoolExecutor(min(2, stage.engine.lanes)) as lanes:
        made = list(lanes.map(stage.play, sounds, range(2)))
    assert all(same(a, b) for a, b in zip(expected, made, strict=True))


def test_fingerprint_is_stable(stage: Stage) -> None:
    spec = stage.prepared.spec
    assert stage.engine.fingerprint(spec) == stage.engine.fingerprint(spec)
    assert stage.engine.fingerprint(spec).isalnum()


def test_nothing_stays_behind(stage: Stage) -> None:
    gc.collect()
    files = psutil.Process().num_fds()
    engine = load_engine(stage.prepared.spec.engine)
    avatar = engine.load(stage.prepared)
    take = engine.begin(avatar, Options())
    engine.step([(take, chunks_of(talk(1))[0])])
    trace = weakref.ref(avatar)
    engine.close()
    del take, avatar, engine
    gc.collect()
    assert trace() is None
    assert psutil.Process().num_fds() == files
