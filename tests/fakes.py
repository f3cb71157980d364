"""Fakes, written out: an engine that draws its beat index, an avatar, a library, a clock, an outbox."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE, AudioChunk, Beat
from studio.engine import Avatar, Finding, Options, Prepared, Progress, Take
from studio.errors import AvatarNotFound, BadMessage
from studio.messages import ServerMessage
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec
from studio.stats import Stats


def speech(seconds: float, hertz: float = 220.0, level: float = 0.3) -> NDArray[np.int16]:
    """Something that any gate takes for a voice: a buzz with harmonics that swells four times a second; mono 16 kHz."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    buzz = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 8))
    wave = level * buzz * (0.6 + 0.4 * np.sin(2 * np.pi * 4 * t))
    return (np.clip(wave, -1, 1) * 32767).astype(np.int16)


def silence(seconds: float) -> NDArray[np.int16]:
    """Digital silence, mono 16 kHz."""
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


@dataclass(frozen=True, slots=True)
class FakeAvatar:
    """Idle pictures are grey with the phase as brightness."""

    width: int = 64
    height: int = 48
    idle_length: int = 200
    restless: bool = False
    memory_bytes: int = 1_000_000

    def idle(self, phase: int) -> NDArray[np.uint8]:
        return np.full((self.height * 3 // 2, self.width), phase % 200, np.uint8)


@dataclass(slots=True, eq=False)
class FakeTake:
    avatar: FakeAvatar
    options: Options
    held: list[AudioChunk] = field(default_factory=list)
    heard: list[AudioChunk] = field(default_factory=list)


class FakeEngine:
    """Draws each beat's index as brightness; looks ahead; fails, is slow or blocks when told.

    Args:
        lookahead: Chunks held back.
        lanes: Threads.
        max_batch: Pairs per step.
        bad: A visit's option that is refused.
    """

    def __init__(self, lookahead: int = 0, lanes: int = 1, max_batch: int = 8, bad: str = "bad") -> None:
        self.name, self.bad = "fake", bad
        self.lookahead, self.lanes, self.max_batch = lookahead, lanes, max_batch
        self.batches: list[int] = []
        self.takes: list[FakeTake] = []
        self.threads: set[int] = set()
        self.fail_on: set[int] = set()
        """Chunk indexes whose step raises, every time."""
        self.fail_once = 0
        """Steps that raise before things are well again."""
        self.gate = threading.Event()
        """Cleared: steps wait."""
        self.gate.set()
        self.closed = False

    def fingerprint(self, spec: AvatarSpec) -> str:
        return "fake"

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        return ()

    def load(self, prepared: Prepared) -> FakeAvatar:
        return FakeAvatar()

    def admit(self, avatar: Avatar, options: Options) -> int:
        if self.bad in options.values:
            raise BadMessage(f"The option {self.bad} is not allowed.")
        return self.lookahead

    def begin(self, avatar: Avatar, options: Options) -> FakeTake:
        assert isinstance(avatar, FakeAvatar)
        take = FakeTake(avatar, options)
        self.takes.append(take)
        return take

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        self.threads.add(threading.get_ident())
        assert self.gate.wait(5)
        self.batches.append(len(batch))
        if self.fail_once:
            self.fail_once -= 1
            raise RuntimeError("told to fail once")
        if any(chunk.index in self.fail_on for _, chunk in batch):
            raise RuntimeError("told to fail")
        return [self._beats(take, chunk) for take, chunk in batch]

    def close(self) -> None:
        self.closed = True

    def _beats(self, take: Take, chunk: AudioChunk) -> list[Beat]:
        assert isinstance(take, FakeTake)
        if chunk.cut:
            take.held.clear()
        take.heard.append(chunk)
        take.held.append(chunk)
        if len(take.held) <= self.lookahead:
            return []
        made = take.held.pop(0)
        picture = np.full((take.avatar.height * 3 // 2, take.avatar.width), 16 + made.index % 200, np.uint8)
        return [Beat(made.index, picture, made.pcm, made.speech, made.phase)]


@dataclass(frozen=True, slots=True, eq=False)
class FakeLoaded:
    """What a library hands out."""

    spec: AvatarSpec
    engine: FakeEngine
    scheduler: Scheduler
    avatar: FakeAvatar

    @classmethod
    def of(cls, engine: FakeEngine, avatar: FakeAvatar | None = None, avatar_id: str = "ada") -> FakeLoaded:
        """Seat an engine behind a scheduler of its own."""
        spec = AvatarSpec(avatar_id, Path("/nowhere"))
        return cls(spec, engine, Scheduler(engine, Stats()), avatar or FakeAvatar())


class FakeLibrary:
    """Avatars by id, in order."""

    def __init__(self, *loaded: FakeLoaded) -> None:
        self._loaded = {one.spec.id: one for one in loaded}

    @property
    def first_id(self) -> str:
        return next(iter(self._loaded))

    def get(self, avatar_id: str) -> FakeLoaded:
        if avatar_id not in self._loaded:
            raise AvatarNotFound
        return self._loaded[avatar_id]


class Outbox:
    """Collects what a visitor hears."""

    def __init__(self) -> None:
        self.messages: list[ServerMessage] = []

    def __call__(self, message: ServerMessage) -> None:
        self.messages.append(message)

    def of(self, kind: type) -> list[ServerMessage]:
        """Return the messages of one class."""
        return [message for message in self.messages if isinstance(message, kind)]


async def until(claim: object, limit: float = 5.0) -> None:
    """Turn the loop until ``claim()`` holds; for work on other threads, which no clock of ours moves.

    Raises:
        TimeoutError: It did not within ``limit`` seconds.
    """
    assert callable(claim)
    deadline = time.monotonic() + limit
    while not claim():
        if time.monotonic() > deadline:
            raise TimeoutError("the claim never held")
        await asyncio.sleep(0)
