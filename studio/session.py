"""One visit from offer to goodbye, and the host that holds all visits of this process.

`SessionHost` is the face that `web/` talks to; it may one day be an actor on another machine, so only plain dataclasses
cross it. It knows nothing of sockets: what the visitor must hear goes into the ``send`` callable given at `open`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from studio.engine import Avatar, Engine
from studio.messages import Answer, Candidate, ClientMessage, Offer, ServerMessage
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec, StudioSpec
from studio.stats import Stats

Send = Callable[[ServerMessage], None]
"""The visitor's outbox: bounded, never blocks, called on the event loop."""


class LoadedAvatar(Protocol):
    """An avatar that can be played now."""

    spec: AvatarSpec
    engine: Engine
    scheduler: Scheduler
    avatar: Avatar


class Library(Protocol):
    """What a session needs to know of the avatars."""

    @property
    def first_id(self) -> str: ...

    def get(self, avatar_id: str) -> LoadedAvatar:
        """Raises: AvatarNotFound, AvatarNotReady."""


class SessionHost:
    """All visits of this process.

    Usage: ``id = host.open(send)`` per socket; `offer`, `candidate`, `handle` with that id; `close` when the socket is gone.
    """

    def __init__(self, library: Library, spec: StudioSpec, stats: Stats) -> None: ...

    def open(self, send: Send) -> str:
        """Register a visitor (costs no seat) and return its session id."""

    async def offer(self, session_id: str, offer: Offer) -> Answer:
        """Take a seat and answer; raises StudioFull, OfferInvalid, CodecUnsupported, AvatarNotFound, AvatarNotReady."""

    def candidate(self, session_id: str, candidate: Candidate) -> None:
        """Queue or apply a remote candidate; raises BadMessage."""

    def handle(self, session_id: str, message: ClientMessage) -> None:
        """Any message but Offer and GetAvatars; answers through ``send``: AvatarSelected, Interrupted, Stopped, Pong."""

    async def close(self, session_id: str) -> None:
        """End the visit within 1 s; unknown ids are fine."""

    def capacity(self) -> tuple[int, int]:
        """Seats and how many of them are taken."""

    async def aclose(self) -> None:
        """Close every visit."""
