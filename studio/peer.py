"""A visit's WebRTC connection: sends its beats as two tracks, and brings its voice. An `output.Output`."""

from __future__ import annotations

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from studio.beat import Beat
from studio.encode import Relay, make_encoder
from studio.line import Line, OnAudio
from studio.outlet import Outlet
from studio.spec import IceSpec, MediaSpec
from studio.stats import Stats


class Peer(Line):
    """A visit's connection: its output, and by default its voice.

    Args:
        ice: Addresses and servers.
        media: Codec preference and bitrates.
        host: The address the server is bound to.
        on_audio: Gets the visitor's voice.
        stats: Counts.
    """

    def __init__(self, ice: IceSpec, media: MediaSpec, host: str, on_audio: OnAudio, stats: Stats) -> None:
        self._outlet = Outlet(stats, media.scale)
        tracks = {"audio": self._outlet.audio, "video": self._outlet.video}
        super().__init__(ice, media, host, tracks, on_audio, stats)

    @property
    def dropped(self) -> int:
        """Pictures that the encoders were too slow for, and frames of the microphone that came too late."""
        return self._outlet.dropped + self.microphone.stale

    async def room(self) -> None:
        """Return at once: a peer is never waited for, its clock is the visit's."""

    async def finish(self) -> None:
        """Return at once: what was released leaves within a few slots."""

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Release one beat to both tracks; see `Outlet.send`."""
        self._outlet.send(slot, beat, arrived)

    def hush(self) -> None:
        """Silence what was released and has not left yet."""
        self._outlet.hush()

    async def encode(self) -> None:
        """Encode and send what is released; runs as long as the visit, cancelling ends it."""
        await self._outlet.run()

    def _relay(self, kind: str, codec: RTCRtpCodecParameters) -> Relay:
        return self._outlet.use(kind, make_encoder(codec, self._media))

    def _request_keyframe(self) -> None:
        self._outlet.request_keyframe()

    def _stop(self) -> None:
        self._outlet.stop()
