"""Beats as an RTMP stream's messages: complete, in step, in the wanted shape; and how a stream is measured."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from studio import picture
from studio.beat import SAMPLES_PER_BEAT, Beat
from studio.outputs import amf, chunks
from studio.outputs.flv import FlvCoder, Shape, Tag, fit
from studio.outputs.meter import Meter
from studio.stats import Stats
from tests.fakes import FakeAvatar, speech

SMALL = {"width": 64, "height": 48}


def beats(count: int) -> list[tuple[int, Beat]]:
    avatar, pcm = FakeAvatar(), speech(count / 25)
    return [
        (100 + i, Beat(i, avatar.idle(i), pcm[i * SAMPLES_PER_BEAT : (i + 1) * SAMPLES_PER_BEAT], True))
        for i in range(count)
    ]


def as_file(tags: list[Tag]) -> io.BytesIO:
    """Put the messages back into an FLV file."""
    data = b"FLV\x01\x05\0\0\0\x09\0\0\0\0"
    for tag in tags:
        body = tag.body
        if tag.kind == chunks.DATA:
            mark = amf.encode("@setDataFrame")
            assert body.startswith(mark)
            body = body[len(mark) :]
        head = bytes((tag.kind,)) + len(body).to_bytes(3, "big")
        stamp = (tag.timestamp_ms & 0xFFFFFF).to_bytes(3, "big") + bytes((tag.timestamp_ms >> 24,))
        data += head + stamp + b"\0\0\0" + body + (len(body) + 11).to_bytes(4, "big")
    return io.BytesIO(data)


def coded(shape: Shape, released: list[tuple[int, Beat]]) -> tuple[FlvCoder, list[Tag]]:
    coder, tags = FlvCoder(shape, Stats()), []
    for one in released:
        tags += coder.encode([one])
    return coder, tags + coder.flush()


def test_stream_holds_every_picture_and_sample_in_step() -> None:
    coder, tags = coded(Shape(**SMALL), beats(50))
    assert coder.take_pictures() == 50 and coder.take_pictures() == 0
    with av.open(as_file(tags), "r") as film:
        frames = list(film.decode(video=0))
    assert [round((f.time - frames[0].time) * 25) for f in frames] == list(range(50))
    with av.open(as_file(tags), "r") as film:
        sounds = list(film.decode(audio=0))
    assert sum(sound.samples for sound in sounds) / 48_000 == pytest.approx(2.0, abs=0.1)
    wave = np.concatenate([sound.to_ndarray()[0] for sound in sounds])
    began = sounds[0].time + np.flatnonzero(np.abs(wave) > 0.02)[0] / 48_000
    assert abs(began - frames[0].time) < 0.02  # the voice begins with the first picture


@pytest.mark.parametrize("fps", [10, 25, 30, 50])
def test_other_rates_show_as_many_pictures_as_they_promise(fps: int) -> None:
    _, tags = coded(Shape(**SMALL, fps=fps), beats(25))
    with av.open(as_file(tags), "r") as film:
        assert len(list(film.decode(video=0))) == fps


def test_slots_that_never_came_are_silence_and_no_picture() -> None:
    released = beats(30)
    coder, tags = coded(Shape(**SMALL), released[:10] + released[20:])
    with av.open(as_file(tags), "r") as film:
        times = [round(frame.time * 25) for frame in film.decode(video=0)]
    assert [time - times[0] for time in times] == [*range(10), *range(20, 30)]
    assert coder.misses(135) == 5


def test_stream_that_never_began_ends_without_media() -> None:
    tags = FlvCoder(Shape(**SMALL), Stats()).flush()
    assert not [tag for tag in tags if tag.kind != chunks.DATA and len(tag.body) > 64]


def test_picture_is_fitted_with_black_borders() -> None:
    white = np.full((48 * 3 // 2, 64), 128, np.uint8)
    white[:48] = 235
    for width, height in ((128, 128), (32, 8), (64, 48)):
        luma, blue, _ = picture.planes(fit(white, width, height))
        assert luma.shape == (height, width) and luma[height // 2, width // 2] == 235 and (blue == 128).all()
        share = float((luma == 235).mean())
        assert share == pytest.approx(min(width / 64, height / 48) ** 2 * 64 * 48 / (width * height), abs=0.1)


def test_meter_tells_the_rates_of_the_last_seconds() -> None:
    meter = Meter()
    assert meter.rates(0.0) == (0.0, 0.0)
    for i in range(500):
        meter.add(i / 25, 1, 1000)
    fps, bps = meter.rates(499 / 25)
    assert fps == pytest.approx(25) and bps == pytest.approx(200_000)
    assert meter.pictures == 500 and meter.rates(1000.0) == (0.0, 0.0)
    meter.pause()
    assert meter.rates(499 / 25) == (0.0, 0.0) and meter.pictures == 500
