"""Every option of an avatar and of a visit, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Literal, cast

from studio.engines.musetalk.types import Rules
from studio.engines.runtime import RUNTIMES
from studio.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Latency:
    """How pictures are made in time: ``together`` of them, when the last one's future of ``lookahead`` is known."""

    together: int
    """Pictures that share one look at the sound."""
    lookahead: int
    """Beats that the first of them waits for."""


LATENCIES: Mapping[str, Latency] = {"low": Latency(1, 3), "balanced": Latency(2, 4), "quality": Latency(4, 8)}
"""Specification 4.5: one picture and 100 ms (which whole beats make 120), two and 120 ms, four and 200 ms."""
IGNORED = ("bbox_shift", "audio_clips")
"""Accepted, because upstream's files have them."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What an avatar's options say."""

    rules: Rules = field(default_factory=Rules)
    latency: str = "balanced"
    checkpoint: str = "checkpoints/musetalk"
    """Folder of the networks; relative ones are below the studio's workplace."""
    smooth_boxes: bool = False
    """Calm the face box over time; off, as upstream does it."""
    seconds: float = 600.0
    """Of the video that are used, from its beginning."""
    allow_small_networks: bool = False
    """Take a UNet that is far too small: stand-ins for tests."""
    runtime: str = "auto"
    """One of ``runtime.RUNTIMES``, or ``auto``."""
    bbox_shift: int = 0
    """As given; without effect, as in v1.5."""


_OWN = ("latency", "checkpoint", "smooth_boxes", "seconds", "allow_small_networks", "runtime", "bbox_shift")
_RULES = tuple(one.name for one in fields(Rules))


def chosen(options: Mapping[str, object]) -> Chosen:
    """Read an avatar's options.

    Raises:
        ConfigError: There is no such option, or it cannot have this value; the sentence says what it can.
    """
    unknown = [name for name in options if name not in (*_OWN, *_RULES, *IGNORED)]
    if unknown:
        allowed = ", ".join((*_RULES, *_OWN))
        raise ConfigError(f"MuseTalk has no option called {str(unknown[0])[:40]!r}; allowed: {allowed}.")
    rules = Rules(**{name: options[name] for name in _RULES if name in options})  # type: ignore[arg-type]
    made = Chosen(rules)
    values: dict[str, object] = {name: options[name] for name in _OWN if name in options}
    for name, value in values.items():
        _judge(name, value)
    return replace(made, **values)  # type: ignore[arg-type]


def latency(values: Mapping[str, object], default: str) -> Latency:
    """Read a visit's options, of which there is one.

    Raises:
        ConfigError: There is no such option, or it cannot have this value.
    """
    unknown = [name for name in values if name != "latency"]
    if unknown:
        raise ConfigError(f"A visit to a MuseTalk avatar has one option, latency, not {str(unknown[0])[:40]!r}.")
    value = values.get("latency", default)
    _judge("latency", value)
    return LATENCIES[cast(Literal["low", "balanced", "quality"], value)]


def _judge(name: str, value: object) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    allowed = {
        "latency": (isinstance(value, str) and value in LATENCIES, "one of " + ", ".join(LATENCIES)),
        "checkpoint": (isinstance(value, str) and bool(value), "the path of a folder"),
        "smooth_boxes": (isinstance(value, bool), "true or false"),
        "seconds": (is_number and 0.04 <= cast(float, value) <= 600, "a number of seconds up to 600"),
        "allow_small_networks": (isinstance(value, bool), "true or false"),
        "runtime": (value in ("auto", *RUNTIMES), "auto or one of " + ", ".join(RUNTIMES)),
        "bbox_shift": (isinstance(value, int) and is_number, "a whole number"),
    }
    is_good, words = allowed[name]
    if not is_good:
        raise ConfigError(f"MuseTalk's option {name} is {words}.")
