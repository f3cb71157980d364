"""One MuseTalk avatar on the stand-in networks of the reference material, for all tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Options, Prepared
from studio.engines.musetalk.engine import MuseTalkAvatar, MuseTalkEngine
from studio.recording import read_file
from studio.spec import AvatarSpec


def nothing(done: float, phrase: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Set:
    """An engine, and one avatar made of the reference's frames."""

    engine: MuseTalkEngine
    spec: AvatarSpec
    avatar: MuseTalkAvatar
    golden: Path
    folder: Path

    def play(self, sound: NDArray[np.int16], options: Options | None = None, speech: slice = slice(None)) -> list[Beat]:
        take = self.engine.begin(self.avatar, options or Options())
        return [beat for chunk in chunks(sound, speech) for beat in self.engine.step([(take, chunk)])[0]]


def chunks(sound: NDArray[np.int16], speech: slice = slice(None)) -> list[AudioChunk]:
    padded = np.pad(sound, (0, -len(sound) % SAMPLES_PER_BEAT)).reshape(-1, SAMPLES_PER_BEAT)
    spoken = set(range(len(padded))[speech])
    return [AudioChunk(i, pcm, i in spoken, i % 200) for i, pcm in enumerate(padded)]


@pytest.fixture(scope="module")
def golden(request: pytest.FixtureRequest) -> Path:
    shared: Path = request.getfixturevalue("shared")
    return shared / "golden" / "musetalk"


@pytest.fixture(scope="module")
def made(golden: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Set]:
    engine = MuseTalkEngine()
    options = {"checkpoint": str(golden / "standins"), "allow_small_networks": True}
    spec = AvatarSpec("someone", golden / "input" / "frames", engine="musetalk", options=options)
    folder = tmp_path_factory.mktemp("shelf") / "avatar"
    folder.mkdir()
    engine.prepare(spec, folder, nothing)
    yield Set(engine, spec, engine.load(Prepared(spec, folder)), golden, folder)
    engine.close()


def read(golden: Path, name: str) -> NDArray[np.int16]:
    return np.concatenate(list(read_file(golden / "input" / name)))
