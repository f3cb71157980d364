"""Broadcasts by avatar: the first viewer begins one, and when the last has gone for a while it ends.

A broadcast is a session like any other: it takes a seat, and whoever knows its id may speak in it. Its viewers are
counted apart. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from studio.broadcast import Broadcast, Viewer
from studio.host import SessionHost
from studio.lines import Lines, Opened
from studio.messages import Fault, ServerMessage
from studio.pipeline import LoadedAvatar
from studio.seats import measured_viewers
from studio.spec import FRAME_SCALE, StudioSpec
from studio.stats import Stats
from studio.visitors import Library

log = logging.getLogger(__name__)

GRACE = 10.0
"""Seconds that a broadcast goes on without viewers: who reloads a page finds it as it was."""


@dataclass(slots=True, eq=False)
class _Show:
    """A broadcast that goes on."""

    session_id: str
    output: Broadcast
    task: asyncio.Task[None] | None = None


class Viewers:
    """Whoever watches, and what they watch.

    Args:
        host: Where broadcasts take their seats.
        library: Where avatars come from.
        spec: The whole configuration.
        stats: Counts.
        grace: Seconds that a broadcast goes on without viewers.
    """

    def __init__(
        self, host: SessionHost, library: Library, spec: StudioSpec, stats: Stats, grace: float = GRACE
    ) -> None:
        self._host, self._library, self._spec, self._stats, self._grace = host, library, spec, stats, grace
        each = spec.limits.sockets_per_address
        self.lines = Lines(self._most, each, spec.ice.connect_limit, lambda n: stats.gauge("studio_viewers", n))
        self._shows: dict[LoadedAvatar, _Show] = {}
        """By whom they show: one that was removed and added anew is somebody else."""
        self._entering = asyncio.Lock()

    async def watch(self, avatar_id: str, sdp: str, who: str = "") -> Opened:
        """Answer a viewer's offer; the avatar's broadcast begins if it does not go on yet.

        Args:
            avatar_id: Whom to watch.
            sdp: The offer.
            who: As for `Lines.check_room`.

        Raises:
            StudioFull: No place for a viewer, or no seat for the broadcast.
            RateLimited: The caller watches as often as one may.
            AvatarNotFound: No such avatar.
            AvatarNotReady: It cannot run here, or not yet.
            OfferInvalid: Nobody could answer the offer.
            CodecUnsupported: No codec in common.
        """
        self.lines.check_room(who)
        viewer = await self._enter(avatar_id)
        return await self.lines.open(viewer, sdp, who)

    def broadcast(self, avatar_id: str) -> Broadcast | None:
        """Return the avatar's broadcast, if it goes on; raises `AvatarNotFound` and `AvatarNotReady`."""
        show = self._shows.get(self._library.get(avatar_id))
        return show.output if show else None

    async def aclose(self) -> None:
        """End everything; idempotent."""
        await self.lines.aclose()
        shows = list(self._shows.values())
        await asyncio.gather(*(self._host.close(show.session_id) for show in shows))
        await asyncio.gather(*(show.task for show in shows if show.task))

    def _most(self) -> int:
        return self._spec.limits.viewers or measured_viewers(self._host.capacity().taken)

    async def _enter(self, avatar_id: str) -> Viewer:
        """Return a viewer of the broadcast that goes on, or begins now; one alone begins it."""
        async with self._entering:
            loaded = self._library.get(avatar_id)
            show = self._shows.get(loaded)
            if show is None or show.output.state == "closed":
                media = self._spec.sent_at(loaded.spec.options.get(FRAME_SCALE)).media
                show = await self._begin(loaded, Broadcast(media, self._stats))
            return Viewer(show.output, self._spec, self._stats)

    async def _begin(self, loaded: LoadedAvatar, output: Broadcast) -> _Show:
        avatar_id = loaded.spec.id
        show = _Show(self._host.open(lambda message: _note(avatar_id, message)), output)
        try:
            await self._host.play(show.session_id, avatar_id, output)
        except BaseException:
            await self._host.close(show.session_id)
            raise
        self._shows[loaded] = show
        show.task = asyncio.create_task(self._attend(loaded, show))
        log.info("broadcast of %s: session %.4s begins", avatar_id, show.session_id)
        return show

    async def _attend(self, loaded: LoadedAvatar, show: _Show) -> None:
        """End a broadcast when nobody has watched for a while, at once if nobody ever did."""
        output = show.output
        while output.state != "closed":
            await output.watched(False)
            try:
                async with asyncio.timeout(self._grace if output.was_watched else 0):
                    await output.watched()
            except TimeoutError:
                if not output.viewers:  # nobody has come in this very moment
                    break
        if self._shows.get(loaded) is show:
            del self._shows[loaded]
        await self._host.close(show.session_id)
        log.info("broadcast of %s: session %.4s has ended", loaded.spec.id, show.session_id)


def _note(avatar_id: str, message: ServerMessage) -> None:
    """Nobody listens to a broadcast's session but the log."""
    if isinstance(message, Fault):
        log.warning("broadcast of %s: %s", avatar_id, message.message)
