"""Lessons of 12 s: utterances strung together, spoilt, heard; their targets row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from training.augment import racket, spoil
from training.hearing import hear
from training.mouths import CHANNELS, SILENCE, Phone, classes, curves
from training.utterance import RATE, Utterance, load

Float = NDArray[np.float32]

SECONDS = 12
ROWS = SECONDS * 25
RACKETS = 1 / 12
"""Share of the lessons that begin with something else than a voice."""
LEAD_S = 0.01
"""How far targets run ahead of the lips: a causal network follows late by as much (measured on real talkers)."""
PAUSES, PAUSE_CHANCE = (0.05, 0.2, 0.4, 0.8, 1.6), (0.3, 0.25, 0.2, 0.15, 0.1)


@dataclass(frozen=True)
class Lesson:
    """One sequence to learn from."""

    features: NDArray[np.float16]
    """(4 ROWS, 42)."""
    targets: Float
    """(ROWS, 6) in `CHANNELS` order."""
    known: NDArray[np.bool_]
    """(ROWS, 6): False where nobody knows the target."""
    phones: NDArray[np.int64]
    """(ROWS,) class, -1 where unknown."""


def compose(utterances: Sequence[Utterance], order: Sequence[int], dice: np.random.Generator) -> tuple[Lesson, int]:
    """String utterances together until 12 s are full; return the lesson and how many were used.

    In one lesson of twelve nobody speaks until late, or at all, over a racket: a mouth is for voices.
    """
    sound = np.zeros(SECONDS * RATE, np.float32)
    real = np.full((ROWS, 3), np.nan, np.float32)
    unknown = np.zeros(ROWS, bool)
    phones: list[Phone] = []
    is_racket = dice.random() < RACKETS
    at, used = dice.uniform(3.0, 1.5 * SECONDS) if is_racket else dice.uniform(0, 0.6), 0
    if is_racket:
        sound += racket(len(sound), dice) * 10 ** (dice.uniform(-25, 0) / 20)
    while at < SECONDS - 0.5 and used < len(order):
        said = utterances[order[used]]
        used += 1
        up = int(dice.integers(17, 25))
        piece = resample_poly(said.sound.astype(np.float32) / 32768, up, 20) * 10 ** (dice.uniform(-4, 4) / 20)
        start = round(at * RATE)
        piece = piece[: len(sound) - start]
        sound[start : start + len(piece)] += piece
        stretch, end = up / 20, at + len(piece) / RATE
        silent_from = phones[-1].end if phones else 0.0
        if at > silent_from:
            phones.append(Phone(SILENCE, silent_from, at))
        heard = [Phone(p.symbol, at + p.start * stretch, at + p.end * stretch) for p in said.phones]
        phones += [p for p in heard if p.start < SECONDS]
        rows = np.arange(ROWS) / 25
        inside = (rows >= at) & (rows < end)
        unknown |= inside & (not said.phones)
        if said.lips is not None:
            grid = np.arange(len(said.lips)) / 25
            for channel in range(3):
                real[inside, channel] = np.interp((rows[inside] + LEAD_S - at) / stretch, grid, said.lips[:, channel])
        at = end + (0.0 if said.lips is not None else float(dice.choice(PAUSES, p=PAUSE_CHANCE)))
    phones = phones or [Phone(SILENCE, 0.0, SECONDS)]
    return _lesson(sound, phones, real, unknown, utterances, dice), used


def _lesson(
    sound: Float,
    phones: list[Phone],
    real: Float,
    unknown: NDArray[np.bool_],
    utterances: Sequence[Utterance],
    dice: np.random.Generator,
) -> Lesson:
    whole = [Phone(SILENCE, -1.0, phones[0].start), *phones, Phone(SILENCE, phones[-1].end, SECONDS + 1.0)]
    targets = curves([Phone(p.symbol, p.start - LEAD_S, p.end - LEAD_S) for p in whole], ROWS)
    is_real = ~np.isnan(real)
    targets[:, :3] = np.where(is_real, real, targets[:, :3])
    known = np.ones((ROWS, len(CHANNELS)), bool)
    known[unknown] = False
    known[:, :3] |= is_real
    names = classes(phones, ROWS)
    names[unknown] = -1
    others = [utterances[i].sound.astype(np.float32) for i in dice.integers(0, len(utterances), 8)]
    heard = hear(spoil(sound, dice, others), float(np.exp(dice.uniform(-0.16, 0.2))))
    return Lesson(heard.astype(np.float16), targets, known, names)


def build(path: Path, source: Path, passes: int, seed: int) -> None:
    """Write the lessons of ``passes`` passes over the utterances of ``source``."""
    utterances = load(source)
    dice = np.random.default_rng(seed)
    order = np.concatenate([dice.permutation(len(utterances)) for _ in range(passes)]).tolist()
    lessons = []
    while order:
        lesson, used = compose(utterances, order, dice)
        order = order[used:]
        lessons.append(lesson)
    np.savez(
        path,
        features=np.stack([x.features for x in lessons]),
        targets=np.stack([x.targets for x in lessons]),
        known=np.stack([x.known for x in lessons]),
        phones=np.stack([x.phones for x in lessons]),
    )


def build_all(
    work: Path, sources: Mapping[str, Path], passes: Mapping[str, int], seed: int
) -> dict[str, NDArray[np.generic]]:
    """Build what is missing, one process per core, and return all lessons together."""
    jobs = {}
    for name, source in sources.items():
        # A job per pass: every core has work, and a pass that exists is not made again.
        for turn in range(passes[name]):
            jobs[work / f"lessons-{source.stem}-{seed}-{turn}.npz"] = (source, seed * 1000 + turn)
    with ProcessPoolExecutor() as pool:
        missing = [(path, *job) for path, job in jobs.items() if not path.exists()]
        for done in [pool.submit(build, path, source, 1, number) for path, source, number in missing]:
            done.result()
    parts = [np.load(path, allow_pickle=False) for path in jobs]
    return {name: np.concatenate([part[name] for part in parts]) for name in ("features", "targets", "known", "phones")}
