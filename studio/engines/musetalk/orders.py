"""What TensorRT is to build for MuseTalk, and real inputs to prove it with.

The inputs are made by a rehearsal on the CPU: a photograph's face is encoded, a sound is heard, one mouth is painted,
and what every network got is kept. All networks run in half precision, as upstream (section 3.6); the face detector
stays an ONNX file: it is asked at preparation only, with pictures of any size. Specification: section 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.config import told
from studio.engines.musetalk import latents
from studio.engines.musetalk.mel import log_mel
from studio.engines.musetalk.networks import ROLES, Networks
from studio.engines.musetalk.types import Floats
from studio.engines.musetalk.windows import encoding, prompts, row_count, window_rows
from studio.engines.rehearsal import FACE, photograph, voice
from studio.engines.runtime import Model, Port, open_model
from studio.engines.tensorrtbuild import Feeds, Order
from studio.errors import BadNetwork

BUILT = ("whisper_encoder", "unet", "vae_encoder", "vae_decoder", "face_parsing", "dwpose")
NEEDED = ("whisper_encoder", "unet", "vae_decoder")
"""Without these nobody speaks."""
SOUND_SECONDS = 2
PICTURE = 25
"""The picture of the rehearsal, one second into the sound."""


def orders(folder: Path) -> list[Order]:
    """Return an order for each network that a folder holds.

    Raises:
        BadNetwork: One without which nobody speaks is missing.
    """
    networks = Networks(folder)
    paths = {role: path for role in BUILT if (path := networks.path(role)) is not None}
    for role in NEEDED:
        if role not in paths:
            raise BadNetwork(f"{role}.onnx is missing; it belongs into {told(folder)}.", str(folder))
    rehearsed = cache(partial(rehearsal, paths))

    def order(role: str, path: Path) -> Order:
        return Order(path, half=not path.stem.endswith("_int8"), probe=lambda: rehearsed()[role])

    return [order(role, path) for role, path in paths.items()]


def rehearsal(paths: Mapping[str, Path]) -> dict[str, Feeds]:
    """Return for each network what it gets when a face is prepared and one mouth painted.

    Args:
        paths: By role; those of `NEEDED` and any others.

    Raises:
        BadNetwork: A network is damaged.
    """
    picture = photograph()[..., ::-1]
    crop = latents.face_crop(picture, FACE)
    half, full = latents.encoder_input(crop)
    heard: dict[str, Feeds] = {}

    def asked(role: str, *inputs: NDArray[Any]) -> NDArray[Any]:
        model = open_model(paths[role], runtime="cpu", threads=2)
        heard[role] = _fed(model, role, inputs)
        answer = next(iter(model.run(heard[role]).values()))
        model.close()
        return answer

    if "vae_encoder" in paths:
        seen = np.concatenate([asked("vae_encoder", half), asked("vae_encoder", full)], axis=1)
    else:
        seen = np.random.default_rng(0).standard_normal((1, 8, 32, 32), np.float32)
    samples = SOUND_SECONDS * SAMPLE_RATE
    states = asked("whisper_encoder", log_mel(voice(samples))[None])[0, : row_count(samples)]
    prompt = prompts(states, window_rows(samples)[PICTURE : PICTURE + 1]) + encoding()
    painted = asked("unet", np.asarray(seen, np.float32), np.zeros(1, np.int64), prompt)
    asked("vae_decoder", painted)
    if "face_parsing" in paths:
        heard["face_parsing"] = _given(paths, "face_parsing", _normalised(cv2.resize(crop, (512, 512))))
    if "dwpose" in paths:
        heard["dwpose"] = _given(paths, "dwpose", _normalised(cv2.resize(picture[:384, 112:400], (288, 384))))
    return heard


def _given(paths: Mapping[str, Path], role: str, array: Floats) -> Feeds:
    """Return inputs of a network of which no other needs an answer."""
    model = open_model(paths[role], runtime="cpu")
    model.close()
    return _fed(model, role, (array,))


def _fed(model: Model, role: str, inputs: tuple[NDArray[Any], ...]) -> Feeds:
    """Return inputs, in the order of `ROLES`, under the names that this export gives them.

    An export without time steps has folded them.
    """
    left = {port.name: port for port in model.inputs}
    feeds: dict[str, NDArray[Any]] = {}
    for end, value in zip(ROLES[role].inputs, inputs, strict=True):
        fitting = [name for name, port in left.items() if _takes(port, value)]
        name = next((name for name in end.names if name in left), fitting[0] if fitting else "")
        if left.pop(name, None) is not None:
            feeds[name] = value
    return feeds


def _takes(port: Port, value: NDArray[Any]) -> bool:
    return port.dtype.kind == value.dtype.kind and port.admits(value.shape)


def _normalised(bgr: NDArray[Any]) -> Floats:
    """Return a picture (h, w, 3) BGR as (1, 3, h, w) RGB, normalised as networks of ImageNet want it."""
    mean, deviation = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
    rgb = bgr[..., ::-1].astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((rgb - mean) / deviation).transpose(2, 0, 1)[None])
