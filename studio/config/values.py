"""What a single value may be: types, ranges and patterns by dotted key; and which values cannot stand together."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar, cast

import yaml

from studio.config.tree import Given
from studio.spec import LimitsSpec, MediaSpec

Value = TypeVar("Value", bool, int, float, str, tuple[str, ...])

RANGES: Mapping[str, tuple[float, float]] = {
    "server.port": (0, 65_535),
    "media.bitrate_bps": (50_000, 20_000_000),
    "media.bitrate_min_bps": (50_000, 20_000_000),
    "media.bitrate_max_bps": (50_000, 20_000_000),
    "media.encode_threads": (0, 256),
    "media.scale": (0.1, 1),
    "ice.turn_ttl": (60, 604_800),
    "ice.gather_limit": (0.05, 10),
    "ice.connect_limit": (1, 300),
    "rtmp.connect_limit": (0.5, 4.5),
    "rtmp.give_up": (0, 86_400),
    "limits.sessions": (0, 10_000),
    "limits.viewers": (0, 10_000),
    "limits.queue_seconds": (1, 3_600),
    "limits.message_bytes": (16_384, 16_777_216),
    "limits.messages_per_second": (1, 100_000),
    "limits.sockets": (1, 100_000),
    "limits.sockets_per_address": (1, 100_000),
    "limits.picture_pixels": (65_536, 1_000_000_000),
    "limits.picture_bytes": (65_536, 1_000_000_000),
    "limits.avatar_memory_mb": (64, 1_048_576),
    "limits.sound_bytes": (65_536, 10_000_000_000),
    "limits.sound_seconds": (1, 86_400),
    "limits.upload_bytes": (1_000_000, 10_000_000_000_000),
    "limits.upload_seconds": (60, 31_536_000),
    "limits.video_bytes": (65_536, 10_000_000_000),
    "limits.added_avatars": (0, 1_000),
    "limits.guests": (1, 1_000),
}
"""Lowest and highest value, both allowed."""
PATTERNS: Mapping[str, tuple[str, str]] = {
    "server.host": (r"[\w.:%-]+", "an address or a host name such as 127.0.0.1"),
    "server.origins": (r"https?://[^/\s]+|null|\*", "an origin such as https://shop.example, without a path"),
    "server.base": (r"(/[\w.~-]+)*", "a path such as /studio, without a slash at its end"),
    "media.codecs": (r"VP8|H264", "one of VP8, H264"),
    "ice.addresses": (r"[0-9a-fA-F.:%\w]+", "an IP address of this machine"),
    "rtmp.hosts": (r"[0-9a-z.:-]+", "a host's name or address in lower case, such as live.example"),
    "ice.ports": (r"|[1-9]\d{3,4}-[1-9]\d{3,4}", "a range of ports such as 50000-50199"),
    "ice.public_address": (r"|\d{1,3}(\.\d{1,3}){3}", "an IPv4 address"),
    "ice.stun": (r"stuns?:[^\s/]+", "a URL such as stun:stun.example:3478"),
    "ice.turn": (r"turns?:[^\s/]+", "a URL such as turn:turn.example:3478?transport=udp"),
}
"""What a text, or each text of a list, must match, and how to say it."""
TOKEN = re.compile(r"[!-~]{16,256}")
TOKEN_RULE = "the token has 16 to 256 letters, digits or signs, without spaces: openssl rand -hex 24"
"""Not in `PATTERNS`: those repeat what they refuse."""
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text (in quotes if it looks like a number)",
    tuple: "a list of texts",
}


def checked(given: Given, default: Value, key: str, complaints: list[str]) -> Value:
    """Return what was given as a value like ``default``; otherwise complain and return ``default``.

    Args:
        given: From the YAML, or a text from the environment (lists separated by commas).
        default: Its type is the type wanted.
        key: Dotted key, which names range or pattern.
        complaints: One line is added if something is wrong.
    """
    value = _converted(given, type(default))
    if value is None:
        complaints.append(f"{given.where}: must be {_KINDS[type(default)]}, not {_shown(given.plain())}")
        return default
    problem = _outside(value, key)
    if problem:
        complaints.append(f"{given.where}: {problem}")
        return default
    return cast(Value, value)


def contradictions(media: MediaSpec, limits: LimitsSpec) -> Iterator[tuple[str, str]]:
    """Yield the section and the sentence of each rule that two values break together, each good by itself."""
    if not media.bitrate_min_bps <= media.bitrate_bps <= media.bitrate_max_bps:
        yield "media", "bitrate_bps must lie between bitrate_min_bps and bitrate_max_bps"
    for key in ("picture_bytes", "sound_bytes", "video_bytes"):
        if getattr(limits, key) > limits.upload_bytes:
            yield "limits", f"upload_bytes, the room for all uploads, must hold at least one of {key}"


def _converted(given: Given, kind: type) -> object:
    """Return the value as ``kind``, None if it is not one."""
    value = given.plain()
    if given.is_environment:
        value = _from_environment(str(value), kind)
    match value:
        case bool():
            return value if kind is bool else None
        case int() | float() if kind is float:
            return float(value) if math.isfinite(value) else None
        case int():
            return value if kind is int else None
        case str():
            return value if kind is str else None
        case list() if kind is tuple and all(isinstance(item, str) for item in value):
            return tuple(value)
    return None


def _from_environment(text: str, kind: type) -> object:
    if kind is str:
        return text
    if kind is tuple:
        return [item.strip() for item in text.split(",") if item.strip()]
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _outside(value: object, key: str) -> str:
    """Return what is wrong with the value, empty if nothing."""
    if isinstance(value, int | float) and key in RANGES:
        low, high = RANGES[key]
        return "" if low <= value <= high else f"must lie between {low:g} and {high:.10g}, not {value:g}"
    if key in PATTERNS:
        pattern, wanted = PATTERNS[key]
        for text in value if isinstance(value, tuple) else (str(value),):
            if not re.fullmatch(pattern, text):
                return f"{text!r} must be {wanted}"
    return ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
