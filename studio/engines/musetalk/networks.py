"""The networks by what they do, whatever public export they come from: names and layouts of graphs end here.

Canonical names, and those of other exports that are taken as well: specification 3.1. Knows no avatar and no visit.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.config import told
from studio.engines.musetalk import latents
from studio.engines.musetalk.types import FACE, STATES, TOKENS, WIDTH, Bytes, Floats
from studio.engines.onnxheader import read_header
from studio.engines.runtime import Array, Model, Port, Shape, is_finite, open_model
from studio.errors import BadNetwork, EngineFault

SUFFIXES = ("", "_v15", "_fp16", "_v15_fp16", "_int8", "_v15_int8")
"""What may stand behind a network's name in its file's name; the first that is there is taken."""
UNET_WEIGHTS = 800_000_000
"""MuseTalk's UNet has 850 million; one with fewer than this is a simplified network under the same name."""


@dataclass(frozen=True, slots=True)
class End:
    """One input or output: its names, the canonical one first, and its shape; None: any length."""

    names: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, slots=True)
class Ends:
    """What goes into a network and comes out of it."""

    inputs: tuple[End, ...]
    outputs: tuple[End, ...]


def _ends(inputs: Mapping[str, Shape], outputs: Mapping[str, Shape]) -> Ends:
    """Read ends whose names are written with spaces between them."""
    return Ends(
        tuple(End(tuple(names.split()), shape) for names, shape in inputs.items()),
        tuple(End(tuple(names.split()), shape) for names, shape in outputs.items()),
    )


PICTURE: Shape = (None, 3, FACE, FACE)
LATENTS: Shape = (None, 4, 32, 32)
STATES_OF_SOUND = "audio_features_all_layers"
ROLES: Mapping[str, Ends] = {
    "whisper_encoder": _ends({"input_features": (None, 80, 3000)}, {STATES_OF_SOUND: (None, 1500, STATES, WIDTH)}),
    "unet": _ends(
        {
            "input_latents latent_model_input latent": (None, 8, 32, 32),
            "timesteps timestep": (None,),
            "audio_prompts encoder_hidden_states whisper_features": (None, TOKENS, WIDTH),
        },
        {"noise_prediction sample noise_pred": LATENTS},
    ),
    "vae_encoder": _ends({"image input_image": PICTURE}, {"latents": LATENTS}),
    "vae_decoder": _ends({"latents input_latents latent": LATENTS}, {"image output_image": PICTURE}),
    "face_parsing": _ends({"image": (None, 3, 512, 512)}, {"face_parsing_output": (None, 19, 512, 512)}),
    "dwpose": _ends({"input": (None, 3, 384, 288)}, {"simcc_x": (None, 133, 576), "simcc_y": (None, 133, 768)}),
    "s3fd": _ends(
        {"image": (None, 3, None, None)},
        {f"{kind}{i}": (None, width, None, None) for i in range(1, 7) for kind, width in (("cls", 2), ("reg", 4))},
    ),
}
"""Every network by its file's stem."""
BAKED: Shape = (None, FACE, FACE, 3)
"""A decoder's output where the export did the rest as well: uint8 BGR."""


