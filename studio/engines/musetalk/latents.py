"""What the image networks see of a face, and what their answer looks like. Specification 3.4 and 5.5."""

from __future__ import annotations

import cv2
import numpy as np

from studio.engines.musetalk.types import FACE, Box, Bytes, Floats


def face_crop(picture: Bytes, box: Box) -> Bytes:
    """Return the face box of a picture (H, W, 3) at the network's size, (256, 256, 3)."""
    x0, y0, x1, y1 = box
    return np.asarray(cv2.resize(picture[y0:y1, x0:x1], (FACE, FACE), interpolation=cv2.INTER_LANCZOS4), np.uint8)


def encoder_input(crop: Bytes) -> tuple[Floats, Floats]:
    """Return a BGR crop with its lower half blacked, and whole: (1, 3, 256, 256) RGB in [-1, 1] each."""
    rgb = crop[..., ::-1].astype(np.float32) / np.float32(255)
    masked = rgb.copy()
    masked[FACE // 2 :] = 0
    return _normal(masked), _normal(rgb)


def faces(decoded: Floats) -> Bytes:
    """Return the decoder's output (n, 3, 256, 256) RGB in [-1, 1], unclamped, as pictures (n, 256, 256, 3) BGR."""
    shown = decoded * np.float32(127.5)
    shown += np.float32(127.5)
    np.clip(shown, 0, 255, out=shown)
    planes = np.rint(shown, out=shown).astype(np.uint8)
    return np.stack([np.asarray(cv2.merge((blue, green, red)), np.uint8) for red, green, blue in planes])


def _normal(rgb: Floats) -> Floats:
    return np.ascontiguousarray(((rgb - np.float32(0.5)) / np.float32(0.5)).transpose(2, 0, 1)[None])
