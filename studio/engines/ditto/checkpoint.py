"""The released checkpoint folder: which files there are, what the configuration pickle says, and the networks, opened.

Layout: ``ditto_cfg/*.pkl`` and ``ditto_onnx/*.onnx`` below one folder. The pickle names TensorRT engines; the network
of the same stem is taken. Specification: sections 2 and 2.1.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from studio.engines.ditto.options import READERS, checked
from studio.engines.ditto.types import MOTION_DIM, CheckpointInfo
from studio.engines.runtime import Model, Shape, open_model
from studio.engines.unpickle import read_pickle
from studio.errors import AvatarNotReady, ConfigError

FEATURES: Shape = (None, 32, 16, 64, 64)
POINTS: Shape = (None, 21, 3)
CONFIGS = {True: "ditto_cfg/v0.4_hubert_cfg_trt_online.pkl", False: "ditto_cfg/v0.4_hubert_cfg_trt.pkl"}
"""Online or not -> the configuration, below the checkpoint's folder."""
_PRECISION = re.compile(r"_fp(16|32)\.engine$")


@dataclass(frozen=True, slots=True)
class Ends:
    """What goes into a network and comes out of it; see `Shape`."""

    inputs: Mapping[str, Shape]
    outputs: Mapping[str, Shape]


NETWORKS: Mapping[str, Ends] = {
    "insightface_det": Ends(
        {"image": (None, 3, 512, 512)},
        {f"{name}{i + 1}": (None, width)
         for name, width in (("scores", 1), ("boxes", 4), ("kps", 10)) for i in range(3)},
    ),
    "landmark106": Ends({"data": (None, 3, 192, 192)}, {"fc1": (None, 212)}),
    "landmark203": Ends({"input": (None, 3, 224, 224)}, {"landmarks": (None, 406)}),
    "blaze_face": Ends(
        {"input": (None, 128, 128, 3)}, {"regressors": (None, 896, 16), "classificators": (None, 896, 1)}
    ),
    "face_mesh": Ends({"input": (None, 256, 256, 3)}, {"Identity": (None, 1, 1, 1434)}),
    "appearance_extractor": Ends({"image": (None, 3, 256, 256)}, {"pred": FEATURES}),
    "motion_extractor": Ends(
        {"image": (None, 3, 256, 256)},
        {"pitch": (None, 66), "yaw": (None, 66), "roll": (None, 66), "t": (None, 3), "exp": (None, 63),
         "scale": (None, 1), "kp": (None, 63)},
    ),
    "hubert": Ends({"input_values": (None, None)}, {"encoding_out": (None, ..., 1024)}),
    "lmdm": Ends(
        {"x": (None, 80, MOTION_DIM), "cond_frame": (None, MOTION_DIM), "cond": (None, 80, None), "time_cond": (None,)},
        {"pred_noise": (None, 80, MOTION_DIM), "x_start": (None, 80, MOTION_DIM)},
    ),
    "stitch_network": Ends({"kp_source": POINTS, "kp_driving": POINTS}, {"out": POINTS}),
    "warp_network": Ends(
        {"feature_3d": FEATURES, "kp_source": POINTS, "kp_driving": POINTS}, {"out": (None, 256, 64, 64)}
    ),
    "decoder": Ends({"feature": (None, 256, 64, 64)}, {"output": (None, 3, 512, 512)}),
}  # fmt: skip
"""Every network by its role; the roles are the file's stems, but for the diffusion network's (``lmdm``)."""