class Network:
    """One network under its canonical names.

    Args:
        model: Loaded.
        ends: What it should be.
        alone: Held while it runs: a device does one thing at a time.

    Raises:
        BadNetwork: It is another one; the sentence names the first end that differs.
    """

    def __init__(self, model: Model, ends: Ends, alone: threading.Lock) -> None:
        self.model, self._alone = model, alone
        self._inputs = _resolved(model, model.inputs, ends.inputs)
        self._outputs = _resolved(model, model.outputs, ends.outputs)

    def run(self, feeds: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
        """Run on canonical names; rows as `Model.run`. What comes out may be no number.

        Raises:
            EngineFault: It failed.
        """
        with self._alone:
            results = self.model.run({port.name: feeds[name] for name, port in self._inputs.items()})
        return {name: results[port.name] for name, port in self._outputs.items()}

    def run_checked(self, feeds: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
        """Do as `run`, and look at what comes out.

        Raises:
            EngineFault: It failed, or its answer is no number.
        """
        made = self.run(feeds)
        for name, value in made.items():
            if not is_finite(value):
                raise EngineFault(detail=f"{self.model.name}: {name} is not finite")
        return made

    def run_kept(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Do as `run`, but leave the outputs on the device, unseen: whoever fetches them looks at them."""
        with self._alone:
            results = self.model.run_kept({port.name: feeds[name] for name, port in self._inputs.items()})
        return {name: results[port.name] for name, port in self._outputs.items()}

    def put(self, name: str, array: NDArray[Any]) -> Array:
        """Bring rows of an input that are used again and again to where the network runs."""
        with self._alone:
            return self.model.put(self._inputs[name].name, array)


class Networks:
    """All networks of one checkpoint folder; opened when first needed, from any thread.

    Args:
        folder: Holds ``unet.onnx`` and the others of `ROLES`.
        allow_small: Take a UNet that is much too small: a stand-in for tests.
        runtime: One of ``runtime.RUNTIMES``, or ``auto``.
    """

    def __init__(self, folder: Path, allow_small: bool = False, runtime: str = "auto") -> None:
        self.folder = folder
        self._allow_small, self._runtime = allow_small, runtime
        self._open: dict[str, Network] = {}
        self._lock, self._alone = threading.Lock(), threading.Lock()

    def path(self, role: str) -> Path | None:
        """Return the file of a network, None if there is none."""
        names = (self.folder / f"{role}{suffix}.onnx" for suffix in SUFFIXES)
        return next((path for path in names if path.is_file()), None)

    def get(self, role: str) -> Network:
        """Return a network, opened.

        Raises:
            BadNetwork: Its file is missing, damaged, or another network's.
        """
        with self._lock:
            if role not in self._open:
                self._open[role] = self._opened(role)
            return self._open[role]

    def hear(self, pictures: Floats) -> Array:
        """Return the speech encoder's states (n, 1500, 5, 384) of log-mel pictures (n, 80, 3000).

        They stay on the device, 11.5 MB a picture, of which `hearing` fetches a hundredth.
        """
        return self.get("whisper_encoder").run_kept({"input_features": pictures})[STATES_OF_SOUND]

    def hold(self, shown: Floats) -> Array:
        """Return an avatar's latents (n, 8, 32, 32) where `paint` wants them: on the device, once and for all visits.

        Raises:
            AvatarNotReady: The device has no room.
        """
        return self.get("unet").put("input_latents", shown)

    def paint(self, shown: Array, prompts: Floats) -> Floats:
        """Return latents (n, 4, 32, 32) of the new faces, which may be no numbers.

        Args:
            shown: (n, 8, 32, 32), the frames' latents, as they are or as `hold` gave them.
            prompts: (n, 50, 384), the encoding of places included.
        """
        unet = self.get("unet")
        steps = np.zeros(1, np.int64)
        feeds: dict[str, Array] = {"input_latents": shown, "timesteps": steps, "audio_prompts": prompts}
        return unet.run(feeds)["noise_prediction"]

    def decode(self, painted: Floats) -> list[Bytes | None]:
        """Return the faces (256, 256, 3) BGR of latents (n, 4, 32, 32); None where one is no number."""
        good = np.array([is_finite(one) for one in painted])
        made = self.get("vae_decoder").run({"latents": np.where(good[:, None, None, None], painted, 0)})["image"]
        if made.dtype != np.uint8:
            good &= [is_finite(one) for one in made]
            made = latents.faces(made if good.all() else np.where(good[:, None, None, None], made, 0))
        return [face if is_good else None for face, is_good in zip(made, good, strict=True)]

    def encode(self, pictures: Floats) -> Floats:
        """Return latents (n, 4, 32, 32) of pictures (n, 3, 256, 256) RGB in [-1, 1]."""
        return self._one("vae_encoder", pictures)

    def parse(self, pictures: Floats) -> Floats:
        """Return the logits (n, 19, 512, 512) of pictures (n, 3, 512, 512)."""
        return self._one("face_parsing", pictures)

    def pose(self, pictures: Floats) -> tuple[Floats, Floats]:
        """Return the coordinate vectors (n, 133, 576) and (n, 133, 768) of pictures (n, 3, 384, 288)."""
        made = self.get("dwpose").run_checked({"input": pictures})
        return made["simcc_x"], made["simcc_y"]

    def detect(self, picture: Floats) -> list[Floats]:
        """Return the detector's twelve maps of one picture (1, 3, H, W)."""
        made = self.get("s3fd").run_checked({"image": picture})
        return [made[f"{kind}{i}"] for i in range(1, 7) for kind in ("cls", "reg")]

    def close(self) -> None:
        """Give everything back; may be called twice."""
        with self._lock:
            opened, self._open = self._open, {}
        for network in opened.values():
            network.model.close()

    def _one(self, role: str, array: NDArray[Any]) -> NDArray[Any]:
        """Run a network that has one input and one output."""
        ends = ROLES[role]
        return self.get(role).run_checked({ends.inputs[0].names[0]: array})[ends.outputs[0].names[0]]

    def _opened(self, role: str) -> Network:
        path = self.path(role)
        if path is None:
            raise BadNetwork(f"{role}.onnx is missing; it belongs into {told(self.folder)}.", str(self.folder))
        if role == "unet" and not self._allow_small and read_header(path).numbers < UNET_WEIGHTS:
            sentence = f"{path.name} is too small to be MuseTalk's UNet of 850 million weights: a simplified network."
            raise BadNetwork(sentence, str(path))
        model = open_model(path, runtime=self._runtime)
        try:
            return Network(model, ROLES[role], self._alone)
        except BadNetwork:
            model.close()
            raise


def _resolved(model: Model, ports: Sequence[Port], ends: Sequence[End]) -> dict[str, Port]:
    """Return the port of each end: by one of its names, else by the only shape that fits."""
    found: dict[str, Port] = {}
    for end in ends:
        left = [port for port in ports if port not in found.values()]
        named = [port for name in end.names for port in left if port.name == name]
        fitting = named[:1] or [port for port in left if _fits(port, end)]
        if len(fitting) != 1 or not _fits(fitting[0], end):
            there = ", ".join(map(str, ports))
            sentence = (
                f"{model.name}.onnx is not the network that belongs there: its {end.names[0]} is not as it should."
            )
            raise BadNetwork(sentence, f"wanted {end.shape}; there are {there}")
        found[end.names[0]] = fitting[0]
    return found


def _fits(port: Port, end: End) -> bool:
    """Tell whether a port has an end's shape, as far as the file says, and numbers of its kind."""
    if end.names[0] == "image" and port.dtype == np.uint8 and port.fits(BAKED):
        return True
    return port.fits(end.shape)
