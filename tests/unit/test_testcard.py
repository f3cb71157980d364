"""The test card: readable bars, flash and beep in one beat."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from studio.beat import AudioChunk
from studio.engine import Options, Prepared
from studio.engines.testcard import IDLE_LENGTH, SIZE, TestcardAvatar, TestcardEngine, read_strip
from studio.errors import BadMessage, ConfigError
from studio.spec import AvatarSpec


def card(**options: object) -> TestcardAvatar:
    spec = AvatarSpec("card", Path("/none"), options=options)
    return TestcardEngine().load(Prepared(spec, Path("/none")))


def chunk(index: int, level: int = 0, speech: bool = False) -> AudioChunk:
    return AudioChunk(index, np.full(640, level, np.int16), speech, phase=index % IDLE_LENGTH)


@pytest.mark.parametrize("index", [0, 1, 24, 25, 12345, 32767, 32768 + 7])
def test_strip_of_a_beat_reads_back(index: int) -> None:
    picture = card().beat_picture(index, 0, 0.5)
    assert read_strip(picture[:SIZE]) == (index % 32768, True)


def test_strip_survives_scaling_blur_and_noise() -> None:
    picture = card().beat_picture(21845, 0, 0.5)[:SIZE]
    small = cv2.GaussianBlur(cv2.resize(picture, (180, 180), interpolation=cv2.INTER_AREA), (5, 5), 0)
    noisy = np.clip(small + np.random.default_rng(0).normal(0, 20, small.shape), 0, 255).astype(np.uint8)
    assert read_strip(noisy) == (21845, True)


def test_idle_pictures_are_marked_differ_and_wrap() -> None:
    avatar = card()
    assert [read_strip(avatar.idle(p)[:SIZE]) for p in (0, 7, IDLE_LENGTH + 7)] == [(0, False), (7, False), (7, False)]
    assert np.array_equal(avatar.idle(7), avatar.idle(IDLE_LENGTH + 7))
    assert not np.array_equal(avatar.idle(0)[64:], avatar.idle(1)[64:])


def test_flash_is_white_below_the_strip_every_second() -> None:
    avatar = card()
    for index in range(0, 60):
        luma = avatar.beat_picture(index, index, 0.0)[64:SIZE]
        assert (float(luma.mean()) > 230) == (index % 25 == 0)


def test_mouth_opens_with_loudness() -> None:
    avatar = card()
    dark = [int((avatar.beat_picture(1, 0, loud)[270:450, 184:328] == 16).sum()) for loud in (0.0, 0.3, 0.9)]
    assert dark[0] < dark[1] < dark[2]


def test_sound_passes_through_without_beep() -> None:
    engine, avatar = TestcardEngine(), card()
    take = engine.begin(avatar, Options())
    heard = chunk(25, 1000, speech=True)
    (beat,) = engine.step([(take, heard)])[0]
    assert beat.pcm is heard.pcm
    assert (beat.index, beat.speech, beat.phase) == (25, True, 25)
    assert not avatar.restless


def test_visit_has_no_options() -> None:
    engine = TestcardEngine()
    assert engine.admit(card(), Options()) == 0
    with pytest.raises(BadMessage, match="'volume'"):
        engine.admit(card(), Options(values={"volume": 3}))


def test_beep_sounds_exactly_in_the_flash() -> None:
    engine, avatar = TestcardEngine(), card(beep=True)
    assert avatar.restless
    take = engine.begin(avatar, Options())
    for index in range(60):
        (beat,) = engine.step([(take, chunk(index, 1000))])[0]
        flashes = index % 25 == 0
        assert bool(beat.pcm.any()) == flashes == beat.speech
        if flashes:
            spectrum = np.abs(np.fft.rfft(beat.pcm.astype(float)))
            assert int(spectrum.argmax()) * 25 == 1000
            assert abs(int(beat.pcm[0])) < 100


def test_unknown_option_is_refused() -> None:
    engine = TestcardEngine()
    for options in ({"boop": True}, {"beep": "yes"}):
        with pytest.raises(ConfigError, match="beep"):
            engine.fingerprint(AvatarSpec("card", Path("/none"), options=options))


def test_fingerprint_follows_the_options() -> None:
    engine = TestcardEngine()
    plain, beeping = (engine.fingerprint(AvatarSpec("card", Path("/x"), options={"beep": b})) for b in (False, True))
    assert plain != beeping
