"""``python -m training.watch``: an avatar speaks four languages; a sheet of every fifth picture and the curves of each.

For tuning by eye: what the numbers do not say is seen here. ``--over CLIP.npz`` also draws the model's opening over
that of a real talker. Nothing of it is needed at run time.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import cv2
import numpy as np
from faker import Faker
from numpy.typing import NDArray

from studio.audio import Listener
from studio.beat import AudioChunk, Beat
from studio.config import home, read_spec
from studio.engine import ENGINES
from studio.engines.portrait import curves
from studio.engines.portrait.engine import PortraitAvatar, PortraitEngine
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.renderer import Renderer
from studio.engines.portrait.take import PortraitTake
from studio.library import bring_in
from tests.bench.lipsync import read_clip, speak
from training import festival
from training.utterance import RATE

Byte = NDArray[np.uint8]
VOICES = {
    "english": "cmu_us_slt_arctic_hts",
    "italian": "lp_diphone",
    "czech": "czech_dita",
    "russian": "msu_ru_nsh_clunits",
}
SECONDS, EVERY, COLUMNS, TILE = 20, 5, 12, 112
FACE = slice(110, 410)
"""Rows and columns of a picture that are shown: the lips are what is looked at."""
PAPER, INK, REAL, OURS = (255, 255, 255), (60, 60, 66), (150, 150, 158), (209, 106, 34)


def main() -> int:
    """Draw everything for one avatar."""
    parser = argparse.ArgumentParser(prog="training.watch", description=__doc__.splitlines()[0])
    parser.add_argument("--avatar", default="mira")
    parser.add_argument("--out", type=Path, default=Path(".studio/watch"))
    parser.add_argument("--over", type=Path, help="a clip of real lips")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    studio = read_spec(home() / "configs" / "avatars.yaml", ENGINES, os.environ)
    spec = next(one for one in studio.avatars if one.id == options.avatar)
    _, avatar = bring_in(PortraitEngine(), spec, studio.cache, lambda done, doing: None)
    assert isinstance(avatar, PortraitAvatar)
    for language, voice in VOICES.items():
        sound = speech(voice, options.out / "sound")
        chunks = [AudioChunk(i, heard.pcm, heard.speech, i) for i, heard in enumerate(Listener().hear(sound))]
        take = PortraitTake(avatar, LearnedVoice(), Renderer(avatar.face), seed=1)
        beats = [beat for chunk in chunks for beat in take.hear(chunk)]
        name = f"{options.avatar}-{language}"
        cv2.imwrite(str(options.out / f"{name}.jpg"), sheet(beats), [cv2.IMWRITE_JPEG_QUALITY, 85])
        plotted = curves.plot(curves.trace(avatar, avatar.face, LearnedVoice(), chunks), name)
        cv2.imwrite(str(options.out / f"{name}-curves.png"), cv2.cvtColor(plotted, cv2.COLOR_RGB2BGR))
    if options.over:
        cv2.imwrite(str(options.out / "over.png"), over(options.over))
    return 0


def speech(voice: str, scratch: Path) -> NDArray[np.int16]:
    """Return 20 s of sentences with pauses between them."""
    faker = Faker(festival.VOICES[voice].locale)
    faker.seed_instance(7)
    said = festival.say_all([(str(faker.sentence(nb_words=8)), 1.0) for _ in range(12)], voice, scratch)
    pause = np.zeros(RATE // 2, np.int16)
    return np.concatenate([part for one in said for part in (one.sound, pause)])[: SECONDS * RATE]


def sheet(beats: list[Beat]) -> Byte:
    """Return every fifth picture's face, 112 px each, twelve in a row, in time's order: (h, w, 3) BGR."""
    tiles = [
        cv2.resize(
            cv2.cvtColor(beat.picture, cv2.COLOR_YUV2BGR_I420)[FACE, FACE], (TILE, TILE), interpolation=cv2.INTER_AREA
        )
        for beat in beats[::EVERY]
    ]
    rows = [tiles[i : i + COLUMNS] for i in range(0, len(tiles) - COLUMNS + 1, COLUMNS)]
    return np.asarray(np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0), np.uint8)


def over(path: Path) -> Byte:
    """Return the model's opening over a real talker's, both from 0 to their 98th percentile: (h, w, 3) BGR."""
    clip = read_clip(path)
    ours = np.array([row.open for row in speak(LearnedVoice(), clip)])
    height, step, left = 220, 12, 20
    drawn = np.full((height + 50, 2 * left + step * len(ours), 3), PAPER, np.uint8)
    for phone, start, length in clip.phones:
        x = round(left + (start + length / 2) * 25 * step)
        shade = (90, 60, 200) if phone in ("B", "P", "M") else (170, 170, 170)
        cv2.putText(drawn, phone, (x - 8, height + 38), cv2.FONT_HERSHEY_SIMPLEX, 0.4, shade, 1, cv2.LINE_AA)
    for values, colour, label, y in (
        (clip.opening, REAL, "real lips", 18),
        (ours, OURS, "the model, from the sound alone", 34),
    ):
        shown = np.clip(values / np.percentile(values, 98), 0, 1.1)
        points = np.stack([left + step * np.arange(len(shown)), height - shown * (height - 60)], 1)
        cv2.polylines(drawn, [np.round(points * 16).astype(np.int32)], False, colour, 2, cv2.LINE_AA, 4)
        cv2.putText(drawn, label, (left, y), cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return drawn


if __name__ == "__main__":
    sys.exit(main())
