"""One visit: which sound the networks hear, which motion a beat shows, and how speech grows out of the idle loop.

A beat is drawn when its motion can be known, a fixed number of chunks later (`delay_beats`), so pictures come one a
chunk however the windows fall. Where nobody speaks the idle loop is shown; its keypoints and those of speech are
blended over four beats, and after an interruption the face returns to it within three. Calls no network.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.blanks import Blanks
from studio.engines.ditto.condition import SPEECH_DIM, Condition
from studio.engines.ditto.motion import KEPT, OnlineMotion, Request
from studio.engines.ditto.options import Setup
from studio.engines.ditto.sampler import FRAMES, Noise, draw
from studio.engines.ditto.speech import FRAMES as HEARD
from studio.engines.ditto.speech import HOP, LEAD, WINDOW, SpeechStream, wave_of
from studio.engines.ditto.types import MOTION_DIM, Floats, Motion, motion_of
from studio.engines.loop import mirror

GROWTH: Final = 0.25
"""By how much more of the speech's motion a beat shows than the one before: four beats from the idle loop to speech."""
HOLD: Final = 5
"""Silent beats within speech before the face returns to the idle loop: pauses between words are the network's."""
CUT: Final = (0.6, 0.2, 0.0)
"""What is left, beat by beat, of the way from the idle loop to the face that an interruption met."""


