"""What every output is: where a visit's beats go. A WebRTC peer, pictures over a WebSocket, a server that wants RTMP.

Beats come at the pace of one clock, the pipeline's; an output never asks for another. It may refuse to be hurried
(`Output.room`) where a visit has no clock of its own to keep: pictures of a recording for a slow reader.
"""

from __future__ import annotations

from typing import Protocol

from studio.beat import Beat


class Output(Protocol):
    """One visit's end of the line."""

    @property
    def state(self) -> str:
        """``new``, ``connecting``, ``connected``, ``failed`` or ``closed``; beats are sent from ``connected`` on."""

    @property
    def dropped(self) -> int:
        """What the output was too slow for, since the start."""

    async def until(self, *states: str) -> str:
        """Wait for one of the states and return it; a ``StudioError`` raised here ends the visit with its sentence."""

    async def room(self) -> None:
        """Return when another beat may come."""

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Take one beat; never blocks, on the event loop.

        Args:
            slot: Its number since the start, 40 ms each; times follow from it, and it may jump after a stall.
            beat: Picture and sound.
            arrived: When its sound came in, on `time.monotonic`; 0: unknown.
        """

    def hush(self) -> None:
        """Silence the sound that was taken and has not left yet."""

    async def encode(self) -> None:
        """Work on what was taken; runs as long as the visit, cancelling ends it.

        Raises:
            StudioError: It broke; the visit ends with that sentence.
        """

    async def finish(self) -> None:
        """Return when everything that was taken has left; nothing more will come."""

    async def aclose(self, limit: float = 1.0) -> None:
        """Close within about ``limit`` seconds; idempotent."""
