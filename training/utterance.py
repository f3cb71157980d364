"""One piece of speech and what the mouth did meanwhile; how it is kept on disk, without pickles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mouths import Phone

Float = NDArray[np.float32]
RATE = 16000


@dataclass(frozen=True)
class Utterance:
    """Sound at 16 kHz with its phones, and measured lips where there are any."""

    sound: NDArray[np.int16]
    phones: tuple[Phone, ...]
    """In order; empty: nobody knows them."""
    lips: Float | None = None
    """(rows, 3) measured open, dwidth, jaw at 25 a second, or None."""

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.sound) / RATE


def save(path: Path, utterances: Sequence[Utterance]) -> None:
    """Write a set; the symbols of all phones are one text."""
    none = np.zeros((0, 3), np.float32)
    lips = [none if u.lips is None else u.lips for u in utterances]
    phones = [p for u in utterances for p in u.phones]
    np.savez(
        path,
        sound=np.concatenate([u.sound for u in utterances]),
        sounds=[len(u.sound) for u in utterances],
        symbols=np.frombuffer("".join(p.symbol for p in phones).encode("utf-32-le"), np.uint32),
        times=np.array([(p.start, p.end) for p in phones], np.float64).reshape(-1, 2),
        phones=[len(u.phones) for u in utterances],
        lips=np.concatenate(lips),
        rows=[len(x) for x in lips],
    )


def load(path: Path) -> list[Utterance]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        stored = {name: arrays[name] for name in arrays}
    symbols = stored["symbols"].tobytes().decode("utf-32-le")
    sounds, phones, rows = (np.concatenate([[0], np.cumsum(stored[n])]) for n in ("sounds", "phones", "rows"))
    result = []
    for i in range(len(sounds) - 1):
        said = tuple(
            Phone(symbols[j], *map(float, stored["times"][j])) for j in range(int(phones[i]), int(phones[i + 1]))
        )
        lips = stored["lips"][rows[i] : rows[i + 1]]
        result.append(Utterance(stored["sound"][sounds[i] : sounds[i + 1]], said, lips if len(lips) else None))
    return result
