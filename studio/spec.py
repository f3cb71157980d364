"""What the configuration says, as frozen dataclasses; `config` reads it, nobody changes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

FRAME_SCALE = "frame_scale"
"""An engine's option that is the studio's business: `MediaSpec.scale` for one avatar, or for one visit."""


@dataclass(frozen=True, slots=True)
class AvatarSpec:
    """One avatar as the YAML describes it."""

    id: str
    """Lower case letters, digits, ``-`` and ``_``; names its folder in the cache and its URL."""
    source: Path
    """Absolute path of the picture, video or drawn character (a folder with ``character.json``)."""
    name: str = ""
    """What the page shows; the id where empty."""
    engine: str = "auto"
    """A name of ``engine.ENGINES``, or ``auto``: the best that can run."""
    configured_source: str = ""
    """The source as written in the YAML: ``video_path`` of the wire contract."""
    preparation: bool = False
    """True: prepare anew at every start."""
    options: Mapping[str, object] = field(default_factory=dict)
    """The engine's own options."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """Where and to whom the studio listens."""

    host: str = "127.0.0.1"
    port: int = 8080
    origins: tuple[str, ...] = ()
    """Other sites' pages that may connect (``https://shop.example``); same host is always allowed."""
    base: str = ""
    """Reserved path prefix behind a reverse proxy, without trailing slash."""
    tls_cert: str = ""
    """PEM file of the certificate, its chain behind it; empty: plain HTTP."""
    tls_key: str = ""
    """PEM file of its key; empty: in the same file."""
    token: str = ""
    """Who says it is the operator; environment or file only. Empty: the operator is who sits at this machine."""
    visitors_add_avatars: bool = False
    """Whether every visitor may add avatars and remove what was added; else the operator may."""


@dataclass(frozen=True, slots=True)
class MediaSpec:
    """Encoding."""

    codecs: tuple[str, ...] = ("VP8", "H264")
    """Preference among what the browser offers."""
    bitrate_bps: int = 1_000_000
    """Start of the video encoder; bitrate hints of the receiver move it."""
    bitrate_min_bps: int = 250_000
    bitrate_max_bps: int = 2_500_000
    encode_threads: int = 0
    """Threads of the encoding pool; 0: one per core."""
    scale: float = 1.0
    """Of the avatar's sides, as peers get them."""


@dataclass(frozen=True, slots=True)
class IceSpec:
    """How peers find a path."""

    addresses: tuple[str, ...] = ()
    """Host candidates; empty: loopback when bound to loopback, else all interfaces."""
    ports: str = ""
    """UDP ports to use, ``50000-50199``, one for each visit and viewer; empty: whatever the system gives."""
    public_address: str = ""
    """The address by which the world knows this machine, where a NAT or a container hands those ports on unchanged."""
    relay_only: bool = False
    """Offer nothing but what a TURN server relays."""
    stun: tuple[str, ...] = ()
    """``stun:host:port`` URLs; none by default."""
    turn: tuple[str, ...] = ()
    """``turn:host:port?transport=udp`` URLs."""
    turn_secret: str = ""
    """Shared secret for time-limited TURN credentials; environment or file only."""
    turn_ttl: float = 3600.0
    gather_limit: float = 0.8
    """Seconds a STUN or TURN server may take before the answer leaves without it."""
    connect_limit: float = 20.0
    """Seconds until a peer without a media path is given up."""


@dataclass(frozen=True, slots=True)
class RtmpSpec:
    """Streams to RTMP servers."""

    hosts: tuple[str, ...] = ()
    """Names of servers that may be streamed to; empty: public ones, and when bound to loopback this network's too."""
    connect_limit: float = 4.0
    """Seconds that a server may take to accept a stream."""
    give_up: float = 600.0
    """Seconds until a server that was lost is no longer looked for."""
    sound_device: str = ""
    """This machine's microphone, as ALSA calls it, that streams may ask for; empty: none."""


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """What is refused rather than suffered."""

    sessions: int = 0
    """Visitors at once; 0: from the measured capacity of this machine."""
    viewers: int = 0
    """Who may watch broadcasts at once, over WHEP; 0: what the event loop has time for. A broadcast takes one seat."""
    queue_seconds: float = 120.0
    """Speech that may wait in one pipeline."""
    message_bytes: int = 262_144
    messages_per_second: int = 200
    """Per socket, averaged over a few seconds; more is answered with ``rate_limited``."""
    sockets: int = 1024
    """Signaling sockets that may be open at once."""
    sockets_per_address: int = 64
    """Of these, and of viewers and speakers over WHEP and WHIP, from one address; this machine's own are not counted: a
    reverse proxy speaks for many."""
    picture_pixels: int = 50_000_000
    """Pixels of a portrait before it is refused as a decompression bomb."""
    picture_bytes: int = 40_000_000
    avatar_memory_mb: int = 2048
    """Of all avatars together, guests included; what would exceed it is refused."""
    sound_bytes: int = 50_000_000
    sound_seconds: float = 600.0
    """Length of a recording."""
    upload_bytes: int = 1_000_000_000
    """All files that visitors sent, together."""
    upload_seconds: float = 3_600.0
    """After its last use, until such a file is forgotten."""
    video_bytes: int = 100_000_000
    """Of a video that becomes an avatar."""
    added_avatars: int = 16
    """That may be added while the studio runs, and are kept; 0: none."""
    guests: int = 8
    """Portraits of visitors that are kept prepared; the one used longest ago makes room."""


@dataclass(frozen=True, slots=True)
class StudioSpec:
    """The whole configuration."""

    avatars: tuple[AvatarSpec, ...]
    server: ServerSpec = ServerSpec()
    media: MediaSpec = MediaSpec()
    ice: IceSpec = IceSpec()
    limits: LimitsSpec = LimitsSpec()
    cache: Path = Path(".studio")
    """Folder of prepared avatars and compiled kernels."""
    media_roots: tuple[Path, ...] = ()
    """Folders whose files requests may name, absolute; empty: the studio's own assets."""
    file: Path | None = None
    """The YAML this came from."""
    rtmp: RtmpSpec = RtmpSpec()

    def sent_at(self, *scales: object) -> Self:
        """Return the same with the first number of ``scales`` as `MediaSpec.scale`; who took them has judged them."""
        scale = next((one for one in scales if isinstance(one, int | float)), self.media.scale)
        return replace(self, media=replace(self.media, scale=scale))
