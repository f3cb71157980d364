"""The idle loop: what the network makes of silence, closed into a loop without a seam.

The loop is a whole number of passes forth and back through the template, so that every idle picture has its own
template frame and speech can begin and end at any of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Protocol

import numpy as np

from studio.beat import FPS
from studio.engine import Progress
from studio.engines.ditto.condition import Condition
from studio.engines.ditto.crew import Crew, checked
from studio.engines.ditto.motion import OnlineMotion
from studio.engines.ditto.options import Setup
from studio.engines.ditto.retarget import Retarget
from studio.engines.ditto.sampler import Noise
from studio.engines.ditto.sampler import draw as drawn_noise
from studio.engines.ditto.stage import Scene
from studio.engines.ditto.types import Floats, Source, motion_of, vector_of
from studio.engines.loop import mirror

SHORTEST: Final = 8 * FPS
"""Beats of an idle loop at the least."""
SEAM: Final = FPS
"""Beats over which the loop's end and what would follow it are blended into its beginning."""
DRAWN_AT_ONCE: Final = 8
"""Pictures in one call of the networks."""


def loop_length(templates: int) -> int:
    """Return the beats of the idle loop of an avatar with so many template frames."""
    if templates == 1:
        return SHORTEST
    passes = 2 * templates
    return -(-SHORTEST // passes) * passes


class Silence:
    """Motion of a face that hears nothing.

    Args:
        crew: The networks.
        source: The avatar.
        setup: Options, for the online way.
        noise: Seeded by the avatar.
    """

    def __init__(self, crew: Crew, source: Source, setup: Setup, noise: Noise) -> None:
        self.setup, self.noise = setup, noise
        self.step_noise = drawn_noise(noise, setup.sampling_timesteps - 1)
        self._crew, self._source = crew, source
        seen = setup.ch_info or source.person
        condition = Condition(seen, setup.emo, setup.eye_f0_mode, crew.info)
        silence = crew.hearing.silence(setup.overlap_v2)
        self._motion = OnlineMotion(vector_of(seen.motions[0]), setup, condition, silence)

    def points(self, retarget: Retarget) -> Floats:
        """Return the loop's keypoints (n, 21, 3), stitched.

        Raises:
            EngineFault: A network failed.
        """
        templates = len(self._source.frames)
        length = loop_length(templates)
        frames = self._frames(length + SEAM)
        assert self._motion.reference is not None
        retarget.refer(motion_of(self._motion.reference))
        pairs = [retarget.drive(motion_of(frame), mirror(i, templates)) for i, frame in enumerate(frames)]
        driven = [x_d for _, x_d in pairs]
        if self.setup.flag_stitching:
            driven = self._crew.stitched([x_s for x_s, _ in pairs], driven)
        return closed(np.stack(driven), length)

    def _frames(self, count: int) -> list[Floats]:
        self._motion.hear(self._crew.hearing.silence(count + 2 * 80))
        frames: list[Floats] = []
        while len(frames) < count:
            request = self._motion.request()
            assert request is not None
            window = checked(self._crew.sampled([(self, request)])[0], "lmdm")
            frames += list(self._motion.clipped(self._motion.accept(window)))
        return frames[:count]


def closed(points: Floats, length: int) -> Floats:
    """Return a loop of ``length`` beats out of longer motion: its beginning grows out of what follows its end.

    Args:
        points: (``length`` + m, ...); the last m beats are blended into the first m.
        length: Beats of the loop.
    """
    extra = len(points) - length
    weight = (np.arange(extra, dtype=np.float32) / np.float32(extra)).reshape(-1, *[1] * (points.ndim - 1))
    weight = weight * weight * (3 - 2 * weight)
    loop = points[:length].copy()
    loop[:extra] = points[length:] * (1 - weight) + points[:extra] * weight
    return loop


class Cast(Scene, Protocol):
    """What drawing must know of an avatar."""

    @property
    def crew(self) -> Crew:
        """The networks."""

    @property
    def points(self) -> Floats:
        """(idle_length, 21, 3) of the loop."""


def draw(avatar: Cast, path: Path, report: Progress) -> None:
    """Draw the idle loop into a file, picture after picture.

    Raises:
        EngineFault: A network failed.
    """
    count = len(avatar.points)
    with path.open("wb") as file:
        for first in range(0, count, DRAWN_AT_ONCE):
            report(first / count, "drawing the idle loop")
            beats = range(first, min(first + DRAWN_AT_ONCE, count))
            frames = [mirror(beat, len(avatar.features)) for beat in beats]
            driven = avatar.points[first : beats.stop]
            faces = [(avatar.features[at], avatar.keypoints[at], x_d) for at, x_d in zip(frames, driven, strict=True)]
            for at, face in zip(frames, avatar.crew.drawn(faces), strict=True):
                file.write(avatar.painter.picture(at, checked(face, "decoder")).tobytes())
    report(1.0, "ready")
