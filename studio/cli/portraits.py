"""What only portraits can show of themselves, drawn into a PNG: a sheet of their states, curves of their face."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.audio import Heard, Listener
from studio.beat import AudioChunk
from studio.engine import Avatar
from studio.errors import ConfigError, StudioError
from studio.recording import read_file

if TYPE_CHECKING:
    from studio.engines.portrait.engine import PortraitAvatar


def check_picture(option: str, path: Path) -> None:
    """Look at the path of ``option`` before anything is prepared.

    Raises:
        ConfigError: No picture can be written there.
    """
    if path.suffix.lower() != ".png" or not path.parent.is_dir():
        raise ConfigError(
            f"{option}: {path} is no name for a picture; it ends in .png and lies in a folder that exists"
        )


def draw_sheet(avatar: Avatar, path: Path) -> None:
    """Draw the sixteen states by which a person judges a portrait.

    Raises:
        StudioError: It is no portrait, or cannot be written.
    """
    from studio.engines.portrait.sheet import contact_sheet

    _write(path, contact_sheet(_portrait(avatar).face))


def draw_curves(avatar: Avatar, audio: Path, path: Path) -> None:
    """Plot the first minute of ``audio`` and what the face does, judged and spoken as in a visit.

    Raises:
        StudioError: It is no portrait, or cannot be written.
        BadAudio: There is no sound in the file.
    """
    from studio.engines.portrait import curves
    from studio.engines.portrait.lipnet import LearnedVoice

    portrait = _portrait(avatar)
    traced = curves.trace(portrait, portrait.face, LearnedVoice(), _chunks(audio), portrait.expressiveness)
    _write(path, curves.plot(traced, audio.name))


def _portrait(avatar: Avatar) -> PortraitAvatar:
    from studio.engines.portrait.engine import PortraitAvatar

    if not isinstance(avatar, PortraitAvatar):
        raise StudioError("Only portraits have such a picture.")
    return avatar


def _chunks(audio: Path) -> Iterator[AudioChunk]:
    for index, heard in enumerate(_heard(audio)):
        yield AudioChunk(index, heard.pcm, heard.speech, index)


def _heard(audio: Path) -> Iterator[Heard]:
    listener = Listener()
    for pcm in read_file(audio):
        yield from listener.hear(pcm)
    yield from listener.rest()


def _write(path: Path, rgb: NDArray[np.uint8]) -> None:
    body = cv2.imencode(".png", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1]
    try:
        path.write_bytes(body.tobytes())
    except OSError as error:
        raise StudioError(f"{path} cannot be written: {error.strerror}.") from error
