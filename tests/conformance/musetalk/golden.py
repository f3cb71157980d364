"""A folder in the format of ``golden/musetalk``: its inputs, options and results, by documented names only."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import soundfile
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.types import Bytes, Floats, Rules
from studio.resampling import resampled


def upstreams(wave: Floats, rate: int) -> Floats:
    """Return a sound (n,) at 16 kHz as upstream's own resampler makes it; the studio's, where soxr is not installed.

    Where there is next to no sound, a log-mel picture tells one resampler from another: what comes behind the loading
    can only be compared after the same one.
    """
    try:
        import soxr
    except ImportError:
        return resampled(wave, rate)
    made = soxr.resample(wave, rate, SAMPLE_RATE, quality="HQ")
    whole = np.zeros(-(-len(wave) * SAMPLE_RATE // rate), np.float32)
    whole[: len(made)] = made[: len(whole)]
    return whole


class Golden:
    """One folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.options: dict[str, Any] = json.loads((folder / "options.json").read_text("utf-8"))
        self.networks = Networks(self.folder / str(self.options["standins"]), allow_small=True)

    @cached_property
    def frames(self) -> list[Bytes]:
        """The video, (H, W, 3) BGR, by name."""
        return [self.picture(path) for path in sorted((self.folder / str(self.options["frames"])).glob("*.png"))]

    @property
    def rules(self) -> Rules:
        """Of the end-to-end part."""
        left, right = self.options["cheeks"]
        mode = self.options["mode"]
        return Rules(int(self.options["extra_margin"]), mode, left_cheek_width=left, right_cheek_width=right)

    @property
    def fps(self) -> float:
        """Pictures a second of the prompts."""
        return float(self.options["fps"])

    @property
    def padding(self) -> tuple[int, int]:
        """Left and right, in pictures."""
        return int(self.options["pl"]), int(self.options["pr"])

    def has(self, name: str) -> bool:
        """Tell whether there is such a file."""
        return (self.folder / name).exists()

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays of an ``.npz``."""
        with np.load(self.folder / name, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}

    def list(self, name: str) -> list[dict[str, Any]]:
        """Return a JSON list."""
        read: list[dict[str, Any]] = json.loads((self.folder / name).read_text("utf-8"))
        return read

    def wave(self, name: str, load: Callable[[Floats, int], Floats] = upstreams) -> Floats:
        """Return a sound as upstream loads it, or as ``load`` does: (n,) mono 16 kHz float32 in [-1, 1]."""
        channels, rate = soundfile.read(self.folder / name, dtype="float32", always_2d=True)
        return load(channels.mean(axis=1), rate)

    def picture(self, path: Path | str) -> Bytes:
        """Return a picture (H, W, 3) BGR."""
        bgr = cv2.imread(str(self.folder / path), cv2.IMREAD_COLOR)
        assert bgr is not None, f"{path} is no picture"
        return np.asarray(bgr, np.uint8)

    def grey(self, path: Path | str) -> Bytes:
        """Return a picture of one channel (H, W)."""
        grey = cv2.imread(str(self.folder / path), cv2.IMREAD_GRAYSCALE)
        assert grey is not None, f"{path} is no picture"
        return np.asarray(grey, np.uint8)
