"""What pages and programs are told when avatars change, without asking: one bell, rung from any thread.

Pages that have asked for the gallery get it anew when it differs, as one text that is written once for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from studio.messages import AvatarCard, Avatars, encode
from studio.web.gallery import avatar_cards
from studio.web.keys import LIBRARY

PAUSE = 0.25
"""Seconds between two looks at what has changed, however often the bell rings."""


class Bulletin:
    """The bell, and who wants the gallery; on the event loop, but for `ring`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
        self.readers: set[Callable[[str], None]] = set()
        """Called with the gallery's message when it has changed; bounded, never block."""

    def ring(self) -> None:
        """Say that something has changed; any thread."""
        self._loop.call_soon_threadsafe(self._wake)

    def next(self) -> asyncio.Event:
        """Return what is set when the bell rings next; take it before you look, so that no ring is lost."""
        return self._rung

    def _wake(self) -> None:
        rung, self._rung = self._rung, asyncio.Event()
        rung.set()


BULLETIN = web.AppKey("BULLETIN", Bulletin)


async def publish(app: web.Application) -> None:
    """Send the gallery to its readers whenever it differs from before; cancelling ends it."""
    bulletin = app[BULLETIN]
    before = _gist(avatar_cards(app[LIBRARY]))
    rung = bulletin.next()
    while True:
        await rung.wait()
        await asyncio.sleep(PAUSE)
        rung = bulletin.next()
        cards = avatar_cards(app[LIBRARY])
        if (gist := _gist(cards)) != before:
            before, text = gist, encode(Avatars(cards))
            for read in bulletin.readers:
                read(text)


def _gist(cards: tuple[AvatarCard, ...]) -> list[tuple[str, str, bool, str]]:
    return [(card.id, card.thumbnail, card.ready, card.reason) for card in cards]


async def bulletin(app: web.Application) -> AsyncIterator[None]:
    """Keep the bell and who publishes for as long as the application runs."""
    app[BULLETIN] = Bulletin()
    publishing = asyncio.create_task(publish(app))
    yield
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
