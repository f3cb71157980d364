"""One scenario, end to end: what our implementation makes of its inputs, against every array and picture of the folder.

What the folder holds and we do not make fails: nothing is passed over in silence.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto import detect
from studio.engines.ditto.checkpoint import read_info
from studio.engines.ditto.crew import Crew
from studio.engines.ditto.options import Setup, setup_of
from studio.engines.ditto.paste import Painter, render
from studio.engines.ditto.registration import Sighting, register_frames
from studio.engines.ditto.retarget import Retarget, blink_rows, fade_plan
from studio.engines.ditto.source import Frames, cut, open_source, sized
from studio.engines.ditto.types import WIDTHS, Bytes, Floats, Source, motion_of
from studio.engines.loop import mirror
from studio.spec import LimitsSpec
from tests.conformance.ditto.golden import Scenario
from tests.conformance.ditto.hearing import Recorded, Rehearsal
from tests.conformance.ditto.verdict import (
    LOGITS,
    MEAN,
    MOST,
    OF_IMAGES,
    PNG_MEAN,
    PNG_MOST,
    judge,
    judge_picture,
)  # fmt: skip
from tests.conformance.verdict import Verdict

CHECKPOINT = "standins"
"""Folder of the networks, below the golden one."""
SMALL = 16
"""Side of the reduced pictures ``render16`` and ``frame16``."""


class Performance:
    """A scenario played by our implementation; ``arrays`` and ``pictures`` fill as it goes."""

    def __init__(self, scenario: Scenario, crew: Crew) -> None:
        self.arrays: Recorded = {}
        self.pictures: dict[str, Bytes] = {}
        self._scenario, self._crew = scenario, crew
        info = read_info(scenario.folder / CHECKPOINT, scenario.online)
        self.setup: Setup = replace(setup_of(info.defaults, scenario.options), online_mode=scenario.online)
        source = self._register()
        sound = Rehearsal(self.setup, info, crew.networks, int(scenario.spec["seed"]), source.person)
        driven = sound.motion(scenario.wave)
        self.arrays |= sound.arrays
        self._draw(source, driven)

    def _frames(self) -> Frames:
        decoded = self._scenario.frames
        if decoded is None:
            return open_source(self._scenario.source, self.setup)
        return Frames(cut(sized(iter(decoded), self.setup.max_size), self.setup, LimitsSpec()), False)

    def _register(self) -> Source:
        seen: list[Sighting] = []
        networks = self._crew.networks

        def finder(rgb: Bytes) -> Floats | None:
            boxes = detect.faces(rgb, networks["insightface_det"])
            points = detect.landmarks106(rgb, detect.largest(boxes), networks["landmark106"])
            self.arrays |= {"det": boxes, "lmk106": points}
            return points

        source = register_frames(self._frames(), self.setup, networks, finder, seen.append)
        person = source.person
        self.arrays |= {
            "lmk203": np.stack([one.landmarks.points for one in seen]),
            "M_c2o_224": np.stack([one.landmarks.crop_to_frame for one in seen]),
            "crop224_mean": np.stack([one.landmarks.crop.reshape(-1, 3).mean(axis=0) for one in seen]),
            "M_c2o": source.crop_to_frame,
            "lmk478": np.stack([one.mesh for one in seen]),
            "rgb256_sample": np.stack([one.seen[:, :, ::16, ::16] for one in seen]),
            "f_s_sample": source.features[:, ::4, ::4, ::8, ::8],
            "f_s_mean_std": np.array([(one.mean(), one.std()) for one in source.features]),
            "eye_open": person.eye_open, "eye_ball": person.eye_ball, "sc": person.sc,
            **{f"xs_raw_{key}": np.concatenate([one.motion[key] for one in seen]) for key in WIDTHS},
            **{f"xs_{key}": np.concatenate([motion[key] for motion in person.motions]) for key in WIDTHS},
        }  # fmt: skip
        self.pictures["crop512"] = seen[0].crop
        return source

    def _draw(self, source: Source, driven: Floats) -> None:
        """Retarget, draw and paste every frame."""
        spec = self._scenario.spec
        announced = int(spec["audio_frames_ceil"])
        retarget = Retarget(self.setup, source.person, source.is_image, self._random(), announced)
        if self.setup.online_mode:
            retarget.refer(motion_of(self.arrays["d0"]))
        alphas = fade_plan(announced, int(spec.get("fade_in", -1)), int(spec.get("fade_out", -1)))
        controls = self._scenario.controls
        painter = Painter(source.frames, source.crop_to_frame)
        made: dict[str, list[NDArray[Any]]] = {
            name: [] for name in ("x_s", "x_d", "warp_sample", "render16", "frame16")
        }
        for i, vector in enumerate(driven):
            at = mirror(i, len(source.frames))
            given = {**controls.get(i, {}), **({"fade_alpha": alphas[i]} if i in alphas else {})}
            x_s, x_d = retarget.drive(motion_of(vector), at, given)
            if self.setup.flag_stitching:
                x_d = self._crew.stitched([x_s], [x_d])[0]
            feeds = {"feature_3d": source.features[at : at + 1], "kp_source": x_s[None], "kp_driving": x_d[None]}
            warped = self._crew.networks["warp_network"].run(feeds)["out"]
            face = self._crew.networks["decoder"].run({"feature": warped})["output"][0]
            drawn, frame = render(face), painter.rgb(at, face)
            made["x_s"].append(x_s)
            made["x_d"].append(x_d)
            made["warp_sample"].append(warped[0, ::16, ::8, ::8])
            made["render16"].append(reduced(drawn))
            made["frame16"].append(reduced(frame.astype(np.float32)))
            if i in spec.get("png", []):
                self.pictures |= {f"render_{i:03}": drawn.astype(np.uint8), f"frame_{i:03}": frame}
        self.arrays |= {name: np.stack(rows) for name, rows in made.items()}

    def _random(self) -> Random:
        """Return the generator of the announced blink list: setup has drawn one list of its own from it."""
        random = Random(int(self._scenario.spec["seed"]))
        blink = self.setup.delta_eye_arr
        drives_eyes = self._is_image if self.setup.drive_eye is None else self.setup.drive_eye
        if blink is not None and drives_eyes:
            first = self.setup.N_d if self.setup.N_d > 0 else 3000
            gap = self.setup.delta_eye_open_n
            blink_rows(first, len(blink), gap, random)
            again = Random()
            again.setstate(random.getstate())
            announced = int(self._scenario.spec["audio_frames_ceil"])
            self.arrays["blink_idx"] = blink_rows(announced, len(blink), gap, again)
        return random

    @property
    def _is_image(self) -> bool:
        return self._scenario.frames is None


def reduced(rgb: Floats) -> Floats:
    """Return a picture (H, W, 3) averaged down to 16 x 16."""
    return np.asarray(cv2.resize(rgb, (SMALL, SMALL), interpolation=cv2.INTER_AREA), np.float32)


def verdicts(scenario: Scenario, crew: Crew) -> Iterator[Verdict]:
    """Play a scenario and compare all that the folder holds of it."""
    played = Performance(scenario, crew)
    limits = {} if played.setup.ch_info else dict.fromkeys(OF_IMAGES, LOGITS)
    for name, theirs in scenario.arrays().items():
        ours = played.arrays.get(name)
        if ours is None:
            yield Verdict(f"{scenario.name}/{name}", float("inf"), 0.0, "not made")
        elif name in ("render16", "frame16"):
            yield from judge_picture(scenario.name, name, ours, theirs, MEAN, MOST)
        else:
            yield judge(scenario.name, name, like(name, ours, theirs), theirs, limits.get(name))
    for name, picture in scenario.pictures().items():
        drawn = played.pictures.get(name)
        if drawn is None:
            yield Verdict(f"{scenario.name}/{name}.png", float("inf"), 0.0, "not made")
        else:
            yield from judge_picture(scenario.name, f"{name}.png", drawn, picture, PNG_MEAN, PNG_MOST)


def like(name: str, ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[Any]:
    """Return our array as the folder stores it: fewer columns of features, a single length without an axis."""
    if name == "aud_feat":
        return ours[:, :: max(ours.shape[1] // theirs.shape[1], 1)]
    return ours.reshape(()) if theirs.ndim == 0 and ours.size == 1 else ours


def crew_of(folder: Path) -> Crew:
    """Open the networks of a folder, on the CPU."""
    return Crew(folder / CHECKPOINT, "cpu")