def delay_beats(overlap: int) -> int:
    """Return how many chunks after its own a beat is drawn, the same for all beats of a take.

    A block of v frames needs 2 v frames of features, which come five at a time, each five when their window of sound is
    complete (specification, section 12).
    """
    fresh = FRAMES - overlap
    latest = 0
    for block in range(HEARD):
        windows = -(-(block + 2) * fresh // HEARD)
        samples = HOP * (windows - 1) + WINDOW - LEAD
        latest = max(latest, -(-samples // SAMPLES_PER_BEAT) - 1 - block * fresh)
    return latest


def take_bytes(setup: Setup) -> int:
    """Return what a visit keeps in memory, at the most: noise for each step, and the newest results and features."""
    noise = (setup.sampling_timesteps - 1) * FRAMES * MOTION_DIM
    return np.float32().itemsize * (noise + KEPT * (MOTION_DIM + SPEECH_DIM))


class Retargeter(Protocol):
    """Turns a motion into keypoints of one avatar, frame after frame; one take's own."""

    def drive(self, motion: Motion, template: int) -> tuple[Floats, Floats]:
        """Return source and driven keypoints (21, 3) of the next frame, before stitching."""

    def refer(self, motion: Motion) -> None:
        """Set the motion that all others are relative to (``d0``)."""


class Loop(Protocol):
    """What a take must know of its avatar's idle loop."""

    @property
    def points(self) -> Floats:
        """(idle_length, 21, 3) driven keypoints of the idle pictures, stitched."""

    @property
    def templates(self) -> int:
        """Frames of the template; the loop is a whole number of passes forth and back."""


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One beat that can be drawn."""

    chunk: AudioChunk
    template: int
    """Which of the avatar's frames lies beneath."""
    spoken: tuple[Floats, Floats] | None
    """Source and driven keypoints (21, 3) of speech, not yet stitched; None: only ``base`` is shown."""
    base: Floats
    """(21, 3) keypoints without speech."""
    weight: float
    """0: the idle picture. Else, of what is spoken, the part that is shown."""

    def points(self, stitched: Floats | None) -> Floats:
        """Return the keypoints (21, 3) to draw, given those of speech."""
        if stitched is None:
            return self.base
        if self.weight == 1:
            return stitched
        blended: Floats = self.base + np.float32(self.weight) * (stitched - self.base)
        return blended


class Conductor:
    """A take without its pictures. Asked for the same chunk twice (a failed step is tried again), it hears it once.

    Args:
        loop: The avatar's idle loop.
        setup: Options, for the online way.
        condition: What the diffusion network knows besides the speech.
        start: (265,) motion of the person whom it sees.
        silence: (overlap, 1024).
        retarget: New.
        noise: The take's own; step noises are drawn from it first.
    """

    def __init__(
        self, loop: Loop, setup: Setup, condition: Condition, start: Floats, silence: Floats, retarget: Retargeter,
        noise: Noise,
    ) -> None:  # fmt: skip
        self.setup = setup
        self.delay = delay_beats(setup.overlap_v2)
        self.noise = noise
        self.step_noise = draw(noise, setup.sampling_timesteps - 1)
        self.blanks = Blanks("decoder")
        self._loop, self._retarget = loop, retarget
        self._motion = OnlineMotion(start, setup, condition, silence)
        self._stream = SpeechStream()
        self._held: deque[AudioChunk] = deque()
        self._frames: deque[Floats] = deque()
        self._passed = 0
        """Frames of motion to come whose beats left without them."""
        self._windows: list[Floats] = []
        """Of sound, that the speech network has not heard."""
        self.void: list[AudioChunk] = []
        """Whose beats an interruption made worthless; whoever hands them on clears it."""
        self._last = -1
        self._since_cut = len(CUT)
        self._weight, self._silent = 0.0, HOLD
        self._met = np.zeros_like(loop.points[0])
        self._shown = self._met
        """(21, 3) last beat's keypoints, less those of the idle loop; and the same when an interruption came."""
        self._shot: Shot | None = None

    def hear(self, chunk: AudioChunk) -> list[Floats]:
        """Take the next chunk; return the windows (6480,) that the speech network has to hear now."""
        if chunk.index != self._last:
            if chunk.cut:
                self._cut()
            self._last = chunk.index
            self._held.append(chunk)
            self._windows += self._stream.feed(wave_of(chunk.pcm))
        return list(self._windows)

    def learn(self, features: Floats) -> None:
        """Take the features (5, 1024) of the first of those windows."""
        del self._windows[0]
        self._motion.hear(features)

    @property
    def is_starved(self) -> bool:
        """A beat is due and has no motion."""
        return bool(self._held) and not self._frames and self._is_due() and not self._needs_no_motion()

    def request(self) -> Request | None:
        """Return what the next window of motion needs, if it is of use now and possible."""
        is_first = self._motion.reference is None
        return self._motion.request() if is_first or self._passed or self.is_starved else None

    def accept(self, window: Floats) -> None:
        """Take the sampled window (80, 265) of the last request."""
        is_first = self._motion.reference is None
        frames = self._motion.accept(window)
        if is_first and self._motion.reference is not None:
            self._retarget.refer(motion_of(self._motion.reference))
        self._frames.extend(self._motion.clipped(frames))
        while self._passed and self._frames:
            self._frames.popleft()
            self._passed -= 1

    def shot(self) -> Shot | None:
        """Return the beat that can be drawn now, the same one until `commit`; None if there is none."""
        if self._shot is None and self._held and self._can_draw():
            self._shot = self._next_shot()
        return self._shot

    def commit(self, points: Floats | None) -> None:
        """Note that the shot left, with the keypoints (21, 3) that were drawn; None: the idle picture."""
        assert self._shot is not None
        phase = self._phase(self._shot.chunk)
        self._shown = np.zeros_like(self._met) if points is None else points - self._loop.points[phase]
        self._held.popleft()
        self._shot = None

    def _cut(self) -> None:
        """Forget what was heard: its beats are void, its motion is taken back."""
        self.void += self._held
        self._held.clear()
        self._shot = None
        self._motion.rewind(len(self._frames))
        self._frames.clear()
        self._windows, self._passed = [], 0
        self._stream = SpeechStream()
        self._met, self._since_cut = self._shown, 0
        self._weight, self._silent = 0.0, HOLD

    def _is_due(self) -> bool:
        return self._held[0].index + self.delay <= self._last

    def _needs_no_motion(self) -> bool:
        """The first beat that is held shows the idle loop, or the way back to it, whatever comes."""
        rests = not self._held[0].speech and not self._weight and self._silent >= HOLD
        return rests or self._since_cut < len(CUT)

    def _can_draw(self) -> bool:
        return self._needs_no_motion() or (self._is_due() and bool(self._frames))

    def _next_shot(self) -> Shot:
        chunk = self._held[0]
        phase = self._phase(chunk)
        template, base = mirror(phase, self._loop.templates), self._loop.points[phase]
        if self._since_cut < len(CUT):
            kept = CUT[self._since_cut]
            self._since_cut += 1
            self._pass()
            return Shot(chunk, template, None, base + np.float32(kept) * self._met, kept)
        self._silent = 0 if chunk.speech else self._silent + 1
        change = GROWTH if self._silent <= HOLD else -GROWTH
        self._weight = min(max(self._weight + change, 0.0), 1.0)
        if not self._weight:
            self._pass()
            return Shot(chunk, template, None, base, 0.0)
        source, driven = self._retarget.drive(motion_of(self._frames.popleft()), template)
        return Shot(chunk, template, (source, driven), base, self._weight)

    def _pass(self) -> None:
        if self._frames:
            self._frames.popleft()
        else:
            self._passed += 1

    def _phase(self, chunk: AudioChunk) -> int:
        return chunk.phase % len(self._loop.points)
