"""Films, read back: both streams start and end together, flash and beep coincide, failures leave nothing."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import cast

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import FPS, SAMPLE_RATE
from studio.engines.testcard import TestcardAvatar, TestcardEngine, read_strip
from studio.errors import BadAudio, EngineFault, StudioError
from studio.outputs.movie import AUDIO_RATE, RenderReport, render_movie
from tests.fakes import FakeAvatar, FakeEngine, speech

FRAME_MS = 40


def write_wav(path: Path, pcm: NDArray[np.int16], rate: int = SAMPLE_RATE) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())
    return path


def silent(fraction: float, phrase: str) -> None:
    """A report to nobody."""


def film(folder: Path, seconds: float, beeps: bool = False) -> tuple[Path, RenderReport]:
    sound = write_wav(folder / "sound.wav", speech(seconds))
    output = folder / "film.mp4"
    return output, render_movie(TestcardAvatar(beeps), TestcardEngine(), sound, output, silent)


def luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return cast("NDArray[np.uint8]", frame.to_ndarray(format="gray"))


def decoded_audio(path: Path) -> tuple[float, NDArray[np.float32]]:
    """Seconds of the first sample, and the samples."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert frames[0].pts is not None and frames[0].time_base is not None
    return float(frames[0].pts * frames[0].time_base), np.concatenate([f.to_ndarray()[0] for f in frames])


