"""Measured lips: sentences of talker 1 of the GRID corpus (CC BY 4.0: Cooke, Barker, Cunningham and Shao 2006)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.mouths import ARPABET, Phone, spell
from training.utterance import Utterance


def read(folder: Path) -> list[Utterance]:
    """Return every clip of ``folder`` (the format of golden/lipsync/README.md), width and jaw made relative to rest."""
    return [_clip(path) for path in sorted(folder.glob("*.npz"))]


def _clip(path: Path) -> Utterance:
    with np.load(path, allow_pickle=False) as clip:
        sound = clip["audio"] if "audio" in clip else _expand(clip["audio_ulaw"])
        width, jaw = clip["width"].astype(np.float64), clip["jaw"].astype(np.float64)
        lips = [clip["aperture"], width - np.median(width[:15]), (jaw - np.percentile(jaw, 10)) / 0.15]
        phones: list[Phone] = []
        if "phones" in clip:
            for name, start, length in zip(clip["phones"], clip["phone_start"], clip["phone_dur"], strict=True):
                phones += spell(ARPABET[str(name)], float(start), float(start + length))
    return Utterance(sound, tuple(phones), np.stack(lips, 1).astype(np.float32))


def _expand(packed: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Undo the mu-law of the training clips."""
    y = packed / 127.5 - 1.0
    return np.asarray(np.clip(np.sign(y) * (256.0 ** np.abs(y) - 1.0) / 255.0 * 32767, -32768, 32767), np.int16)
