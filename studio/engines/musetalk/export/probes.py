"""What exported networks are tried on: things as they come up, noise, and both at once; one, two and three rows.

The picture and the sound are those of the studio's rehearsal. Knows no PyTorch.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.beat import SAMPLE_RATE
from studio.engines.musetalk import detector, landmarks, latents, masks
from studio.engines.musetalk.mel import log_mel
from studio.engines.musetalk.types import LATENT, Floats
from studio.engines.musetalk.windows import encoding
from studio.engines.rehearsal import FACE, photograph, voice

Feeds = dict[str, NDArray[Any]]
"""Canonical name of an input -> its array."""
DETECTED = ((160, 192), (97, 131), (256, 64))
"""Heights and widths on which the face detector is tried, which takes any."""


def probes(role: str) -> list[Feeds]:
    """Return inputs of a network, the same at every call: one row, two rows and three."""
    random = np.random.default_rng(0)
    if role == "s3fd":
        seen = [detector.network_input(_resized(height, width)) for height, width in DETECTED]
        grain = [random.uniform(-120, 150, one.shape).astype(np.float32) for one in seen]
        return [{"image": rows} for rows in (seen[0], np.concatenate([seen[1], grain[1]]), grain[2])]
    alone = _real(role)
    noise: Feeds = {name: _like(random, value, 2) for name, value in alone.items()}
    both: Feeds = {name: np.concatenate([alone[name], noise[name]]) for name in alone}
    rows = [alone, noise, both]
    return [{**one, "timesteps": np.zeros(1, np.int64)} for one in rows] if role == "unet" else rows


def _real(role: str) -> Feeds:
    """Return one row as it comes up."""
    if role == "whisper_encoder":
        return {"input_features": log_mel(voice(2 * SAMPLE_RATE))[None]}
    if role == "unet":
        return {"input_latents": _waves(LATENT[0]), "audio_prompts": encoding()[None]}
    if role == "vae_decoder":
        return {"latents": _waves(LATENT[0] // 2)}
    if role == "dwpose":
        return {"input": landmarks.network_input(_resized(512, 512))}
    crop = latents.face_crop(_resized(512, 512), FACE)
    return {"image": masks.parser_input(crop) if role == "face_parsing" else latents.encoder_input(crop)[1]}


def _like(random: np.random.Generator, value: NDArray[Any], rows: int) -> Floats:
    """Return noise as strong as ``value``."""
    return (random.standard_normal((rows, *value.shape[1:])) * max(float(value.std()), 0.5)).astype(np.float32)


def _waves(channels: int) -> Floats:
    """Return smooth latents (1, channels, 32, 32) that look different in each channel."""
    places = np.arange(LATENT[1]) / LATENT[1]
    numbers = np.arange(channels)[:, None, None]
    made = np.sin(6 * places[:, None] + numbers) + np.cos(5 * places + 2 * numbers)
    return made[None].astype(np.float32)


def _resized(height: int, width: int) -> NDArray[np.uint8]:
    """Return the photograph (height, width, 3) BGR."""
    return np.asarray(cv2.resize(photograph()[..., ::-1], (width, height), interpolation=cv2.INTER_AREA), np.uint8)
