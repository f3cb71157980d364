"""The released networks as PyTorch modules with the ends that the engine wants. Specification 3.2 to 3.4.

UNet and autoencoder are diffusers', the speech encoder is transformers'; each is made without numbers first, so that a
file of another network costs nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from studio.engines.musetalk.export.bisenet import BiSeNet
from studio.engines.musetalk.export.s3fd import S3FD
from studio.engines.musetalk.export.settings import UNET, VAE, WHISPER, Settings, read_settings
from studio.engines.musetalk.export.sources import Found
from studio.engines.musetalk.export.statedict import State, fill, read_state

SCALING = 0.18215
"""Of the latents (specification 2)."""
INDIFFERENT = ("sample_size",)
"""Keys of a configuration that change nothing in the networks."""
OLD_NAMES = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
"""Attention of an autoencoder, as diffusers called it before 0.15."""


class Painter(nn.Module):
    """The UNet: latents of frames and prompts of sound give latents of new faces."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, shown: torch.Tensor, steps: torch.Tensor, prompts: torch.Tensor) -> Any:
        """Return (n, 4, 32, 32)."""
        return self.unet(shown, steps, encoder_hidden_states=prompts, return_dict=False)[0]


class Decoder(nn.Module):
    """The autoencoder's way from latents to pictures."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.first, self.rest = autoencoder.post_quant_conv, autoencoder.decoder

    def forward(self, latents: torch.Tensor) -> Any:
        """Return pictures (n, 3, 256, 256), RGB, nominally in [-1, 1]."""
        return self.rest(self.first(latents / SCALING))


class Encoder(nn.Module):
    """The autoencoder's way from pictures to latents: the most likely ones, not a sample."""

    def __init__(self, autoencoder: Any) -> None:
        super().__init__()
        self.first, self.rest = autoencoder.encoder, autoencoder.quant_conv

    def forward(self, image: torch.Tensor) -> Any:
        """Return latents (n, 4, 32, 32), scaled."""
        mean, _ = self.rest(self.first(image)).chunk(2, dim=1)
        return mean * SCALING


class Listener(nn.Module):
    """The speech encoder with all that it thinks on the way."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return the states (n, 1500, 5, 384); the last one is normalised, as transformers returns it."""
        heard = self.encoder(features, output_hidden_states=True, return_dict=True)
        return torch.stack(heard.hidden_states, dim=2)


def build(role: str, found: Found, allow_small: bool) -> nn.Module:
    """Return a network with its released weights.

    Args:
        role: One of `BUILDERS`.
        found: Its files.
        allow_small: Take narrower ones: stand-ins for tests.

    Raises:
        BadNetwork: A file is damaged, or another network's.
    """
    return BUILDERS[role](found, allow_small)


def _unet(found: Found, allow_small: bool) -> nn.Module:
    settings = _settings(found, UNET, UNet2DConditionModel, allow_small)
    return Painter(_filled(lambda: UNet2DConditionModel(**settings), read_state(found.weights), found))


def _autoencoder(found: Found, allow_small: bool) -> Any:
    settings = _settings(found, VAE, AutoencoderKL, allow_small)
    return _filled(lambda: AutoencoderKL(**settings), _renamed(read_state(found.weights)), found)


def _whisper(found: Found, allow_small: bool) -> nn.Module:
    settings = _settings(found, WHISPER, None, allow_small)
    state = read_state(found.weights, ("model.encoder.", "encoder."))
    return Listener(
        _filled(lambda: WhisperEncoder(WhisperConfig(**settings, attn_implementation="eager")), state, found)
    )


def _settings(found: Found, known: Settings, library: Any, allow_small: bool) -> Any:
    """Return what a network is built from; a library's own defaults are what its configuration may repeat."""
    given = inspect.signature(library.__init__).parameters.values() if library else ()
    usual = {one.name: one.default for one in given if one.default is not one.empty and one.name not in INDIFFERENT}
    assert found.settings is not None, "sources names one for each network that has settings"
    return read_settings(found.settings, known, {key: _plain(value) for key, value in usual.items()}, allow_small)


def _plain(value: object) -> object:
    """Return a value as JSON would have it."""
    return list(value) if isinstance(value, tuple) else value


def _filled(make: Callable[[], Any], state: State, found: Found) -> Any:
    with torch.device("meta"):
        module = make()
    fill(module, state, found.weights.name)
    return module


def _renamed(state: State) -> State:
    """Return an autoencoder's weights under today's names; what was a convolution of one place is a matrix now."""
    renamed: State = {}
    for name, value in state.items():
        for old, new in OLD_NAMES.items():
            name = name.replace(old, new) if ".attentions." in name else name
        is_matrix = ".attentions." in name and value.ndim == 4 and value.shape[2:] == (1, 1)
        renamed[name] = value[:, :, 0, 0] if is_matrix else value
    return renamed


BUILDERS: Mapping[str, Callable[[Found, bool], nn.Module]] = {
    "whisper_encoder": _whisper,
    "unet": _unet,
    "vae_decoder": lambda found, allow_small: Decoder(_autoencoder(found, allow_small)),
    "vae_encoder": lambda found, allow_small: Encoder(_autoencoder(found, allow_small)),
    "face_parsing": lambda found, _: _filled(BiSeNet, read_state(found.weights), found),
    "s3fd": lambda found, _: _filled(S3FD, read_state(found.weights), found),
}
"""Network -> what makes it of its files."""
