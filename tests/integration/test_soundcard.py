"""A stream that speaks what this machine's microphone hears: ALSA's own file device stands in for a real one."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from studio.recording import read_device
from studio.spec import RtmpSpec
from tests.fakes import silence, speech
from tests.inside import Inside, inside, spec_of
from tests.integration.conftest import nothing_left
from tests.integration.rtmp_server import RtmpServer, ask, played, rtmp_server, start, words_in


@pytest.fixture
def microphone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a device that hears words with pauses, at a pace of its own: a third of real time was seen."""
    words = np.tile(np.repeat(np.concatenate((speech(1.0), silence(0.8))), 3), 20)  # 48 kHz
    (tmp_path / "words.raw").write_bytes(words.astype("<i2").tobytes())
    slave = 'slave.pcm { type null }\n file "/dev/null"'
    device = f'pcm.fake {{ type file\n {slave}\n infile "{tmp_path / "words.raw"}"\n format "raw" }}\n'
    (tmp_path / "asound.conf").write_text(device)
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(tmp_path / "asound.conf"))
    return "fake"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[RtmpServer]:
    (tmp_path / "nginx").mkdir()
    async with rtmp_server(tmp_path / "nginx") as running:
        yield running


@pytest.fixture
async def house(tmp_path: Path, microphone: str) -> AsyncIterator[Inside]:
    spec = dataclasses.replace(spec_of(tmp_path), rtmp=RtmpSpec(sound_device=microphone))
    async with nothing_left(), inside(spec) as opened:
        yield opened


def test_device_is_heard_at_the_studios_rate(microphone: str) -> None:
    pieces = read_device(microphone)
    heard = np.concatenate([next(pieces) for _ in range(10)])
    pieces.close()
    assert heard.dtype == np.int16 and 0.2 * 32767 < np.abs(heard.astype(int)).max() < 0.9 * 32767


async def test_stream_speaks_what_the_microphone_hears(house: Inside, server: RtmpServer) -> None:
    assert (await start(house, "live", server.url("key"), sound_device=True))[0] == 200
    await played(house, "live", 120)
    assert (await ask(house, "DELETE", "/stop_stream/live"))[0] == 200
    assert words_in(server.tapes[0]) >= 1


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"sound_device": "default"}, "true or false"),
        ({"sound_device": True, "audio_path": "uploads/x.wav"}, "not both"),
    ],
)
async def test_wishes_that_contradict_themselves_are_refused(
    house: Inside, wish: dict[str, object], sentence: str
) -> None:
    status, body = await start(house, "live", "rtmp://127.0.0.1/live/key", **wish)
    assert status == 400 and sentence in body["detail"]


@pytest.mark.parametrize(("name", "sentence"), [("", "no sound device"), ("nonsense", "cannot be heard")])
async def test_device_that_is_not_there_is_missed_in_words(
    tmp_path: Path, microphone: str, name: str, sentence: str
) -> None:
    spec = dataclasses.replace(spec_of(tmp_path), rtmp=RtmpSpec(sound_device=name))
    async with inside(spec) as house:
        status, body = await start(house, "live", "rtmp://127.0.0.1/live/key", sound_device=True)
        assert status == 400 and sentence in body["detail"]
        assert await house.is_empty()
