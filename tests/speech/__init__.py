"""A sentence for tests: flite's voice ``slt``, 10 s, unhurried, 21 of p, b and m; its phones as flite timed them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from studio.beat import SAMPLES_PER_BEAT
from tests.bench.lipsync import Clip

FOLDER = Path(__file__).parent


def sentence() -> Clip:
    """Return the sentence; nobody's lips were measured."""
    sound, rate = soundfile.read(FOLDER / "bob.flac", dtype="int16")
    assert rate == 16000
    beats = len(sound) // SAMPLES_PER_BEAT
    timed = json.loads((FOLDER / "bob.json").read_text())
    phones = [(str(name), float(start), float(length)) for name, start, length in timed]
    return Clip("bob", sound, np.zeros(beats), np.zeros(beats), np.ones(beats, bool), phones)
