"""The LiveKit generator, by itself and in the real package's `AvatarRunner`; of the room only the server is missing."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from studio_link import LinkError, StudioLink

from studio.web.keys import HOST
from tests.examples.speakers import Witness, bursts
from tests.inside import Inside
from tests.integration.conftest import soon

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the package imports is its own affair
    pytest.importorskip("livekit.agents", reason="livekit-agents is not here: pip install -e '.[examples]' gets it")
    from livekit import rtc
    from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarRunner, QueueAudioOutput
    from livekit_avatar import StudioVideoGenerator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RATE = 24_000


def utterance(count: int) -> list[Any]:
    """Return what a TTS makes: faster than it is spoken, in pieces."""
    pcm = bursts(count, RATE).astype("<i2")
    pieces = np.split(pcm, range(4800, len(pcm), 4800))
    return [rtc.AudioFrame(piece.tobytes(), RATE, 1, len(piece)) for piece in pieces]


class Room:
    """A room as the runner knows it; whoever is in it sees and hears what is published."""

    def __init__(self) -> None:
        self.local_participant = self
        self.witness = Witness()
        self._tasks: list[asyncio.Task[None]] = []
        self._streams: list[Any] = []

    def isconnected(self) -> bool:
        return True

    def on(self, event: str, callback: Any) -> None:
        pass

    def off(self, event: str, callback: Any) -> None:
        pass

    async def publish_track(self, track: Any, options: Any) -> Room:
        is_sound = track.kind == rtc.TrackKind.KIND_AUDIO
        stream = rtc.AudioStream.from_track(track=track, sample_rate=48_000, num_channels=1) if is_sound else None
        self._streams.append(stream or rtc.VideoStream.from_track(track=track))
        self._tasks.append(asyncio.create_task((self._hear if is_sound else self._see)(self._streams[-1])))
        return self

    async def wait_for_subscription(self) -> None:
        pass

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(stream.aclose() for stream in self._streams))

    async def _hear(self, stream: Any) -> None:
        async for event in stream:
            self.witness.hear(np.frombuffer(event.frame.data, np.int16), event.frame.sample_rate)

    async def _see(self, stream: Any) -> None:
        async for event in stream:
            picture = event.frame.convert(rtc.VideoBufferType.RGB24)
            self.witness.see(np.frombuffer(picture.data, np.uint8).reshape(picture.height, picture.width, 3))


class Performance:
    """An agent's voice, the runner, and the room."""

    def __init__(self, link: StudioLink) -> None:
        self.room, self.avatar = Room(), StudioVideoGenerator(link)
        self.voice = QueueAudioOutput(sample_rate=RATE, wait_playback_start=True)
        self.started: list[float] = []
        self.voice.on("playback_started", lambda _: self.started.append(time.monotonic()))
        self.runner = AvatarRunner(
            self.room, audio_recv=self.voice, video_gen=self.avatar, options=self.avatar.options
        )  # fmt: skip

    async def say(self, count: int) -> None:
        for frame in utterance(count):
            await self.voice.capture_frame(frame)
        self.voice.flush()


@contextlib.asynccontextmanager
async def performance(http: str) -> AsyncIterator[Performance]:
    """Run one until the block ends."""
    async with StudioLink(http, "card") as link:
        one = Performance(link)
        await one.runner.start()
        try:
            yield one
        finally:
            await one.runner.aclose()
            await one.room.aclose()


async def test_generator_gives_pictures_always_and_sound_while_it_speaks(http: str) -> None:
    async with StudioLink(http, "card") as link:
        avatar, witness = StudioVideoGenerator(link), Witness()
        items = aiter(avatar)
        assert (avatar.options.video_width, avatar.options.video_height, avatar.options.video_fps) == (512, 512, 25)
        for _ in range(5):
            assert isinstance(await anext(items), rtc.VideoFrame), "no sound before there are words"
        for frame in utterance(2):
            await avatar.push_audio(frame)
        await avatar.push_audio(AudioSegmentEnd())
        await avatar.push_audio(AudioSegmentEnd())  # of nothing
        async with asyncio.timeout(20):
            while not isinstance(item := await anext(items), AudioSegmentEnd):
                if isinstance(item, rtc.VideoFrame):
                    pixels = item.convert(rtc.VideoBufferType.RGB24).data
                    witness.see(np.frombuffer(pixels, np.uint8).reshape(512, 512, 3))
                else:
                    assert (item.sample_rate, item.num_channels) == (48_000, 1)
                    witness.hear(np.frombuffer(item.data, np.int16), item.sample_rate)
        for _ in range(10):
            assert isinstance(await anext(items), rtc.VideoFrame), "one end, and then silence"
    assert witness.loud == pytest.approx(0.8, abs=0.12)
    assert abs(witness.skew) <= 0.041, (witness.opened, witness.began)


async def test_cleared_generator_is_silent_and_tells_of_no_end(http: str) -> None:
    async with StudioLink(http, "card") as link:
        avatar = StudioVideoGenerator(link)
        items = aiter(avatar)
        for frame in utterance(10):
            await avatar.push_audio(frame)
        await avatar.push_audio(AudioSegmentEnd())
        async with asyncio.timeout(10):
            while not isinstance(await anext(items), rtc.AudioFrame):
                pass
        await avatar.clear_buffer()
        for _ in range(30):
            assert isinstance(await anext(items), rtc.VideoFrame)


async def test_runner_publishes_mouth_and_voice_in_step_and_the_agent_hears_when_it_was_played(http: str) -> None:
    async with performance(http) as one:
        await one.say(3)
        event = await asyncio.wait_for(one.voice.wait_for_playout(), 20)
        await soon(lambda: one.room.witness.loud > 1.05)
        assert not event.interrupted and event.playback_position == pytest.approx(3.0, abs=0.6)
        assert len(one.started) == 1
        assert abs(one.room.witness.skew) <= 0.1, (one.room.witness.opened, one.room.witness.began)


async def test_agent_that_interrupts_hears_how_far_it_came_and_is_heard_again(http: str) -> None:
    async with performance(http) as one:
        await one.say(20)
        await soon(lambda: one.room.witness.loud > 0.5, limit=15)
        one.voice.clear_buffer()
        event = await asyncio.wait_for(one.voice.wait_for_playout(), 5)
        assert event.interrupted and 0.5 < event.playback_position < 3
        await asyncio.sleep(0.3)  # what had been published already
        loud = one.room.witness.loud
        await one.say(2)
        event = await asyncio.wait_for(one.voice.wait_for_playout(), 10)
        await soon(lambda: one.room.witness.loud - loud > 0.7)
        assert not event.interrupted and event.playback_position == pytest.approx(2.0, abs=0.6)
        assert one.room.witness.loud - loud == pytest.approx(0.8, abs=0.12)


async def test_studio_that_goes_ends_the_generator_with_a_sentence(http: str, studio: Inside) -> None:
    async with StudioLink(http, "card") as link:
        items = aiter(StudioVideoGenerator(link))
        await anext(items)
        await studio.app[HOST].close(link.session_id)
        with pytest.raises(LinkError, match=r"\.$"):
            async with asyncio.timeout(5):
                async for _ in items:
                    pass
