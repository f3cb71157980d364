"""An avatar speaks a sound file into an mp4, as fast as the machine can: H.264 and AAC, made beat by beat.

Picture and sound of a beat are written together, so they start together and end together; the film lasts as many whole
beats as the sound needs. What is heard is the file at full bandwidth, not the 16 kHz that the engine hears: it is read
a second time, in step. Memory is bounded by a second of beats, however long the sound. Knows nothing of the library,
the configuration or the terminal.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from studio.audio import Chunker, Pcm
from studio.beat import BEAT_SECONDS, FPS, SAMPLE_RATE, Beat
from studio.engine import Avatar, Engine, Options, Progress
from studio.errors import BadAudio, StudioError
from studio.pipeline import Pipeline
from studio.recording import file_seconds, read_file
from studio.resampling import read_whole
from studio.scheduler import Scheduler
from studio.spec import AvatarSpec
from studio.stats import Stats

MAX_SECONDS = 6 * 3600.0
"""Of sound in one film."""
MAX_BEFOREHAND = 1800.0
"""Seconds of sound that an engine is told beforehand: 58 MB."""
QUEUE_BEATS = FPS
"""Beats that wait at most, besides the engine's look-ahead."""
AUDIO_RATE = 48_000
"""Of the film: the AAC encoder's 1024 samples of delay are 21 ms at this rate, for players that ignore edit lists."""
FINE_SAMPLES = AUDIO_RATE // FPS
"""1920 samples of the film's sound in a beat."""
AUDIO_BITRATE_BPS = 96_000
VIDEO_OPTIONS = {
    "preset": "veryfast",
    "crf": "19",
    "bf": "0",  # no reordering: the first picture has time 0 without an edit list
    "g": str(4 * FPS),
    "x264-params": "colormatrix=smpte170m:colorprim=bt709:transfer=bt709:range=tv",
}


@dataclass(frozen=True, slots=True)
class RenderReport:
    """What was rendered."""

    seconds: float
    """Length of the film."""
    real_time_factor: float
    """Seconds of work for each second of film; below 1 is faster than real time."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """The one avatar of a rendering, as the pipeline wants it."""

    spec: AvatarSpec
    engine: Engine
    scheduler: Scheduler
    avatar: Avatar


def render_movie(
    avatar: Avatar, engine: Engine, audio: Path, output: Path, report: Progress, options: Options | None = None,
    beforehand: bool = False,
) -> RenderReport:  # fmt: skip
    """Let ``avatar`` speak ``audio`` into ``output``; blocks until the film is complete.

    It is written as ``<output>.part`` and renamed at the end; on failure nothing is left. Must not be called from a
    running event loop; interrupting it (Ctrl-C) removes the part.

    Args:
        avatar: Loaded by ``engine``.
        engine: Stepped by a thread of this call; stays open.
        audio: Any file with sound that PyAV reads, also a video.
        output: Ends in ``.mp4``; replaced if it exists.
        report: Told the fraction done (0..1; 0 where the file does not tell its length) and a phrase.
        options: For the engine's `begin`.
        beforehand: Tell the engine the whole sound before the first beat, for one that can make use of it.

    Raises:
        BadAudio: There is no such file, or no sound in it.
        TooLarge: The sound lasts longer than `MAX_SECONDS`, or `MAX_BEFOREHAND` where it is told beforehand.
        EngineFault: The engine failed.
        StudioError: The output cannot be written.
    """
    _check(audio, output)
    options = options or Options()
    if beforehand:
        report(0.0, "reading the sound")
        options = replace(options, sound=read_whole(audio, MAX_BEFOREHAND))
    return asyncio.run(_render(avatar, engine, audio, output, report, options))


def _check(audio: Path, output: Path) -> None:
    if not audio.is_file():
        raise BadAudio(f"There is no sound file {audio}.")
    if not output.parent.is_dir():
        raise StudioError(f"There is no folder {output.parent} to put the film in.")
    if output.suffix.lower() != ".mp4" or output.is_dir():
        raise StudioError(f"{output} is no name for a film; it ends in .mp4.")
    if output.exists() and output.samefile(audio):
        raise StudioError("The film would replace the sound it is made from. Choose another output.")


async def _render(
    avatar: Avatar, engine: Engine, audio: Path, output: Path, report: Progress, options: Options
) -> RenderReport:
    total = file_seconds(audio)
    began = time.perf_counter()
    scheduler = Scheduler(engine, Stats())
    pipeline = Pipeline(_Loaded(AvatarSpec("film", audio), engine, scheduler, avatar), options, paced=False)
    try:
        with _part(output) as part, _Film(part, avatar.width, avatar.height, _Original(audio)) as film:
            for pcm in read_file(audio, MAX_SECONDS) if options.sound is None else _seconds(options.sound):
                film.original.expect(pcm)
                assert pipeline.feed(pcm) == len(pcm)
                while pipeline.depth > engine.lookahead + QUEUE_BEATS:
                    film.add(await pipeline.next())
                report(*_progress(film.seconds, total))
            pipeline.end()
            film.original.end()
            while not pipeline.is_finished:
                film.add(await pipeline.next())
                report(*_progress(film.seconds, total))
    finally:
        await pipeline.aclose()
        await scheduler.aclose()
    report(1.0, f"{film.seconds:.1f} s")
    return RenderReport(film.seconds, (time.perf_counter() - began) / film.seconds)


def _seconds(sound: Pcm) -> Iterator[Pcm]:
    """Yield a whole sound in pieces of a second."""
    return (sound[start : start + SAMPLE_RATE] for start in range(0, len(sound), SAMPLE_RATE))


def _progress(done: float, total: float) -> tuple[float, str]:
    if not total:
        return 0.0, f"{done:.1f} s"
    return min(1.0, done / total), f"{done:.1f} of {total:.1f} s"


@contextmanager
def _part(output: Path) -> Iterator[Path]:
    """Give a name to write to, and the output's name to what was written there; on failure nothing stays."""
    part = output.with_name(output.name + ".part")
    try:
        yield part
        part.replace(output)
    except (av.FFmpegError, OSError) as error:
        raise StudioError(f"{output} cannot be written: {error.strerror}.") from error
    finally:
        part.unlink(missing_ok=True)


