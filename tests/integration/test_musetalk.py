"""A MuseTalk avatar, on stand-in networks, through what the studio has: pipeline, page's wire, switch, interruption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.beat import SAMPLES_PER_BEAT, Beat
from studio.engine import Avatar, Options, Prepared
from studio.engines.musetalk.engine import MuseTalkEngine
from studio.pipeline import Pipeline
from studio.recording import read_file
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec
from studio.stats import Stats
from studio.web.keys import STATS
from tests.conftest import SHARED
from tests.inside import CARDS, Inside, inside, spec_of
from tests.integration.conftest import soon
from tests.visitor import Visitor

GOLDEN = SHARED / "golden" / "musetalk"
OPTIONS = {"checkpoint": str(GOLDEN / "standins"), "allow_small_networks": True}
SPEC = AvatarSpec("yong", GOLDEN / "avatar_cache", "Yong", "musetalk", options=OPTIONS)


@pytest.fixture(autouse=True)
def reference(shared: Path) -> Path:
    """Skip where the reference material is missing."""
    return shared


@pytest.fixture(scope="module")
def engine() -> Iterator[MuseTalkEngine]:
    made = MuseTalkEngine()
    yield made
    made.close()


@pytest.fixture
def avatar(engine: MuseTalkEngine, tmp_path: Path) -> Avatar:
    engine.prepare(SPEC, tmp_path, lambda done, phrase: None)
    return engine.load(Prepared(SPEC, tmp_path))


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a pipeline plays."""

    spec: AvatarSpec
    engine: MuseTalkEngine
    scheduler: Scheduler
    avatar: Avatar


async def spoken(engine: MuseTalkEngine, avatar: Avatar, sound: NDArray[np.int16], step: int) -> list[Beat]:
    """Return the beats of a sound that comes in pieces of ``step`` samples."""
    return await spoken_in(engine, avatar, [sound[at : at + step] for at in range(0, len(sound), step)])


async def spoken_in(engine: MuseTalkEngine, avatar: Avatar, pieces: Sequence[NDArray[np.int16]]) -> list[Beat]:
    """Return the beats of a sound that comes in pieces."""
    scheduler = Scheduler(engine, Stats())
    pipeline = Pipeline(Loaded(SPEC, engine, scheduler, avatar), Options(), paced=False)
    beats: list[Beat] = []
    try:
        for piece in pieces:
            assert pipeline.feed(piece) == len(piece)
        pipeline.end()
        while not pipeline.is_finished:
            beats.append(await pipeline.next())
    finally:
        await pipeline.aclose()
        await scheduler.aclose()
    return beats


async def test_however_the_sound_is_cut_the_pictures_are_the_same(engine: MuseTalkEngine, avatar: Avatar) -> None:
    pcm = np.concatenate(list(read_file(GOLDEN / "input" / "eng_e2e.wav")))
    sound = np.concatenate([np.zeros(5000, np.int16), pcm, np.zeros(12000, np.int16)])
    whole = await spoken(engine, avatar, sound, len(sound))
    assert len(whole) == -(-len(sound) // SAMPLES_PER_BEAT)
    for step in (123, 5000):
        parts = await spoken(engine, avatar, sound, step)
        assert all(np.array_equal(a.picture, b.picture) for a, b in zip(parts, whole, strict=True))
    still = [np.array_equal(beat.picture, avatar.idle(beat.phase)) for beat in whole]
    assert still[0] and still[-1] and not all(still)


def test_any_split_of_a_sound_gives_the_same_pictures(engine: MuseTalkEngine, avatar: Avatar) -> None:
    pcm = np.concatenate(list(read_file(GOLDEN / "input" / "eng_e2e.wav")))[:8000]
    whole = asyncio.run(spoken(engine, avatar, pcm, len(pcm)))

    @settings(max_examples=6, deadline=None)
    @given(st.lists(st.integers(1, len(pcm) - 1), max_size=12, unique=True))
    def judge(cuts: list[int]) -> None:
        parts = asyncio.run(spoken_in(engine, avatar, np.split(pcm, sorted(cuts))))
        assert len(parts) == len(whole)
        assert all(np.array_equal(a.picture, b.picture) for a, b in zip(parts, whole, strict=True))

    judge()


async def ready(studio: Inside) -> None:
    """Wait until the avatars are prepared."""
    async with asyncio.timeout(60):
        while True:
            async with studio.client.get(studio.url("/readyz")) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.1)


@pytest.fixture
async def visitor(tmp_path: Path, packets: list[bytes], counting_peers: None) -> AsyncIterator[Visitor]:
    async with inside(spec_of(tmp_path, (SPEC, *CARDS))) as studio:
        await ready(studio)
        one = Visitor(studio.url("/ws").replace("http", "ws"), "yong", packets)
        await one.connect(30)
        yield one
        await one.close()
        assert studio.app[STATS].value("studio_engine_faults_total", engine="musetalk") == 0


async def seen(visitor: Visitor, pictures: int) -> None:
    """Wait until that many more pictures have come; how fast is not this test's matter."""
    before = len(visitor.video)
    await soon(lambda: len(visitor.video) >= before + pictures, 30)


async def test_it_is_seen_speaking_switched_and_interrupted(visitor: Visitor) -> None:
    await visitor.heard("state", 20, speaking=True)
    await seen(visitor, 25)
    await visitor.ws.send_json({"type": "interrupt"})
    await visitor.heard("interrupted")
    for avatar in ("ada", "yong"):
        await visitor.ws.send_json({"type": "select_avatar", "avatar_id": avatar})
        await visitor.heard("avatar_selected", avatar_id=avatar)
        await seen(visitor, 10)
    assert not [message for message in visitor.messages if message["type"] == "error"]
