"""A folder in the format of ``golden/ditto``: its scenarios, inputs and options, by documented names only."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.types import Bytes, Floats

EYES = [11, 13, 15, 16, 18]
SEEDED = "delta_eye_arr_seed"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One upstream run."""

    folder: Path
    name: str
    spec: dict[str, Any]

    @property
    def online(self) -> bool:
        """The online pipeline ran, not the offline one."""
        return bool(self.spec["online"])

    @property
    def options(self) -> dict[str, object]:
        """What was passed to setup."""
        options: dict[str, object] = dict(self.spec["setup"])
        seed = options.pop(SEEDED, None)
        if isinstance(seed, int):
            options["delta_eye_arr"] = seeded_blink(seed)
        return options

    @property
    def source(self) -> Path:
        """Picture or video."""
        return self.folder / str(self.spec["source"])

    @property
    def frames(self) -> Bytes | None:
        """(n, H, W, 3) RGB: a video as upstream decoded it; None for a picture."""
        decoded = self.source.with_name(f"{self.source.stem}_frames.npz")
        if not decoded.exists():
            return None
        with np.load(decoded) as file:
            frames: Bytes = file["frames"]
        return frames

    @property
    def wave(self) -> Floats:
        """(n,) at 16 kHz, as it was fed."""
        wave: Floats = np.load(self.folder / str(self.spec["audio16k"]))[: int(self.spec["n_samples"])]
        return wave.astype(np.float32)

    @property
    def controls(self) -> dict[int, dict[str, object]]:
        """Frame number -> its own controls."""
        return {int(frame): dict(given) for frame, given in self.spec.get("ctrl_info", {}).items()}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what upstream computed."""
        with np.load(self.folder / f"{self.name}.npz") as file:
            return {name: file[name] for name in file.files}

    def pictures(self) -> dict[str, Bytes]:
        """Return the stored pictures (H, W, 3) RGB: ``frame_000``, ``render_000``, ``crop512``."""
        found = sorted(self.folder.glob(f"{self.name}_*.png"))
        return {path.stem.removeprefix(f"{self.name}_"): read_rgb(path) for path in found}


def scenarios(folder: Path) -> list[Scenario]:
    """Return all scenarios of a folder, by name."""
    found = sorted(folder.glob("*.spec.json"))
    return [Scenario(folder, path.name.removesuffix(".spec.json"), json.loads(path.read_text())) for path in found]


def seeded_blink(seed: int) -> Floats:
    """Return the blink (7, 63) that a seed stands for, as the README says."""
    blink = np.zeros((7, 21, 3))
    blink[:, EYES] = np.random.RandomState(seed).randn(7, 5, 3) * 0.01
    return blink.reshape(7, 63).astype(np.float32)


def read_rgb(path: Path) -> Bytes:
    """Return a PNG as (H, W, 3) RGB."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    assert bgr is not None, f"{path} is no picture"
    return np.ascontiguousarray(bgr[..., ::-1])
