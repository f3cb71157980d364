"""The examples' way into the studio: in step, in order, honest about its end."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import av
import numpy as np
import pytest
from studio_link import LinkError, StudioLink
from studio_media import KEPT, ON_THE_WAY, PATIENCE, Item, Picture, Sound, SpeechEnded, Stage

from tests.fakes import speech
from tests.integration.conftest import nothing_left
from tests.server import free_port, studio

SILENT = Sound(np.zeros(960, np.int16))
LOUD = Sound(np.full(960, 5000, np.int16))


def picture(shade: int = 0) -> Picture:
    return Picture(av.VideoFrame.from_ndarray(np.full((24, 16), shade, np.uint8), format="gray"))


def stage_without_pictures() -> Stage:
    """Return a stage on which no sound waits for a picture."""
    stage = Stage()
    stage.show(1000.0, picture())
    return stage


async def everything(stage: Stage) -> list[Item]:
    """Return what waits."""
    stage.close(EOFError())
    items: list[Item] = []
    with pytest.raises(EOFError):
        while True:
            items.append(await stage.next())
    return items


async def test_pictures_come_out_right_before_their_sounds() -> None:
    stage, (first, second, third) = Stage(), (picture(1), picture(2), picture(3))
    stage.show(10.00, first)
    stage.play(10.005, LOUD)  # clocks are read to some milliseconds
    stage.show(10.04, second)
    stage.play(10.02, LOUD)
    stage.play(10.035, LOUD)
    stage.play(10.055, LOUD)
    stage.show(10.08, third)
    items = await everything(stage)
    assert [type(one) for one in items] == [Picture, Sound, Sound, Picture, Sound, Sound]
    assert (items[0], items[3]) == (first, second)


async def test_sounds_wait_for_a_late_picture_but_not_for_one_that_never_comes() -> None:
    stage, late = Stage(), picture()
    stage.show(9.96, picture())
    for at in (9.96, 9.98, 10.00, 10.02):
        stage.play(at, LOUD)
    stage.show(10.00, late)
    for i in range(2, 2 + 2 * PATIENCE):
        stage.play(10.0 + i * 0.02, LOUD)
    items = await everything(stage)
    assert [type(one) for one in items[:7]] == [Picture, Sound, Sound, Picture, Sound, Sound, Sound]
    assert items[3] is late and sum(isinstance(one, Sound) for one in items) == 4 + PATIENCE


async def test_speech_is_from_the_first_audible_sound_after_words_were_sent_to_their_end() -> None:
    stage = stage_without_pictures()
    stage.play(0.0, LOUD)  # nobody has said anything: the avatar's own
    stage.say()
    stage.play(0.02, SILENT)
    stage.play(0.04, LOUD)
    stage.flush()
    stage.play(0.06, SILENT)
    stage.end(interrupted=True)
    stage.play(0.08, SILENT)
    sounds = [one.is_speech for one in await everything(stage) if isinstance(one, Sound)]
    assert sounds == [False, False, True, True, False]


async def test_end_of_speech_comes_after_what_was_on_its_way() -> None:
    stage = stage_without_pictures()
    stage.end(interrupted=False)
    for i in range(ON_THE_WAY + 3):
        stage.play(i * 0.02, LOUD)
    items = await everything(stage)
    assert items.index(SpeechEnded(interrupted=False)) == ON_THE_WAY


async def test_hushed_stage_is_silent_until_the_studio_is() -> None:
    stage = stage_without_pictures()
    stage.play(0.0, LOUD)
    stage.end(interrupted=False)
    stage.hush()
    stage.play(0.02, LOUD)
    stage.play(0.04, SILENT)  # between two words: not yet
    stage.play(0.06, LOUD)
    stage.unhush()
    stage.play(0.08, LOUD)
    stage.play(0.10, SILENT)
    stage.play(0.12, LOUD)
    ended, *sounds = await everything(stage)
    assert ended == SpeechEnded(interrupted=True)
    assert [isinstance(one, Sound) and one.is_audible for one in sounds] == [False, False, False, False, False, True]


async def test_reader_who_reads_nothing_loses_no_end() -> None:
    stage = stage_without_pictures()
    for _ in range(KEPT + 1):
        stage.end(interrupted=True)
    stage.play(0.0, LOUD)
    items = await everything(stage)
    assert sum(isinstance(one, SpeechEnded) for one in items) == KEPT + 1


async def test_slow_reader_loses_the_oldest_but_no_end() -> None:
    stage = stage_without_pictures()
    stage.end(interrupted=True)
    for i in range(2 * KEPT):
        stage.play(i * 0.02, LOUD)
    items = await everything(stage)
    assert len(items) == KEPT and items[0] == SpeechEnded(interrupted=True)


async def test_flash_and_beep_come_out_together(http: str) -> None:
    flashes, beeps = set[int](), set[int]()
    async with StudioLink(http, "beeps") as link:
        white, quiet, sounds = True, 11, 0
        async for item in link:
            if isinstance(item, Picture):
                is_white = item.frame.to_ndarray()[300:500].mean() > 200
                flashes |= {sounds} if is_white and not white else set()
                white = is_white
            elif isinstance(item, Sound):
                beeps |= {sounds} if item.is_audible and quiet > 10 else set()
                quiet = 0 if item.is_audible else quiet + 1
                sounds += 1
            if len(flashes & beeps) == 2:
                break
            assert sounds < 500, f"a picture comes right before its own sounds: {flashes} {beeps}"


async def test_visit_that_was_left_leaves_nothing(http: str) -> None:
    async with StudioLink(http, speaks=False):
        pass  # the studio has its threads now
    async with nothing_left():
        async with StudioLink(http) as link:
            await link.flush()
            await link.aclose()
        with pytest.raises(LinkError, match="over"):
            await link.flush()


async def test_utterance_is_heard_whole_and_ends_when_it_was_heard(http: str) -> None:
    pcm = speech(1.5)
    async with StudioLink(http, "card") as link:
        began = time.monotonic()
        for start in range(0, len(pcm), 4000):
            await link.say(pcm[start : start + 4000].astype("<i2").tobytes(), 16_000)
        await link.flush()
        loud = [one async for one in until_end(link) if isinstance(one, Sound) and one.is_audible]
        assert len(loud) * 0.02 == pytest.approx(1.5, abs=0.1)
        assert time.monotonic() - began > 1.4
        with pytest.raises(LinkError, match="sample_rate"):
            await link.say(b"\0\0", 7_000)
            async for _ in link:
                pass


async def until_end(link: StudioLink, interrupted: bool = False) -> AsyncIterator[Item]:
    """Yield what comes until speech has ended."""
    async for item in link:
        if isinstance(item, SpeechEnded):
            assert item.interrupted == interrupted
            return
        yield item


async def test_interruption_is_silent_at_once_and_the_next_utterance_is_whole(http: str) -> None:
    async with StudioLink(http, "card") as link:
        await link.say(speech(8.0).astype("<i2").tobytes(), 16_000)
        await link.flush()
        loud = 0
        async for item in link:
            loud += isinstance(item, Sound) and item.is_audible
            if loud == 25:
                break
        cutting = asyncio.create_task(link.interrupt())
        assert not [one async for one in until_end(link, interrupted=True) if isinstance(one, Sound) and one.is_audible]
        cut = await cutting
        assert 400 <= cut.spoken_ms <= 1500 and cut.discarded_ms > 5000 and cut.stopped_in_ms < 500
        await link.say(speech(0.6).astype("<i2").tobytes(), 16_000)
        await link.flush()
        loud = sum([isinstance(one, Sound) and one.is_audible async for one in until_end(link)])
        assert loud * 0.02 == pytest.approx(0.6, abs=0.08)


async def test_visits_that_cannot_be_are_told_in_words(http: str) -> None:
    for address, avatar, words in (
        (http, "nobody", r'no avatar called "nobody"'),
        (f"http://127.0.0.1:{free_port()}", "", "gives no visit"),
        (f"{http}/elsewhere", "", "404"),
    ):
        async with nothing_left():
            with pytest.raises(LinkError, match=re.compile(words)):
                async with StudioLink(address, avatar):
                    pass


async def test_studio_that_goes_ends_the_visit_for_all_who_wait(tmp_path: Path) -> None:
    config = {"avatars": [{"id": "card", "engine": "testcard"}], "cache": str(tmp_path.parent / "cards")}
    async with studio(tmp_path, config) as server, StudioLink(server.http) as link:
        await anext(link)
        server.child.terminate()
        with pytest.raises(LinkError, match=r"\w+\.$"):
            async with asyncio.timeout(10):
                async for _ in link:
                    pass
        with pytest.raises(LinkError):
            await link.say(b"\0\0", 16_000)
        with pytest.raises(LinkError):
            await link.interrupt()
