"""A visit's beats to an RTMP server, H.264 and AAC; a connection that breaks is made anew, with growing patience.

Encoding runs in the encoders' pool; the network on the event loop, which never waits for it. While there is no server
beats are let go, not kept: who comes back wants to see what is happening now. An `output.Output`.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from studio.audio import SILENCE
from studio.beat import FPS, Beat
from studio.outputs.destination import Destination, RtmpRefused, resolve
from studio.outputs.flv import MAX_GAP, FlvCoder, Shape, Tag
from studio.outputs.meter import Meter, Reading, Stage
from studio.outputs.publisher import Publisher, RtmpLost
from studio.spec import RtmpSpec
from studio.stats import Stats

log = logging.getLogger(__name__)

QUEUED_BEATS = 2 * FPS
"""Two seconds that may wait for the encoders or a slow network; then the oldest beat is dropped, sound and all."""
STALL_SECONDS = 10.0
"""A server that takes nothing for so long is lost."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
"""Seconds between attempts; each wait is twice the one before, give or take a fifth."""


_AS_OUTPUT = {
    Stage.CONNECTING: "connecting",
    Stage.LIVE: "connected",
    Stage.RECONNECTING: "connected",
    Stage.FAILED: "failed",
    Stage.CLOSED: "closed",
}


