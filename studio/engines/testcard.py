"""The test card: draws the beat index as bars, flashes and, if asked to, beeps in one and the same beat.

For tests and for diagnosing a network: no GPU, no weights, no look-ahead. What it draws (512 x 512):

* the strip, rows 0..63: 16 blocks of 32 px, black or white, most significant bit left. The first is white on a beat and
  black on an idle picture, the other 15 hold the beat's index, or the idle phase, modulo 32768. `read_strip` reads it;
* colour bars, a dot that runs round once in ten seconds, and a mouth that opens with the loudness of the beat;
* on every 25th beat (index 0, 25, ...) everything below the strip is white.

The avatar option ``beep: true`` replaces the sound: one beat of 1 kHz in each flashing beat, silence in the others. It
is the one exception to "a beat's samples are the chunk's", made so that skew can be measured from outside; such an
avatar is restless, and its beeping beats count as speech so that nobody skips them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.beat import FPS, SAMPLE_RATE, SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Avatar, Finding, Options, Prepared, Progress, Take
from studio.errors import BadMessage, ConfigError
from studio.spec import AvatarSpec, LimitsSpec

SIZE = 512
"""Side of the picture in pixels."""
IDLE_LENGTH = 10 * FPS
STRIP = 64
"""Height of the strip in pixels."""
BITS = 16
COUNTED = 1 << (BITS - 1)
"""The number in the strip is modulo this: 21 minutes of beats."""
BEEP_HZ = 1000

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]
"""Y, U, V of BT.601 limited range."""

BLACK, WHITE, GREY = (16, 128, 128), (235, 128, 128), (81, 128, 128)
LIP = (81, 108, 200)
BARS: Sequence[Colour] = (
    (180, 128, 128), (162, 44, 142), (131, 156, 44), (112, 72, 58), (84, 184, 198), (65, 100, 212), (35, 212, 114),
)  # fmt: skip
"""The 75 % colour bars: grey, yellow, cyan, green, magenta, red, blue (SMPTE EG 1-1990 in BT.601 codes)."""


def fill(picture: Picture, x0: int, y0: int, x1: int, y1: int, colour: Colour) -> None:
    """Paint a rectangle (end exclusive, even coordinates) into an I420 picture (768, 512)."""
    chroma = picture[SIZE:].reshape(2, SIZE // 2, SIZE // 2)
    picture[y0:y1, x0:x1] = colour[0]
    for plane, value in zip(chroma, colour[1:], strict=True):
        plane[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2] = value


def draw_strip(picture: Picture, number: int, is_beat: bool) -> None:
    """Write ``number`` modulo `COUNTED` and the kind of picture into the strip."""
    code = (number % COUNTED) | (COUNTED if is_beat else 0)
    bits = (code >> np.arange(BITS - 1, -1, -1)) & 1
    picture[:STRIP] = np.repeat(np.where(bits, WHITE[0], BLACK[0]).astype(np.uint8), SIZE // BITS)


def read_strip(luma: NDArray[np.uint8]) -> tuple[int, bool]:
    """Read a strip back, from a picture of any size and after any codec.

    Args:
        luma: (H, W) uint8; the picture's Y plane (rows below are ignored: a whole I420 picture will do if it is
            `SIZE` high).

    Returns:
        The number 0..32767, and True for a beat, False for an idle picture.
    """
    width = luma.shape[1] / BITS
    height = width * STRIP / (SIZE // BITS)
    rows = luma[int(height * 0.25) : int(height * 0.75)]
    code = 0
    for bit in range(BITS):
        block = rows[:, int((bit + 0.25) * width) : int((bit + 0.75) * width)]
        code = code << 1 | (float(block.mean()) > 128)
    return code % COUNTED, code >= COUNTED


def beep() -> NDArray[np.int16]:
    """Return one beat of `BEEP_HZ` at half amplitude: whole periods, so that it starts and ends at zero; (640,)."""
    time = np.arange(SAMPLES_PER_BEAT) / SAMPLE_RATE
    wave: NDArray[np.float64] = 16384 * np.sin(2 * np.pi * BEEP_HZ * time)
    return np.rint(wave).astype(np.int16)


class TestcardAvatar:
    """One test card; immutable.

    Args:
        beeps: Replace the sound by a beep in each flashing beat.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name
    width = SIZE
    height = SIZE
    idle_length = IDLE_LENGTH
    memory_bytes = SIZE * SIZE * 3 // 2

    def __init__(self, beeps: bool) -> None:
        self.beeps = beeps
        self.restless = beeps
        self._card = np.empty((SIZE * 3 // 2, SIZE), np.uint8)
        fill(self._card, 0, 0, SIZE, SIZE, GREY)
        fill(self._card, 0, 0, SIZE, STRIP, BLACK)
        for i, colour in enumerate(BARS):
            fill(self._card, 4 + 72 * i, 80, 76 + 72 * i, 176, colour)

    def idle(self, phase: int) -> Picture:
        """Return the idle picture at ``phase``: (768, 512) I420."""
        picture = self._draw(phase, 0.0)
        draw_strip(picture, phase % IDLE_LENGTH, is_beat=False)
        return picture

    def beat_picture(self, index: int, phase: int, loudness: float) -> Picture:
        """Return the picture of beat ``index``; the mouth is open by ``loudness`` 0..1."""
        picture = self._draw(phase, loudness)
        if index % FPS == 0:
            fill(picture, 0, STRIP, SIZE, SIZE, WHITE)
        draw_strip(picture, index, is_beat=True)
        return picture

    def _draw(self, phase: int, loudness: float) -> Picture:
        picture = self._card.copy()
        angle = 2 * np.pi * (phase % IDLE_LENGTH) / IDLE_LENGTH
        x, y = (2 * round(128 + 64 * np.sin(angle)), 2 * round(170 - 64 * np.cos(angle)))
        fill(picture, x - 12, y - 12, x + 12, y + 12, WHITE)
        opening = 2 * round(2 + 38 * loudness)
        fill(picture, 176, 360 - opening, 336, 360 + opening, LIP)
        fill(picture, 184, 364 - opening, 328, 356 + opening, BLACK)
        return picture


@dataclass(frozen=True, slots=True, eq=False)
class TestcardTake:
    """A visit to the test card: nothing changes."""

    __test__ = False
    avatar: TestcardAvatar


class TestcardEngine:
    """Draws test cards; see the module for what is on them."""

    __test__ = False
    name = "testcard"
    lookahead = 0
    lanes = 1
    max_batch = 64

    def __init__(self, limits: LimitsSpec | None = None) -> None:
        self._beep = beep()
        self._silence = np.zeros(SAMPLES_PER_BEAT, np.int16)

    def fingerprint(self, spec: AvatarSpec) -> str:
        """Hash of the options: the card has no source."""
        return hashlib.sha256(json.dumps(["testcard 1", _beeps(spec)]).encode()).hexdigest()[:16]

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        """Check the options; there is nothing to write.

        Raises:
            ConfigError: An option the test card does not have.
        """
        report(1.0, "drew the beeping test card" if _beeps(spec) else "drew the test card")
        return ()

    def load(self, prepared: Prepared) -> TestcardAvatar:
        """Draw the card."""
        return TestcardAvatar(_beeps(prepared.spec))

    def admit(self, avatar: Avatar, options: Options) -> int:
        """Return 0; a visit has no options.

        Raises:
            BadMessage: It wants one.
        """
        if options.values:
            raise BadMessage(f"The test card has no option for a visit called {next(iter(options.values))[:40]!r}.")
        return self.lookahead

    def begin(self, avatar: Avatar, options: Options) -> TestcardTake:
        """Start a visit."""
        assert isinstance(avatar, TestcardAvatar)
        return TestcardTake(avatar)

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        """Draw one beat for each chunk, at once."""
        return [[self._beat(take, chunk)] for take, chunk in batch]

    def close(self) -> None:
        """Nothing is held."""

    def _beat(self, take: Take, chunk: AudioChunk) -> Beat:
        assert isinstance(take, TestcardTake)
        picture = take.avatar.beat_picture(chunk.index, chunk.phase, loudness(chunk.pcm))
        if not take.avatar.beeps:
            return Beat(chunk.index, picture, chunk.pcm, chunk.speech, chunk.phase)
        flashes = chunk.index % FPS == 0
        pcm = self._beep if flashes else self._silence
        return Beat(chunk.index, picture, pcm, chunk.speech or flashes, chunk.phase)


def loudness(pcm: NDArray[np.int16]) -> float:
    """Return the level of a beat, -50 dBFS or less as 0 and -10 dBFS or more as 1."""
    rms = float(np.sqrt(np.mean(np.square(pcm, dtype=np.float64)))) / 32768
    return float(np.clip((20 * np.log10(rms + 1e-6) + 50) / 40, 0, 1))


def _beeps(spec: AvatarSpec) -> bool:
    unknown = set(spec.options) - {"beep"}
    if unknown or not isinstance(spec.options.get("beep", False), bool):
        raise ConfigError(f"avatar {spec.id}: the testcard engine has one option: beep (true or false).")
    return spec.options.get("beep") is True