class _Original:
    """The sound file at the film's rate, a beat at a time.

    An engine hands on the very samples that it heard; one that replaces them (the beeping test card) is believed.
    """

    def __init__(self, path: Path) -> None:
        self._pieces = read_file(path, MAX_SECONDS, AUDIO_RATE)
        self._fine = np.zeros(0, np.int16)
        self._chunker = Chunker()
        self._heard: deque[Pcm] = deque()

    def expect(self, pcm: Pcm) -> None:
        """Note what the engine is going to hear, (n,) at 16 kHz."""
        self._heard.extend(self._chunker.push(pcm))

    def end(self) -> None:
        """Nothing more will be heard: the last beat is filled up."""
        self._heard.extend(self._chunker.pad())

    def sound_of(self, beat: Beat) -> Pcm:
        """Return the next beat's samples, (1920,) at 48 kHz."""
        parts, missing = [self._fine], FINE_SAMPLES - len(self._fine)
        while missing > 0:
            piece = next(self._pieces, np.zeros(missing, np.int16))
            parts.append(piece)
            missing -= len(piece)
        joined = np.concatenate(parts)
        self._fine = joined[FINE_SAMPLES:]
        if np.array_equal(self._heard.popleft(), beat.pcm):
            return joined[:FINE_SAMPLES]
        return np.repeat(beat.pcm, AUDIO_RATE // SAMPLE_RATE)

    def close(self) -> None:
        """Close the file."""
        self._pieces.close()


class _Film:
    """A file that beats are added to; complete when the context ends well."""

    def __init__(self, path: Path, width: int, height: int, original: _Original) -> None:
        self.original = original
        self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._video = self._container.add_stream("libx264", rate=FPS, options=VIDEO_OPTIONS)
        self._video.width, self._video.height, self._video.pix_fmt = width, height, "yuv420p"
        self._video.codec_context.time_base = Fraction(1, FPS)
        self._audio = self._container.add_stream("aac", rate=AUDIO_RATE, layout="mono")
        self._audio.bit_rate = AUDIO_BITRATE_BPS
        self._audio.options = {"aac_coder": "fast"}  # a third of the time
        self._beats = 0

    @property
    def seconds(self) -> float:
        """Of what was added."""
        return self._beats * BEAT_SECONDS

    def add(self, beat: Beat) -> None:
        """Append a beat."""
        picture = av.VideoFrame.from_numpy_buffer(beat.picture, format="yuv420p")
        picture.pts, picture.time_base = self._beats, Fraction(1, FPS)
        pcm = self.original.sound_of(beat)
        sound = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout="mono")
        sound.sample_rate = AUDIO_RATE
        sound.pts, sound.time_base = self._beats * FINE_SAMPLES, Fraction(1, AUDIO_RATE)
        self._container.mux(self._video.encode(picture))
        self._container.mux(self._audio.encode(sound))
        self._beats += 1

    def __enter__(self) -> _Film:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.original.close()
        if kind is None:
            self._container.mux(self._video.encode(None))
            self._container.mux(self._audio.encode(None))
        self._container.close()
