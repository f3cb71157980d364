"""What the clients of wire contracts B and C wish for: ``setup_kwargs`` and ``run_kwargs``, read and bounded.

A value out of range is moved into it and named in `Wish.warnings`; a value of the wrong kind counts as not given, and
is named as well. Nothing here touches files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from studio.beat import BEAT_SECONDS, FPS
from studio.errors import BadMessage
from studio.jsontext import read_optional_text
from studio.messages import MAX_OPTIONS
from studio.outputs.images import Images

CHUNKS = (3, 5, 2)
"""Past, present and future pictures of a chunk where nobody says otherwise."""
MAX_CHUNK = 64
TIMESTEPS = (5, 100)
SCALE = (0.1, 1.0)
QUALITY = (10, 100)
SLOWEST = 1.0
"""Seconds from one picture to the next."""
SENSIBLE = 1e9
"""A larger number is no mistake of scale but nonsense; nor is what is no number at all within it."""
MAX_FADE = 10 * FPS


@dataclass(frozen=True, slots=True)
class Wish:
    """One request for a recording to be spoken by a portrait."""

    audio_path: str
    source_path: str
    avatar_id: str
    """Of the gallery, in place of a portrait."""
    engine: str
    setup: Mapping[str, object]
    """For the engine: ``setup_kwargs``."""
    scale: float | None
    """Of the avatar's sides; None: not given."""
    images: Images
    """With `Images.count` 0."""
    binary: bool
    warnings: tuple[str, ...]


def needs(body: Mapping[str, object]) -> tuple[str, str]:
    """Return what a request must have: a recording, and a portrait unless it names an avatar of the gallery."""
    return "audio_path", "source_path" if body.get("avatar_id") is None else "avatar_id"


def read_wish(body: Mapping[str, object], required: Sequence[str] = ("audio_path", "source_path")) -> Wish:
    """Read a request's body.

    Raises:
        BadMessage: A path is missing, or something is of another kind than the contract says.
    """
    paths = {key: read_optional_text(body, key) for key in ("audio_path", "source_path", "avatar_id", "engine")}
    if missing := [key for key in required if not paths[key]]:
        raise BadMessage(f"Send {' and '.join(missing)}.")
    setup, run = _section(body, "setup_kwargs"), _section(body, "run_kwargs")
    reader = _Reader()
    options = {key: value for key, value in setup.items() if value is not None}
    if "sampling_timesteps" in options:
        steps = reader.number(options, "sampling_timesteps", 50, *TIMESTEPS)
        options["sampling_timesteps"] = round(steps)
    scale = reader.number(run, "frame_scale", 1.0, *SCALE)
    return Wish(
        audio_path=paths["audio_path"],
        source_path=paths["source_path"],
        avatar_id=paths["avatar_id"],
        engine=paths["engine"] or "auto",
        setup=options,
        scale=scale if "frame_scale" in run else None,
        images=reader.images(run, scale),
        binary=body.get("binary", True) is not False,
        warnings=tuple(reader.warnings),
    )


def _section(body: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > MAX_OPTIONS:
        raise BadMessage(f"{key} must be one JSON object.")
    return cast(dict[str, object], value)


class _Reader:
    """Reads values and remembers what had to be changed."""

    def __init__(self) -> None:
        self.warnings: list[str] = []

    def images(self, run: Mapping[str, object], scale: float) -> Images:
        """Read what the pictures shall be like."""
        usual = Images()
        form = run.get("frame_format", usual.form)
        if form == "jpg":
            form = "jpeg"
        if form not in ("webp", "jpeg"):
            self.warnings.append("frame_format was set to webp; it is webp or jpeg.")
            form = usual.form
        quality = round(self.number(run, "frame_quality", usual.quality, *QUALITY))
        least = round(self.number(run, "frame_quality_min", min(usual.quality_min, quality), *QUALITY))
        fades = [max(0, round(self.number(run, key, 0, -1, MAX_FADE))) for key in ("fade_in", "fade_out")]
        return Images(str(form), quality, least, scale, self._seconds(run), *fades)

    def number(self, given: Mapping[str, object], key: str, usual: float, low: float, high: float) -> float:
        """Return a number between ``low`` and ``high``."""
        value = given.get(key)
        if value is None:
            return usual
        if isinstance(value, bool) or not isinstance(value, int | float) or not -SENSIBLE <= value <= SENSIBLE:
            self.warnings.append(f"{key} was set to {usual:g}; it is a number from {low:g} to {high:g}.")
            return usual
        moved = min(max(value, low), high)
        if moved != value:
            self.warnings.append(f"{key} was set to {moved:g}; it lies between {low:g} and {high:g}.")
        return moved

    def _seconds(self, run: Mapping[str, object]) -> float:
        """Return the time from one picture to the next: that of a chunk, shared by the pictures that it brings."""
        present = self._chunks(run)[1]
        pause = self.number(run, "chunk_sleep_s", 0.0, 0.0, 10.0)
        if "chunk_sleep_ms" in run:
            pause = self.number(run, "chunk_sleep_ms", 0.0, 0.0, 10_000.0) / 1000
        return min(max(pause / present, BEAT_SECONDS), SLOWEST)

    def _chunks(self, run: Mapping[str, object]) -> tuple[int, int, int]:
        """Return past, present and future of a chunk; three whole numbers from 1, or the usual ones."""
        given = next((run[key] for key in ("chunksize", "chunk_config", "chunk_cfg") if run.get(key) is not None), None)
        if given is None:
            return CHUNKS
        if isinstance(given, list) and len(given) == 3 and all(map(_is_size, given)):
            past, present, future = given
            return past, present, future
        self.warnings.append("chunksize was set to 3, 5, 2; it is three whole numbers from 1.")
        return CHUNKS


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_CHUNK
