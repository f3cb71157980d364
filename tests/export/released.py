"""Writes files as they are released, with random weights: true layers and names, UNet and autoencoder at a tenth of
their width.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from studio.engines.musetalk.export.bisenet import BiSeNet
from studio.engines.musetalk.export.s3fd import S3FD
from studio.engines.musetalk.export.settings import UNET, VAE, WHISPER, WIDTHS, Settings

SMALL: Mapping[str, Settings] = {
    "unet": {**UNET, WIDTHS: [32, 64, 128, 128]},
    "vae": {**VAE, WIDTHS: [32, 32, 64, 64]},
}
OLD = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
"""Attention in an autoencoder as the released file calls it."""

State = dict[str, Any]


def unet() -> State:
    """Weights of ``unet.pth``."""
    return _random(lambda: UNet2DConditionModel(**SMALL["unet"]))


def autoencoder() -> State:
    """Weights of ``diffusion_pytorch_model.bin``, under its old names, some of them convolutions of one place."""
    state: State = {}
    for name, value in _random(lambda: AutoencoderKL(**SMALL["vae"])).items():
        for new, old in OLD.items():
            name = name.replace(new, old) if ".attentions." in name else name
        state[name] = value[:, :, None, None] if ".query.weight" in name else value
    return state


def whisper() -> State:
    """Weights of ``pytorch_model.bin``: the encoder, and a trace of the decoder."""
    state = _random(lambda: WhisperEncoder(WhisperConfig(**WHISPER)))
    return {**{f"model.encoder.{k}": v for k, v in state.items()}, "model.decoder.layer_norm.bias": torch.zeros(384)}


def parser() -> State:
    """Weights of ``79999_iter.pth``; one counter of a normalisation is missing, as in files of old."""
    state = _random(BiSeNet)
    del state["cp.resnet.bn1.num_batches_tracked"]
    return state


def detector() -> State:
    """Weights of ``s3fd-619a316812.pth``."""
    return _random(S3FD)


def write(folder: Path) -> Path:
    """Write everything that is released below ``folder``, and return it."""
    _save(folder / "musetalkV15/unet.pth", {name: value.half() for name, value in unet().items()})
    _settings(folder / "musetalkV15/musetalk.json", {"_class_name": "UNet2DConditionModel", **SMALL["unet"]})
    _save(folder / "sd-vae/diffusion_pytorch_model.bin", autoencoder(), is_old=True)
    _settings(folder / "sd-vae/config.json", {"sample_size": 256, **SMALL["vae"]})
    _save(folder / "whisper/pytorch_model.bin", whisper())
    _settings(folder / "whisper/config.json", {"model_type": "whisper", "vocab_size": 51865, **WHISPER})
    _save(folder / "face-parse-bisent/79999_iter.pth", parser(), is_old=True)
    _save(folder / "s3fd/s3fd-619a316812.pth", detector(), is_old=True)
    return folder


def _random(make: Callable[[], Any]) -> State:
    """Return the weights of a network in which no number is what it was made with: nothing may be left out unseen."""
    torch.manual_seed(1)
    module = make()
    for name, value in module.named_parameters():
        if value.ndim == 1:
            torch.nn.init.normal_(value, float(name.endswith("weight")), 0.1)
    for name, value in module.named_buffers():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 1.5)
    return dict(module.state_dict())


def _save(path: Path, state: State, is_old: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path, _use_new_zipfile_serialization=not is_old)


def _settings(path: Path, settings: Settings) -> None:
    path.write_text(json.dumps(settings))
