"""Ditto's options, conditions, sampler and sound windows: what they admit, what they refuse, what they give."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studio.engines.ditto import options, sampler, speech
from studio.engines.ditto.condition import EMOTIONS, emotion_rows
from studio.engines.ditto.types import Floats
from studio.errors import ConfigError

junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(options.READERS)), junk)
def test_any_value_is_taken_or_refused_in_one_sentence(name: str, value: object) -> None:
    try:
        setup = options.setup_of({name: value})
    except ConfigError as error:
        assert error.message.startswith(f"Ditto's option {name} is ") and len(error.message) < 400
    else:
        assert isinstance(setup, options.Setup)


def test_later_layers_win_and_none_is_a_value() -> None:
    limits = np.stack([np.zeros(265), np.ones(265)])
    layers = {"v_min_max_for_clip": limits, "smo_k_d": 5}, {"v_min_max_for_clip": None}
    setup = options.setup_of(*layers)
    assert setup.v_min_max_for_clip is None and setup.smo_k_d == 5
    assert options.setup_of(layers[0]).v_min_max_for_clip is not None


def test_latency_and_preset_are_overlap_and_steps_unless_those_are_given() -> None:
    setup = options.setup_of({"latency": "lowest", "preset": "quality"})
    assert (setup.overlap_v2, setup.sampling_timesteps) == (79, 15)
    assert options.setup_of({"latency": "lowest", "overlap_v2": 60}).overlap_v2 == 60
    assert "overlap_v2" not in options.checked(options.chosen({"latency": "low", "fade_in": 3}).offline)


def test_the_engines_own_options_are_apart_and_checked() -> None:
    own = options.chosen({"checkpoint": "weights", "runtime": "cpu", "emo": "happy", "fade_out": 5})
    assert (own.checkpoint, own.runtime, own.fade_out, dict(own.pipeline)) == ("weights", "cpu", 5, {"emo": "happy"})
    for wrong in ({"checkpoint": ""}, {"runtime": "abacus"}, {"fade_in": -1}, {"fade_in": True}):
        with pytest.raises(ConfigError, match="Ditto's option"):
            options.chosen(wrong)


def test_a_visit_may_repeat_the_preparations_options_but_not_change_them() -> None:
    avatar = options.setup_of({"crop_scale": 2.0})
    assert options.of_visit(avatar, {"crop_scale": 2, "emo": [3, 4]}).crop_scale == 2.0
    with pytest.raises(ConfigError, match="belongs to the avatar's preparation"):
        options.of_visit(avatar, {"crop_scale": 2.5})


def test_emotions_by_name_number_and_list() -> None:
    happy = options.setup_of({"emo": "Happy"}).emo
    assert np.array_equal(happy, emotion_rows(EMOTIONS.index("happy"))) and happy.shape == (1, 8)
    assert np.allclose(happy.sum(axis=1), 1) and happy.argmax() == 3
    both, turns = emotion_rows([3, 4]), emotion_rows([[3], [3, 4]])
    assert both.shape == (1, 8) and turns.shape == (2, 8) and np.array_equal(turns[1], both[0])


@given(st.integers(1, 200))
def test_every_number_of_steps_has_numbers_and_falling_times(steps: int) -> None:
    plan = sampler.schedule(steps)
    assert plan.times.shape == (steps, 2) and plan.coefficients.shape == (steps - 1, 3)
    assert plan.times[0, 0] == 999 and plan.times[-1, 1] == -1
    assert (np.diff(plan.times[:, 0]) < 0).all() and np.array_equal(plan.times[1:, 0], plan.times[:-1, 1])
    assert np.isfinite(plan.coefficients).all()


def test_a_batch_is_sampled_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    x, noise = sampler.draw(rng, 3), sampler.draw(rng, 3)[:, None]
    start, condition = np.zeros((3, 265), np.float32), np.zeros((3, 80, 1103), np.float32)

    def denoise(x: Floats, start: Floats, condition: Floats, time: object) -> tuple[Floats, Floats]:
        return x * np.float32(0.5), x * np.float32(0.9)

    together = sampler.sample(denoise, 2, x, start, condition, noise)
    for i in range(3):
        rows = slice(i, i + 1)
        alone = sampler.sample(denoise, 2, x[rows], start[rows], condition[rows], noise[rows])
        assert np.array_equal(alone[0], together[i])


@given(st.integers(1, 9000))
def test_windows_cover_every_sound(samples: int) -> None:
    wave = np.zeros(samples, np.float32)
    count = speech.frame_count(samples)
    assert count == -(-samples * 25 // 16000)
    assert 0 <= len(speech.offline_windows(wave)) * speech.FRAMES - count < speech.FRAMES
    stream = speech.SpeechStream()
    windows = stream.feed(wave) + stream.finish()
    assert all(window.shape == (speech.WINDOW,) for window in windows) and len(windows) * speech.FRAMES >= count


@given(st.lists(st.integers(0, 4000), max_size=12))
def test_a_stream_cuts_the_same_windows_however_its_sound_arrives(pieces: list[int]) -> None:
    wave = np.arange(sum(pieces), dtype=np.float32)
    whole = speech.SpeechStream().feed(wave)
    stream, found = speech.SpeechStream(), []
    for end, size in zip(np.cumsum(pieces), pieces, strict=True):
        found += stream.feed(wave[end - size : end])
    assert len(found) == len(whole) and all(np.array_equal(a, b) for a, b in zip(found, whole, strict=True))


def test_a_visit_cannot_take_the_device_from_others() -> None:
    assert options.of_visit(options.Setup(), {"sampling_timesteps": 100}).sampling_timesteps == 100
    with pytest.raises(ConfigError, match="100 sampling_timesteps at most"):
        options.of_visit(options.Setup(), {"sampling_timesteps": 101})
