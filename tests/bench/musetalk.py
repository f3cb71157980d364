"""What MuseTalk costs beside its networks, in milliseconds of CPU time for each picture, by stage.

    python -m tests.bench.musetalk [--json] [--repeats 200]

Stages: ``mel`` (the growing log-mel picture, once for each look at the sound, of which `balanced` has one for two
pictures), ``prompts``, ``faces`` (the decoder's output to pixels), ``paste`` (copy of the frame, resize, colours and
blend on the face box), ``unpack`` (a picture and a mask of an avatar that memory cannot hold plain: in threads beside
the engine's, `reel`). A face takes the part of the frame that it has in a half-length portrait: 42 % of the height.
Medians; OpenCV on one thread. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

from studio.engines.musetalk import latents, masks
from studio.engines.musetalk.hearing import Canvas
from studio.engines.musetalk.packing import Compressed
from studio.engines.musetalk.paste import paste
from studio.engines.musetalk.types import Box
from tests.bench.measure import machine

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080)}
LIMITS_MS = {"720p": 2.0, "1080p": 3.0}
FACE_HEIGHT, FACE_WIDTH = 0.42, 0.31
"""Of the frame's height."""
SECONDS = 10
"""Of sound on the canvas when it is measured."""


def cpu_ms(call: Callable[[], object], repeats: int) -> float:
    """Return the median CPU time of a call in milliseconds."""
    times = []
    for _ in range(repeats):
        began = time.process_time_ns()
        call()
        times.append((time.process_time_ns() - began) / 1e6)
    return statistics.median(times)


def pasting_ms(width: int, height: int, repeats: int) -> float:
    """Return what one picture's paste costs."""
    rng = np.random.default_rng(0)
    frames = rng.integers(16, 236, (8, height * 3 // 2, width), dtype=np.uint8)  # more than a core's cache holds
    face = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
    x, y, wide, high = width // 3 | 1, height // 6 | 1, round(height * FACE_WIDTH), round(height * FACE_HEIGHT)
    box: Box = (x, y, x + wide, y + high)
    crop = masks.crop_box(box)
    soft = masks.soft_mask(np.full((512, 512), 255, np.uint8), box, crop, 0.5)
    mask = soft[box[1] - crop[1] : box[3] - crop[1], box[0] - crop[0] : box[2] - crop[0]]
    turn = iter(range(1 << 30))
    return cpu_ms(lambda: paste(frames[next(turn) % 8], face, box, mask), repeats)


def unpacking_ms(width: int, height: int, repeats: int) -> tuple[float, int]:
    """Return what one compressed picture and its mask cost, and how many bytes they take."""
    rng = np.random.default_rng(0)
    shades = np.linspace(60, 200, width)[None] + 20 * np.sin(np.arange(height * 3 // 2) / 9)[:, None]
    shot = np.clip(shades + rng.normal(0, 2, shades.shape), 0, 255).astype(np.uint8)
    wide, high = round(height * FACE_WIDTH), round(height * FACE_HEIGHT)
    box: Box = (width // 3, height // 6, width // 3 + wide, height // 6 + high)
    mask = masks.soft_mask(np.full((512, 512), 255, np.uint8), box, masks.crop_box(box), 0.5)
    packing = Compressed()
    stored = [np.frombuffer(data, np.uint8) for data in (packing.pack_picture(shot), packing.pack_mask(mask))]

    def unpack() -> None:
        packing.picture(stored[0], (shot.shape[0], shot.shape[1]))
        packing.mask(stored[1], (mask.shape[0], mask.shape[1]))

    return cpu_ms(unpack, repeats), sum(map(len, stored))


def sound_ms(repeats: int) -> tuple[float, float]:
    """Return what one look at the sound costs, and the prompts of two pictures."""
    rng = np.random.default_rng(0)
    beats = rng.integers(-9000, 9000, (SECONDS * 25 + repeats, 640)).astype(np.int16)
    canvas = Canvas()
    canvas.begin(0)
    for pcm in beats[: SECONDS * 25]:
        canvas.hear(pcm, is_pause=False)
    states = rng.standard_normal((1500, 5, 384)).astype(np.float32)
    turn = iter(beats[SECONDS * 25 :])

    def look() -> None:
        canvas.hear(next(turn), is_pause=False)
        canvas.picture()

    mel = cpu_ms(look, repeats)
    newest = SECONDS * 25 + repeats
    return mel, cpu_ms(lambda: canvas.prompts(states, range(newest - 5, newest - 3)), repeats)


def main() -> int:
    """Measure, and print a line for each stage and one of JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="nothing but the JSON line on standard output")
    parser.add_argument("--repeats", type=int, default=200, help="measurements of each stage (200)")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    decoded = np.random.default_rng(0).standard_normal((2, 3, 256, 256)).astype(np.float32)
    mel, prompts = sound_ms(min(options.repeats, 400))
    stages = {
        "mel": mel / 2,
        "prompts": prompts / 2,
        "faces": cpu_ms(lambda: latents.faces(decoded), options.repeats) / 2,
    }
    stages |= {f"paste {name}": pasting_ms(*size, options.repeats) for name, size in SIZES.items()}
    packed = {}
    for name, size in SIZES.items():
        stages[f"unpack {name}"], packed[f"packed_{name}_bytes"] = unpacking_ms(*size, max(1, options.repeats // 4))
    for stage, ms in stages.items():
        print(f"{stage:<12} {ms:6.2f} ms", file=sys.stderr if options.json else sys.stdout)
    good = {name: stages[f"paste {name}"] <= limit for name, limit in LIMITS_MS.items()}
    rounded = {stage.replace(" ", "_") + "_ms": round(ms, 3) for stage, ms in stages.items()}
    print(json.dumps({"bench": "musetalk", **rounded, **packed, "within_limits": good, "machine": machine()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
