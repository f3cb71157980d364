"""What the client is asked to do, and the words for how it went. Knows nothing of networks."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlsplit

from studio.errors import ConfigError, StudioError

TRANSPORTS = ("webrtc", "binary", "json")
TIMEOUT = 120.0
"""Seconds that a stream may last where nobody says otherwise."""
MAX_TIMEOUT = 3600.0
_PRINTED = 300
"""Characters of a server's sentence that are shown."""


class CannotRun(StudioError):
    """The measurement could not take place; the sentence says why and what would help."""

    code = "cannot_run"
    default = "The studio could not be measured."


class Outcome(StrEnum):
    """How a stream ended."""

    COMPLETED = "completed"
    """The server said, or showed, that everything was sent."""
    TIMEOUT = "timeout"
    """It went on for as long as was asked."""
    STALLED = "stalled"
    """Nothing came for a while, though more was to come."""
    LOST = "lost"
    """The connection broke, or the server reported a fault."""
    INTERRUPTED = "interrupted"
    """Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Order:
    """One measurement."""

    server: str
    """``http://host:port/base``, without a slash at its end; from `base_url`."""
    transport: str = "webrtc"
    """One of `TRANSPORTS`."""
    client_id: str = field(default_factory=lambda: f"client-{secrets.token_hex(4)}")
    audio: str = ""
    """A file of this machine, or a path that the server knows; empty: nothing is said."""
    source: str = ""
    """A portrait, likewise; empty: an avatar of the gallery speaks."""
    avatar: str = ""
    """Of the gallery; empty: the first."""
    engine: str = ""
    """For a portrait; empty: the server's choice."""
    setup: Mapping[str, object] = field(default_factory=dict)
    """``setup_kwargs`` of wire contracts B and C."""
    run: Mapping[str, object] = field(default_factory=dict)
    """``run_kwargs``."""
    timeout: float = TIMEOUT
    """Seconds that the stream may last, 1..`MAX_TIMEOUT`."""
    ca: str = ""
    """PEM file of a certificate that the server's must come from, or be."""
    token: str = field(default="", repr=False)
    """Sent as ``Authorization: Bearer``, for studios that are behind a login; empty: none."""
    insecure: bool = False
    """Believe any certificate."""

    @property
    def audio_file(self) -> Path | None:
        """The sound, if it lies on this machine."""
        return local(self.audio)

    @property
    def has_portrait(self) -> bool:
        """A portrait speaks a recording, and no avatar of the gallery."""
        return bool(self.source)

    @property
    def is_conversation(self) -> bool:
        """An avatar of the gallery hears a sound of this machine, or nothing, as from a microphone."""
        is_heard = not self.audio or self.audio_file is not None
        return self.transport == "webrtc" and not self.has_portrait and is_heard

    def socket_url(self, path: str) -> str:
        """Return the ``ws:`` or ``wss:`` address of a path."""
        return "ws" + self.server.removeprefix("http") + path


def local(path: str) -> Path | None:
    """Return the file of this machine that a path names, None if there is none."""
    try:
        found = Path(path).expanduser()
        return found if path and found.is_file() else None
    except (OSError, RuntimeError):  # longer than names may be here, or the home of a person who has none
        return None


def base_url(text: str) -> str:
    """Return a server's address as ``http(s)://host:port/base``, from what a person types.

    ``ws:`` counts as ``http:``, no scheme as ``http:``; a slash at the end, and ``/ws``, are left away.

    Raises:
        ConfigError: It is no address.
    """
    given = text.strip()
    whole = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(whole)
        port, host = parts.port, parts.hostname or ""
    except ValueError as error:
        raise ConfigError(f"--server: {clean(text)!r} is no address; one is http://localhost:8080") from error
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme.lower(), parts.scheme.lower())
    is_plain = not (parts.username or parts.password or parts.query or parts.fragment)
    if scheme not in ("http", "https") or not host or not is_plain or not host.isprintable() or " " in host:
        raise ConfigError(f"--server: {clean(text)!r} is no address; one is http://localhost:8080")
    name = f"[{host}]" if ":" in host else host
    return (
        f"{scheme}://{name}{f':{port}' if port is not None else ''}{quote(parts.path.rstrip('/').removesuffix('/ws'))}"
    )


def clean(text: object, most: int = _PRINTED) -> str:
    """Return a stranger's text as one line for a terminal: no control characters, no more than ``most`` characters."""
    line = "".join(c if c.isprintable() else " " for c in str(text)[: most + 1])
    return line if len(line) <= most else line[: most - 1] + "…"
