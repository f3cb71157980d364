"""Faces and tracks for the cardboard studio of `stub`: a drawn face that sways, and silence. Knows no network."""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Callable
from typing import Any, cast

import av
import cv2
import numpy as np
from aiortc import MediaStreamTrack
from numpy.typing import NDArray

SIDE = 512
Picture = NDArray[np.uint8]
"""(512, 512, 3) uint8 BGR."""


def draw_face(avatar_id: str) -> NDArray[np.uint8]:
    """Return (512, 512, 3) uint8 BGR: a plain face of its own colour, for folders without pictures."""
    hue = sum(avatar_id.encode()) * 7 % 180
    background, skin = cv2.cvtColor(np.array([[[hue, 90, 190], [hue, 40, 240]]], np.uint8), cv2.COLOR_HSV2BGR)[
        0
    ].tolist()
    face = np.full((SIDE, SIDE, 3), background, np.uint8)
    cv2.ellipse(face, (256, 260), (120, 150), 0, 0, 360, skin, -1, cv2.LINE_AA)
    for x in (212, 300):
        cv2.circle(face, (x, 240), 12, (40, 40, 40), -1, cv2.LINE_AA)
    cv2.ellipse(face, (256, 330), (40, 12), 0, 0, 180, (60, 60, 160), 6, cv2.LINE_AA)
    return face


class PictureTrack(MediaStreamTrack):
    """A still at 25 fps that sways a little, and that can be exchanged."""

    kind = "video"

    def __init__(self, picture: Callable[[str], Picture], avatar_id: str) -> None:
        super().__init__()
        self._picture, self.avatar_id, self._n, self._began = picture, avatar_id, 0, 0.0

    async def recv(self) -> Any:
        """Return the next frame when it is due."""
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._n * 0.04 - time.monotonic()))
        shift = np.array([[1, 0, 3 * np.sin(self._n / 12)], [0, 1, 2 * np.sin(self._n / 17)]], np.float32)
        still = self._picture(self.avatar_id)
        moved = cv2.warpAffine(still, shift, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        planes = cast(NDArray[np.uint8], cv2.cvtColor(moved, cv2.COLOR_BGR2YUV_I420))
        frame = av.VideoFrame.from_ndarray(planes, "yuv420p")
        frame.pts, frame.time_base = self._n * 3600, fractions.Fraction(1, 90_000)
        self._n += 1
        return frame


class SilenceTrack(MediaStreamTrack):
    """Nothing, 20 ms at a time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._n, self._began = 0, 0.0

    async def recv(self) -> Any:
        """Return the next frame when it is due."""
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._n * 0.02 - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.int16), "s16", "mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._n * 960, fractions.Fraction(1, 48_000)
        self._n += 1
        return frame
