"""What a mouth does at each sound: a table of phones, and how neighbours pull at each other.

The values are those of the audio2mouth specification, section 4, anchored there on the measured lips of one talker.
Units: ``open`` and ``dwidth`` are fractions of the distance of the outer eye corners, ``jaw`` and ``round`` 0..1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

CHANNELS = ("open", "dwidth", "jaw", "round", "press", "fv")
VOWELS = """
i .12 .045 .25 0   ɪ .12 .035 .35 0   e .145 .045 .4 0   ɛ .14 .03 .55 0   æ .17 .03 .75 0   a .18 .02 .9 0
ɐ .15 .01 .7 0
ɑ .18 0 .95 0   ɒ .14 -.03 .75 .35   ʌ .135 0 .6 0   ə .095 0 .35 0   ɜ .09 -.015 .4 .2   ɚ .08 -.02 .35 .25
ɔ .1 -.06 .6 .6
o .09 -.07 .5 .75   ʊ .065 -.045 .35 .65   u .045 -.07 .25 1   y .05 -.06 .2 .95   ø .075 -.055 .4 .8   œ .1 -.04 .5 .65
ɯ .09 .01 .25 .1   ɨ .1 .015 .3 0   ʉ .06 -.05 .25 .8   ɘ .1 .01 .4 0   ɤ .1 0 .45 0   ʏ .06 -.05 .3 .8
ɵ .08 -.05 .4 .7
ɞ .1 -.03 .5 .4   ɶ .15 -.01 .8 .3
"""
CONSONANTS = """
p -.01 -.01 .1 0 5 1   b -.01 -.01 .12 0 5 1   m -.01 -.01 .15 0 4 1   f 0 0 .12 0 2.5 .8   v 0 0 .15 0 2.5 .8
ɸ .02 -.02 .1 .2 3 1   β .02 0 .1 0 3 1   ʋ .03 0 .2 0 2 .7   w 0 -.075 .2 .95 2.2 1.6   ɥ .01 -.06 .2 .95 2 1.5
ʍ 0 -.07 .2 .95 2.2 1.6   θ .06 0 .15 0 1 .6   ð .07 0 .2 0 .8 .5   t .105 .01 .2 0 .6 .4   d .1 .01 .2 0 .5 .4
n .09 .01 .25 0 .3 .4   l .1 -.01 .35 0 1.2 .5   s .09 .015 .1 0 1 1   z .085 .015 .1 0 .8 1   ʃ .1 -.03 .12 .5 1.2 1
ʒ .1 -.03 .12 .5 1.2 1   ɕ .1 -.01 .1 .25 1 .8   ʑ .1 -.01 .1 .25 1 .8   ʂ .1 -.03 .12 .45 1 .8   ʐ .09 -.03 .15 .4 1 .8
k .11 0 .35 0 .5 .3   ɡ .1 0 .35 0 .4 .3   g .1 0 .35 0 .4 .3   ŋ .1 0 .35 0 .3 .3   ɲ .09 .01 .25 0 .4 .4
x .11 0 .35 0 .3 .2   χ .11 0 .35 0 .3 .2   ç .11 .02 .25 0 .5 .4   h .1 0 .4 0 .1 .1   ɦ .1 0 .4 0 .1 .1
ħ .12 0 .5 0 .2 .1   ʕ .13 0 .6 0 .3 .1   ʔ .1 0 .4 0 .05 .05   r .08 -.01 .25 .1 .6 .4   ɹ .045 -.05 .3 .45 2 1
ɾ .09 0 .25 0 .4 .3   ʁ .1 0 .4 .05 .3 .2   ɻ .05 -.04 .3 .4 1.5 .8   ɽ .08 0 .3 .1 .5 .3   j .11 .025 .2 0 .9 .8
ʎ .1 .01 .25 0 .6 .4   ɫ .09 -.01 .35 .1 .8 .4   ɭ .1 0 .3 0 .8 .4   ɬ .1 .01 .2 0 .8 .5   ʈ .1 0 .2 0 .5 .3
ɖ .1 0 .2 0 .5 .3   ɳ .09 0 .25 0 .3 .3   c .11 .01 .25 0 .5 .4   ɟ .1 .01 .25 0 .5 .4   q .12 0 .4 0 .4 .2
ɣ .1 0 .35 0 .3 .2   ʝ .1 .01 .25 0 .4 .3
"""
PRESSED, BITTEN = frozenset("pbmɸβ"), frozenset("fvʋ")
SILENCE = "_"
ARPABET = {
    "AA": "ɑ", "AE": "æ", "AH": "ʌ", "AO": "ɔ", "AW": "aʊ", "AX": "ə", "AY": "aɪ", "B": "b", "CH": "tʃ", "D": "d",
    "DH": "ð", "EH": "ɛ", "ER": "ɚ", "EY": "eɪ", "F": "f", "G": "ɡ", "HH": "h", "IH": "ɪ", "IY": "i", "JH": "dʒ",
    "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ", "OW": "oʊ", "OY": "ɔɪ", "P": "p", "R": "ɹ", "S": "s", "SH":
    "ʃ", "T": "t", "TH": "θ", "UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ", "SIL":
    SILENCE, "PAU": SILENCE,
}  # fmt: skip

FORWARD_S = np.array([0.09, 0.06, 0.12, 0.07])
"""How early each curve turns to a phone: opening is anticipated more than it is held."""
BACKWARD_S = np.array([0.04, 0.10, 0.08, 0.08])
"""How long it holds."""


class Phone(NamedTuple):
    """One sound; times in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True)
