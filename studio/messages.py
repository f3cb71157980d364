"""Signaling of `GET /ws` as dataclasses: `decode` reads a client's text, `encode` writes the server's.

Mirrors wire contract A name by name; knows nothing of sockets.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import cast

from studio.errors import BadMessage, StudioError, UnknownType
from studio.jsontext import read_object, read_text

MAX_SDP_CHARACTERS = 100_000
MAX_CANDIDATE_CHARACTERS = 4_096
MAX_ID_CHARACTERS = 128
MAX_PATH_CHARACTERS = 1_024
MAX_OPTIONS = 64
"""In one object of options."""
MAX_LINE_INDEX = 1_023
"""Number of a media section."""


@dataclass(frozen=True, slots=True)
class GetAvatars:
    """Ask for the gallery."""


@dataclass(frozen=True, slots=True)
class SelectAvatar:
    """Choose, or switch live."""

    avatar_id: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Start a peer."""

    sdp: str
    avatar_id: str | None = None
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One remote ICE candidate; an empty ``candidate`` is the end of candidates."""

    candidate: str
    sdp_mid: str | None = None
    sdp_m_line_index: int | None = None


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Drop what was not yet spoken."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Close the peer, keep the socket."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Sign of life."""

    timestamp: object = None


@dataclass(frozen=True, slots=True)
class Start:
    """A microphone's sound follows, as binary messages; pictures come back (the older dialect)."""

    source_path: str = ""
    """A portrait; empty: the first avatar."""


ClientMessage = GetAvatars | SelectAvatar | Offer | Candidate | Interrupt | Stop | Ping


@dataclass(frozen=True, slots=True)
class AvatarCard:
    """One entry of the gallery."""

    id: str
    name: str
    video_path: str
    engine: str
    thumbnail: str
    ready: bool
    reason: str = ""
    """Why it is not ready, in words."""
    still: str = ""
    """URL of a picture for a stage, larger than the thumbnail."""
    loop: str = ""
    """URL of an endless animation of the thumbnail's size; empty if it does not move."""
    added: bool = False
    """While the studio ran; it can be removed."""


@dataclass(frozen=True, slots=True)
class Avatars:
    """The gallery, in the order of the configuration."""

    avatars: tuple[AvatarCard, ...]


@dataclass(frozen=True, slots=True)
class AvatarSelected:
    """The avatar that the next (or the running) peer shows."""

    avatar_id: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The studio's side of the peer."""

    sdp: str
    session_id: str
    sdp_type: str = "answer"


@dataclass(frozen=True, slots=True)
class State:
    """Pushed whenever one of its fields changes."""

    connection: str
    """``new``, ``connecting``, ``live``, ``closing`` or ``closed``."""
    speaking: bool
    avatar_id: str


@dataclass(frozen=True, slots=True)
class Stats:
    """Pushed once a second while connected."""

    fps: float
    queue_depth: int
    """Beats of speech that wait."""
    beat_lateness_ms: float
    """p95 of the last second."""
    engine_ms: float
    """Mean of the last second's steps."""
    dropped: int
    """Beats and chunks dropped since the start."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The answer to `Interrupt`."""

    spoken_ms: int
    """Of the current utterance, what had left."""
    discarded_ms: int


@dataclass(frozen=True, slots=True)
class Stopped:
    """The answer to `Stop`."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to `Ping`."""

    timestamp: object = None


@dataclass(frozen=True, slots=True)
class Fault:
    """``error`` on the wire."""

    code: str
    message: str
    fatal: bool
    retryable: bool = False

    @classmethod
    def of(cls, error: StudioError) -> Fault:
        """Translate an error; its detail stays here."""
        return cls(error.code, error.message, error.fatal, error.retryable)


ServerMessage = Avatars | AvatarSelected | Answer | State | Stats | Interrupted | Stopped | Pong | Fault

_SERVER_TYPES: Mapping[type, str] = {
    Avatars: "avatars", AvatarSelected: "avatar_selected", Answer: "answer", State: "state", Stats: "stats",
    Interrupted: "interrupted", Stopped: "stopped", Pong: "pong", Fault: "error",
}  # fmt: skip


