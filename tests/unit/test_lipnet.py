"""The learned model: any chunking, exact arithmetic, hostile weights, and what training shares with the studio."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.portrait.features import FEATURES, HOPS_PER_BEAT, Features
from studio.engines.portrait.lipnet import OPEN_GAIN, OPEN_OFFSET, SCALES, LearnedVoice, LipWeights, finish
from studio.engines.portrait.voice import MouthRow
from training import hearing
from training.mouths import CHANNELS, SILENCE, Phone, curves, spell

FIRST, SECOND, HIDDEN = 6, 5, 7


@pytest.fixture(scope="module")
def weights() -> LipWeights:
    """A small random network."""
    dice = np.random.default_rng(5)
    shapes = {
        "first_w": (5 * FEATURES, FIRST), "first_b": (FIRST,), "second_w": (5 * FIRST, SECOND), "second_b": (SECOND,),
        "input_w": (SECOND, 3 * HIDDEN), "input_b": (3 * HIDDEN,), "memory_w": (HIDDEN, 3 * HIDDEN),
        "memory_b": (3 * HIDDEN,), "out_w": (HIDDEN, 6), "out_b": (6,),
    }  # fmt: skip
    return LipWeights(**{n: dice.normal(0, 0.3, shape).astype(np.float32) for n, shape in shapes.items()})


def sound(seconds: float, seed: int = 1) -> np.ndarray:
    dice = np.random.default_rng(seed)
    return (dice.standard_normal(int(seconds * 16000)) * 3000 * np.linspace(0.1, 1, int(seconds * 16000))).astype(
        np.int16
    )


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 5000), min_size=1, max_size=8))
def test_any_chunking_gives_the_same_bits(weights: LipWeights, sizes: list[int]) -> None:
    pcm = sound(1.0)
    whole = LearnedVoice(weights).feed(pcm)
    voice, rows, at = LearnedVoice(weights), [], 0
    while at < len(pcm):
        for size in sizes:
            rows += voice.feed(pcm[at : at + size])
            at += size
    assert rows == whole
    assert len(whole) == len(pcm) // 640 - 1


def reference(features: np.ndarray, w: LipWeights) -> np.ndarray:
    """The network as its formulas say, over a whole recording: (rows, 6)."""
    rows = len(features) // HOPS_PER_BEAT - 1
    padded = np.concatenate([np.repeat(features[:1], 5, 0), features]).astype(np.float64)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return np.asarray(1 / (1 + np.exp(-x)))

    memory, out = np.zeros(HIDDEN), []
    for row in range(rows):
        hops = padded[4 * row : 4 * row + 13]
        first = np.stack([np.maximum(hops[2 * i : 2 * i + 5].ravel() @ w.first_w + w.first_b, 0) for i in range(5)])
        seen = np.maximum(first.ravel() @ w.second_w + w.second_b, 0)
        given_, kept = seen @ w.input_w + w.input_b, memory @ w.memory_w + w.memory_b
        reset, update = sigmoid(given_ + kept)[:HIDDEN], sigmoid(given_ + kept)[HIDDEN : 2 * HIDDEN]
        new = np.tanh(given_[2 * HIDDEN :] + reset * kept[2 * HIDDEN :])
        memory = (1 - update) * new + update * memory
        out.append(memory @ w.out_w + w.out_b)
    return np.array(out)


def test_rows_are_those_of_the_formulas(weights: LipWeights, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LearnedVoice, "_heard", lambda self: 1.0)
    pcm = sound(2.0)
    features = np.concatenate(Features().feed(pcm))
    expected = [finish(out.tolist(), 0.0) for out in reference(features, weights)]
    for row, want in zip(LearnedVoice(weights).feed(pcm), expected, strict=True):
        assert row[:6] == pytest.approx(want[:6], abs=1e-5)


def test_reset_forgets_everything(weights: LipWeights) -> None:
    voice = LearnedVoice(weights)
    first = voice.feed(sound(0.5))
    voice.flush()
    voice.reset()
    assert voice.feed(sound(0.5)) == first


def test_finish_of_sure_lips_is_shut() -> None:
    vowel = [0.15 / SCALES[0], 0.0, 0.5, 0.0]
    assert finish([*vowel, 9.0, -9.0], 0.5).open == 0.0
    assert finish([*vowel, -9.0, -9.0], 0.5).open == pytest.approx((0.15 - OPEN_OFFSET) * OPEN_GAIN)
    assert finish([*vowel, -9.0, 9.0], 0.5).open == pytest.approx((0.15 - OPEN_OFFSET) * OPEN_GAIN / 2)
    assert finish([-5.0, 0.0, -5.0, 9.0, 1e9, -1e9], 0.0)[:4] == (0.0, 0.0, 0.0, 1.0)


def test_read_of_wrong_weights_says_what_is_wrong(tmp_path: Path, weights: LipWeights) -> None:
    arrays = {name: getattr(weights, name) for name in LipWeights.__dataclass_fields__}
    np.savez(tmp_path / "a.npz", **{**arrays, "out_w": np.zeros((HIDDEN + 1, 6))})
    with pytest.raises(ValueError, match="out_w is"):
        LipWeights.read(tmp_path / "a.npz")
    del arrays["memory_b"]
    np.savez(tmp_path / "b.npz", **arrays)
    with pytest.raises(ValueError, match="memory_b missing"):
        LipWeights.read(tmp_path / "b.npz")


def test_silence_gives_no_sound_of_its_own(weights: LipWeights) -> None:
    assert all(
        isinstance(row, MouthRow) and np.isfinite(row).all()
        for row in LearnedVoice(weights).feed(np.zeros(6400, np.int16))
    )


def test_training_hears_what_the_studio_hears() -> None:
    pcm = sound(3.0, 7)
    studio = np.concatenate(Features().feed(pcm))
    trained = hearing.hear(np.asarray(pcm / 32768, np.float32))
    assert np.abs(studio - trained[: len(studio)]).max() < 1e-3


def test_curves_close_for_p_and_open_for_a() -> None:
    phones = [
        Phone(SILENCE, 0, 0.4),
        Phone("a", 0.4, 0.8),
        Phone("p", 0.8, 0.92),
        Phone("a", 0.92, 1.3),
        Phone(SILENCE, 1.3, 2),
    ]
    made = dict(zip(CHANNELS, curves(phones, 50).T, strict=True))
    assert made["open"][15] > 0.12 and made["jaw"][15] > 0.6
    assert made["open"][21] < 0.05 and made["press"][21] == 1.0
    assert made["open"][45] < 0.02 and made["press"][45] == 0.0
    assert made["fv"].max() == 0.0


@pytest.mark.parametrize(
    ("symbol", "expected"), [("aɪ", ["a", "ɪ"]), ("tʃ", ["t", "ʃ"]), ("ɜː", ["ɜ"]), ("", ["_"]), ("??", ["_"])]
)
def test_spell_splits_what_is_two_sounds(symbol: str, expected: list[str]) -> None:
    parts = spell(symbol, 1.0, 2.0)
    assert [p.symbol for p in parts] == expected
    assert parts[0].start == 1.0 and parts[-1].end == 2.0
