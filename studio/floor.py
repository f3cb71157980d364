"""Who has the floor in a visit (floor control, RFC 4582): its own source, or, before it, speech from outside.

From outside come recordings, spoken one after the other, and one agent, which pushes samples as its voice is made.
While they speak a microphone is not heard, and a recording of the visit's own waits. Knows nothing of sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine

from studio.audio import Pcm
from studio.errors import BadMessage, StudioError, StudioFull
from studio.source import Recording
from studio.voice import Speaker, Voice

RECORDINGS = 16
"""That may wait for each other in one visit."""
VOICES = 2
"""That one visit hears: an agent's, and one that has been closed and still has to be spoken."""


class Floor:
    """Hands the pipeline to one speaker after the other; a `source.Hearer` for the visit's own source.

    Args:
        speaker: The pipeline.
        tell: Hears why a recording broke off.
    """

    def __init__(self, speaker: Speaker, tell: Callable[[StudioError], None]) -> None:
        self._speaker, self._tell = speaker, tell
        self._turn = asyncio.Lock()
        self._open, self._free = asyncio.Event(), asyncio.Event()
        self._free.set()
        self._turns: dict[asyncio.Task[None], Voice | None] = {}
        self._owes_end = self._is_closed = False

    @property
    def is_taken(self) -> bool:
        """Somebody from outside speaks, or may at any moment."""
        return not self._free.is_set()

    def open(self) -> None:
        """Media flow: whoever waits may speak. Idempotent."""
        self._open.set()

    def say(self, recording: Recording) -> None:
        """Speak a recording after everything else from outside.

        Raises:
            BadMessage: An agent speaks here, or the visit is over.
            StudioFull: Too many wait.
        """
        if any(not voice.is_closed for voice in self._voices):
            raise BadMessage("An agent speaks in this session. Let it send the sound.")
        if len(self._turns) >= RECORDINGS:
            raise StudioFull("Too many recordings wait to be spoken in this session. Please try again shortly.")
        self._give(lambda: self._say(recording), None)

    def attach(self, voice: Voice) -> asyncio.Task[None]:
        """Let an agent speak until it closes its voice; return what is done when that was spoken, or the visit is over.

        Raises:
            BadMessage: Another agent is here, or what two of them said before is still being spoken, or the visit is
                over.
        """
        if any(not voice.is_closed for voice in self._voices) or len(self._voices) >= VOICES:
            raise BadMessage("Another agent speaks in this session.")
        task = self._give(lambda: voice.run(self._speaker), voice)
        task.add_done_callback(lambda _: voice.abandon())
        return task

    def forget(self) -> float:
        """Forget what has not been handed over; return the seconds of agents' sound among it."""
        for task, voice in self._turns.items():
            if voice is None:
                task.cancel()
        return sum(voice.forget() for voice in self._voices)

    def feed(self, pcm: Pcm, live: bool = False, arrived: float = 0.0) -> int:
        """Take the visit's own sound; while the floor is taken what is live is lost, and other sound not accepted."""
        if self.is_taken:
            return len(pcm) if live else 0
        return self._speaker.feed(pcm, live, arrived)

    async def room(self, beats: int) -> None:
        """Return when the floor is free and fewer than ``beats`` wait."""
        while True:
            await self._free.wait()
            await self._speaker.room(beats)
            if not self.is_taken:
                return

    def end(self) -> None:
        """The visit's own utterance is complete."""
        self._owes_end = self.is_taken
        if not self.is_taken:
            self._speaker.end()

    async def aclose(self) -> None:
        """Cancel whoever speaks; idempotent."""
        self._is_closed = True
        for task in self._turns:
            task.cancel()
        await asyncio.gather(*self._turns, return_exceptions=True)

    @property
    def _voices(self) -> list[Voice]:
        return [voice for voice in self._turns.values() if voice is not None]

    def _give(self, speak: Callable[[], Coroutine[object, object, None]], voice: Voice | None) -> asyncio.Task[None]:
        if self._is_closed:
            raise BadMessage("This session has ended.")
        self._free.clear()
        task = asyncio.create_task(self._wait_and(speak))
        self._turns[task] = voice
        task.add_done_callback(self._give_back)
        return task

    def _give_back(self, task: asyncio.Task[None]) -> None:
        del self._turns[task]
        if self._turns:
            return
        self._free.set()
        if self._owes_end and not self._is_closed:
            self.end()

    async def _wait_and(self, speak: Callable[[], Coroutine[object, object, None]]) -> None:
        await self._open.wait()
        async with self._turn:
            try:
                await speak()
            except StudioError as error:
                self._tell(error)

    async def _say(self, recording: Recording) -> None:
        await recording.run(self._speaker)
        await self._speaker.spoken()
