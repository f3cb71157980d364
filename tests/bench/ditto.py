"""What Ditto costs beside its networks, in milliseconds of CPU time for each picture, by stage.

    python -m tests.bench.ditto [--json] [--pictures 200]

A visit with the released online options speaks to networks that answer at once: what is measured is all the rest.
Stages: ``sound`` (windows and features), ``motion`` (conditions, sampler, blending; one window for ten pictures),
``points`` (retargeting), ``paste`` (warp, blend, I420), and ``step``: all of it, as the scheduler calls it, one
visit at a time. The crop covers nine tenths of the frame's height, as a portrait's does. Medians of ten
rounds, and the best round of each stage, as beside other work a core's time is worth less; OpenCV on one thread. The
last line is JSON; the limits hold for medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.ditto.condition import Condition, emotion_rows
from studio.engines.ditto.crew import Crew
from studio.engines.ditto.options import Setup
from studio.engines.ditto.paste import Painter
from studio.engines.ditto.retarget import Retarget, keypoints
from studio.engines.ditto.speech import Hearing
from studio.engines.ditto.stage import Part, perform
from studio.engines.ditto.take import Conductor
from studio.engines.ditto.types import WIDTHS, CheckpointInfo, Reference, vector_of
from studio.engines.runtime import Model
from tests.bench.measure import machine

SIZES = {"512": 512, "1080": 1080}
LIMITS_MS = {"512": 3.0, "1080": 6.0}
COVERED = 0.9
ROUNDS = 10
INFO = CheckpointInfo({}, {})


class Still:
    """A network whose answer is known beforehand."""

    def __init__(self, **answer: NDArray[Any]) -> None:
        self._answer = answer

    def run(self, feeds: Mapping[str, object]) -> dict[str, NDArray[Any]]:
        return self._answer

    run_kept = run


class Scene:
    """A made-up avatar and its networks."""

    def __init__(self, side: int) -> None:
        rng = np.random.default_rng(0)
        self.crew = Crew.__new__(Crew)  # its files are not wanted
        motion = {key: rng.normal(0, 0.05, (1, width)).astype(np.float32) for key, width in WIDTHS.items()}
        motion["scale"] += 1
        eyes = np.zeros((1, 2), np.float32), np.zeros((1, 6), np.float32)
        self.person = Reference((motion,), *eyes, motion["kp"][0])
        window = rng.normal(0, 0.05, (1, 80, 265)).astype(np.float32)
        still = keypoints(motion)[None]
        networks = {
            "hubert": Still(encoding_out=rng.standard_normal((20, 1024), np.float32)),
            "lmdm": Still(pred_noise=window, x_start=window),
            "stitch_network": Still(out=still),
            "warp_network": Still(out=np.zeros((1, 256, 64, 64), np.float32)),
            "decoder": Still(output=rng.random((1, 3, 512, 512), np.float32)),
        }
        self.crew.networks = networks  # type: ignore[assignment]
        self.crew._hearing = Hearing(cast(Model, networks["hubert"]))
        self.features = [np.zeros((1, 32, 16, 64, 64), np.float32)]
        self.keypoints, self.points, self.templates = still, np.repeat(still, 200, axis=0), 1
        zoom = COVERED * side / 512
        matrix = np.array([[zoom, 0.02, side * 0.05], [-0.02, zoom, side * 0.05], [0, 0, 1]], np.float32)
        self.painter = Painter(rng.integers(0, 256, (1, side, side, 3), dtype=np.uint8), matrix[None])

    def idle(self, phase: int) -> NDArray[np.uint8]:
        raise AssertionError("a visit that speaks shows no idle picture")

    def begin(self) -> Conductor:
        setup = Setup(online_mode=True, overlap_v2=70, sampling_timesteps=10, fix_kp_cond=1, fix_kp_cond_dim=(0, 202))
        condition = Condition(self.person, emotion_rows(4), False, INFO)
        silence = self.crew.hearing.silence(70)
        retarget = Retarget(setup, self.person, True, Random(0))
        start = vector_of(self.person.motions[0])
        return Conductor(self, setup, condition, start, silence, retarget, np.random.default_rng(0))


class Watch:
    """Adds up the CPU time of calls."""

    def __init__(self) -> None:
        self.ms = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        began = time.process_time_ns()
        try:
            yield
        finally:
            self.ms += (time.process_time_ns() - began) / 1e6

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            with self.running():
                return call(*arguments)

        return timed


def stages(side: int, pictures: int) -> dict[str, tuple[float, float]]:
    """Return milliseconds for each picture, median and best, by stage."""
    rounds = [one_round(Scene(side), pictures // ROUNDS) for _ in range(ROUNDS)]
    found = {stage: [one[stage] for one in rounds] for stage in rounds[0]}
    return {stage: (statistics.median(ms), min(ms)) for stage, ms in found.items()}


def one_round(scene: Scene, pictures: int) -> dict[str, float]:
    """Let a visit speak, first to warm up, then measured."""
    watches = {stage: Watch() for stage in ("sound", "motion", "points", "paste", "step")}
    take, painter = scene.begin(), scene.painter
    pcm = np.random.default_rng(0).integers(-9000, 9000, (take.delay + 20 + pictures, SAMPLES_PER_BEAT))
    chunks = [AudioChunk(i, one.astype(np.int16), True, i) for i, one in enumerate(pcm)]
    for chunk in chunks[: take.delay + 20]:
        perform(scene.crew, [Part(scene, take, chunk)])
    parts: tuple[tuple[object, str, str], ...] = (
        (take, "hear", "sound"), (take, "learn", "sound"), (scene.crew.hearing, "features", "sound"),
        (take, "request", "motion"), (take, "accept", "motion"), (scene.crew, "sampled", "motion"),
        (take, "shot", "points"), (scene.crew, "stitched", "points"), (painter, "picture", "paste"),
    )  # fmt: skip
    for owner, name, stage in parts:
        setattr(owner, name, watches[stage].around(getattr(owner, name)))
    made = 0
    for chunk in chunks[take.delay + 20 :]:
        with watches["step"].running():
            made += len(perform(scene.crew, [Part(scene, take, chunk)])[0])
    assert made == pictures
    return {stage: watch.ms / pictures for stage, watch in watches.items()}


def main() -> int:
    """Measure, and print a line for each stage and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line on standard output")
    parser.add_argument("--pictures", type=int, default=200, help="measured, in ten rounds (200)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for name, side in SIZES.items():
        found[name] = stages(side, max(options.pictures, ROUNDS))
        for stage, (ms, best) in found[name].items():
            line = f"{name:>4} {stage:<8} {ms:6.2f} ms, best {best:6.2f} ms"
            print(line, file=sys.stderr if options.json else sys.stdout)
    figures = {f"{stage}_{name}_ms": round(ms, 3) for name, one in found.items() for stage, (ms, _) in one.items()}
    figures |= {
        f"{stage}_{name}_best_ms": round(ms, 3) for name, one in found.items() for stage, (_, ms) in one.items()
    }
    good = {name: found[name]["step"][0] <= limit for name, limit in LIMITS_MS.items()}
    print(json.dumps({"bench": "ditto", **figures, "within_limits": good, "machine": machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
