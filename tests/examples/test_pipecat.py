"""The Pipecat service in real pipelines of the real package: what goes in, what comes out, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import time
import warnings
from collections.abc import AsyncIterator, Sequence
from typing import Any

import numpy as np
import pytest

from tests.examples.speakers import Witness, bursts
from tests.inside import Inside
from tests.integration.conftest import nothing_left, soon
from tests.server import free_port

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what the package imports is its own affair
    pytest.importorskip("pipecat", reason="pipecat-ai is not here: pip install -e '.[examples]' gets it")
    from pipecat.frames.frames import (
        BotStartedSpeakingFrame,
        BotStoppedSpeakingFrame,
        EndFrame,
        ErrorFrame,
        Frame,
        InterruptionFrame,
        MetricsFrame,
        OutputAudioRawFrame,
        OutputImageRawFrame,
        OutputTransportReadyFrame,
        TextFrame,
        TTSAudioRawFrame,
        TTSStartedFrame,
        TTSStoppedFrame,
    )
    from pipecat.metrics.metrics import TTFBMetricsData
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.tests.utils import run_test
    from pipecat.transports.base_output import BaseOutputTransport
    from pipecat.transports.base_transport import TransportParams
    from pipecat.workers.runner import WorkerRunner
    from pipecat_avatar import StudioVideoService

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
RATE = 24_000


def utterance(count: int, end: bool = True) -> list[Frame]:
    """Return what a TTS pushes: faster than it is spoken, in pieces."""
    pcm = bursts(count, RATE).astype("<i2").tobytes()
    pieces = [TTSAudioRawFrame(pcm[i : i + 9600], RATE, 1) for i in range(0, len(pcm), 9600)]
    return [TTSStartedFrame(), *pieces, *([TTSStoppedFrame()] if end else [])]


class Screen(BaseOutputTransport):
    """An output transport as Pipecat's own are made: plays in real time, and keeps what it was given."""

    def __init__(self, is_live: bool) -> None:
        super().__init__(
            TransportParams(
                audio_out_enabled=True, video_out_enabled=True, video_out_is_live=is_live, video_out_width=512,
                video_out_height=512, video_out_framerate=25, audio_out_end_silence_secs=0,
            )
        )  # fmt: skip
        self.witness = Witness()
        self._due = 0.0

    async def start(self, frame: Any) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        self._due = max(self._due, time.monotonic()) + len(frame.audio) / 2 / frame.sample_rate
        self.witness.hear(np.frombuffer(frame.audio, "<i2"), frame.sample_rate)
        await asyncio.sleep(self._due - time.monotonic())
        return True

    async def write_video_frame(self, frame: OutputImageRawFrame) -> bool:
        self.witness.see(np.frombuffer(frame.image, np.uint8).reshape(512, 512, 3))
        return True


class Ends(FrameProcessor):
    """Keeps what reaches its end of the pipeline."""

    def __init__(self) -> None:
        super().__init__()
        self.frames: list[Frame] = []

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        self.frames.append(frame)
        await self.push_frame(frame, direction)

    def kinds(self, *wanted: type) -> list[type]:
        """Return of what kind they were, of those that are wanted."""
        return [type(frame) for frame in self.frames if isinstance(frame, wanted)]


