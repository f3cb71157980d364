"""A studio's avatar in a Pipecat pipeline: put it between the TTS and the output transport.

    avatar = StudioVideoService(server="http://127.0.0.1:8080", avatar_id="mira")
    pipeline = Pipeline([transport.input(), stt, user, llm, tts, avatar, transport.output(), assistant])

with a transport of `TransportParams(audio_out_enabled=True, video_out_enabled=True, video_out_width=512,
video_out_height=512, video_out_framerate=25, ...)`. Needs pipecat-ai 1.14, aiohttp, aiortc.

What the TTS says goes to the studio; what comes back, pictures and the very sound that belongs to them, goes down the
pipeline. So the bot is heard when its lips move, and `TTSStoppedFrame` passes when the last word was heard.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import numpy as np
from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    OutputImageRawFrame,
    OutputTransportReadyFrame,
    TTSAudioRawFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessorSetup
from pipecat.services.ai_service import AIService
from pipecat.services.settings import ServiceSettings
from studio_link import LinkError, StudioLink
from studio_media import SAMPLE_RATE, Picture, Sound, SpeechEnded


class StudioVideoService(AIService):
    """Speech in, a speaking avatar out. Without a studio the error goes up the pipeline and the voice is heard alone.

    Args:
        server: The studio's address.
        avatar_id: Who is seen; empty: the studio's first.
        video_out_is_live: As in the transport's parameters. False: pictures take their turn among the sounds in the
            transport's queue, and stay in step whatever happens. A live transport shows no such pictures: it paces
            its own, which are ahead of the sound by whatever that was held up within an utterance.
        **more: For Pipecat's `FrameProcessor`.
    """

    def __init__(
        self,
        *,
        server: str = "http://127.0.0.1:8080",
        avatar_id: str = "",
        video_out_is_live: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(settings=ServiceSettings(model=None), **more)
        self._server, self._avatar_id, self._is_live = server, avatar_id, video_out_is_live
        self._link: StudioLink | None = None
        self._reading: asyncio.Task[None] | None = None
        self._is_ready = self._is_measuring = False
        self._stops: deque[TTSStoppedFrame | None] = deque()
        """For each flush what passes when it was heard."""
        self._is_said = False
        self._done = asyncio.Event()

    def can_generate_metrics(self) -> bool:
        """Tell Pipecat that there are some: from the first sound in to the first sound out."""
        return True

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """Connect, while the pipeline's other processors do."""
        await super().setup(setup)
        self._link = StudioLink(self._server, self._avatar_id)
        try:
            await self._link.__aenter__()
        except LinkError as error:
            await self._lose(error)
        else:
            self._reading = self.create_task(self._forward(self._link))

    async def stop(self, frame: EndFrame) -> None:
        """Let the avatar finish, then leave."""
        await super().stop(frame)
        if self._link is not None and self._is_speaking:
            await self._flush(self._link, None)
            await self._done.wait()
        await self._leave()

    async def cancel(self, frame: CancelFrame) -> None:
        """Leave at once."""
        await super().cancel(frame)
        await self._leave()

    async def cleanup(self) -> None:
        """Leave, if nobody has said that it ends."""
        await super().cleanup()
        await self._leave()

    @property
    def _is_speaking(self) -> bool:
        return self._is_said or bool(self._stops)

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Keep the TTS's sound, and what says that it ends; hand on everything else."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputTransportReadyFrame):
            self._is_ready = True
        if self._link is None:
            await self.push_frame(frame, direction)
        elif isinstance(frame, TTSAudioRawFrame):
            await self._say(self._link, frame)
        elif isinstance(frame, TTSStoppedFrame):
            await self._flush(self._link, frame)
        elif isinstance(frame, InterruptionFrame):
            await self._interrupt(self._link, frame, direction)
        else:
            self._is_measuring = self._is_measuring or isinstance(frame, TTSStartedFrame)
            await self.push_frame(frame, direction)

    async def _say(self, link: StudioLink, frame: TTSAudioRawFrame) -> None:
        if self._is_measuring:
            self._is_measuring = False
            await self.start_ttfb_metrics()
        mono = np.frombuffer(frame.audio, "<i2").reshape(-1, frame.num_channels)[:, 0]
        self._is_said = True
        try:
            await link.say(mono.tobytes(), frame.sample_rate)
        except LinkError as error:
            await self._lose(error)

    async def _flush(self, link: StudioLink, frame: TTSStoppedFrame | None) -> None:
        self._done.clear()
        self._stops.append(frame)
        self._is_said = False
        try:
            await link.flush()
        except LinkError as error:
            await self._lose(error)

    async def _interrupt(self, link: StudioLink, frame: InterruptionFrame, direction: FrameDirection) -> None:
        """Silence the avatar before the frame passes: a late sound would start the bot's turn again."""
        cutting = link.interrupt() if self._is_speaking else None
        self._is_said = False
        await self.push_frame(frame, direction)
        try:
            if cutting is not None:
                await cutting
        except LinkError as error:
            await self._lose(error)

    async def _forward(self, link: StudioLink) -> None:
        """Push what comes from the studio until it ends."""
        try:
            async for item in link:
                match item:
                    case SpeechEnded():
                        await self._ended(item.interrupted)
                    case Picture() if self._is_ready:
                        width, height = item.frame.width, item.frame.height
                        picture = OutputImageRawFrame(await asyncio.to_thread(item.rgb), (width, height), "RGB")
                        picture.sync_with_audio = not self._is_live
                        await self.push_frame(picture)
                    case Sound(is_speech=True) if self._is_ready:
                        await self.stop_ttfb_metrics()
                        await self.push_frame(TTSAudioRawFrame(item.pcm, SAMPLE_RATE, 1))
        except LinkError as error:
            await self._lose(error)

    async def _ended(self, interrupted: bool) -> None:
        frame = self._stops.popleft()
        if frame is not None and not interrupted:
            await self.push_frame(frame)
        if not self._stops:
            self._done.set()

    async def _lose(self, error: LinkError) -> None:
        """Go on without a face: say so once, and let those go who wait for the avatar to finish."""
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()
            await self.push_error(str(error), exception=error, force_treat_as_permanent=True)
        while self._stops:
            await self._ended(interrupted=False)
        self._done.set()

    async def _leave(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            await self.cancel_task(reading)
        link, self._link = self._link, None
        if link is not None:
            await link.aclose()