@pytest.mark.parametrize("seconds", [0.01, 1.0, 3.333])
def test_film_streams_start_at_zero_and_last_the_same_whole_beats(tmp_path: Path, seconds: float) -> None:
    output, report = film(tmp_path, seconds)
    beats = -(-round(seconds * SAMPLE_RATE) // 640)
    with av.open(str(output)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        assert (video.codec_context.name, audio.codec_context.name) == ("h264", "aac")
        for stream in (video, audio):
            assert stream.start_time == 0 and stream.duration is not None and stream.time_base is not None
            assert float(stream.duration * stream.time_base) == pytest.approx(beats / FPS, abs=0.001)
        assert video.frames == beats and audio.codec_context.sample_rate == AUDIO_RATE
    assert report.seconds == pytest.approx(beats / FPS)
    assert report.real_time_factor > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "sound.wav"]


def test_film_flash_and_beep_coincide_within_a_beat(tmp_path: Path) -> None:
    output, _ = film(tmp_path, 4.0, beeps=True)
    start, wave_ = decoded_audio(output)
    loud = np.abs(wave_) > 0.1
    onsets = [i for i in np.flatnonzero(loud) if not loud[max(0, i - AUDIO_RATE // 5) : i].any()]
    beeps = [start + float(i) / AUDIO_RATE for i in onsets]
    with av.open(str(output)) as container:
        pictures = [(frame.time, luma(frame)) for frame in container.decode(video=0)]
    flashes = [at for at, picture in pictures if picture[100:500].mean() > 200]
    assert len(flashes) == len(beeps) == 4
    assert max(abs(a - b) for a, b in zip(flashes, beeps, strict=True)) * 1000 <= FRAME_MS / 4


def test_film_has_every_beat_once_in_order(tmp_path: Path) -> None:
    output, _ = film(tmp_path, 2.0)
    with av.open(str(output)) as container:
        indexes = [read_strip(luma(frame)) for frame in container.decode(video=0)]
    assert indexes == [(i, True) for i in range(50)]


def test_film_sound_is_the_source_without_shift(tmp_path: Path) -> None:
    pcm = speech(2.0)
    output, _ = film(tmp_path, 2.0)
    start, wave_ = decoded_audio(output)
    ours = wave_[:: AUDIO_RATE // SAMPLE_RATE]
    original = pcm[: len(ours)].astype(np.float32)
    products = np.fft.irfft(np.fft.rfft(ours, 1 << 17) * np.conj(np.fft.rfft(original, 1 << 17)))
    lag = int(np.argmax(products))
    lag = lag - (1 << 17) if lag > 1 << 16 else lag
    assert abs(start + lag / SAMPLE_RATE) < 0.002


def test_film_keeps_what_the_engine_does_not_hear(tmp_path: Path) -> None:
    t = np.arange(2 * AUDIO_RATE) / AUDIO_RATE
    whistle = (8000 * np.sin(2 * np.pi * 11_000 * t)).astype(np.int16)
    sound = write_wav(tmp_path / "sound.wav", whistle, AUDIO_RATE)
    render_movie(FakeAvatar(), FakeEngine(), sound, tmp_path / "film.mp4", silent)
    spectrum = np.abs(np.fft.rfft(decoded_audio(tmp_path / "film.mp4")[1][:AUDIO_RATE]))
    assert abs(int(np.argmax(spectrum)) - 11_000) <= 2


@pytest.mark.parametrize("name", ["sound.mp3", "sound.flac", "sound.ogg", "sound.m4a", "sound.webm"])
def test_film_reads_whatever_pyav_reads(tmp_path: Path, name: str) -> None:
    codec = {"mp3": "mp3", "flac": "flac", "ogg": "libopus", "m4a": "aac", "webm": "libopus"}[name.rpartition(".")[2]]
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48_000, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.repeat(speech(1.0), 2).reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = SAMPLE_RATE
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    report = render_movie(FakeAvatar(), FakeEngine(), path, tmp_path / "film.mp4", silent)
    assert report.seconds == pytest.approx(1.0, abs=0.12)


def test_film_replaces_an_older_one_and_reports_progress(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", speech(2.0))
    output = tmp_path / "film.mp4"
    output.write_bytes(b"old")
    told: list[tuple[float, str]] = []
    render_movie(FakeAvatar(), FakeEngine(lookahead=6), sound, output, lambda *what: told.append(what))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and len(told) > 10
    assert told[-2][1] == "2.0 of 2.0 s"
    assert output.stat().st_size > 1000


def test_film_of_a_long_sound_needs_no_more_memory(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", np.tile(speech(10.0), 3))
    engine = FakeEngine()
    written: list[float] = []
    ahead: list[float] = []

    def report(fraction: float, phrase: str) -> None:
        written.append(fraction * 30)
        ahead.append(len(engine.takes[0].heard) / FPS - written[-1] if engine.takes else 0)

    render_movie(FakeAvatar(), engine, sound, tmp_path / "film.mp4", report)
    assert written[-1] == 30
    assert max(ahead) < 0.5


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(None, "There is no sound file"), (b"", "cannot be read"), (b"not a sound at all" * 99, "cannot be read")],
)
def test_sound_that_is_none_is_refused_and_leaves_nothing(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    sound = tmp_path / "sound.wav"
    if content is not None:
        sound.write_bytes(content)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(BadAudio, match=sentence):
        render_movie(FakeAvatar(), FakeEngine(), sound, tmp_path / "film.mp4", silent)
    assert sorted(tmp_path.iterdir()) == before


def test_sound_without_samples_is_refused(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", np.zeros(0, np.int16))
    with pytest.raises(BadAudio):
        render_movie(FakeAvatar(), FakeEngine(), sound, tmp_path / "film.mp4", silent)
    assert [p.name for p in tmp_path.iterdir()] == ["sound.wav"]


def test_film_without_sound_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    with pytest.raises(BadAudio, match="no sound"):
        render_movie(FakeAvatar(), FakeEngine(), path, tmp_path / "film.mp4", silent)


@pytest.mark.parametrize(
    ("output", "sentence"),
    [("nowhere/film.mp4", "no folder"), ("film.avi", "ends in .mp4"), ("folder.mp4", "ends in .mp4")],
)
def test_output_that_cannot_be_is_refused_before_work(tmp_path: Path, output: str, sentence: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    sound = write_wav(tmp_path / "sound.wav", speech(0.2))
    engine = FakeEngine()
    with pytest.raises(StudioError, match=sentence):
        render_movie(FakeAvatar(), engine, sound, tmp_path / output, silent)
    assert not engine.takes


def test_output_that_is_the_input_is_refused(tmp_path: Path) -> None:
    output, _ = film(tmp_path, 0.2)
    with pytest.raises(StudioError, match="replace the sound"):
        render_movie(FakeAvatar(), FakeEngine(), output, output, silent)
    assert output.stat().st_size > 1000


def test_engine_that_fails_leaves_no_part(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", speech(2.0))
    engine = FakeEngine()
    engine.fail_on.add(20)
    with pytest.raises(EngineFault):
        render_movie(FakeAvatar(), engine, sound, tmp_path / "film.mp4", silent)
    assert [p.name for p in tmp_path.iterdir()] == ["sound.wav"]


def test_interrupted_film_leaves_no_part(tmp_path: Path) -> None:
    sound = write_wav(tmp_path / "sound.wav", speech(4.0))

    def report(fraction: float, phrase: str) -> None:
        if fraction > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_movie(FakeAvatar(), FakeEngine(), sound, tmp_path / "film.mp4", report)
    assert [p.name for p in tmp_path.iterdir()] == ["sound.wav"]
