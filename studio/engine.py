"""What every engine is: the `Engine`, `Avatar` and `Take` protocols and the table of engines.

Knows no engine by code: `ENGINES` names the module and class, `load_engine` imports it when asked.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.errors import ConfigError
from studio.spec import AvatarSpec, LimitsSpec

Progress = Callable[[float, str], None]
"""Called with the fraction done (0..1) and a short phrase of what is being done."""

ENGINES: Mapping[str, str] = {
    "testcard": "studio.engines.testcard:TestcardEngine",
    "portrait": "studio.engines.portrait.engine:PortraitEngine",
    "musetalk": "studio.engines.musetalk.engine:MuseTalkEngine",
    "ditto": "studio.engines.ditto.engine:DittoEngine",
}
"""Engine name -> ``module:class``."""


MEMORY = "memory"
"""Subject of the finding that says what an avatar and a visit to it keep in memory."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a preparation report."""

    subject: str
    """``face size``, ``sharpness``, ``yaw``, ``mouth``, ..."""
    good: bool
    text: str
    """A sentence: what is good, or what to improve."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An avatar as it lies on disk, complete."""

    spec: AvatarSpec
    folder: Path
    """``<cache>/avatars/<id>/<fingerprint>``; holds what the engine wrote, never pickles."""
    findings: tuple[Finding, ...] = ()

    @property
    def memory(self) -> str:
        """What it keeps in memory while the studio runs, a sentence; empty where its engine does not say."""
        return next((finding.text for finding in self.findings if finding.subject == MEMORY), "")


@dataclass(frozen=True, slots=True)
class Options:
    """What one visit may choose about its take."""

    seed: int = 0
    """Seeds everything random in the take; the same seed and sound give the same beats."""
    values: Mapping[str, object] = field(default_factory=dict)
    """Engine options of the offer; the engine judges them, in ``admit``."""
    sound: NDArray[np.int16] | None = None
    """(n,) mono 16 kHz: all that the take is going to hear, where it is known and the engine may look ahead at will."""


class Avatar(Protocol):
    """Source features on the device: immutable, shared by all visits."""

    @property
    def width(self) -> int:
        """Pixels, even."""

    @property
    def height(self) -> int:
        """Pixels, even."""

    @property
    def idle_length(self) -> int:
        """Pictures in the seamless idle loop; at least 200 (8 s), 1 for a still."""

    @property
    def restless(self) -> bool:
        """True: its take never goes idle; the engine is asked for every beat, in silence too."""

    @property
    def memory_bytes(self) -> int:
        """What it keeps in memory, here or on the device, for all visits together; files that are mapped count."""

    def idle(self, phase: int) -> NDArray[np.uint8]:
        """Return the idle picture at ``phase`` modulo the loop: (H * 3 // 2, W) I420; < 0.5 ms, any thread."""


class Take(Protocol):
    """What one visit has done to an avatar; only its engine looks inside."""

    @property
    def avatar(self) -> Avatar:
        """The avatar this take plays."""


class Engine(Protocol):
    """One loaded model on one device; synchronous.

    A chunk in, a beat out, in order: ``step`` returns for each pair a list that is empty or several beats
    long, and chunk n's beat has index n and the very samples of chunk n. ``step`` may hold back as many chunks
    as ``admit`` said.
    """

    name: str
    lookahead: int
    """Beats of future sound needed before a picture can be drawn, at the most; `admit` tells a visit's own number."""
    lanes: int
    """Threads that may call ``step`` at once, each with takes of its own."""
    max_batch: int
    """Pairs that one ``step`` may take."""

    def fingerprint(self, spec: AvatarSpec) -> str:
        """Hash of source bytes, options and preparation version: names the folder in the cache."""

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        """Write everything ``load`` needs into the (temporary, empty) ``folder``.

        Raises:
            BadPortrait: The source cannot become an avatar; the sentence says why.
        """

    def load(self, prepared: Prepared) -> Avatar:
        """Bring source features onto the device."""

    def admit(self, avatar: Avatar, options: Options) -> int:
        """Judge a visit's options before it takes a seat, and return its look-ahead in beats, 0..`lookahead`.

        Called on the event loop: < 1 ms, no device, no files. What was admitted, ``begin`` takes.

        Raises:
            BadMessage: An option that this engine does not have, of a wrong type or out of range; the sentence names
                the option and says what is allowed.
        """

    def begin(self, avatar: Avatar, options: Options) -> Take:
        """Start a visit's recurrent state, with options that ``admit`` has let in."""

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        """Advance each take by one chunk; a take appears at most once in a batch."""

    def close(self) -> None:
        """Give everything back."""


def load_engine(name: str, limits: LimitsSpec | None = None) -> Engine:
    """Import and construct the engine called ``name``.

    Args:
        name: A key of `ENGINES`.
        limits: Of sources and of memory; None: as `LimitsSpec` has them.

    Raises:
        ConfigError: No such engine.
    """
    try:
        module, _, cls = ENGINES[name].partition(":")
    except KeyError:
        raise ConfigError(f"There is no engine called {name!r}; known: {', '.join(ENGINES)}.") from None
    return cast(Engine, getattr(importlib.import_module(module), cls)(limits or LimitsSpec()))