class RtmpOutput:
    """One stream.

    Args:
        destination: Where to.
        shape: What the stream looks like.
        spec: Who may be called, and how long it may take.
        is_private: Addresses that are not public may be called without being listed.
        stats: Counts.
        clock: Seconds; `time.monotonic`.
    """

    def __init__(
        self, destination: Destination, shape: Shape, spec: RtmpSpec, is_private: bool, stats: Stats,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.destination = destination
        self._shape, self._spec, self._is_private, self._stats, self._clock = shape, spec, is_private, stats, clock
        self._stage = Stage.CONNECTING
        self._changed, self._news, self._idle = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._released: deque[tuple[int, Beat]] = deque()
        self._publisher: Publisher | None = None
        self._coder: FlvCoder | None = None
        self._encoding: asyncio.Future[list[Tag]] | None = None
        self._work: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._meter = Meter()
        self._began: float | None = None
        self._refusal: RtmpRefused | None = None
        self._reconnects = 0
        self.dropped = 0
        """Beats that nobody will see."""

    @property
    def state(self) -> str:
        """In an output's words: a stream that looks for its server again counts as connected."""
        return _AS_OUTPUT[self._stage]

    @property
    def stage(self) -> Stage:
        """Where the stream stands."""
        return self._stage

    async def until(self, *states: str) -> str:
        """Wait for one of the states and return it."""
        while self.state not in states:
            self._changed.clear()
            await self._changed.wait()
        return self.state

    async def opened(self) -> None:
        """Return when the stream is live for the first time; `encode` must be running.

        Raises:
            RtmpRefused: It will not be: the server is not there, may not be called, or does not want the stream.
        """
        await self.until("connected", "failed", "closed")
        if self._began is None:
            raise self._refusal or RtmpRefused("The stream was stopped before it began.")

    async def room(self) -> None:
        """Return at once: a live stream waits for nobody."""

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Take one beat; it is let go while there is no server."""
        if self._stage is not Stage.LIVE:
            self._give_up(1)
            return
        if len(self._released) >= QUEUED_BEATS:
            self._released.popleft()
            self._give_up(1)
        self._released.append((slot, beat))
        self._idle.clear()
        self._news.set()

    def hush(self) -> None:
        """Silence the beats that wait."""
        silent = ((slot, replace(beat, pcm=SILENCE, speech=False)) for slot, beat in self._released)
        self._released = deque(silent)

    async def encode(self) -> None:
        """Find the server, then encode and send until cancelled, through every loss of it.

        Raises:
            RtmpRefused: It was not there, or has not come back for ``spec.give_up`` seconds.
        """
        self._work = asyncio.create_task(self._run())
        await self._work

    async def _run(self) -> None:
        try:
            await self._connect()
        except RtmpRefused as error:
            self._refusal = error
            self._move(Stage.FAILED)
            raise
        self._began = self._clock()
        self._move(Stage.LIVE)
        while True:
            try:
                await self._publish()
            except RtmpLost as error:
                log.warning("stream to %s was interrupted: %s", self.destination, error)
            self._move(Stage.RECONNECTING)
            await self._drop()
            await self._find_again()
            self._reconnects += 1
            self._move(Stage.LIVE)

    async def finish(self) -> None:
        """Return when what was taken is with the network, or lost with the server."""
        while self._released and self._stage is Stage.LIVE:
            await self._idle.wait()

    async def aclose(self, limit: float = 1.0) -> None:
        """Send what was taken and say goodbye, within ``limit`` seconds; idempotent. Cancelling stops no closing."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(limit))
        await asyncio.shield(self._closing)

    def reading(self) -> Reading:
        """Return what is to be told of the stream now."""
        now = self._clock()
        fps, bps = self._meter.rates(now)
        uptime = 0.0 if self._began is None else now - self._began
        return Reading(self._stage, self._meter.pictures, fps, bps, self._reconnects, self.dropped, uptime)

    async def _connect(self) -> None:
        try:
            async with asyncio.timeout(self._spec.connect_limit):
                address = await resolve(self.destination, self._spec.hosts, self._is_private)
                self._publisher = await Publisher.open(self.destination, address)
        except TimeoutError:
            raise RtmpRefused("The RTMP server does not answer.") from None

    async def _find_again(self) -> None:
        deadline, wait = self._clock() + self._spec.give_up, FIRST_WAIT
        while True:
            await asyncio.sleep(wait * random.uniform(0.8, 1.2))
            try:
                await self._connect()
                return
            except RtmpRefused as error:
                log.info("stream to %s: %s Next try in about %.1f s.", self.destination, error.message, wait)
                if self._clock() > deadline:
                    self._move(Stage.FAILED)
                    raise
            wait = min(2 * wait, LONGEST_WAIT)

    async def _publish(self) -> None:
        """Send beats until the server is gone.

        Raises:
            RtmpLost: It is.
        """
        assert self._publisher is not None
        tasks = [asyncio.create_task(work) for work in (self._publisher.watch(), self._pump())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _pump(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            while self._released:
                await self._forward()
            self._idle.set()

    async def _forward(self) -> None:
        """Encode and write what waits.

        Raises:
            RtmpLost: The server is gone or takes nothing.
        """
        assert self._publisher is not None
        coder = self._coder = self._coder or FlvCoder(self._shape, self._stats)
        if coder.misses(self._released[0][0]) > MAX_GAP:
            raise RtmpLost("the studio stood still")
        released = tuple(self._released)
        self._released.clear()
        self._encoding = asyncio.get_running_loop().run_in_executor(None, coder.encode, released)
        tags = await asyncio.shield(self._encoding)
        self._encoding = None
        self._write(tags)
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._publisher.drain()
        except TimeoutError:
            raise RtmpLost("the server takes nothing") from None

    def _write(self, tags: list[Tag]) -> None:
        assert self._publisher is not None and self._coder is not None
        for tag in tags:
            self._publisher.send(tag.kind, tag.timestamp_ms, tag.body)
        self._meter.add(self._clock(), self._coder.take_pictures(), sum(len(tag.body) for tag in tags))

    async def _drop(self) -> None:
        """Let go of a connection, its encoders, and the beats that waited for it."""
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.abort()
        encoding, self._encoding = self._encoding, None
        if encoding is not None:
            await asyncio.wait((encoding,))
        self._coder = None
        self._meter.pause()
        self._give_up(len(self._released))
        self._released.clear()
        self._idle.set()

    async def _close(self, limit: float) -> None:
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait((self._work,))
        try:
            async with asyncio.timeout(limit):
                with suppress(RtmpLost):  # the server went first: there is nobody to say goodbye to
                    await self._leave()
        except TimeoutError:
            log.warning("stream to %s did not end within %.1f s and was cut", self.destination, limit)
        finally:
            await self._drop()
            self._move(Stage.CLOSED)

    async def _leave(self) -> None:
        """Send everything that was taken, and end the stream."""
        if self._publisher is None:
            return
        if self._encoding is not None:
            self._write(await asyncio.shield(self._encoding))
        while self._released and self._stage is Stage.LIVE:
            await self._forward()
        if self._coder is not None:
            self._encoding = asyncio.get_running_loop().run_in_executor(None, self._coder.flush)
            self._write(await asyncio.shield(self._encoding))
        await self._publisher.aclose()

    def _give_up(self, beats: int) -> None:
        if beats:
            self.dropped += beats
            self._stats.count("studio_dropped_total", beats, what="beat")

    def _move(self, to: Stage) -> None:
        if to is not self._stage:
            log.info("stream to %s: %s -> %s", self.destination, self._stage, to)
        self._stage = to
        self._changed.set()
