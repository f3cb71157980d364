"""A take whose whole sound is known beforehand: upstream's offline way, one picture a chunk, no idle loop.

The motion of all frames is made at once, smoothed twice, and faded in and out; template frames run forth and back from
the first. Specification: section 8, offline driver.
"""

from __future__ import annotations

from collections import deque
from random import Random

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk
from studio.engines.blanks import Blanks
from studio.engines.ditto.condition import Condition
from studio.engines.ditto.crew import Crew, checked
from studio.engines.ditto.motion import OfflineMotion, Request, clip
from studio.engines.ditto.options import Setup
from studio.engines.ditto.retarget import Retarget, fade_plan
from studio.engines.ditto.sampler import Noise, draw
from studio.engines.ditto.speech import frame_count, offline_windows, wave_of
from studio.engines.ditto.take import Shot
from studio.engines.ditto.types import Floats, Source, motion_of, vector_of
from studio.engines.loop import mirror

HEARD_AT_ONCE = 32
"""Windows of sound that the speech network gets in one call."""


class Film:
    """A take without its pictures; see `take.Conductor`, whose place it takes.

    Args:
        crew: The networks; all motion is made here.
        source: The avatar.
        setup: Options, for the offline way.
        pcm: (n,) 16 kHz, all the sound.
        seed: Of everything random.
        fades: Frames over which the motion fades in, and out.

    Raises:
        EngineFault: A network failed.
    """

    def __init__(
        self, crew: Crew, source: Source, setup: Setup, pcm: NDArray[np.int16], seed: int, fades: tuple[int, int]
    ) -> None:
        self.setup = setup
        self.noise: Noise = np.random.default_rng(seed)
        self.step_noise = draw(self.noise, setup.sampling_timesteps - 1)
        self.blanks = Blanks("decoder")
        self.void: list[AudioChunk] = []
        self.is_starved = False
        self._templates = len(source.frames)
        self._frames = self._motion(crew, source, wave_of(pcm))
        count = len(self._frames)
        self._alphas = fade_plan(count, *fades)
        self._retarget = Retarget(setup, source.person, source.is_image, Random(seed), count)
        self._held: deque[AudioChunk] = deque()
        self._last = -1
        self._shot: Shot | None = None

    def _motion(self, crew: Crew, source: Source, wave: Floats) -> Floats:
        """Return the clipped motion (n, 265) of the whole sound."""
        windows = offline_windows(wave if len(wave) else np.zeros(1, np.float32))
        parts = [windows[at : at + HEARD_AT_ONCE] for at in range(0, len(windows), HEARD_AT_ONCE)]
        speech = np.concatenate([crew.hearing.features(part) for part in parts])[: frame_count(len(wave))]
        seen = self.setup.ch_info or source.person
        condition = Condition(seen, self.setup.emo, self.setup.eye_f0_mode, crew.info)
        motion = OfflineMotion(vector_of(seen.motions[0]), self.setup, condition, speech)
        while (request := motion.request()) is not None:
            motion.accept(checked(crew.sampled([(self, request)])[0], "lmdm"))
        return clip(motion.smoothed(), self.setup.v_min_max_for_clip)

    def hear(self, chunk: AudioChunk) -> list[Floats]:
        """Take the next chunk; the speech network has heard it all."""
        if chunk.index != self._last:
            self._last = chunk.index
            self._held.append(chunk)
        return []

    def learn(self, features: Floats) -> None:
        """Nothing is to be learnt any more."""

    def request(self) -> Request | None:
        """Return None: all motion is made."""
        return None

    def accept(self, window: Floats) -> None:
        """Nothing was asked for."""

    def shot(self) -> Shot | None:
        """Return the next beat, the same one until `commit`; past the end of the sound its last frame stays."""
        if self._shot is None and self._held:
            chunk = self._held[0]
            frame = min(chunk.index, len(self._frames) - 1)
            template = mirror(frame, self._templates)
            controls = {"fade_alpha": self._alphas[frame]} if frame in self._alphas else {}
            spoken = self._retarget.drive(motion_of(self._frames[frame]), template, controls)
            self._shot = Shot(chunk, template, spoken, spoken[0], 1.0)
        return self._shot

    def commit(self, points: Floats | None) -> None:
        """Note that the shot left."""
        self._held.popleft()
        self._shot = None
