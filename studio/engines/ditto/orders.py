"""What TensorRT is to build for Ditto, and real inputs to prove it with.

The inputs are made by a rehearsal on the CPU: a photograph is registered, a sound is heard, one window of motion is
sampled and one picture drawn, and what every network got is kept. Specification: section 11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.ditto.checkpoint import NETWORKS, Networks, read_info
from studio.engines.ditto.detect import Network
from studio.engines.ditto.options import Setup
from studio.engines.ditto.registration import found_by, sight
from studio.engines.ditto.retarget import keypoints
from studio.engines.ditto.speech import WINDOW
from studio.engines.ditto.types import Bytes, Floats, motion_of, vector_of
from studio.engines.rehearsal import photograph, voice
from studio.engines.tensorrtbuild import ROWS, Feeds, Order
from studio.errors import BadPortrait

FLOAT32 = frozenset({"hubert", "lmdm", "motion_extractor"})
"""Networks that upstream runs in single precision, and so do we."""
SOUND_LENGTHS = {"input_values": {1: (3240, 6480, 12960)}}
"""Samples of one window of the speech network, as in upstream's engines."""
ONE_ROW = frozenset({"landmark106", "face_mesh"})
"""They see one face, once for each avatar; their files promise more rows than every export keeps."""
STEP = 499
"""A time step in the middle of the diffusion."""


def orders(folder: Path) -> list[Order]:
    """Return an order for each network of a checkpoint folder, in the order in which data meets them.

    Raises:
        AvatarNotReady: The folder's configuration is missing or strange.
    """
    networks = Networks(folder, read_info(folder, online=True), "cpu")

    @cache
    def rehearsed() -> dict[str, Feeds]:
        try:
            return rehearsal(networks, photograph())
        finally:
            networks.close()

    def probe(role: str) -> Callable[[], Feeds]:
        return lambda: rehearsed()[role]

    return [
        Order(
            networks.paths[role],
            half=role not in FLOAT32,
            probe=probe(role),
            rows=(1, 1, 1) if role in ONE_ROW else ROWS,
            lengths=SOUND_LENGTHS if role == "hubert" else {},
        )
        for role in NETWORKS
    ]


def rehearsal(networks: Networks, rgb: Bytes) -> dict[str, Feeds]:
    """Return for each network what it got when a face was registered, a sound heard and a picture drawn.

    Raises:
        BadPortrait: No face was found in ``rgb``.
        AvatarNotReady: A network is missing.
    """
    heard: dict[str, Feeds] = {}
    cast = Recorders(networks, heard)
    points = found_by(cast)(rgb)
    if points is None:
        raise BadPortrait("The checkpoint's detector finds no face in the photograph that comes with the studio.")
    seen = sight(rgb, points, cast, Setup())
    speech = cast["hubert"].run({"input_values": voice(WINDOW)[None]})["encoding_out"]
    vector = vector_of(seen.motion)
    random = np.random.default_rng(0)
    window = cast["lmdm"].run(
        {
            "x": random.standard_normal((1, 80, len(vector)), np.float32),
            "cond_frame": vector[None],
            "cond": conditions(speech, networks["lmdm"].inputs[2].shape, seen.motion["kp"]),
            "time_cond": np.array([STEP], np.int64),
        }
    )
    driven = {**motion_of(window["x_start"][0, 40]), "kp": seen.motion["kp"]}
    source, target = keypoints(seen.motion)[None], keypoints(driven)[None]
    target = cast["stitch_network"].run({"kp_source": source, "kp_driving": target})["out"]
    warped = cast["warp_network"].run({"feature_3d": seen.features, "kp_source": source, "kp_driving": target})
    heard["decoder"] = {"feature": warped["out"]}
    return heard


def conditions(speech: Floats, shape: tuple[int | None, ...] | None, points: Floats) -> Floats:
    """Return conditions (1, 80, width): sound, a neutral mood, eyes open, and the face's shape at the end."""
    width = (shape or (None,))[-1] or speech.shape[1]
    rows = np.zeros((1, 80, width), np.float32)
    count = min(width, speech.shape[1])
    rows[0, :, :count] = np.resize(speech, (80, speech.shape[1]))[:, :count]
    if width >= speech.shape[1] + 8 + 2 + points.size:
        rows[0, :, speech.shape[1] + 4] = 1.0
        rows[0, :, speech.shape[1] + 8 : speech.shape[1] + 10] = 0.8
        rows[0, :, -points.size :] = points.reshape(-1)
    return rows


class Recorders(Mapping[str, Network]):
    """The networks of a checkpoint, each of which keeps what it got first."""

    def __init__(self, networks: Networks, heard: dict[str, Feeds]) -> None:
        self._networks, self._heard = networks, heard

    def __getitem__(self, role: str) -> Network:
        """Return a network by its role."""
        return _Recorder(role, self._networks[role], self._heard)

    def __iter__(self) -> Iterator[str]:
        return iter(NETWORKS)

    def __len__(self) -> int:
        return len(NETWORKS)


class _Recorder:
    def __init__(self, role: str, network: Network, heard: dict[str, Feeds]) -> None:
        self._role, self._network, self._heard = role, network, heard

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run the network; what it got the first time is kept."""
        self._heard.setdefault(self._role, feeds)
        return dict(self._network.run(feeds))
