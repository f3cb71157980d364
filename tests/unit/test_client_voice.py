"""The client's microphone: a sound file, then silence."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest

from studio.audio import Pcm
from studio.client import voice
from studio.client.voice import SAMPLES, Voice
from studio.errors import BadAudio


async def said(one: Voice, frames: int) -> list[int]:
    """Return the loudest sample of each frame."""
    await one.open()
    try:
        return [int((await one.recv()).to_ndarray().max()) for _ in range(frames)]
    finally:
        one.stop()


async def test_file_that_breaks_off_ends_in_silence_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> Generator[Pcm, None, None]:
        yield np.full(SAMPLES, 7, np.int16)
        raise BadAudio

    monkeypatch.setattr(voice, "read_file", broken)
    monkeypatch.setattr(voice, "AHEAD", SAMPLES)
    one = Voice(Path("talk.flac"), 60.0)
    assert await said(one, 3) == [7, 0, 0]
    assert isinstance(one.error, BadAudio) and one.ended_at is not None


async def test_nothing_to_say_is_silence() -> None:
    one = Voice(None, 60.0)
    assert await said(one, 2) == [0, 0]
    assert one.error is None
