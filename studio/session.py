"""One visit: one source, one pipeline, one output, from offer to goodbye. `host.SessionHost` holds all of them.

Knows nothing of sockets: what the visitor must hear goes into the ``send`` callable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from studio.beat import Beat
from studio.engine import Options
from studio.errors import BadMessage, EngineFault, PeerTimeout, StudioError
from studio.floor import Floor
from studio.messages import Answer, Candidate, Fault, Interrupted, Offer, ServerMessage, State
from studio.output import Output
from studio.peer import Peer
from studio.pipeline import LoadedAvatar, Pipeline
from studio.seats import CONNECT_PATIENCE
from studio.source import Source
from studio.spec import StudioSpec
from studio.stats import Stats
from studio.tally import Tally

log = logging.getLogger(__name__)

CLOSE_LIMIT = 0.8
"""Seconds that a peer may take to close."""
REPORT_SECONDS = 1.0
FAREWELL_SLOTS = 12
"""480 ms in which a face that has said everything is still seen, and its last word reaches a slow network."""

Send = Callable[[ServerMessage], None]
"""The visitor's outbox: bounded, never blocks, called on the event loop."""


class Connection(StrEnum):
    """Where a visit stands."""

    NEW = "new"
    CONNECTING = "connecting"
    LIVE = "live"
    CLOSING = "closing"
    CLOSED = "closed"


LEGAL = {
    Connection.NEW: {Connection.CONNECTING, Connection.CLOSING},
    Connection.CONNECTING: {Connection.LIVE, Connection.CLOSING},
    Connection.LIVE: {Connection.CLOSING},
    Connection.CLOSING: {Connection.CLOSED},
    Connection.CLOSED: set[Connection](),
}


