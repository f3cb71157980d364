"""One visit's beats for many viewers: each codec that somebody wants is encoded once. An `output.Output`.

What a viewer costs besides is packets, encryption and sending. A viewer's first picture is a keyframe; keyframes are
made seldom, however many ask. The bitrate is the configured one: no viewer's bad network makes all others' picture
worse. Knows nothing of HTTP.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from functools import partial

from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from studio.beat import Beat
from studio.encode import BeatCoder, Encoded, Relay, make_encoder
from studio.line import Line
from studio.outlet import KEPT_PICTURES, Give, Outflow, PacketTrack, Released, put_sounds
from studio.spec import MediaSpec, StudioSpec
from studio.stats import Stats

JOIN_GAP = 0.4
"""Seconds from one keyframe to the next while viewers come: so long may one wait for the first picture."""
LOSS_GAP = 1.0
"""Seconds from one keyframe to the next while viewers lose pictures: a keyframe is as large as ten others."""


class Keyframes:
    """When the next picture has to be a keyframe: many ask, few are made. Time is given."""

    def __init__(self) -> None:
        self._gap, self._made = math.inf, -math.inf

    def ask(self, gap: float) -> None:
        """Ask for one, ``gap`` seconds after the last at the earliest."""
        self._gap = min(self._gap, gap)

    def is_due(self, now: float) -> bool:
        """Tell whether the picture that is encoded ``now`` has to be one."""
        return now - self._made > self._gap

    def made(self, now: float) -> None:
        """One was made: everybody who has asked gets it."""
        self._gap, self._made = math.inf, now


class _Encoding:
    """One codec, and those who get what it makes; encodes in the thread pool, everything else on the event loop."""

    def __init__(self, kind: str, coder: BeatCoder) -> None:
        self.keyframes = Keyframes()
        self._kind, self._coder = kind, coder
        self._tracks: dict[PacketTrack, bool] = {}
        """True: its first keyframe has been sent."""

    @property
    def is_wanted(self) -> bool:
        return bool(self._tracks)

    def add(self, track: PacketTrack) -> None:
        self._tracks[track] = False
        self.keyframes.ask(JOIN_GAP)

    def remove(self, track: PacketTrack) -> None:
        self._tracks.pop(track, None)

    def encode(self, released: Sequence[Released]) -> Give:
        """Encode, in a thread; return what hands it to everybody."""
        if self._kind == "audio":
            return partial(self._give_sounds, released, [self._coder.encode_sound(o.slot, o.beat) for o in released])
        pictures = [self._picture(one) for one in released[-KEPT_PICTURES:]]
        return partial(self._give_pictures, pictures, len(released) - len(pictures))

    def _picture(self, one: Released) -> Encoded:
        now = time.monotonic()
        if self.keyframes.is_due(now):
            self._coder.request_keyframe()
        picture = self._coder.encode_picture(one.slot, one.beat)
        assert picture is not None
        if picture.is_keyframe:
            self.keyframes.made(now)
        return picture

    def _give_pictures(self, pictures: Sequence[Encoded], left_out: int, now: float) -> int:
        for picture in pictures:
            for track, has_begun in self._tracks.items():
                if has_begun or picture.is_keyframe:
                    self._tracks[track] = True
                    track.put(now, picture)
        return left_out

    def _give_sounds(self, released: Sequence[Released], sounds: Sequence[Sequence[Encoded]], now: float) -> int:
        for one, parts in zip(released, sounds, strict=True):
            for track in self._tracks:
                put_sounds(track, one.at, parts)
        return 0


class Broadcast(Outflow):
    """The output that many watch.

    Args:
        media: Encoding.
        stats: Counts.
    """

    def __init__(self, media: MediaSpec, stats: Stats) -> None:
        super().__init__(stats)
        self._media = media
        self._encodings: Mapping[str, _Encoding] = {}  # replaced as a whole: threads read it
        self._viewers: set[Viewer] = set()
        self._changed = asyncio.Event()
        self._is_closed = False
        self.was_watched = False
        """Somebody has been connected."""

    @property
    def state(self) -> str:
        """``connected`` from the beginning, for there is nothing to wait for; in the end ``closed``."""
        return "closed" if self._is_closed else "connected"

    @property
    def viewers(self) -> int:
        """Who watch, or are about to."""
        return len(self._viewers)

    @property
    def codecs(self) -> tuple[str, ...]:
        """MIME types, in lower case, of what is being encoded: each once."""
        return tuple(self._encodings)

    async def until(self, *states: str) -> str:
        """Wait for one of the states and return it."""
        while self.state not in states:
            await self._change()
        return self.state

    async def watched(self, wanted: bool = True) -> None:
        """Return when somebody watches (``wanted``), or nobody does, or it is over."""
        while bool(self._viewers) is not wanted and not self._is_closed:
            await self._change()

    async def room(self) -> None:
        """Return at once: its clock is the visit's."""

    async def finish(self) -> None:
        """Return at once: what was released leaves within a few slots."""

    def send(self, slot: int, beat: Beat, arrived: float = 0.0) -> None:
        """Release one beat to everybody; where nobody is, it is not encoded."""
        if self._encodings:
            super().send(slot, beat, arrived)

    async def encode(self) -> None:
        """Encode and send what is released; runs as long as the visit, cancelling ends it."""
        await self.run()

    async def aclose(self, limit: float = 1.0) -> None:
        """End it for everybody within about ``limit`` seconds; idempotent."""
        self._is_closed = True
        self._changed.set()
        await asyncio.gather(*(viewer.aclose(limit) for viewer in tuple(self._viewers)))

    def enter(self, viewer: Viewer) -> None:
        """Count a viewer."""
        self._viewers.add(viewer)
        self._changed.set()

    def leave(self, viewer: Viewer) -> None:
        """Forget a viewer; idempotent."""
        self._viewers.discard(viewer)
        self._changed.set()

    def join(self, codec: RTCRtpCodecParameters, track: PacketTrack) -> Keyframes:
        """Send a codec to a track from now on, from the next keyframe on."""
        self.was_watched = True
        name = codec.mimeType.lower()
        if name not in self._encodings:
            coder = BeatCoder(self._stats, self._media.scale)
            coder.use(track.kind, make_encoder(codec, self._media))
            self._encodings = {**self._encodings, name: _Encoding(track.kind, coder)}
        self._encodings[name].add(track)
        return self._encodings[name].keyframes

    def part(self, track: PacketTrack) -> None:
        """Send no more to a track; a codec that nobody wants any more is given up. Idempotent."""
        for encoding in self._encodings.values():
            encoding.remove(track)
        self._encodings = {name: one for name, one in self._encodings.items() if one.is_wanted}

    def _encode(self, released: Sequence[Released]) -> Give:
        gives = [encoding.encode(released) for encoding in self._encodings.values()]
        return lambda now: max([give(now) for give in gives], default=0)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Viewer(Line):
    """One who watches a broadcast.

    Args:
        broadcast: Which.
        spec: The whole configuration.
        stats: Counts.
    """

    def __init__(self, broadcast: Broadcast, spec: StudioSpec, stats: Stats) -> None:
        tracks = {kind: PacketTrack(kind, stats) for kind in ("audio", "video")}
        super().__init__(spec.ice, spec.media, spec.server.host, tracks, None, stats)
        self._broadcast = broadcast
        self._codecs: dict[str, RTCRtpCodecParameters] = {}
        self._keyframes: Keyframes | None = None
        broadcast.enter(self)

    def _on_change(self) -> None:
        """Begin when the connection stands: before, nothing is encoded for this viewer."""
        super()._on_change()
        if self.state == "connected":
            codecs, self._codecs = self._codecs, {}
            for kind, codec in codecs.items():
                keyframes = self._broadcast.join(codec, self._tracks[kind])
                if kind == "video":
                    self._keyframes = keyframes

    def _relay(self, kind: str, codec: RTCRtpCodecParameters) -> Relay:
        self._codecs[kind] = codec
        return Relay(None)

    def _request_keyframe(self) -> None:
        if self._keyframes is not None:
            self._keyframes.ask(LOSS_GAP)

    def _stop(self) -> None:
        for track in self._tracks.values():
            self._broadcast.part(track)
            track.stop()
        self._broadcast.leave(self)
