"""``python -m training``: speech, lessons, networks, scores, weights and card, one after the other.

Everything that was made once is kept in ``--work`` and not made again. ``--share 0.01`` runs the whole way on a
hundredth of the data, to see that it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from studio.engines.portrait import lipnet
from studio.engines.portrait.lipnet import LearnedVoice, LipWeights
from tests.bench.lipsync import model_scores, read_clip, summary
from training import card, corpus, sequences
from training.fit import EPOCHS, fit
from training.network import weights

HOURS = {"espeak": 1.5, "flite": 2.0, "festival": 2.0}
PASSES = {"espeak": 2, "flite": 2, "festival": 2, "grid": 16}


def main() -> int:
    """Run the whole recipe; return the exit code."""
    options = _parser().parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def say(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - began:6.0f} s  {text}\n")

    hours = {name: round(value * options.share, 3) for name, value in HOURS.items()}
    sources = corpus.sources(options.work, options.lips / "train_grid_s1", hours, options.data_seed, say)
    lessons = sequences.build_all(options.work, sources, PASSES, options.data_seed)
    say(f"{len(lessons['features'])} lessons of {sequences.SECONDS} s")
    clips = [read_clip(path) for path in sorted((options.lips / "dev").glob("*.npz"))]
    runs = []
    for seed in range(1, options.seeds + 1):
        path = options.work / f"lipnet-{seed}.npz"
        if not path.exists():
            network = fit(lessons, seed, max(1, round(EPOCHS * min(1.0, options.share * 8))), say)
            np.savez_compressed(path, **weights(network))
        made = LipWeights.read(path)
        runs.append((path, summary(model_scores(lambda made=made: LearnedVoice(made), clips))))
        say(f"seed {seed}: {runs[-1][1]}")
    chosen = max(runs, key=lambda run: card.merit(run[1]))
    say(f"chosen: {chosen[0].name}")
    options.out.write_bytes(chosen[0].read_bytes())
    options.out.with_suffix(".md").write_text(card.text(runs, chosen, hours, PASSES, len(lessons["features"])))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="training", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--lips", type=Path, default=Path("../shared/golden/lipsync"), help="measured lips")
    parser.add_argument("--work", type=Path, default=Path(".studio/training"), help="keeps what was made (1 GB)")
    parser.add_argument("--out", type=Path, default=lipnet.WEIGHTS, help="weights; the card goes beside them")
    parser.add_argument("--seeds", type=int, default=3, help="networks to train and choose from")
    parser.add_argument("--data-seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=1.0, help="of the data")
    return parser


if __name__ == "__main__":
    sys.exit(main())