def read_info(folder: Path, online: bool) -> CheckpointInfo:
    """Read the checkpoint's configuration, online or offline.

    Raises:
        AvatarNotReady: The file is missing, is not trusted, or says something that cannot be; the sentence says what.
    """
    path = folder / CONFIGS[online]
    whole = _mapping(read_pickle(path), path, "a configuration")
    networks = _mapping(whole.get("base_cfg"), path, "base_cfg")
    motion = _mapping(whole.get("audio2motion_cfg"), path, "audio2motion_cfg")
    given = _mapping(whole.get("default_kwargs"), path, "default_kwargs")
    defaults = {name: value for name, value in given.items() if name in READERS}
    try:
        checked(defaults)
    except ConfigError as error:
        raise _strange(path, error.message) from error
    if motion.get("motion_feat_dim") != MOTION_DIM or motion.get("seq_frames") != 80:
        raise _strange(path, "its motion has other dimensions than 80 frames of 265 numbers.")
    uses = {name: bool(motion.get(f"use_{name}")) for name in ("emo", "sc", "eye_open", "eye_ball")}
    width = 1024 + 8 * uses["emo"] + 2 * uses["eye_open"] + 6 * uses["eye_ball"] + 63 * uses["sc"]
    if motion.get("audio_feat_dim") != width:
        raise _strange(path, f"its condition rows are not {width} numbers wide.")
    paths = dict(_network_paths(networks, path)) | {"lmdm": _text(motion.get("model_path"), path)}
    return CheckpointInfo(paths, defaults, width, uses["emo"], uses["sc"], uses["eye_open"], uses["eye_ball"])


def onnx_path(folder: Path, written: str) -> Path:
    """Return where the network is that a configuration names ``x_fp16.engine``, whether it exists or not.

    Of the two warp networks the one without a custom node is preferred.
    """
    stem = _PRECISION.sub("", Path(written).name).removesuffix(".onnx")
    if stem == "warp_network" and (folder / "ditto_onnx" / "warp_network_ori.onnx").is_file():
        stem = "warp_network_ori"
    return folder / "ditto_onnx" / f"{stem}.onnx"


class Networks(Mapping[str, Model]):
    """The networks of one checkpoint, each opened when it is first asked for; any thread may ask.

    Args:
        folder: The checkpoint's.
        info: Of the same folder.
        runtime: One of ``runtime.RUNTIMES``, or ``auto``.
    """

    def __init__(self, folder: Path, info: CheckpointInfo, runtime: str = "auto") -> None:
        self.folder = folder
        self.paths = {role: onnx_path(folder, info.networks[role]) for role in NETWORKS}
        """Role -> file."""
        self._width, self._runtime = info.audio_dim, runtime
        self._models: dict[str, Model] = {}
        self._lock = threading.Lock()

    def __getitem__(self, role: str) -> Model:
        """Return a network.

        Raises:
            AvatarNotReady: Its runtime is missing.
            BadNetwork: Its file is missing, damaged, or another network's.
        """
        with self._lock:
            if role not in self._models:
                ends = NETWORKS[role]
                inputs = {**ends.inputs, "cond": (None, 80, self._width)} if role == "lmdm" else ends.inputs
                self._models[role] = open_model(
                    self.paths[role], inputs=inputs, outputs=ends.outputs, runtime=self._runtime
                )
            return self._models[role]

    def __iter__(self) -> Iterator[str]:
        return iter(NETWORKS)

    def __len__(self) -> int:
        return len(NETWORKS)

    def close(self) -> None:
        """Give the networks back; may be called twice."""
        with self._lock:
            for model in self._models.values():
                model.close()
            self._models.clear()


def _network_paths(networks: Mapping[str, object], path: Path) -> Mapping[str, str]:
    mesh = _mapping(networks.get("landmark478_cfg"), path, "landmark478_cfg")
    found = {role: _text(mesh.get(f"{role}_model_path"), path) for role in ("blaze_face", "face_mesh")}
    for role in NETWORKS:
        if role not in found and role != "lmdm":
            found[role] = _text(_mapping(networks.get(f"{role}_cfg"), path, f"{role}_cfg").get("model_path"), path)
    return found


def _mapping(value: object, path: Path, what: str) -> Mapping[str, object]:
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise _strange(path, f"{what} is missing in it.")


def _text(value: object, path: Path) -> str:
    if isinstance(value, str) and value:
        return value
    raise _strange(path, "a network's path is missing in it.")


def _strange(path: Path, why: str) -> AvatarNotReady:
    return AvatarNotReady(f"{path.name} is not a configuration of Ditto: {why}", str(path))
