"""Speech of flite, whose voices are recordings of real people: timbre that espeak-ng does not have."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import soundfile

from training.mouths import ARPABET, Phone, spell
from training.utterance import Utterance

VOICES = {"slt": 4.0, "rms": 2.0, "awb": 2.0, "kal16": 1.0}
"""Voice -> how often it is drawn."""


def say(text: str, voice: str, stretch: float, pitch_hz: float, scratch: Path) -> Utterance | None:
    """Return ``text`` spoken, or None if this voice cannot.

    Args:
        text: English.
        voice: One of `VOICES`.
        stretch: Of every duration.
        pitch_hz: Mean of the melody.
        scratch: A WAV file that may be overwritten.

    Raises:
        RuntimeError: flite is missing: `apt install flite`.
    """
    if shutil.which("flite") is None:
        raise RuntimeError("flite is missing: apt install flite")
    settings = [f"duration_stretch={stretch:.2f}", f"int_f0_target_mean={pitch_hz:.0f}"]
    command = ["flite", "-voice", voice, *(part for s in settings for part in ("--setf", s)), "-psdur"]
    done = subprocess.run([*command, "-t", text, "-o", str(scratch)], capture_output=True, text=True, timeout=60)
    pairs = [word.rpartition(":") for word in done.stdout.split()]
    if done.returncode != 0 or len(pairs) < 3:
        return None
    sound, rate = soundfile.read(scratch, dtype="int16")
    if rate != 16000:
        return None
    phones: list[Phone] = []
    start = 0.0
    for name, _, until in pairs:
        end = float(until)
        phones += spell(ARPABET.get(name.upper(), "_"), start, end) if end > start else []
        start = end
    return Utterance(np.ascontiguousarray(sound), tuple(phones))
