from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.audio import SILENCE
from studio.beat import Beat
from studio.outputs.images import QUEUED_LIVE, QUEUED_PICTURES, Image, ImageOutput, Images, webp
from studio.stats import Stats
from tests.fakes import until

STILL = np.full((96, 64), 128, np.uint8)
FORMS = {"webp": b"WEBP", "jpeg": b"\xff\xd8\xff"}


def beat(index: int, level: int = 128) -> Beat:
    picture = np.full((96, 64), 128, np.uint8)
    picture[:64] = level
    return Beat(index, picture, SILENCE, True)


def seen(image: Image) -> NDArray[np.uint8]:
    return np.asarray(cv2.imdecode(np.frombuffer(image.data, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@contextlib.asynccontextmanager
async def running(wanted: Images) -> AsyncIterator[ImageOutput]:
    output = ImageOutput(wanted, STILL, Stats(), clock=lambda: 1000.0)
    task = asyncio.create_task(output.encode())
    try:
        yield output
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await output.aclose()


@pytest.mark.parametrize("form", FORMS)
async def test_pictures_come_in_order_and_form(form: str) -> None:
    async with running(Images(form, count=3, seconds=0.0)) as output:
        for i, level in enumerate((50, 120, 200)):
            await output.room()
            output.send(i, beat(i, level))
        images = [await output.next() for _ in range(3)]
        assert [image.index for image in images if image] == [0, 1, 2]
        levels = []
        for image in images:
            assert image is not None and image.mime == f"image/{form}" and FORMS[form] in image.data[:12]
            assert seen(image).shape == (64, 64, 3)
            levels.append(seen(image).mean())
        assert levels[0] < 70 < levels[1] < 160 < levels[2]


async def test_pictures_are_scaled_to_even_sides() -> None:
    async with running(Images(scale=0.33, count=1)) as output:
        output.send(0, beat(0))
        image = await output.next()
        assert image is not None and seen(image).shape == (22, 22, 3)


async def test_recording_waits_for_a_slow_reader_and_loses_nothing() -> None:
    async with running(Images(count=200, seconds=0.0)) as output:
        for i in range(QUEUED_PICTURES):
            await output.room()
            output.send(i, beat(i))
        waits = asyncio.create_task(output.room())
        await asyncio.sleep(0)
        assert not waits.done() and output.waiting == QUEUED_PICTURES
        assert await output.next()
        await waits
        assert output.dropped == 0


async def test_live_reader_who_is_slow_gets_the_newest() -> None:
    async with running(Images()) as output:
        for i in range(20):
            await output.room()
            output.send(i, beat(i, 40 + 8 * i))
            await until(lambda: not output._taken)
        assert output.waiting <= QUEUED_LIVE + 1 and output.dropped >= 15
        images = []
        while output.waiting:
            images.append(await output.next())
        newest = images[-1]
        assert newest is not None and abs(seen(newest).mean() - (192 - 16) * 1.164) < 8


async def test_quality_falls_as_pictures_wait() -> None:
    output = ImageOutput(Images(quality=90, quality_min=30, count=100), STILL, Stats())
    qualities = []
    for i in range(QUEUED_PICTURES + 1):
        qualities.append(output._quality())
        output.send(i, beat(i))
    assert qualities[0] == 90 and qualities[-1] == 30 and qualities == sorted(qualities, reverse=True)
    assert ImageOutput(Images(quality=20, quality_min=60), STILL, Stats())._quality() == 20


async def test_recordings_pictures_leave_in_their_own_time() -> None:
    now = 1000.0
    slept: list[float] = []
    output = ImageOutput(Images(count=9), STILL, Stats(), clock=lambda: now)

    async def sleep(seconds: float) -> None:
        nonlocal now
        slept.append(round(seconds, 3))
        now += max(0.0, seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studio.outputs.images.asyncio.sleep", sleep)
        for _ in range(3):
            await output.room()
        now += 0.1
        await output.room()
        now += 60
        await output.room()
    assert slept[:3] == [0, 0.04, 0.04] and slept[3] == -0.06 and slept[4] == -1.0


async def test_fades_begin_and_end_at_the_still() -> None:
    async with running(Images(fade_in=3, fade_out=2, count=10, seconds=0.0)) as output:
        levels = []
        for i in range(10):
            output.send(i, beat(i, 228))
            image = await output.next()
            assert image is not None
            levels.append(seen(image).mean())
        assert levels[0] < levels[1] < levels[2] < levels[3] == pytest.approx(levels[7])
        assert levels[7] > levels[8] > levels[9] and levels[9] == pytest.approx(130, abs=4)


async def test_end_is_told_when_everything_was_fetched() -> None:
    async with running(Images(count=1)) as output:
        output.send(0, beat(0))
        ends = asyncio.create_task(output.finish())
        assert await output.next()
        await ends
        assert await output.next() is None


async def test_closing_wakes_the_reader_and_whoever_waits() -> None:
    async with running(Images(count=1)) as output:
        reader = asyncio.create_task(output.next())
        closed = asyncio.create_task(output.until("closed", "failed"))
        await asyncio.sleep(0)
        await output.aclose()
        assert await reader is None and await closed == "closed"


@pytest.mark.parametrize("quality", [1, 100])
def test_webp_at_both_ends(quality: int) -> None:
    picture = np.random.default_rng(1).integers(16, 235, (96, 64), np.uint8)
    data = webp(picture, quality)
    assert seen(Image(0, 0.0, "image/webp", data)).shape == (64, 64, 3)
