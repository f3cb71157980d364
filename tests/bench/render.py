"""What a speech picture costs: thread CPU time of `Renderer.render` against one `cv2.remap` of 512x512.

Machines change their clock while a bench runs, so the yardstick (one channel, fixed map, bilinear) is measured between
the pictures, and figures are ratios of medians. The poses are those of a take that hears speech (espeak-ng): mouth,
head, eyes. The last line is JSON: per avatar and way of drawing the ratio, milliseconds, and the share of each stage.

    python -m tests.bench.render [--json] [--pictures N] [--avatars mira,omar]
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.portrait.compiled import CompiledTools
from studio.engines.portrait.curves import trace
from studio.engines.portrait.field import contours
from studio.engines.portrait.life import idle_poses
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.mouth import Mouth
from studio.engines.portrait.portable import PortableTools
from studio.engines.portrait.renderer import Face, Renderer
from studio.engines.portrait.rig import BASES, SIZE, Float
from studio.engines.portrait.warp import WARM, Tools
from tests.acceptance.conftest import prepared, shipped
from tests.bench.measure import machine
from tests.visitor import make_speech

PICTURES = 150
WAYS: dict[str, Callable[[], Tools]] = {"numba": CompiledTools, "portable": PortableTools}

log = logging.getLogger("bench")


def spent(work: Callable[[], object]) -> float:
    """Return the CPU milliseconds this thread spends on ``work``."""
    start = time.thread_time_ns()
    work()
    return (time.thread_time_ns() - start) / 1e6


class Yardstick:
    """One 512x512 single-channel remap with a fixed float map."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._plane: NDArray[np.uint8] = rng.integers(0, 255, (SIZE, SIZE)).astype(np.uint8)
        self._x, self._y = np.meshgrid(np.arange(SIZE, dtype=np.float32), np.arange(SIZE, dtype=np.float32))
        self._x += rng.uniform(-2, 2, self._x.shape).astype(np.float32)

    def measure(self) -> float:
        """Return its CPU milliseconds now."""
        return spent(lambda: cv2.remap(self._plane, self._x, self._y, cv2.INTER_LINEAR))


@cache
def sound() -> NDArray[np.int16]:
    """Return half a minute of speech, 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        pcm, _ = soundfile.read(make_speech(Path(folder) / "speech.wav", rate=16_000, repeat=4), dtype="int16")
    return np.asarray(pcm if pcm.ndim == 1 else pcm[:, 0], np.int16)


@dataclass(frozen=True)
class Sitter:
    """What a take needs of an avatar."""

    poses: Float
    width: int = SIZE
    height: int = SIZE
    idle_length: int = 200
    restless: bool = False
    memory_bytes: int = 0

    def idle(self, phase: int) -> NDArray[np.uint8]:
        """Never asked: nothing is drawn."""
        raise NotImplementedError


def talk(face: Face, beats: int) -> Float:
    """Return the poses (beats, COUNT) of a take that hears speech."""
    parts = sound()[: (beats + 1) * SAMPLES_PER_BEAT].reshape(-1, SAMPLES_PER_BEAT)
    chunks = (AudioChunk(i, part, True, i) for i, part in enumerate(parts))
    return trace(Sitter(idle_poses(3)), face, LearnedVoice(), chunks).poses


def measure(face: Face, using: Tools, pictures: int) -> dict[str, float]:
    """Return the medians of one face: render_ms, remap_ms and their ratio."""
    renderer, yardstick, poses = Renderer(face, using), Yardstick(), talk(face, pictures + 10)
    for pose in poses[:10]:
        renderer.render(pose)
        yardstick.measure()
    renders, remaps = [], []
    for pose in poses[10:]:
        remaps.append(yardstick.measure())
        renders.append(spent(lambda pose=pose: renderer.render(pose)))  # type: ignore[misc]  # a default binds the pose
    render, remap = float(np.median(renders)), float(np.median(remaps))
    return {"ratio": round(render / remap, 2), "render_ms": round(render, 2), "remap_ms": round(remap, 2)}


def stages(face: Face, using: Tools, pictures: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each stage of a picture, run on its own."""
    warp = using.make_warp(face.shape, *_planes(face))
    out = face.texture.copy()
    times: dict[str, list[float]] = {}

    def note(stage: str, work: Callable[[], object]) -> None:
        times.setdefault(stage, []).append(spent(work))

    for pose in talk(face, pictures):
        weights: Float = np.ascontiguousarray(pose[: len(BASES)])
        line = using.lip_line(contours(face.shape, weights))
        note("copy", face.texture.copy)
        note("lips", lambda weights=weights: using.lip_line(contours(face.shape, weights)))  # type: ignore[misc]  # as above
        note("warp", lambda w=weights, line=line: warp.draw(w, line, WARM, out))  # type: ignore[misc]  # as above
        if isinstance(face.mouth, Mouth):
            scene = face.mouth.scene(pose)
            note("inside", lambda s=scene, line=line: using.paint_inside(s, line, out))  # type: ignore[misc]  # as above
    return {stage: round(float(np.median(row)), 3) for stage, row in times.items()}


def _planes(face: Face) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    chroma = face.texture[SIZE:].reshape(2, SIZE // 2, SIZE // 2)
    return face.texture[:SIZE], chroma[0], chroma[1]


def main(arguments: list[str] | None = None) -> None:
    """Run the bench."""
    parser = argparse.ArgumentParser(description="Cost of a speech picture in units of cv2.remap.")
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line")
    parser.add_argument("--pictures", type=int, default=PICTURES)
    parser.add_argument("--avatars", default=",".join(shipped()))
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING if chosen.json else logging.INFO, format="%(message)s")
    cv2.setNumThreads(1)
    report: dict[str, object] = {"machine": machine(), "aim": 2.0}
    for avatar in chosen.avatars.split(","):
        face = prepared(shipped()[avatar])
        for way, using in WAYS.items():
            found = measure(face, using(), chosen.pictures)
            split = stages(face, using(), chosen.pictures // 2)
            log.info("%-10s %-9s %.2fx  %.2f ms  %s", avatar, way, found["ratio"], found["render_ms"], split)
            report[f"{avatar} {way}"] = {**found, "stages_ms": split}
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