class Session:
    """One visit: one source, one pipeline, one output.

    Args:
        session_id: For the log and the answer.
        loaded: Whom to play.
        options: The offer's engine options.
        spec: The whole configuration.
        stats: Counts.
        send: What the visitor hears.
        output: Where the beats go; a WebRTC peer by default, which then brings the visitor's voice.
        source: What is spoken; the visit ends when everything has been said.
        paced: Follow the clock; False: every beat of the sound, as fast as the output takes them.
    """

    def __init__(
        self, session_id: str, loaded: LoadedAvatar, options: Options, spec: StudioSpec, stats: Stats, send: Send,
        *, output: Output | None = None, source: Source | None = None, paced: bool = True,
    ) -> None:  # fmt: skip
        self.id = session_id
        self._options, self._spec, self._stats, self._send = options, spec, stats, send
        self._connection = Connection.NEW
        self._is_speaking = False
        self._tally = Tally(stats)
        self._closing: asyncio.Task[None] | None = None
        self._source, self._has_said_all = source, False
        self._paced = paced
        self._pipeline = Pipeline(loaded, options, paced=paced, queue_seconds=spec.limits.queue_seconds)
        self._floor = Floor(self._pipeline, lambda error: send(Fault.of(error)))
        self._quiet = asyncio.Event()
        self._began = time.monotonic()
        self._output: Output = output or Peer(spec.ice, spec.media, spec.server.host, self._hear, stats)

    @property
    def connection(self) -> Connection:
        """Where the visit stands."""
        return self._connection

    @property
    def avatar_id(self) -> str:
        """Who is played."""
        return self._pipeline.loaded.spec.id

    @property
    def output(self) -> Output:
        """Where the beats go."""
        return self._output

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._began

    @property
    def is_stuck(self) -> bool:
        """It is a peer that looks for a path for so long that somebody else may have its seat."""
        is_looking = self._connection is Connection.CONNECTING and isinstance(self._output, Peer)
        return is_looking and self.seconds >= CONNECT_PATIENCE

    @property
    def floor(self) -> Floor:
        """Where others may speak, too.

        Raises:
            BadMessage: This visit makes pictures of one recording, as fast as it can.
        """
        if not self._paced:
            raise BadMessage("This session speaks one recording and nothing else.")
        return self._floor

    def begin(self) -> None:
        """Begin a visit that needs no offer; the caller then starts `run`."""
        self._move(Connection.CONNECTING)

    async def accept(self, offer: Offer) -> Answer:
        """Answer the offer; the caller then starts `run`, or `aclose` if this raises.

        Raises:
            OfferInvalid: Nobody could answer it.
            CodecUnsupported: No codec in common.
        """
        assert isinstance(self._output, Peer)
        self._move(Connection.CONNECTING)
        return Answer(await self._output.accept(offer.sdp), self.id)

    def candidate(self, candidate: Candidate) -> None:
        """Add a remote candidate, at any time.

        Raises:
            BadMessage: It cannot be read.
        """
        if self._connection not in (Connection.CLOSING, Connection.CLOSED) and isinstance(self._output, Peer):
            self._output.add_candidate(candidate)

    def select(self, loaded: LoadedAvatar) -> None:
        """Switch the avatar, live. The offer's options go along, unless they are none of its engine's.

        A visit that is closing takes no seat any more.
        """
        if self._connection in (Connection.CLOSING, Connection.CLOSED):
            return
        try:
            self._pipeline.switch(loaded, self._options)
        except BadMessage:
            self._pipeline.switch(loaded, Options(self._options.seed))
        self._push_state()

    def interrupt(self) -> Interrupted:
        """Drop the speech that has not left."""
        forgotten = round(self._floor.forget() * 1000)
        cut = self._pipeline.interrupt()
        self._output.hush()
        return Interrupted(cut.spoken_ms, cut.discarded_ms + forgotten)

    async def quiet(self, limit: float = 1.0) -> None:
        """Return when a beat without speech leaves, or after ``limit`` seconds: after `interrupt`, the next one."""
        self._quiet.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._quiet.wait()

    async def run(self) -> None:
        """Play until the visitor has left, everything was said or something broke, and close; cancelling closes too."""
        reason: StudioError | None = None
        try:
            async with asyncio.TaskGroup() as tasks:
                ends = [tasks.create_task(work) for work in (self._attend(), self._play())]
                works = [tasks.create_task(work) for work in (self._output.encode(), self._report(), self._speak())]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                for work in (*ends, *works):
                    work.cancel()
        except* StudioError as group:
            reason = next(error for error in group.exceptions if isinstance(error, StudioError))
        except* Exception as group:  # an edge: whatever broke ends this visit and no other
            log.exception("session %.6s broke", self.id, exc_info=group)
            reason = EngineFault(detail="see the log")
        finally:
            await self.aclose(reason)

    async def aclose(self, reason: StudioError | None = None) -> None:
        """Say why, give everything back; idempotent: a second caller waits for the first. Cancelling stops nothing."""
        if self._closing is None:
            if reason is not None:
                log.warning("session %.6s ends: %s", self.id, reason)
                self._send(Fault.of(reason))
            self._move(Connection.CLOSING)
            self._tally.count_losses(self._pipeline, self._stale)
            self._closing = asyncio.create_task(self._give_back())
        await asyncio.shield(self._closing)

    async def _give_back(self) -> None:
        try:
            await self._floor.aclose()
            await self._pipeline.aclose()
            await self._output.aclose(CLOSE_LIMIT)
        finally:
            self._move(Connection.CLOSED)

    async def _attend(self) -> None:
        """Return when the output has gone.

        Raises:
            PeerTimeout: It never came.
        """
        try:
            async with asyncio.timeout(self._spec.ice.connect_limit):
                state = await self._output.until("connected", "failed", "closed")
        except TimeoutError as error:
            raise PeerTimeout from error
        if state == "failed":
            raise PeerTimeout(detail="ICE or DTLS failed")
        if state == "connected":
            self._move(Connection.LIVE)
            await self._output.until("failed", "closed")

    async def _speak(self) -> None:
        await self._output.until("connected", "failed", "closed")
        self._floor.open()
        if self._source is not None:
            await self._source.run(self._floor)
            self._has_said_all = True

    async def _play(self) -> None:
        """Return when everything was said and has left."""
        await self._output.until("connected", "failed", "closed")
        with contextlib.suppress(StopAsyncIteration):
            farewell = FAREWELL_SLOTS
            while farewell:
                await self._output.room()
                self._send_on(await self._pipeline.next())
                farewell -= self._has_said_all and not self._floor.is_taken and self._pipeline.is_finished
        await self._output.finish()

    def _send_on(self, beat: Beat) -> None:
        self._output.send(self._pipeline.slot, beat, self._pipeline.arrived)
        self._tally.count(beat, self._pipeline.lateness)
        if not beat.speech:
            self._quiet.set()
        if beat.speech is not self._is_speaking:
            self._is_speaking = beat.speech
            self._push_state()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            report = self._tally.report(self._pipeline, self._output, self._stale)
            if self._connection is Connection.LIVE:
                self._send(report)

    @property
    def _stale(self) -> int:
        return self._output.microphone.stale if isinstance(self._output, Peer) else 0

    def _hear(self, pcm: NDArray[np.int16], arrived: float) -> None:
        self._floor.feed(pcm, live=True, arrived=arrived)

    def _move(self, to: Connection) -> None:
        assert to in LEGAL[self._connection], f"{self._connection} -> {to}"
        log.info("session %.6s: %s -> %s", self.id, self._connection, to)
        self._connection = to
        self._push_state()

    def _push_state(self) -> None:
        self._send(State(str(self._connection), self._is_speaking, self.avatar_id))
