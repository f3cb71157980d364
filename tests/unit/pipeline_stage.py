"""A stage for tests of the pipeline: a clock that stands until the test moves it, and an engine that keeps up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import numpy as np
from numpy.typing import NDArray

from studio.beat import BEAT_SECONDS, Beat
from studio.engine import Options
from studio.pipeline import Pipeline
from tests.fakes import FakeAvatar, FakeEngine, FakeLoaded, speech, until


class Stage:
    """A pipeline whose clock stands until the test moves it."""

    def __init__(self, pipeline: Pipeline, engine: FakeEngine, loaded: FakeLoaded) -> None:
        self.pipeline, self.engine, self.loaded = pipeline, engine, loaded
        self.now = 1000.0

    async def settle(self) -> None:
        """Let the engine make what it can make."""
        timeline, ahead = self.pipeline._timeline, self.pipeline.loaded.engine.lookahead
        if self.engine.gate.is_set():
            held = 0 if timeline.is_resting else ahead
            await until(lambda: sum(place.beat is None for place in timeline._places) <= held or self.pipeline._fault)

    async def slot(self) -> Beat:
        await self.settle()
        beat = await self.pipeline.next()
        self.now += BEAT_SECONDS + 1e-9  # never a hair too early
        return beat

    async def slots(self, count: int) -> list[Beat]:
        return [await self.slot() for _ in range(count)]

    async def talk(self, seconds: float) -> list[Beat]:
        """Speak live for a while, as a microphone does, and return what leaves meanwhile."""
        pcm, beats = speech(seconds), []
        for i in range(0, len(pcm), 640):
            self.pipeline.feed(pcm[i : i + 320], live=True)
            self.pipeline.feed(pcm[i + 320 : i + 640], live=True)
            beats.append(await self.slot())
        return beats


@contextlib.asynccontextmanager
async def stage(
    lookahead: int = 0, *, paced: bool = True, queue_seconds: float = 120.0, restless: bool = False
) -> AsyncIterator[Stage]:
    engine = FakeEngine(lookahead=lookahead)
    loaded = FakeLoaded.of(engine, FakeAvatar(restless=restless))
    now: list[Stage] = []
    pipeline = Pipeline(
        loaded, Options(), paced=paced, queue_seconds=queue_seconds, clock=lambda: now[0].now if now else 1000.0
    )
    now.append(Stage(pipeline, engine, loaded))
    try:
        yield now[0]
    finally:
        engine.gate.set()
        await pipeline.aclose()
        await loaded.scheduler.aclose()


def spoken(beats: list[Beat]) -> NDArray[np.int16]:
    return np.concatenate([beat.pcm for beat in beats if beat.index >= 0 and beat.pcm.any()])
