"""The networks of one checkpoint at work: each call serves all takes that need it at the moment.

What a network answers is looked at before it is used and never shown if it is no number: a picture gives way to one of
the idle loop (`Blanks`), anything else ends the take.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from studio.engines.ditto.checkpoint import Networks, read_info
from studio.engines.ditto.motion import Request
from studio.engines.ditto.options import Setup
from studio.engines.ditto.sampler import Noise, denoiser, draw, sample
from studio.engines.ditto.speech import Hearing
from studio.engines.ditto.types import Floats
from studio.engines.runtime import Array, is_finite, join
from studio.errors import EngineFault


class Sampling(Protocol):
    """What the sampler must know of a take."""

    @property
    def setup(self) -> Setup:
        """For the number of steps."""

    @property
    def noise(self) -> Noise:
        """The take's own."""

    @property
    def step_noise(self) -> Floats:
        """(T - 1, 80, 265), drawn once."""


class Crew:
    """All networks of one checkpoint, opened as they are needed.

    Args:
        folder: The checkpoint's.
        runtime: One of ``runtime.RUNTIMES``, or ``auto``.

    Raises:
        AvatarNotReady: The configuration is missing or strange.
    """

    def __init__(self, folder: Path, runtime: str = "auto") -> None:
        self.folder = folder
        self.info = read_info(folder, online=True)
        self.networks = Networks(folder, self.info, runtime)
        self._hearing: Hearing | None = None

    @property
    def hearing(self) -> Hearing:
        """The speech network, which hears silence only once.

        Raises:
            BadNetwork: It is missing.
        """
        if self._hearing is None:
            self._hearing = Hearing(self.networks["hubert"])
        return self._hearing

    def sampled(self, asked: Sequence[tuple[Sampling, Request]]) -> list[Floats]:
        """Return a window (80, 265) of motion for each request, not yet `checked`: one may be bad and the others good.

        Raises:
            EngineFault: The network failed.
        """
        windows: dict[int, Floats] = {}
        for steps in {take.setup.sampling_timesteps for take, _ in asked}:
            group = [i for i, (take, _) in enumerate(asked) if take.setup.sampling_timesteps == steps]
            made = sample(
                denoiser(self.networks["lmdm"]),
                steps,
                np.concatenate([draw(asked[i][0].noise, 1) for i in group]),
                np.stack([asked[i][1].start for i in group]),
                np.stack([asked[i][1].condition for i in group]),
                np.stack([asked[i][0].step_noise for i in group]),
            )
            windows |= dict(zip(group, made, strict=True))
        return [windows[i] for i in range(len(asked))]

    def stitched(self, source: Sequence[Floats], driven: Sequence[Floats]) -> list[Floats]:
        """Return driven keypoints (21, 3) that fit the source's shoulders, for each pair of keypoints.

        Raises:
            EngineFault: The network failed, or its answer is not a number.
        """
        answer = self.networks["stitch_network"].run({"kp_source": np.stack(source), "kp_driving": np.stack(driven)})
        return list(checked(answer["out"], "stitch_network"))

    def drawn(self, faces: Sequence[tuple[Array, Floats, Floats]]) -> list[Floats]:
        """Return pictures (3, 512, 512) 0..1, not yet clipped nor `checked`.

        Args:
            faces: Features (1, 32, 16, 64, 64), source and driven keypoints (21, 3) for each picture.

        Raises:
            EngineFault: A network failed.
        """
        warped = self.networks["warp_network"].run_kept(
            {
                "feature_3d": join([f_s for f_s, _, _ in faces]),
                "kp_source": np.stack([x_s for _, x_s, _ in faces]),
                "kp_driving": np.stack([x_d for _, _, x_d in faces]),
            }
        )
        return list(self.networks["decoder"].run({"feature": warped["out"]})["output"])

    def close(self) -> None:
        """Give the networks back; may be called twice."""
        self.networks.close()


def checked(answer: Floats, network: str) -> Floats:
    """Return what a network answered.

    Raises:
        EngineFault: There is NaN or infinity in it.
    """
    if not is_finite(answer):
        raise EngineFault(detail=f"{network} answered with something that is no number")
    return answer
