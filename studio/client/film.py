"""What was received, as a film: WebM (VP8, Opus) or MP4 (H.264, AAC). Written beside and renamed when it is whole."""

from __future__ import annotations

from collections.abc import Generator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from studio.audio import Pcm, Resampler
from studio.beat import SAMPLE_RATE
from studio.client.order import MAX_TIMEOUT
from studio.outputs.movie import VIDEO_OPTIONS
from studio.recording import read_file

AUDIO_RATE = 48_000
TICKS = 1000
"""A second; WebM knows no finer."""
FRESH = {"deadline": "realtime", "cpu-used": "-12", "auto-alt-ref": "0", "lag-in-frames": "0"}
"""For libvpx: 3.6 ms a picture of 512 x 512, so that recording does not disturb the measuring."""
VIDEO_BITRATE_BPS = 2_000_000
AUDIO_BITRATE_BPS = 96_000
LEAD_SECONDS = 0.5
"""By which the sound of a file runs ahead of the pictures in the container."""
LONGEST_SIDE = 1920
"""Pixels; larger pictures are made smaller."""
ENDINGS = (".webm", ".mp4")


class Film:
    """A film in the making; one thread.

    Args:
        path: Its ending chooses the format; replaced if it exists.
        sound: File whose sound goes along, from the beginning; None: what `hear` is told.
    """

    def __init__(self, path: Path, sound: Path | None = None) -> None:
        self._path, self._part = path, path.with_name(path.name + ".part")
        self._is_webm = path.suffix.lower() == ".webm"
        self._container: av.container.OutputContainer | None = None
        self._pieces: Generator[Pcm, None, None] | None = None
        if sound is not None:
            self._pieces = read_file(sound, 2 * MAX_TIMEOUT, AUDIO_RATE)
        self._resampler = Resampler(AUDIO_RATE)
        self._last, self._sound_pts = -1, -1

    def show(self, frame: av.VideoFrame, seconds: float) -> None:
        """Append a picture that is seen ``seconds`` after the beginning; never before the one before it.

        Raises:
            av.FFmpegError: It cannot be written.
        """
        if self._container is None:
            self._open(frame)
        pts = round(min(max(seconds, 0.0), 2 * MAX_TIMEOUT) * TICKS)
        self._last = max(pts, self._last + 1)
        picture = frame.reformat(self._video.width, self._video.height, "yuv420p")
        picture.pts, picture.time_base = self._last, Fraction(1, TICKS)
        picture.pict_type = av.video.frame.PictureType.NONE
        self._mux(self._video.encode(picture))
        if self._pieces is not None:
            self._accompany(self._last / TICKS + LEAD_SECONDS)

    def hear(self, pcm: Pcm, seconds: float) -> None:
        """Append sound, (n,) mono 16 kHz; only the first piece's ``seconds`` count. Before the first picture: lost."""
        if self._container is None or self._pieces is not None:
            return
        if self._sound_pts < 0:
            self._sound_pts = round(min(max(seconds, 0.0), MAX_TIMEOUT) * AUDIO_RATE)
        self._append(self._resampler.resample_pcm(pcm, SAMPLE_RATE))

    def close(self) -> None:
        """Complete the film and give it its name; nothing is left where no picture came."""
        if self._pieces is not None:
            self._pieces.close()
        if self._container is None:
            return
        try:
            self._mux(self._video.encode(None))
            self._mux(self._audio.encode(None))
            self._container.close()
            self._part.replace(self._path)
        finally:
            self._part.unlink(missing_ok=True)

    def _open(self, frame: av.VideoFrame) -> None:
        self._container = av.open(str(self._part), "w", format="webm" if self._is_webm else "mp4")
        options = FRESH if self._is_webm else VIDEO_OPTIONS | {"preset": "superfast"}
        self._video = self._container.add_stream("libvpx" if self._is_webm else "libx264", rate=25, options=options)
        factor = min(1.0, LONGEST_SIDE / max(frame.width, frame.height))
        self._video.width, self._video.height = (max(2, int(s * factor) // 2 * 2) for s in (frame.width, frame.height))
        self._video.pix_fmt = "yuv420p"
        self._video.codec_context.time_base = Fraction(1, TICKS)
        self._video.codec_context.thread_count = 1  # libvpx's threads spin: 75 ms a picture in place of 3.6
        if self._is_webm:
            self._video.bit_rate = VIDEO_BITRATE_BPS
        self._audio = self._container.add_stream("libopus" if self._is_webm else "aac", rate=AUDIO_RATE, layout="mono")
        self._audio.bit_rate = AUDIO_BITRATE_BPS

    def _accompany(self, seconds: float) -> None:
        """Bring the file's sound up to ``seconds``."""
        self._sound_pts = max(self._sound_pts, 0)
        while self._sound_pts < seconds * AUDIO_RATE:
            piece = next(self._pieces, None) if self._pieces is not None else None
            if piece is None:
                return
            self._append(piece)

    def _append(self, pcm: Pcm) -> None:
        if not len(pcm):
            return
        sound = av.AudioFrame.from_ndarray(np.ascontiguousarray(pcm).reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate = AUDIO_RATE
        sound.pts, sound.time_base = self._sound_pts, Fraction(1, AUDIO_RATE)
        self._sound_pts += len(pcm)
        self._mux(self._audio.encode(sound))

    def _mux(self, packets: list[Any]) -> None:
        assert self._container is not None
        self._container.mux(packets)