class Mouth:
    """Targets and weights (4,) of open, dwidth, jaw and round at one phone."""

    target: NDArray[np.float64]
    weight: NDArray[np.float64]


def _table() -> dict[str, Mouth]:
    mouths = {SILENCE: Mouth(np.array([0.008, 0, 0, 0]), np.array([0.6, 0.1, 0.6, 0.4]))}
    words = VOWELS.split()
    for i in range(0, len(words), 5):
        target = np.array([float(v) for v in words[i + 1 : i + 5]])
        mouths[words[i]] = Mouth(target, np.array([1.5, 1.0, 1.2, 1.0]))
    words = CONSONANTS.split()
    for i in range(0, len(words), 7):
        *values, open_weight, width_weight = (float(v) for v in words[i + 1 : i + 7])
        jaw_weight = 1.0 if values[2] < 0.2 else 0.5
        round_weight = width_weight if values[3] > 0 else 0.5
        mouths[words[i]] = Mouth(np.array(values), np.array([open_weight, width_weight, jaw_weight, round_weight]))
    return mouths


MOUTHS = _table()
_VOWELS = frozenset(VOWELS.split()[::5])
CLASSES = sorted(MOUTHS)
"""Phones by number, for the network's side task."""
_DROPPED = re.compile(r"[^" + "".join(re.escape(symbol) for symbol in MOUTHS if symbol != SILENCE) + "]")


def is_known(symbol: str) -> bool:
    """Say whether any phone of the table is in an IPA symbol."""
    return bool(_DROPPED.sub("", symbol))


def spell(symbol: str, start: float, end: float) -> list[Phone]:
    """Split an IPA symbol into phones of the table: diphthongs 60:40, affricates 35:65, marks and lengths dropped."""
    parts = _DROPPED.sub("", symbol)
    if not parts:
        return [Phone(SILENCE, start, end)]
    if len(parts) == 1:
        return [Phone(parts, start, end)]
    middle = start + (end - start) * (0.6 if parts[0] in _VOWELS else 0.35)
    return [Phone(parts[0], start, middle), Phone(parts[1], middle, end)]


def curves(phones: Sequence[Phone], rows: int, beat: float = 0.04) -> Float:
    """Return (rows, 6) targets in `CHANNELS` order, one every ``beat`` seconds: each phone pulls with its weight."""
    times = np.arange(rows)[:, None] * beat
    start, end = (np.array([getattr(p, name) for p in phones]) for name in ("start", "end"))
    quarter = (end - start) / 4
    target = np.array([MOUTHS[p.symbol].target for p in phones])
    weight = np.array([MOUTHS[p.symbol].weight for p in phones])
    before = np.maximum(0.0, start + quarter - times)[:, :, None] / FORWARD_S
    after = np.maximum(0.0, times - end + quarter)[:, :, None] / BACKWARD_S
    pull = weight * np.exp(-before - after) + 1e-12
    out = np.zeros((rows, len(CHANNELS)), np.float32)
    out[:, :4] = (pull * target).sum(1) / pull.sum(1)
    for column, group in ((4, PRESSED), (5, BITTEN)):
        chosen = [p for p in phones if p.symbol in group]
        if chosen:
            on = np.array([p.start for p in chosen])
            off = np.array([p.end for p in chosen])
            rise = (times - on + 0.06) / 0.06
            fall = (off + 0.03 - times) / 0.05
            out[:, column] = np.clip(np.minimum(rise, fall), 0.0, 1.0).max(1)
    return out


def classes(phones: Sequence[Phone], rows: int, beat: float = 0.04) -> NDArray[np.int64]:
    """Return (rows,) number in `CLASSES` of the phone heard at the middle of each beat."""
    ends = np.array([p.end for p in phones])
    at = np.searchsorted(ends, (np.arange(rows) + 0.5) * beat, side="right")
    numbers = np.array([CLASSES.index(p.symbol) for p in phones] + [CLASSES.index(SILENCE)])
    return numbers[at]
