"""A recorded sound, in a file or as it arrives -> mono int16; told by its first bytes, decoded bit by bit, bounded.

Whoever runs the studio may read whatever FFmpeg reads. What strangers sent is read as the one container that its first
bytes name, by the decoders of `CODECS` alone: playlists, session descriptions and pictures, which could lead FFmpeg to
other files or into gigabytes, are never even probed. Knows nothing of time or pipelines.
"""

from __future__ import annotations

import mmap
import os
import re
import struct
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Protocol

import av
import numpy as np

from studio.audio import Pcm, Resampler
from studio.beat import SAMPLE_RATE
from studio.errors import BadAudio, TooLarge

MAX_SECONDS = 600.0
"""Of a recording, where nobody says otherwise."""
MAX_STREAMS = 8
"""In one container: sound, a cover picture, chapters."""
HEAD_BYTES = 12
"""What `container_of` wants to see."""
CONTAINERS: Mapping[str, str] = {".wav": "wav", ".mp3": "mp3", ".m4a": "mp4", ".flac": "flac", ".ogg": "ogg"}
"""Name's ending -> FFmpeg's demuxer: what a stranger's file may be."""
CODECS = (
    "aac", "alac", "flac", "mp3", "mp3float", "opus", "libopus", "vorbis", "libvorbis", "adpcm_ms", "adpcm_ima_wav",
    "pcm_alaw", "pcm_mulaw", "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le",
)  # fmt: skip
"""FFmpeg's decoders that a stranger's file may wake."""
MAX_PACKETS = 2_000_000
"""That an MP4's tables may promise: twelve hours of AAC. FFmpeg believes them, 36 bytes for each."""
_STRICT = {"codec_whitelist": ",".join(CODECS), "protocol_whitelist": "file"}
ALSA_CONFIGURATION = Path("/usr/share/alsa/alsa.conf")
"""Where Linux keeps it; PyAV's own ALSA would look where it was built."""
_AT_ONCE = {"analyzeduration": "0", "probesize": "2048", "fflags": "nobuffer"}
"""For bytes that arrive: FFmpeg would listen to five seconds before it says what they are."""


