"""The sound's side of a scenario, from the wave to the motion that enters retargeting, recorded on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.checkpoint import Networks
from studio.engines.ditto.condition import Condition
from studio.engines.ditto.motion import OfflineMotion, OnlineMotion, Windows, clip
from studio.engines.ditto.options import Setup
from studio.engines.ditto.sampler import denoiser, draw, sample, schedule
from studio.engines.ditto.speech import Hearing, SpeechStream, frame_count, offline_windows
from studio.engines.ditto.types import CheckpointInfo, Floats, Reference, vector_of

Recorded = dict[str, NDArray[Any]]


class Rehearsal:
    """One run of the sound's side, as upstream runs it: everything fed at once, then the end.

    Args:
        setup: Of the scenario.
        info: Of the checkpoint.
        networks: Of the checkpoint.
        seed: Of the legacy generator.
        person: The avatar; the network sees it unless the setup names another.
    """

    def __init__(self, setup: Setup, info: CheckpointInfo, networks: Networks, seed: int, person: Reference) -> None:
        self.arrays: Recorded = {}
        self._setup, self._noise = setup, np.random.RandomState(seed)
        self._hearing, self._denoise = Hearing(networks["hubert"]), denoiser(networks["lmdm"])
        seen = setup.ch_info or person
        self._start = vector_of(seen.motions[0])
        self._condition = Condition(seen, setup.emo, setup.eye_f0_mode, info)
        self._steps = draw(self._noise, setup.sampling_timesteps - 1)
        self._starts: list[Floats] = []
        self._windows: list[Floats] = []
        self._noises: list[Floats] = []
        self._lengths: list[int] = []
        plan = schedule(setup.sampling_timesteps)
        self.arrays |= {"ddim_times": plan.times, "ddim_coef": plan.coefficients}
        self.arrays |= {"step_noise": self._steps, "step_noise_probe": self._steps[:, ::20, ::50]}

    def motion(self, wave: Floats) -> Floats:
        """Return the motion vectors (F, 265) that enter retargeting, and fill ``arrays``."""
        emitted = self._online(wave) if self._setup.online_mode else self._offline(wave)
        noises = np.concatenate(self._noises)
        self.arrays |= {
            "xT": noises, "xT_probe": noises[:, ::20, ::50], "kp_cond": np.stack(self._starts),
            "pred_kp_seq": np.stack(self._windows), "res_kp_len": np.array(self._lengths), "motion_seq": emitted,
            "xd_in": clip(emitted, self._setup.v_min_max_for_clip),
        }  # fmt: skip
        driven: Floats = self.arrays["xd_in"]
        return driven

    def _offline(self, wave: Floats) -> Floats:
        features = self._hearing.features(offline_windows(wave))[: frame_count(len(wave))]
        self.arrays |= {"aud_feat": features, "cond_idx": np.array([0])}
        self.arrays["cond_tail"] = self._condition.tail(0, len(features))
        motion = OfflineMotion(self._start, self._setup, self._condition, features)
        self._watch(motion.windows)
        while (request := motion.request()) is not None:
            motion.accept(self._sampled(request.start, request.condition))
        frames = motion.smoothed()
        self.arrays["d0"] = clip(frames[:1], self._setup.v_min_max_for_clip)[0]
        return frames

    def _online(self, wave: Floats) -> Floats:
        silence = self._hearing.silence(self._setup.overlap_v2)
        stream = SpeechStream()
        features = self._hearing.features(np.stack([*stream.feed(wave), *stream.finish()]))
        self.arrays |= {"aud_feat": features, "silence_feat_sample": silence[:, ::32]}
        motion = OnlineMotion(self._start, self._setup, self._condition, silence)
        self._watch(motion.windows)
        motion.hear(features)
        frames, tails, firsts, ends = [], [], [], False
        while not ends:
            request = motion.request()
            if ends := request is None:
                request = motion.request(ends=True)
            assert request is not None
            tails.append(request.condition[:, 1024:])
            firsts.append(request.first)
            frames.append(motion.accept(self._sampled(request.start, request.condition), ends))
        assert motion.reference is not None
        self.arrays |= {"cond_tail": np.stack(tails), "cond_idx": np.array(firsts), "d0": motion.reference}
        return np.concatenate(frames)

    def _sampled(self, start: Floats, condition: Floats) -> Floats:
        self._noises.append(draw(self._noise, 1))
        steps = self._setup.sampling_timesteps
        noise = self._noises[-1]
        window: Floats = sample(self._denoise, steps, noise, start[None], condition[None], self._steps[None])[0]
        self._starts.append(start)
        self._windows.append(window)
        return window

    def _watch(self, windows: Windows) -> None:
        add = windows.add

        def watched(window: Floats) -> None:
            add(window)
            self._lengths.append(len(windows.result))

        windows.add = watched  # type: ignore[method-assign]  # lengths before the trimming, as upstream reports them