def encode(message: ServerMessage) -> str:
    """Return the JSON text of a server message."""
    body: dict[str, object] = {"type": _SERVER_TYPES[type(message)]}
    for f in fields(message):
        value = getattr(message, f.name)
        if isinstance(message, Avatars):
            value = [{c.name: getattr(card, c.name) for c in fields(card)} for card in message.avatars]
        body[f.name] = value
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))


def decode(text: str) -> ClientMessage | Start:
    """Read one text frame of a client.

    Raises:
        BadJson: Not a JSON object.
        UnknownType: The contract does not have this type.
        BadMessage: A field is missing or of the wrong type.
        TooLarge: A field is longer than any browser makes it.
    """
    body = read_object(text)
    kind = body.get("type")
    if not isinstance(kind, str):
        raise BadMessage("A message needs a type.")
    match kind:
        case "get_avatars":
            return GetAvatars()
        case "select_avatar":
            return SelectAvatar(read_text(body, "avatar_id", MAX_ID_CHARACTERS))
        case "offer":
            return read_offer(body)
        case "ice_candidate":
            return read_candidate(body.get("candidate"))
        case "interrupt":
            return Interrupt()
        case "stop":
            return Stop()
        case "ping":
            return read_ping(body)
        case "start":
            return Start("" if body.get("source_path") is None else read_text(body, "source_path", MAX_PATH_CHARACTERS))
        case _:
            raise UnknownType


def read_offer(body: Mapping[str, object]) -> Offer:
    """Read an offer's fields.

    Raises:
        BadMessage: A field is missing or of the wrong type.
        TooLarge: A field is longer than any browser makes it.
    """
    sdp = read_text(body, "sdp", MAX_SDP_CHARACTERS)
    avatar_id = None if body.get("avatar_id") is None else read_text(body, "avatar_id", MAX_ID_CHARACTERS)
    options = body.get("options")
    if options is None:
        options = {}
    if not isinstance(options, dict) or len(options) > MAX_OPTIONS:
        raise BadMessage("The offer's options are one JSON object.")
    return Offer(sdp, avatar_id, cast(dict[str, object], options))


def read_candidate(value: object) -> Candidate:
    """Read ``RTCIceCandidate.toJSON()``; nothing, or an empty line, is the end of candidates.

    Raises:
        BadMessage: It is something else.
    """
    if value is None or value == "":
        return Candidate("")
    if not isinstance(value, dict):
        raise BadMessage("candidate is an object or null.")
    line = value.get("candidate", "")
    mid = value.get("sdpMid")
    index = value.get("sdpMLineIndex")
    if line is None:
        line = ""
    if not isinstance(line, str) or len(line) > MAX_CANDIDATE_CHARACTERS:
        raise BadMessage("candidate.candidate is a short text.")
    if mid is not None and (not isinstance(mid, str) or len(mid) > MAX_ID_CHARACTERS):
        raise BadMessage("candidate.sdpMid is a short text.")
    is_number = isinstance(index, int) and not isinstance(index, bool)
    if index is not None and not (is_number and 0 <= index <= MAX_LINE_INDEX):
        raise BadMessage("candidate.sdpMLineIndex is a small whole number.")
    return Candidate(line, mid, index)


def read_ping(body: Mapping[str, object]) -> Ping:
    """Read a ping's fields.

    Raises:
        BadMessage: Its timestamp is something that nobody should have to send back.
    """
    timestamp = body.get("timestamp")
    if isinstance(timestamp, str) and len(timestamp) <= MAX_ID_CHARACTERS:
        return Ping(timestamp)
    if timestamp is None or isinstance(timestamp, int | float):
        if isinstance(timestamp, float) and not math.isfinite(timestamp):
            raise BadMessage("timestamp is a finite number.")
        return Ping(timestamp)
    raise BadMessage("timestamp is a number or a short text.")