class Readable(Protocol):
    """Bytes that arrive one after the other."""

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes, waiting for some; none at the end."""


def container_of(head: bytes) -> str:
    """Return the demuxer that the first `HEAD_BYTES` of a sound name; ``matroska``, for browsers' recorders, too.

    Raises:
        BadAudio: None that the studio reads.

    Magic numbers: RIFF (IBM, Microsoft 1991), ISO/IEC 14496-12 4.3, RFC 9639 8.1, RFC 3533 6, RFC 8794 8, ISO/IEC
    11172-3 2.4.1.3 and ID3v2.
    """
    starts = {b"OggS": "ogg", b"fLaC": "flac", b"\x1a\x45\xdf\xa3": "matroska", b"ID3": "mp3"}
    if found := next((name for start, name in starts.items() if head.startswith(start)), None):
        return found
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return "wav"
    if head[4:8] == b"ftyp":
        return "mp4"
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:  # sync, layer III
        return "mp3"
    raise BadAudio("This file is no sound that the studio reads. Use WAV, MP3, M4A, FLAC or Ogg.")


def read_file(
    source: Path | Readable, max_seconds: float = MAX_SECONDS, rate: int = SAMPLE_RATE, container: str = ""
) -> Generator[Pcm, None, None]:
    """Yield the first audio stream as pieces of mono ``rate`` Hz, (n,) each.

    Args:
        source: A file, or bytes as they arrive.
        max_seconds: Longest sound.
        rate: Hertz.
        container: From `container_of`: nothing else is believed; empty: whatever FFmpeg makes of it, for files of
            people who own this machine.

    Raises:
        BadAudio: Not a sound file, or one without sound.
        TooLarge: It lasts longer than ``max_seconds``.
    """
    left, heard = max_seconds * rate, False
    for pcm in _pieces(source, rate, container):
        heard, left = heard or len(pcm) > 0, left - len(pcm)
        if left < 0:
            raise TooLarge(f"This sound is longer than {max_seconds:.0f} seconds.")
        yield pcm
    if not heard:
        raise BadAudio("This file has no sound.")


def read_stream(source: Readable) -> Generator[Pcm, None, None]:
    """Yield what a microphone sends, as pieces of mono 16 kHz, (n,) each, as soon as it can be decoded.

    Either a container, as browsers record it (WebM or Ogg, with Opus or PCM), or, where no container begins, raw
    float32 little-endian samples, 16 kHz mono.

    Raises:
        BadAudio: A container that cannot be read, or another one: as samples it would be loud noise.
    """
    head = b""
    while len(head) < HEAD_BYTES and (more := source.read(HEAD_BYTES - len(head))):
        head += more
    if head.startswith((b"OggS", b"\x1a\x45\xdf\xa3")):
        yield from read_file(_Rejoined(head, source), float("inf"), container=container_of(head))
        return
    if head[4:8] == b"ftyp" or head[:4] == b"RIFF":  # 3e29, and 13 thousand: no samples
        raise BadAudio("The microphone's sound comes as MP4 or WAV. Record WebM or Ogg, or send raw samples.")
    odd = head
    while data := source.read(1 << 16):
        joined = odd + data
        whole = len(joined) // 4 * 4
        odd = joined[whole:]
        wave = np.nan_to_num(np.frombuffer(joined[:whole], "<f4"), posinf=1, neginf=-1)
        yield np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16)


def read_device(name: str, rate: int = SAMPLE_RATE) -> Generator[Pcm, None, None]:
    """Yield what a microphone of this machine hears, as mono ``rate`` Hz, (n,) of 20 ms or more, until it is closed.

    Args:
        name: ALSA's: ``default``, ``plughw:1``.
        rate: Hertz.

    Raises:
        BadAudio: There is none of that name, somebody else has it, or it was pulled out.
    """
    if ALSA_CONFIGURATION.exists():
        os.environ.setdefault("ALSA_CONFIG_PATH", str(ALSA_CONFIGURATION))
    resampler, piece = Resampler(rate), np.zeros(0, np.int16)
    try:
        with av.open(name, "r", format="alsa", options={"channels": "1", "sample_rate": "48000"}) as device:
            for frame in device.decode(audio=0):  # as long as the device likes: a millisecond, or a quarter of a second
                piece = np.concatenate((piece, resampler.resample(frame)))
                if len(piece) >= rate // 50:
                    yield piece
                    piece = piece[:0]
    except (av.FFmpegError, OSError, ValueError) as error:
        what = "The studio's sound device cannot be heard. It may be unplugged, or used by another program."
        raise BadAudio(what, detail=type(error).__name__) from error


class _Rejoined:
    """A stream of which the beginning was read already."""

    def __init__(self, head: bytes, rest: Readable) -> None:
        self._head, self._rest = head, rest

    def read(self, count: int) -> bytes:
        part, self._head = self._head[:count], self._head[count:]
        return part or self._rest.read(count)


def _pieces(source: Path | Readable, rate: int, container: str) -> Generator[Pcm, None, None]:
    if container == "mp4" and isinstance(source, Path):
        _check_tables(source)
    resampler = Resampler(rate)
    name = source.name if isinstance(source, Path) else "a stream"
    what = str(source) if isinstance(source, Path) else source
    options = {**(_STRICT if container else {}), **({} if isinstance(source, Path) else _AT_ONCE)}
    try:
        with av.open(what, "r", format=container or None, options=options) as opened:
            if not opened.streams.audio:
                raise BadAudio("This file has no sound.")
            stream = opened.streams.audio[0]
            if container and (len(opened.streams) > MAX_STREAMS or stream.codec_context.name not in CODECS):
                raise BadAudio(detail=f"{len(opened.streams)} streams, {stream.codec_context.name}")
            for frame in opened.decode(stream):
                yield resampler.resample(frame)
            yield resampler.flush()
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadAudio(detail=f"{type(error).__name__} in {name}") from error


def _check_tables(path: Path) -> None:
    """Refuse an MP4 whose tables would unfold into gigabytes: a file of 30 kB can make FFmpeg reserve 2.8 GB.

    Raises:
        BadAudio: The tables promise more packets than any recording has, are compressed, or cannot be read.

    Layout: ISO/IEC 14496-12, 4.2 (boxes), 8.7.3 (sample sizes), 8.8.8 (track runs).
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if any(count > MAX_PACKETS for count in _promised(data)):
                raise BadAudio(detail=f"too many packets promised in {path.name}")
    except (OSError, ValueError, struct.error) as error:
        raise BadAudio(detail=f"{type(error).__name__} in {path.name}") from error


def _promised(data: mmap.mmap) -> Generator[int, None, None]:
    """Yield the number of packets that each table of an MP4 claims to have."""
    at = 0
    while at + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        size = struct.unpack_from(">Q", data, at + 8)[0] if size == 1 else size or len(data) - at
        if size < 8:
            raise ValueError("a box without a body")
        box = b"" if kind == b"mdat" else data[at : at + size]
        if b"cmov" in box:
            raise ValueError("compressed tables")
        for name, offset in ((b"stsz", 8), (b"stz2", 8), (b"trun", 4)):
            for part in re.finditer(name, box):
                yield struct.unpack_from(">I", box, part.end() + offset)[0]
        at += size


def file_seconds(path: Path) -> float:
    """Return the length that the container states, 0.0 where it states none.

    Raises:
        BadAudio: Not a sound file.
    """
    try:
        with av.open(str(path)) as container:
            return container.duration / av.time_base if container.duration else 0.0
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadAudio(detail=f"{type(error).__name__} in {path.name}") from error


def trusted_container(path: Path) -> str:
    """Return the demuxer for a file whose name and first bytes agree.

    Raises:
        BadAudio: It has another name than content, or is no sound at all.
    """
    try:
        with path.open("rb") as file:
            found = container_of(file.read(HEAD_BYTES))
    except OSError as error:
        raise BadAudio(detail=f"{type(error).__name__} in {path.name}") from error
    if CONTAINERS.get(path.suffix.lower()) != found:
        raise BadAudio(f"This file is called {path.suffix.lower()[:8]} but holds something else. Save it anew.")
    return found


def measure(path: Path, container: str, max_seconds: float = MAX_SECONDS) -> int:
    """Return the samples at 16 kHz that a recording has, decoded to its end.

    Raises:
        BadAudio: Not a sound file, or one without sound.
        TooLarge: It lasts longer than ``max_seconds``.
    """
    return int(np.sum([len(pcm) for pcm in read_file(path, max_seconds, container=container)]))
