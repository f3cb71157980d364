from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.musetalk import mel, windows
from studio.engines.musetalk.types import STATES, WIDTH


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return (0.2 * np.random.default_rng(seed).standard_normal(samples)).astype(np.float32)


def test_silence_is_one_value_everywhere() -> None:
    picture = mel.log_mel(np.zeros(1234, np.float32))
    assert picture.shape == (80, 3000) and picture.dtype == np.float32
    assert np.all(picture == -1.5)


def test_no_sound_at_all_is_silence() -> None:
    assert np.all(mel.log_mel(np.zeros(0, np.float32)) == -1.5)


def test_a_tone_is_loudest_in_its_band() -> None:
    tone = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000).astype(np.float32)
    picture = mel.log_mel(tone)
    middle = mel.filters()[:, 25]  # bin 25 is 1000 Hz
    assert int(picture[:, 50].argmax()) == int(middle.argmax())


def test_filters_have_unit_area() -> None:
    assert np.allclose(mel.filters().sum(axis=1) * 40.0, 1.0, atol=0.15)  # 40 Hz a bin; the low ones are coarse


@pytest.mark.parametrize("step", [1, 37, 160, 640, 5000])
def test_a_growing_sound_gives_the_picture_of_the_whole(step: int) -> None:
    wave = noise(2500 if step == 1 else 9000)
    growing = mel.LogPower()
    for start in range(0, len(wave), step):
        growing.extend(wave[start : start + step])
        if start % 11 == 0:
            growing.picture()
    assert np.array_equal(growing.picture(), mel.log_mel(wave))


def test_the_end_of_the_segment_is_reflected_too() -> None:
    wave = noise(mel.SEGMENT)
    growing = mel.LogPower()
    growing.extend(wave[:-300])
    growing.extend(wave[-300:])
    assert np.array_equal(growing.picture(), mel.log_mel(wave))
    assert np.isfinite(growing.picture()).all()


def test_more_than_a_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="30 s"):
        mel.log_mel(np.zeros(mel.SEGMENT + 1, np.float32))


def test_windows_are_centred_on_the_pictures_own_rows() -> None:
    rows = windows.window_rows(16000)
    assert rows.shape == (25, 10)
    assert rows[10].tolist() == list(range(16, 26))
    assert rows[0].tolist() == [-1, -1, -1, -1, 0, 1, 2, 3, 4, 5]
    assert rows[24].tolist() == [44, 45, 46, 47, 48, 49, -1, -1, -1, -1]


def test_shorter_than_a_picture_has_none() -> None:
    assert windows.window_rows(639).shape == (0, 10)


def test_prompts_are_row_major_and_zero_outside() -> None:
    features = np.arange(50 * STATES * WIDTH, dtype=np.float32).reshape(50, STATES, WIDTH)
    made = windows.prompts(features, windows.window_rows(16000))
    assert made.shape == (25, 50, WIDTH)
    assert not made[0, :20].any()
    assert np.array_equal(made[10], features[16:26].reshape(50, WIDTH))


def test_places_are_encoded_by_sine_and_cosine() -> None:
    table = windows.encoding()
    assert table.shape == (50, WIDTH)
    assert np.array_equal(table[0], np.tile(np.array([0, 1], np.float32), WIDTH // 2))
    assert table[7, 0] == pytest.approx(np.sin(7), abs=1e-6)
