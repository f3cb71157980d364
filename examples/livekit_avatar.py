"""A studio's avatar for LiveKit Agents: a `VideoGenerator` for the framework's own `AvatarRunner`.

    async with StudioLink("http://127.0.0.1:8080", "mira") as link:
        avatar, voice = StudioVideoGenerator(link), QueueAudioOutput(sample_rate=24_000)
        session.output.audio = voice                         # the AgentSession speaks into this queue
        runner = AvatarRunner(room, audio_recv=voice, video_gen=avatar, options=avatar.options)
        await runner.start()                                 # publishes picture and sound as the agent's tracks
        await session.start(agent=agent, room=room)

In a worker of its own, which the agent reaches through a `DataStreamAudioOutput`, `audio_recv` is a
`DataStreamAudioReceiver`. Needs livekit-agents 1.8, aiohttp, aiortc.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import numpy as np
from livekit import rtc
from livekit.agents.voice.avatar import AudioSegmentEnd, AvatarOptions, VideoGenerator
from studio_link import StudioLink
from studio_media import FPS, SAMPLE_RATE, Picture, Sound, SpeechEnded


class StudioVideoGenerator(VideoGenerator):
    """Speech in, a speaking avatar out: pictures always, sound while somebody speaks.

    Only then, because the runner takes all sound that it gets for speech: it tells the agent how much was played, and
    the agent forgets what it had not come to say.

    Args:
        link: A visit; connected, and closed by whoever opened it. Its end raises `LinkError` in the runner.
    """

    def __init__(self, link: StudioLink) -> None:
        self._link = link
        self._is_said = False

    @property
    def options(self) -> AvatarOptions:
        """What the runner has to know."""
        width, height = self._link.size
        return AvatarOptions(
            video_width=width, video_height=height, video_fps=FPS, audio_sample_rate=SAMPLE_RATE, audio_channels=1
        )

    async def push_audio(self, frame: rtc.AudioFrame | AudioSegmentEnd) -> None:
        """Speak; waits while the studio has enough to speak. An end of nothing, as after `clear_buffer`, is none."""
        if not isinstance(frame, AudioSegmentEnd):
            self._is_said = True
            mono = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)[:, 0]
            await self._link.say(mono.tobytes(), frame.sample_rate)
        elif self._is_said:
            self._is_said = False
            await self._link.flush()

    async def clear_buffer(self) -> None:
        """Silence the avatar; return when the studio has fallen silent."""
        self._is_said = False
        await self._link.interrupt()

    def __aiter__(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        return self._stream()

    async def _stream(self) -> AsyncIterator[rtc.VideoFrame | rtc.AudioFrame | AudioSegmentEnd]:
        async for item in self._link:
            match item:
                case Picture():
                    planes = await asyncio.to_thread(item.i420)
                    yield rtc.VideoFrame(item.frame.width, item.frame.height, rtc.VideoBufferType.I420, planes)
                case Sound(is_speech=True):
                    yield rtc.AudioFrame(item.pcm, SAMPLE_RATE, 1, len(item.samples))
                case SpeechEnded(interrupted=False):
                    yield AudioSegmentEnd()
