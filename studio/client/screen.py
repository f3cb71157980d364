"""Decodes what came, beside the measuring: for saved pictures, a film, and a look at the lips. One thread.

A stranger's pictures are decoded by one named decoder each, which refuses those with too many pixels before it makes
room for them. What the thread is too slow for is left out and counted; what arrives is measured elsewhere.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from studio import picture
from studio.audio import Pcm
from studio.beat import SAMPLE_RATE
from studio.client.film import Film
from studio.errors import StudioError
from studio.picture import Picture

MAX_PIXELS = 4096 * 2304
"""Of one picture: beyond 4K nobody streams a face."""
QUEUED_BYTES = 48_000_000
QUEUED = 250
"""Pictures that may wait for the thread; sound, which is bounded by its packets, is never left out."""
KEPT = 250
"""Pictures kept to look at the lips: 10 s, 40 MB at most."""
KEPT_SIDE = 320
"""Pixels of their longer side."""
SOUND_SECONDS = 30
"""Of received sound kept for the same."""
SAVED_BYTES = 4_000_000_000
"""Of saved pictures in all."""
SLOW_DOWN = 10.0
"""Seconds that the thread may take at the end for what still waits."""
ENDINGS = {"webp": "webp", "mjpeg": "jpg"}
"""Decoder -> ending of a picture that is saved as it came."""


class Decoder:
    """One of FFmpeg's decoders, for packets that nobody vouches for.

    Args:
        name: ``vp8``, ``h264``, ``webp`` or ``mjpeg``.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._codec = self._open()

    def _open(self) -> av.VideoCodecContext:
        codec = av.CodecContext.create(self._name, "r")
        assert isinstance(codec, av.VideoCodecContext)
        codec.options = {"max_pixels": str(MAX_PIXELS)}
        codec.thread_count = 1
        return codec

    def decode(self, data: bytes) -> list[av.VideoFrame]:
        """Return the pictures that a packet completes.

        Raises:
            av.FFmpegError: It makes no sense, or is too large; the next one may be tried.
        """
        if self._name in ENDINGS:  # each picture stands alone, and may be of another size
            self._codec = self._open()
            return [*self._codec.decode(av.Packet(data)), *self._codec.decode(None)]
        return list(self._codec.decode(av.Packet(data)))


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """A decoded picture, small."""

    index: int
    """Of `Intake.pictures`."""
    picture: Picture
    """I420, `KEPT_SIDE` at most."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    codec: str
    data: bytes
    index: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class _Heard:
    pcm: Pcm
    seconds: float


class Screen:
    """Where received pictures and sounds go; `close` it.

    Args:
        save: Folder for single pictures; it exists.
        film: What is recorded; closed with the screen.
    """

    def __init__(self, save: Path | None = None, film: Film | None = None) -> None:
        self.size = (0, 0)
        """Width and height of the last picture."""
        self.decoded = self.damaged = self.left_out = self.saved = 0
        self.complaint = ""
        """Why nothing more is saved or recorded, in words."""
        self.shots: list[Shot] = []
        self.wants_keyframe = False
        """A picture could not be decoded: the sender should be asked for a whole one."""
        self._save, self._film = save, film
        self._saved_bytes = 0
        self._sounds: list[Pcm] = []
        self._sound_samples = 0
        self._decoders: dict[str, Decoder] = {}
        self._waiting: deque[_Shown | _Heard] = deque()
        self._waiting_bytes = self._pictures = 0
        self._is_closed = False
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="screen", daemon=True)
        self._thread.start()

    @property
    def sound(self) -> Pcm:
        """The sound that was heard, (n,) mono 16 kHz, `SOUND_SECONDS` at most."""
        return np.concatenate([np.zeros(0, np.int16), *self._sounds])

    def show(self, codec: str, data: bytes, index: int, seconds: float) -> None:
        """Take a picture as it came; never waits.

        Args:
            codec: For `Decoder`.
            data: One whole picture.
            index: Of `Intake.pictures`.
            seconds: When it is seen, from the film's beginning.
        """
        self._put(_Shown(codec, data, index, seconds), len(data))

    def hear(self, pcm: Pcm, seconds: float) -> None:
        """Take (n,) samples, mono 16 kHz, that follow those before; never waits.

        Args:
            pcm: The samples.
            seconds: When the first is heard, from the film's beginning.
        """
        self._put(_Heard(pcm, seconds), 2 * len(pcm))

    def close(self) -> None:
        """Decode what waits, for `SLOW_DOWN` seconds, and finish the film; blocks; idempotent."""
        with self._news:
            self._is_closed = True
            self._news.notify()
        self._thread.join(SLOW_DOWN)
        with self._news:
            self.left_out += sum(isinstance(one, _Shown) for one in self._waiting)
            self._waiting.clear()
        self._thread.join()

    def _put(self, item: _Shown | _Heard, size_bytes: int) -> None:
        with self._news:
            is_picture = isinstance(item, _Shown)
            if is_picture and (self._pictures >= QUEUED or self._waiting_bytes + size_bytes > QUEUED_BYTES):
                self.left_out += 1
                self.wants_keyframe = True
                return
            self._waiting.append(item)
            self._pictures += is_picture
            self._waiting_bytes += size_bytes
            self._news.notify()

    def _run(self) -> None:
        try:
            while (item := self._next()) is not None:
                if isinstance(item, _Shown):
                    self._look(item)
                else:
                    self._listen(item)
        finally:
            if self._film is not None:
                self._filming(self._film.close)

    def _next(self) -> _Shown | _Heard | None:
        with self._news:
            while not self._waiting:
                if self._is_closed:
                    return None
                self._news.wait()
            item = self._waiting.popleft()
            is_picture = isinstance(item, _Shown)
            self._pictures -= is_picture
            self._waiting_bytes -= len(item.data) if isinstance(item, _Shown) else 2 * len(item.pcm)
            return item

    def _look(self, shown: _Shown) -> None:
        if shown.codec not in self._decoders:
            self._decoders[shown.codec] = Decoder(shown.codec)
        try:
            frames = self._decoders[shown.codec].decode(shown.data)
        except (av.FFmpegError, ValueError):
            frames = []
        if not frames:
            self.damaged += 1
            self.wants_keyframe = True
        for frame in frames[:1]:
            self.decoded += 1
            self.size = (frame.width, frame.height)
            self._use(frame, shown)

    def _use(self, frame: av.VideoFrame, shown: _Shown) -> None:
        small = self._small(frame) if len(self.shots) < KEPT else None
        if small is not None:
            self.shots.append(Shot(shown.index, small))
        if self._film is not None:
            film = self._film
            self._filming(lambda: film.show(frame, shown.seconds))
        if self._save is not None and not self.complaint:
            self._keep(frame, shown, self._save)

    def _small(self, frame: av.VideoFrame) -> Picture | None:
        factor = min(1.0, KEPT_SIDE / max(frame.width, frame.height))
        width, height = (max(2, round(side * factor / 2) * 2) for side in (frame.width, frame.height))
        return np.asarray(frame.reformat(width, height, "yuv420p").to_ndarray(), np.uint8)

    def _keep(self, frame: av.VideoFrame, shown: _Shown, folder: Path) -> None:
        data, ending = shown.data, ENDINGS.get(shown.codec, "")
        if not ending:
            even = frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p")
            data, ending = picture.jpeg(np.asarray(even.to_ndarray(), np.uint8), 90), "jpg"
        self._saved_bytes += len(data)
        if self._saved_bytes > SAVED_BYTES:
            self.complaint = f"No more than {SAVED_BYTES / 1e9:.0f} GB of pictures are saved."
            return
        try:
            (folder / f"frame_{self.saved:06d}.{ending}").write_bytes(data)
        except OSError as error:
            self.complaint = f"Pictures can no longer be saved: {error.strerror}."
        else:
            self.saved += 1

    def _listen(self, heard: _Heard) -> None:
        if self._sound_samples < SOUND_SECONDS * SAMPLE_RATE:
            self._sounds.append(heard.pcm)
            self._sound_samples += len(heard.pcm)
        if self._film is not None:
            film = self._film
            self._filming(lambda: film.hear(heard.pcm, heard.seconds))

    def _filming(self, work: Callable[[], None]) -> None:
        """Record; a film that cannot be written ends, the measurement goes on."""
        try:
            work()
        except (StudioError, av.FFmpegError, OSError, ValueError) as error:
            self.complaint = error.message if isinstance(error, StudioError) else "The film cannot be written further."
            self._film = None


def strip(shots: Sequence[Shot], count: int) -> list[Shot]:
    """Return up to ``count`` of the shots, evenly apart, first and last among them."""
    if len(shots) <= count:
        return list(shots)
    return [shots[round(i * (len(shots) - 1) / (count - 1))] for i in range(count)]
