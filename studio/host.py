"""All visits of this process behind four calls, `offer`, `candidate`, `handle`, `close`, and `capacity`.

This is the face that `web/` talks to. It may one day be an actor on another machine: only plain dataclasses cross it,
and nothing here knows of sockets: what a visitor must hear goes into the ``send`` callable given at `open`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Mapping
from typing import Protocol, assert_never

from studio.engine import Options
from studio.errors import BadMessage, SessionNotFound, StudioError, StudioFull
from studio.messages import (
    Answer,
    AvatarSelected,
    Candidate,
    ClientMessage,
    Fault,
    GetAvatars,
    Interrupt,
    Interrupted,
    Offer,
    Ping,
    Pong,
    SelectAvatar,
    ServerMessage,
    Stop,
    Stopped,
)
from studio.output import Output
from studio.pipeline import LoadedAvatar
from studio.seats import Capacity, measured_seats
from studio.session import Connection, Session
from studio.source import Source
from studio.spec import FRAME_SCALE, StudioSpec
from studio.stats import Stats

log = logging.getLogger(__name__)

EARLY_CANDIDATES = 64
"""Remote candidates kept for an offer that has not come yet."""

Send = Callable[[ServerMessage], None]
"""A visitor's outbox: bounded, never blocks, called on the event loop."""


class Library(Protocol):
    """What the host needs to know of the avatars."""

    @property
    def first_id(self) -> str:
        """The first configured avatar."""

    def get(self, avatar_id: str) -> LoadedAvatar:
        """Return an avatar that can be played now.

        Raises:
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """


