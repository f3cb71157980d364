"""The model card: what the weights were made of, how good they are, what they cannot do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

Run = tuple[Path, Mapping[str, float]]


def merit(scores: Mapping[str, float]) -> float:
    """Return the number by which one of several seeds is chosen: both r, and closures for a third."""
    return scores["studio_r"] + scores["wild_r"] + 0.33 * scores["bilabial_recall"] + 0.33 * scores["silence_rate"]


def text(
    runs: Sequence[Run],
    chosen: Run,
    hours: Mapping[str, float],
    passes: Mapping[str, int],
    lessons: int,
) -> str:
    """Return the card in Markdown."""
    names = list(chosen[1])
    head = "| seed | " + " | ".join(names) + " |\n|" + "---|" * (len(names) + 1) + "\n"
    rows = ""
    for path, scores in runs:
        seed = path.stem.rpartition("-")[2] + (" (shipped)" if path == chosen[0] else "")
        rows += f"| {seed} | " + " | ".join(f"{scores[name]:.3f}" for name in names) + " |\n"
    template = Path(__file__).with_name("card.template.md").read_text()
    figures = head + rows
    return template.format(hours=hours, passes=passes, lessons=lessons, figures=figures)
