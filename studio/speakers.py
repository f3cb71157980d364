"""Microphones from outside: a connection of its own brings a voice into a visit that goes on.

It holds the floor as an agent does: one at a time, and before the visit's own microphone. Pictures that it would like
to send are declined. Knows nothing of HTTP.
"""

from __future__ import annotations

from studio.audio import Pcm
from studio.decline import with_declined, without_unknown_pictures
from studio.host import SessionHost
from studio.line import Line
from studio.lines import Lines, Opened
from studio.spec import StudioSpec
from studio.stats import Stats
from studio.voice import Speaker, Voice


class MicrophoneVoice(Voice):
    """Speech as it is spoken: nothing of it waits, and what comes before its turn is lost."""

    def __init__(self) -> None:
        super().__init__()
        self._speaker: Speaker | None = None

    def hear(self, pcm: Pcm, arrived: float) -> None:
        """Speak at once.

        Args:
            pcm: (n,) mono 16 kHz.
            arrived: Second in which it came in.
        """
        if self._speaker is not None:
            self._speaker.feed(pcm, live=True, arrived=arrived)

    async def run(self, speaker: Speaker) -> None:
        """Speak until `close`; return when everything was spoken."""
        self._speaker = speaker
        try:
            while not self.is_closed:
                self._news.clear()
                await self._news.wait()
        finally:
            self._speaker = None
        speaker.end()
        await speaker.spoken()


class MicrophoneLine(Line):
    """A connection that brings a voice.

    Args:
        voice: Whose.
        spec: The whole configuration.
        stats: Counts.
    """

    def __init__(self, voice: MicrophoneVoice, spec: StudioSpec, stats: Stats) -> None:
        super().__init__(spec.ice, spec.media, spec.server.host, {}, voice.hear, stats)
        self._voice = voice

    async def accept(self, sdp: str) -> str:
        """Answer an offer, which is not lost because of pictures that nobody here could decode; see `Line.accept`."""
        offer, declined = without_unknown_pictures(sdp)
        return with_declined(await super().accept(offer), declined)

    def _stop(self) -> None:
        self._voice.close()


class Speakers:
    """Whoever speaks so.

    Args:
        host: In whose visits.
        spec: The whole configuration.
        stats: Counts.
    """

    def __init__(self, host: SessionHost, spec: StudioSpec, stats: Stats) -> None:
        self._host, self._spec, self._stats = host, spec, stats
        limits = spec.limits
        self.lines = Lines(lambda: limits.sockets, limits.sockets_per_address, spec.ice.connect_limit)

    async def speak(self, session_id: str, sdp: str, who: str = "") -> Opened:
        """Answer a speaker's offer; it has the floor until it leaves, or the visit ends.

        Args:
            session_id: In which visit.
            sdp: The offer.
            who: As for `Lines.check_room`.

        Raises:
            StudioFull: Too many speak.
            RateLimited: The caller speaks as often as one may.
            SessionNotFound: There is no such visit, or it has ended.
            BadMessage: Somebody else speaks there.
            OfferInvalid: Nobody could answer the offer, or there is no voice in it.
            CodecUnsupported: No codec in common.
        """
        voice = MicrophoneVoice()
        turn = self._host.attach(session_id, voice)
        line = MicrophoneLine(voice, self._spec, self._stats)
        turn.add_done_callback(lambda _: line.hang_up())
        return await self.lines.open(line, sdp, who)

    async def aclose(self) -> None:
        """End all of them; idempotent."""
        await self.lines.aclose()
