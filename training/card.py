"""The model card: what the weights were made of, how good they are, what they cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Run = tuple[Path, Mapping[str, float]]


def merit(scores: Mapping[str, float]) -> float:
    """Return the number by which one of several seeds is chosen: both r, and closures for a third."""
    return scores["studio_r"] + scores["wild_r"] + 0.33 * scores["bilabial_recall"] + 0.33 * scores["silence_rate"]


def text(
    runs: Sequence[Run], chosen: Run, hours: Mapping[str, float], passes: Mapping[str, int], lessons: int, seconds: float
) -> str:
    """Return the card in Markdown."""
    names = list(chosen[1])
    head = "| seed | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1) + "\n"
    rows = "".join(f"| {path.stem.rpartition('-')[2]}{' (shipped)' if path == chosen[0] else ''} | "
                   + " | ".join(f"{scores[name]:.3f}" for name in names) + " |\n" for path, scores in runs)  # fmt: skip
    return f"""# Model card: lipnet

Speech to mouth: 16 kHz sound in, opening, width, jaw, rounding, closure (p b m), bite (f v) and energy out, 25 times a second,
40 ms after the beat is complete. Two strided convolutions, one GRU, 73 thousand weights. Made by `python -m training` of this
repository; this page is written by it.

## Data

| set | hours | passes | licence and why a model of it may be given away |
|---|---|---|---|
| espeak-ng, some thirty languages, phones from the synthesiser | {hours['espeak']:g} | {passes['espeak']} | the program is GPL-3; what it says is not a work of its authors, and no sound ships |
| flite, four voices, phones from the synthesiser | {hours['flite']:g} | {passes['flite']} | BSD-like, voices included |
| GRID corpus, talker 1: measured lips | 0.21 | {passes['grid']} | CC BY 4.0: Cooke, Barker, Cunningham, Shao, JASA 120 (2006) |

Where lips were not measured, targets come from a table of phones with coarticulation (`training/mouths.py`). {lessons} lessons of
12 s, coloured, reverberated, band-limited, with noise, babble and hum at 3 to 40 dB, -42 to -12 dBFS.

## Figures

Development clips (4 studio, 5 wild; 44 s; none of these people was heard in training). Seeds differ by chance; differences under 0.05
are noise. Chosen by the sum of both r and a third of each of the two shares.

{head}{rows}
`python -m tests.bench.lipsync DIR` measures any folder of such clips, with two baselines.

## Limits

Scored on English alone; other languages were only trained, with synthetic speech. How wide a person opens and how lips rest is not in
the sound: strangers cannot reach r = 1. Singing, shouting and laughter were never heard. Whole run: {seconds / 60:.0f} min on two cores.
"""