class Bot:
    """A pipeline that runs: the service between two ends and a screen."""

    def __init__(self, server: str, is_live: bool = False) -> None:
        self.service = StudioVideoService(server=server, avatar_id="card", video_out_is_live=is_live)
        self.screen, self.before, self.after = Screen(is_live), Ends(), Ends()
        self.errors: list[ErrorFrame] = []
        self.worker = PipelineWorker(
            Pipeline([self.before, self.service, self.screen, self.after]),
            params=PipelineParams(enable_metrics=True), cancel_on_idle_timeout=False, enable_rtvi=False,
        )  # fmt: skip
        self.worker.add_event_handler("on_pipeline_error", self._on_error)

    async def _on_error(self, _: object, frame: ErrorFrame) -> None:
        self.errors.append(frame)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until the block ends, then say EndFrame and wait."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)
        task = asyncio.create_task(runner.run())
        try:
            yield
            await self.worker.queue_frame(EndFrame())
            await asyncio.wait_for(asyncio.shield(task), 20)
        finally:
            await self.worker.cancel()
            await asyncio.wait_for(task, 10)

    async def say(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            await self.worker.queue_frame(frame)


async def test_speech_comes_out_whole_with_pictures_and_ends_before_the_end(http: str) -> None:
    service = StudioVideoService(server=http, avatar_id="card")
    frames = [OutputTransportReadyFrame(), *utterance(2), TextFrame("after")]
    down, up = await run_test(service, frames_to_send=frames, start_timeout=20)
    pcm = b"".join(frame.audio for frame in down if isinstance(frame, TTSAudioRawFrame))
    pictures = [frame for frame in down if isinstance(frame, OutputImageRawFrame)]
    loud = np.abs(np.frombuffer(pcm, "<i2").astype(int)) > 4000
    assert len(pcm) / 2 / 48_000 == pytest.approx(2.0, abs=0.6), "its last silence may be longer, or shorter"
    assert np.count_nonzero(loud) > 0.6 * 0.8 * 48_000, "of a sine, 87 % are that loud"
    assert len(pictures) >= 30 and {(one.size, one.format) for one in pictures} == {((512, 512), "RGB")}
    sounds = [i for i, frame in enumerate(down) if isinstance(frame, TTSAudioRawFrame)]
    (stopped,) = (i for i, frame in enumerate(down) if isinstance(frame, TTSStoppedFrame))
    assert stopped > sounds[-1], "it passes when the last word was heard"
    assert not any(isinstance(frame, ErrorFrame) for frame in up)


@pytest.mark.parametrize("is_live", [True, False])
async def test_mouth_and_voice_leave_a_real_transport_together(http: str, is_live: bool) -> None:
    bot = Bot(http, is_live)
    async with bot.running():
        await bot.say(utterance(3))
    witness = bot.screen.witness
    assert witness.loud == pytest.approx(1.2, abs=0.15)
    assert abs(witness.skew) <= (0.4 if is_live else 0.1), (witness.opened, witness.began)
    assert bot.after.kinds(BotStartedSpeakingFrame, TTSStoppedFrame, BotStoppedSpeakingFrame) == [
        BotStartedSpeakingFrame, BotStoppedSpeakingFrame, TTSStoppedFrame,
    ]  # fmt: skip
    told = [one for frame in bot.after.frames if isinstance(frame, MetricsFrame) for one in frame.data]
    (first_sound,) = [one.value for one in told if isinstance(one, TTFBMetricsData) and one.value]
    assert 0.05 < first_sound < 2 and not bot.errors


async def test_interruption_is_silent_at_once_and_nothing_old_is_heard_later(http: str, studio: Inside) -> None:
    bot = Bot(http)
    async with bot.running():
        await bot.say(utterance(20))
        await soon(lambda: bot.screen.witness.loud > 0.5, limit=15)
        await bot.worker.queue_frame(InterruptionFrame())
        await soon(lambda: bot.after.kinds(InterruptionFrame), limit=2)
        loud = bot.screen.witness.loud
        await asyncio.sleep(1.0)
        assert bot.screen.witness.loud - loud <= 0.08, "what the transport was writing"
        before = bot.screen.witness.pictures
        await bot.say(utterance(2))
    assert bot.screen.witness.loud - loud == pytest.approx(0.8, abs=0.12)
    assert bot.screen.witness.pictures > before + 20
    assert bot.after.kinds(TTSStoppedFrame) == [TTSStoppedFrame], "of what was interrupted none"


async def test_end_waits_for_words_that_have_no_stop_and_cancel_for_none(http: str, studio: Inside) -> None:
    bot = Bot(http)
    async with bot.running():
        await bot.say(utterance(2, end=False))
    assert bot.screen.witness.loud == pytest.approx(0.8, abs=0.1)
    async with nothing_left():
        bot = Bot(http)
        began = 0.0
        with contextlib.suppress(ZeroDivisionError):
            async with bot.running():
                await bot.say(utterance(20))
                await soon(lambda: bot.screen.witness.loud > 0.3, limit=15)
                began = time.monotonic()
                raise ZeroDivisionError
        assert time.monotonic() - began < 3
        assert await studio.is_empty()


async def test_without_a_studio_the_error_is_told_and_the_voice_is_heard_alone() -> None:
    bot = Bot(f"http://127.0.0.1:{free_port()}")
    async with bot.running():
        await bot.say(utterance(2))
        await soon(lambda: bot.after.kinds(TTSStoppedFrame), limit=10)
    assert bot.screen.witness.loud == pytest.approx(0.8, abs=0.1) and not bot.screen.witness.pictures
    assert not bot.service.is_usable


async def test_studio_that_goes_while_it_speaks_is_an_error_and_no_hang(http: str, studio: Inside) -> None:
    from studio.web.keys import HOST

    bot = Bot(http)
    async with bot.running():
        await bot.say(utterance(20))
        await soon(lambda: bot.screen.witness.loud > 0.3, limit=15)
        (session_id,) = studio.app[HOST].sessions()
        await studio.app[HOST].close(session_id)
        await soon(lambda: bot.errors, limit=5)
    assert len(bot.errors) == 1 and str(bot.errors[0].error).endswith(".")
