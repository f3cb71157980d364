from __future__ import annotations

import asyncio

import numpy as np
from numpy.typing import NDArray

from studio.speakers import MicrophoneLine, MicrophoneVoice
from studio.spec import StudioSpec
from studio.stats import Stats

PCM = np.ones(640, np.int16)


class Pipeline:
    """Notes what is spoken."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, bool, float]] = []
        self.ends = 0

    def feed(self, pcm: NDArray[np.int16], live: bool = False, arrived: float = 0.0) -> int:
        self.heard.append((len(pcm), live, arrived))
        return len(pcm)

    async def room(self, beats: int) -> None:
        raise AssertionError("what is live waits for nothing")

    def end(self) -> None:
        self.ends += 1

    async def spoken(self) -> None:
        pass


async def test_voice_is_heard_while_it_has_the_floor() -> None:
    voice, pipeline = MicrophoneVoice(), Pipeline()
    voice.hear(PCM, 1.0)
    speaking = asyncio.create_task(voice.run(pipeline))
    await asyncio.sleep(0)
    voice.hear(PCM, 2.0)
    voice.hear(PCM[:7], 3.0)
    assert pipeline.heard == [(640, True, 2.0), (7, True, 3.0)], "before its turn it was not"
    assert voice.seconds == 0.0
    voice.close()
    await asyncio.wait_for(speaking, 1)
    voice.hear(PCM, 4.0)
    assert len(pipeline.heard) == 2 and pipeline.ends == 1


async def test_connection_that_closes_ends_its_voice() -> None:
    voice, pipeline = MicrophoneVoice(), Pipeline()
    line = MicrophoneLine(voice, StudioSpec(()), Stats())
    speaking = asyncio.create_task(voice.run(pipeline))
    await asyncio.sleep(0)
    await line.aclose()
    await asyncio.wait_for(speaking, 1)
    assert voice.is_closed


async def test_voice_that_is_cancelled_speaks_no_more() -> None:
    voice, pipeline = MicrophoneVoice(), Pipeline()
    speaking = asyncio.create_task(voice.run(pipeline))
    await asyncio.sleep(0)
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    voice.hear(PCM, 1.0)
    assert not pipeline.heard and not pipeline.ends
