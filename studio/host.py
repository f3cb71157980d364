"""All visits of this process behind four calls, `offer`, `candidate`, `handle`, `close`, and `capacity`.

This is the face that `web/` talks to. It may one day be an actor on another machine: what it tells are plain
dataclasses, what it takes are sources, voices, recordings and outputs, and no session leaves it. Nothing here knows of
sockets: what a visitor must hear goes into the ``send`` callable given at `open`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping
from typing import assert_never

from studio.engine import Options
from studio.errors import BadMessage, SessionNotFound, StudioError
from studio.messages import (
    Answer,
    AvatarSelected,
    Candidate,
    Fault,
    Interrupt,
    Interrupted,
    Offer,
    Ping,
    Pong,
    SelectAvatar,
    Stop,
    Stopped,
)
from studio.output import Output
from studio.peer import Peer
from studio.pipeline import LoadedAvatar
from studio.seats import Capacity
from studio.session import Send, Session
from studio.source import Recording, Source
from studio.spec import FRAME_SCALE, StudioSpec
from studio.stats import Stats
from studio.visitors import Library, Ready, Seating, Visit, Visitor, ready_or_gone
from studio.voice import Voice

Request = SelectAvatar | Candidate | Interrupt | Stop | Ping
"""What `SessionHost.handle` acts on."""


class SessionHost:
    """All visits of this process.

    Use: ``id = host.open(send)`` per socket, `offer`, `candidate` and `handle` with it, `close` when it is gone.

    Args:
        library: Where avatars come from.
        spec: The whole configuration.
        stats: Counts.
    """

    def __init__(self, library: Library, spec: StudioSpec, stats: Stats) -> None:
        self._library, self._spec, self._stats = library, spec, stats
        self._visitors: dict[str, Visitor] = {}
        self._seating = Seating(library, spec.limits.sessions, stats, self._visitors)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, send: Send, once: bool = False) -> str:
        """Register a visitor, which costs no seat, and return the session id.

        Args:
            send: What the visitor hears.
            once: Forget the visitor when the first visit is over: nobody will call `close`.
        """
        session_id = secrets.token_urlsafe(12)
        self._visitors[session_id] = Visitor(send, self._library.first_id, once)
        return session_id

    async def offer(
        self, session_id: str, offer: Offer, source: Source | None = None, scale: float | None = None
    ) -> Answer:
        """Take a seat and answer; a visit that goes on under this id is ended first.

        Args:
            session_id: From `open`.
            offer: What the other side offers.
            source: What is spoken, from the moment media can flow; the visit ends with it.
            scale: Of the avatar's sides, unless the offer's options have one; None: as configured.

        Raises:
            StudioFull: No seat left.
            OfferInvalid: Nobody could answer it.
            CodecUnsupported: No codec in common.
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """
        visitor = self._visitor(session_id)
        async with visitor.lock:
            await visitor.end()
            loaded = await self._cast(session_id, offer.avatar_id or visitor.avatar_id)
            options = Options(values=offer.options)
            spec = self._spec.sent_at(offer.options.get(FRAME_SCALE), scale, loaded.spec.options.get(FRAME_SCALE))
            session = Session(session_id, loaded, options, spec, self._stats, visitor.send, source=source)
            answer = await visitor.begin(session, offer)
            self._spawn(self._run(session_id, visitor, session))
            return answer

    async def expect(
        self, session_id: str, offer: Offer, ready: Ready, source: Source | None, scale: float | None
    ) -> Answer:
        """Take a seat and answer although the avatar is not ready: the visit begins with it, or never.

        Args:
            session_id: From `open`.
            offer: Its visitor is not heard.
            ready: Of the avatar.
            source: What is spoken.
            scale: As for `offer`.

        Raises:
            StudioFull: No seat left.
            OfferInvalid: Nobody could answer it.
            CodecUnsupported: No codec in common.
        """
        visitor = self._visitor(session_id)
        await self._seating.make_room(1)
        self._seating.check_room(1)
        spec = self._spec.sent_at(offer.options.get(FRAME_SCALE), scale)
        peer = Peer(spec.ice, spec.media, spec.server.host, lambda pcm, arrived: None, self._stats)
        visitor.expect(peer)
        answer = Answer(await peer.accept(offer.sdp), session_id)
        self._spawn(self._begin_when(ready, session_id, visitor, offer, peer, source))
        return answer

    async def play(
        self, session_id: str, avatar_id: str, output: Output, source: Source | None = None, *,
        options: Mapping[str, object] | None = None, paced: bool = True, seats: int = 1,
    ) -> None:  # fmt: skip
        """Take a seat for a visit that needs no offer; its beats go to ``output``, which ends with it.

        Args:
            session_id: From `open`; a visit that goes on under this id is ended first.
            avatar_id: Whom to play.
            output: Where to.
            source: What is spoken; nothing by default, until somebody speaks into the session.
            options: The engine's.
            paced: Follow the clock; False: every beat of the sound, as fast as the output takes them.
            seats: That it takes; see `seats.seats_for`.

        Raises:
            StudioFull: No seat left.
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """
        visitor = self._visitor(session_id)
        async with visitor.lock:
            await visitor.end()
            loaded = await self._cast(session_id, avatar_id, seats)
            visitor.session = Session(
                session_id, loaded, Options(values=options or {}), self._spec, self._stats, visitor.send,
                output=output, source=source, paced=paced,
            )  # fmt: skip
            visitor.session.begin()
            self._spawn(self._run(session_id, visitor, visitor.session))

    def candidate(self, session_id: str, candidate: Candidate) -> None:
        """Add a remote candidate, also one that comes before its offer.

        Raises:
            BadMessage: It cannot be read.
        """
        self._visitor(session_id).candidate(candidate)

    def handle(self, session_id: str, message: Request) -> None:
        """Act on a message and answer it through ``send``.

        Raises:
            StudioError: The sentence for the visitor.
        """
        visitor = self._visitor(session_id)
        match message:
            case Candidate():
                visitor.candidate(message)
            case SelectAvatar(avatar_id):
                self._select(visitor, avatar_id)
            case Interrupt():
                visitor.send(visitor.running.interrupt() if visitor.running else Interrupted(0, 0))
            case Stop():
                self._spawn(self._stop(visitor))
            case Ping(timestamp):
                visitor.send(Pong(timestamp))
            case _:
                assert_never(message)

    async def close(self, session_id: str) -> None:
        """End the visit within 1 s and forget the visitor; unknown ids are fine."""
        visitor = self._visitors.pop(session_id, None)
        if visitor is not None:
            async with visitor.lock:
                await visitor.end()

    def capacity(self) -> Capacity:
        """Return the seats, configured or from what this machine was measured to hold, and how many are taken."""
        return self._seating.capacity()

    def visit(self, session_id: str) -> Visit:
        """Return what is told of a visit that goes on: who knows its id may speak in it.

        Raises:
            SessionNotFound: There is none, or it has ended.
        """
        session = self._session(session_id)
        return Visit(session.avatar_id, str(session.connection), session.seconds)

    def sessions(self) -> dict[str, Visit]:
        """Return the visits that go on, by id."""
        return {id: self.visit(id) for id, visitor in self._visitors.items() if visitor.running}

    def attach(self, session_id: str, voice: Voice) -> asyncio.Task[None]:
        """Let an agent speak in a visit; see `Floor.attach`.

        Raises:
            SessionNotFound: There is no such visit, or it has ended.
            BadMessage: Nobody else may speak there now.
        """
        return self._session(session_id).floor.attach(voice)

    def say(self, session_id: str, recording: Recording) -> None:
        """Speak a recording in a visit, after everything else from outside; raises as `attach`, and `StudioFull`."""
        self._session(session_id).floor.say(recording)

    async def interrupt(self, session_id: str) -> Interrupted:
        """Silence a visit; return when the first beat without that speech has left.

        Raises:
            SessionNotFound: There is no such visit, or it has ended.
        """
        session = self._session(session_id)
        cut = session.interrupt()
        await session.quiet()
        return cut

    async def aclose(self) -> None:
        """Close every visit; idempotent."""
        await asyncio.gather(*(self.close(session_id) for session_id in list(self._visitors)))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _session(self, session_id: str) -> Session:
        visitor = self._visitors.get(session_id)
        if visitor and visitor.running:
            return visitor.running
        raise SessionNotFound

    def _visitor(self, session_id: str) -> Visitor:
        if visitor := self._visitors.get(session_id):
            return visitor
        raise BadMessage("This session has ended. Reload the page.")

    async def _cast(self, session_id: str, avatar_id: str, seats: int = 1) -> LoadedAvatar:
        """Return the avatar if there is a seat for it, and the visitor has not been closed while this waited."""
        await self._seating.make_room(seats)
        visitor = self._visitor(session_id)
        loaded = self._library.get(avatar_id)
        visitor.avatar_id, visitor.seats = loaded.spec.id, seats
        self._seating.check_room(seats)
        return loaded

    async def _begin_when(
        self, ready: Ready, session_id: str, visitor: Visitor, offer: Offer, peer: Peer, source: Source | None
    ) -> None:
        try:
            await ready_or_gone(ready, peer)
            visitor.expecting = None  # its seat is the visit's
            await self.play(session_id, offer.avatar_id or "", peer, source, options=offer.options)
        except StudioError as error:
            visitor.send(Fault.of(error))
            await self.close(session_id)
        finally:
            if visitor.session is None:
                await peer.aclose()

    async def _run(self, session_id: str, visitor: Visitor, session: Session) -> None:
        await session.run()
        if visitor.once:
            self._visitors.pop(session_id, None)

    async def _stop(self, visitor: Visitor) -> None:
        async with visitor.lock:
            await visitor.end()
        visitor.send(Stopped())

    def _select(self, visitor: Visitor, avatar_id: str) -> None:
        loaded = self._library.get(avatar_id)
        visitor.avatar_id = avatar_id
        visitor.send(AvatarSelected(avatar_id))
        if visitor.running and visitor.running.avatar_id != avatar_id:
            visitor.running.select(loaded)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
