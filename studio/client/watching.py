"""Which pictures and which sound are compared for the lips, and on which clock."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from studio.audio import Pcm
from studio.beat import FPS, SAMPLE_RATE
from studio.client.figures import Floats, Unmeasured, sender_clock
from studio.client.intake import Intake
from studio.client.lips import Lips, measure
from studio.client.order import Order
from studio.client.screen import KEPT, Screen
from studio.errors import BadAudio
from studio.recording import read_file


def look_at_lips(order: Order, intake: Intake, screen: Screen, note: Callable[[float], None]) -> Lips | Unmeasured:
    """Measure how lips follow the sound, in what was received; blocks for some seconds.

    Frames are compared with the recording, by their place in it; WebRTC's pictures with WebRTC's sound, by the sender's
    clock where its reports tie the two together, else by arrival.
    """
    if not screen.shots:
        return Unmeasured("no picture could be decoded")
    indexes = [shot.index for shot in screen.shots]
    if order.transport != "webrtc":
        if order.audio_file is None:
            return Unmeasured("frames come without sound, and the recording does not lie on this machine")
        times, begins = np.array([intake.pictures[i].number for i in indexes]) / FPS, 0.0
        try:
            pcm = _beginning(order)
        except BadAudio as error:
            return Unmeasured(error.message)
    elif not intake.sounds:
        return Unmeasured("no sound came")
    else:
        times, begins = _received(intake, indexes)
        pcm = screen.sound
    return measure([shot.picture for shot in screen.shots], times, pcm, begins, note)


def _received(intake: Intake, indexes: list[int]) -> tuple[Floats, float]:
    """Return when pictures were sent and when the sound began, on one clock."""
    video, audio = (sender_clock(intake.reports[kind]) for kind in ("video", "audio"))
    stamps = np.array([intake.pictures[i].stamp for i in indexes])
    first = intake.sounds[0]
    if video is None or audio is None:
        return np.array([intake.pictures[i].at for i in indexes]), first.at
    return stamps + (video - audio), first.stamp


def _beginning(order: Order) -> Pcm:
    """Return the recording, as far as pictures are kept.

    Raises:
        BadAudio: It cannot be read.
    """
    parts, count = [np.zeros(0, np.int16)], 0
    assert order.audio_file is not None
    pieces = read_file(order.audio_file, float("inf"))
    while count < (KEPT / FPS + 2) * SAMPLE_RATE and (piece := next(pieces, None)) is not None:
        parts.append(piece)
        count += len(piece)
    pieces.close()
    return np.concatenate(parts)