class _Visitor:
    """What is remembered between two offers of one visitor."""

    def __init__(self, send: Send, avatar_id: str, once: bool) -> None:
        self.send = send
        self.once = once
        self.avatar_id = avatar_id
        self.session: Session | None = None
        self.early: list[Candidate] = []
        self.lock = asyncio.Lock()  # offers, stop and close of one visitor happen one after the other

    @property
    def is_seated(self) -> bool:
        return self.session is not None and self.session.connection is not Connection.CLOSED


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
        self._visitors: dict[str, _Visitor] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, send: Send, once: bool = False) -> str:
        """Register a visitor, which costs no seat, and return the session id.

        Args:
            send: What the visitor hears.
            once: Forget the visitor when the first visit is over: nobody will call `close`.
        """
        session_id = secrets.token_urlsafe(12)
        self._visitors[session_id] = _Visitor(send, self._library.first_id, once)
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
            await self._end(visitor)
            loaded = self._cast(session_id, offer.avatar_id or visitor.avatar_id)
            options = Options(values=offer.options)
            spec = self._spec.sent_at(offer.options.get(FRAME_SCALE), scale, loaded.spec.options.get(FRAME_SCALE))
            visitor.session = Session(session_id, loaded, options, spec, self._stats, visitor.send, source=source)
            return await self._begin(session_id, visitor, visitor.session, offer)

    async def play(
        self, session_id: str, avatar_id: str, output: Output, source: Source | None = None, *,
        options: Mapping[str, object] | None = None, paced: bool = True,
    ) -> None:  # fmt: skip
        """Take a seat for a visit that needs no offer; its beats go to ``output``, which ends with it.

        Args:
            session_id: From `open`; a visit that goes on under this id is ended first.
            avatar_id: Whom to play.
            output: Where to.
            source: What is spoken; nothing by default, until somebody speaks into the session.
            options: The engine's.
            paced: Follow the clock; False: every beat of the sound, as fast as the output takes them.

        Raises:
            StudioFull: No seat left.
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
        """
        visitor = self._visitor(session_id)
        async with visitor.lock:
            await self._end(visitor)
            loaded = self._cast(session_id, avatar_id)
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
        visitor = self._visitor(session_id)
        if visitor.session is not None and visitor.is_seated:
            visitor.session.candidate(candidate)
        elif len(visitor.early) < EARLY_CANDIDATES:
            visitor.early.append(candidate)

    def handle(self, session_id: str, message: ClientMessage) -> None:
        """Act on a message and answer it through ``send``; an offer is started in the background.

        Raises:
            StudioError: The sentence for the visitor.
        """
        visitor = self._visitor(session_id)
        match message:
            case Offer():
                self._spawn(self._offer_and_answer(session_id, message, visitor))
            case Candidate():
                self.candidate(session_id, message)
            case SelectAvatar(avatar_id):
                self._select(visitor, avatar_id)
            case Interrupt():
                running = visitor.session if visitor.is_seated else None
                visitor.send(running.interrupt() if running else Interrupted(0, 0))
            case Stop():
                self._spawn(self._stop(visitor))
            case Ping(timestamp):
                visitor.send(Pong(timestamp))
            case GetAvatars():
                raise BadMessage("The gallery is not the session host's business.")
            case _:
                assert_never(message)

    async def close(self, session_id: str) -> None:
        """End the visit within 1 s and forget the visitor; unknown ids are fine."""
        visitor = self._visitors.pop(session_id, None)
        if visitor is not None:
            async with visitor.lock:
                await self._end(visitor)

    def capacity(self) -> Capacity:
        """Return the seats, configured or from what this machine was measured to hold, and how many are taken."""
        return Capacity(self._spec.limits.sessions or self._measured_seats(), len(self.sessions()))

    def session(self, session_id: str) -> Session:
        """Return a visit that goes on: who knows its id may speak in it.

        Raises:
            SessionNotFound: There is none, or it has ended.
        """
        if found := self.sessions().get(session_id):
            return found
        raise SessionNotFound

    def sessions(self) -> dict[str, Session]:
        """Return the visits that go on, by id."""
        return {id: one.session for id, one in self._visitors.items() if one.session is not None and one.is_seated}

    async def aclose(self) -> None:
        """Close every visit; idempotent."""
        await asyncio.gather(*(self.close(session_id) for session_id in list(self._visitors)))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _visitor(self, session_id: str) -> _Visitor:
        try:
            return self._visitors[session_id]
        except KeyError:
            raise BadMessage("This session has ended. Reload the page.") from None

    def _cast(self, session_id: str, avatar_id: str) -> LoadedAvatar:
        """Return the avatar if there is a seat for it, and the visitor has not been closed while this waited."""
        visitor = self._visitor(session_id)
        loaded = self._library.get(avatar_id)
        visitor.avatar_id = loaded.spec.id
        capacity = self.capacity()
        if capacity.taken >= capacity.seats:
            self._stats.count("studio_refused_total")
            raise StudioFull
        return loaded

    async def _begin(self, session_id: str, visitor: _Visitor, session: Session, offer: Offer) -> Answer:
        try:
            early, visitor.early = visitor.early, []
            for candidate in early:
                try:
                    session.candidate(candidate)
                except BadMessage as error:  # costs the visit no more than a late one does
                    visitor.send(Fault.of(error))
            answer = await session.accept(offer)
        except BaseException:
            await session.aclose()
            raise
        self._spawn(self._run(session_id, visitor, session))
        return answer

    async def _run(self, session_id: str, visitor: _Visitor, session: Session) -> None:
        await session.run()
        if visitor.once:
            self._visitors.pop(session_id, None)

    async def _end(self, visitor: _Visitor) -> None:
        session, visitor.session = visitor.session, None
        if session is not None:
            await session.aclose()

    async def _offer_and_answer(self, session_id: str, offer: Offer, visitor: _Visitor) -> None:
        try:
            visitor.send(await self.offer(session_id, offer))
        except StudioError as error:
            visitor.send(Fault.of(error))

    async def _stop(self, visitor: _Visitor) -> None:
        async with visitor.lock:
            await self._end(visitor)
        visitor.send(Stopped())

    def _select(self, visitor: _Visitor, avatar_id: str) -> None:
        loaded = self._library.get(avatar_id)
        visitor.avatar_id = avatar_id
        visitor.send(AvatarSelected(avatar_id))
        if visitor.session is not None and visitor.is_seated and visitor.session.avatar_id != avatar_id:
            visitor.session.select(loaded)

    def _measured_seats(self) -> int:
        try:
            scheduler = self._library.get(self._library.first_id).scheduler
        except StudioError:  # no avatar is ready: there is nothing to sit down for
            return 0
        return measured_seats(scheduler, self._stats)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
