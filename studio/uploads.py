"""Files that requests name: what visitors sent, under random names, and what lies below the media roots.

A name that nobody was given leads to nothing, and with the same words as a file that does not exist. Everything blocks
(disks, decoders): the callers bring threads. Knows nothing of HTTP.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from studio.beat import SAMPLE_RATE, SAMPLES_PER_BEAT
from studio.engines.imagefile import decode, read_bytes
from studio.errors import BadAudio, BadMessage, BadPortrait, RateLimited, StudioError, StudioFull, TooLarge
from studio.footage import HEAD_BYTES, container_of, read_footage
from studio.recording import CONTAINERS, measure, trusted_container
from studio.spec import LimitsSpec

PICTURES = {".png": b"\x89PNG", ".jpg": b"\xff\xd8\xff", ".jpeg": b"\xff\xd8\xff", ".webp": b"RIFF"}
"""Name's ending -> the first bytes that go with it."""
FILMS = {".mp4": "mp4", ".mov": "mp4", ".webm": "matroska", ".mkv": "matroska", ".avi": "avi"}
"""Name's ending -> the container that goes with it."""
SHARE = 4
"""One visitor's files may fill the so manieth part of the store."""
PREFIX = "uploads/"
"""What the paths of uploaded files begin with."""
MAX_PATH = 1024
"""Characters of a path in a request."""
_NAME = re.compile(r"[A-Za-z0-9_-]{24}\.[a-z0-9]{3,4}")
SWEEP_SECONDS = 10.0
"""Between two looks for files that nobody needs any more."""


class FileNotFound(StudioError):
    """No file of that name may be had; the same words whether it exists or not."""

    code = "file_not_found"
    status = 404
    default = "There is no such file. Upload it first, or use one that the studio has."


@dataclass(frozen=True, slots=True)
class Sound:
    """A recording that may be spoken."""

    path: Path
    container: str
    """For `recording.read_file`."""
    beats: int
    """Pictures that it takes, its last one perhaps not full."""
    seconds: float


class Store:
    """The uploads' folder and the media roots; any thread.

    Args:
        folder: Of the uploads; made if it is not there.
        roots: Folders whose files may be named.
        limits: The configuration's.
        clock: Seconds since 1970, as files have them.
    """

    def __init__(
        self, folder: Path, roots: Sequence[Path], limits: LimitsSpec, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._limits, self._clock = folder.resolve(), limits, clock
        self._roots = tuple(root.resolve() for root in roots)
        self._measured: dict[tuple[Path, int, int], int] = {}
        self._lock = threading.Lock()
        self._swept = -SWEEP_SECONDS
        self._owners: dict[str, str] = {}

    def draft(self, owner: str = "", most: int = 0) -> Path:
        """Return a new empty file to write an upload into; `keep` or ``unlink`` it.

        Args:
            owner: Whose it is: a name for one visitor; empty: nobody's, whom no share bounds.
            most: Bytes that may come; 0: as many as a sound may have.

        Raises:
            StudioFull: The store is full, even after what is too old was removed.
            RateLimited: The owner has filled a share of it.
        """
        with self._lock:
            self._folder.mkdir(parents=True, exist_ok=True)
            sizes = self._sweep()
            if sum(sizes.values()) + (most or self._limits.sound_bytes) > self._limits.upload_bytes:
                raise StudioFull("The studio's store for uploads is full. Please try again in some minutes.")
            self._owners = {name: whose for name, whose in self._owners.items() if name in sizes}
            own = sum(size for name, size in sizes.items() if owner and self._owners.get(name) == owner)
            if own >= self._limits.upload_bytes // SHARE:
                raise RateLimited("You have sent as much as one visitor may. Please try again later.")
            path = self._folder / f".{secrets.token_urlsafe(18)}"
            path.touch(0o600)
            self._owners[path.name] = owner
            return path

    def keep_sound(self, draft: Path, name: str) -> str:
        """Check a recording and return the path to name it by; on failure the draft is gone.

        Raises:
            BadAudio: It is none, or has another name than content.
            TooLarge: It is too long.
        """
        samples: list[int] = []

        def check(draft: Path) -> None:
            samples.append(measure(draft, trusted_container(draft), self._limits.sound_seconds))

        path = self._keep(draft, name, tuple(CONTAINERS), "sound", BadAudio, check)
        self._remember(self._folder / path.removeprefix(PREFIX), samples[0])
        return path

    def keep_portrait(self, draft: Path, name: str) -> str:
        """Check a picture and return the path to name it by; on failure the draft is gone.

        Raises:
            BadPortrait: It is none, or has another name than content, or too many pixels.
        """
        return self._keep(draft, name, tuple(PICTURES), "picture", BadPortrait, self._check_portrait)

    def keep_film(self, draft: Path, name: str) -> str:
        """Check a video and return the path to name it by; on failure the draft is gone.

        Raises:
            BadPortrait: It is none, or has another name than content, or too large pictures.
        """
        return self._keep(draft, name, tuple(FILMS), "video", BadPortrait, self._check_film)

    def sound(self, path: str) -> Sound:
        """Return the recording that a request names.

        Raises:
            BadMessage: The name's ending is no sound's.
            FileNotFound: Nobody was given that name, and it is no file of the media roots.
            BadAudio: It cannot be read.
            TooLarge: It is too long.
        """
        found = self._find(path, tuple(CONTAINERS), "sound")
        container = trusted_container(found)
        samples = self._measured.get(self._version(found))
        if samples is None:
            samples = measure(found, container, self._limits.sound_seconds)
            self._remember(found, samples)
        return Sound(found, container, -(-samples // SAMPLES_PER_BEAT), samples / SAMPLE_RATE)

    def portrait(self, path: str) -> Path:
        """Return the picture that a request names.

        Raises:
            BadMessage: The name's ending is no picture's.
            FileNotFound: Nobody was given that name, and it is no file of the media roots.
        """
        return self._find(path, tuple(PICTURES), "picture")

    def film(self, path: str) -> Path:
        """Return the video that a request names.

        Raises:
            BadMessage: The name's ending is no video's.
            FileNotFound: Nobody was given that name, and it is no file of the media roots.
        """
        return self._find(path, tuple(FILMS), "video")

    def _find(self, path: str, endings: Sequence[str], kind: str) -> Path:
        if not path or len(path) > MAX_PATH or "\0" in path:
            raise FileNotFound
        check_ending(path, endings, kind)
        with self._lock:
            self._sweep()
            if path.startswith(PREFIX):
                return self._uploaded(path.removeprefix(PREFIX))
        for root in self._roots:
            for place in (root, root.parent):
                try:
                    found = (place / path).resolve()
                    if found.is_relative_to(root) and found.is_file():
                        return found
                except (OSError, RuntimeError, ValueError):  # too long for the disk, a loop of links, no characters
                    continue
        raise FileNotFound

    def _uploaded(self, name: str) -> Path:
        """Return an upload, which is young again."""
        path = self._folder / name
        if not _NAME.fullmatch(name) or path.is_symlink() or not path.is_file():
            raise FileNotFound
        os.utime(path, (self._clock(), self._clock()))
        return path

    def _is_ours(self, path: Path) -> bool:
        return path.parent == self._folder

    def _keep(
        self, draft: Path, name: str, endings: Sequence[str], kind: str, error: type[StudioError],
        check: Callable[[Path], None],
    ) -> str:  # fmt: skip
        try:
            check_ending(name, endings, kind)
            if not draft.stat().st_size:
                raise error(f"The {kind} is empty.")
            final = self._folder / (secrets.token_urlsafe(18) + ending_of(name))
            renamed = draft.with_name(draft.name + final.suffix)
            self._rename(draft, renamed)
            draft = renamed
            check(draft)
            os.utime(draft, (self._clock(), self._clock()))
            self._rename(draft, final)
            return PREFIX + final.name
        finally:
            draft.unlink(missing_ok=True)

    def _rename(self, path: Path, to: Path) -> None:
        with self._lock:
            path.rename(to)
            self._owners[to.name] = self._owners.pop(path.name, "")

    def _version(self, sound: Path) -> tuple[Path, int, int]:
        """Tell a sound from what else may be found under its name later; an upload's name is for it alone."""
        state = sound.stat()
        return sound, 0 if self._is_ours(sound) else state.st_mtime_ns, state.st_size

    def _remember(self, sound: Path, samples: int) -> None:
        if len(self._measured) > 1000:
            self._measured.clear()
        self._measured[self._version(sound)] = samples

    def _check_portrait(self, path: Path) -> None:
        data = read_bytes(path, self._limits.picture_bytes)
        if not data.startswith(PICTURES[path.suffix]):
            raise BadPortrait(f"This file is called {path.suffix} but holds something else. Save it anew.")
        decode(data, "The picture", self._limits.picture_pixels)

    def _check_film(self, path: Path) -> None:
        with path.open("rb") as file:
            if container_of(file.read(HEAD_BYTES)) != FILMS[path.suffix]:
                raise BadPortrait(f"This file is called {path.suffix} but holds something else. Save it anew.")
        with contextlib.closing(read_footage(path, self._limits.picture_pixels)) as pictures:
            next(pictures)

    def _sweep(self) -> dict[str, int]:
        """Remove what is too old, not at every call; return the bytes of what stays, by name."""
        sizes, now = dict[str, int](), self._clock()
        is_due = now - self._swept >= SWEEP_SECONDS
        for entry in os.scandir(self._folder) if self._folder.is_dir() else ():
            state = entry.stat(follow_symlinks=False)
            if is_due and now - state.st_mtime > self._limits.upload_seconds:
                Path(entry.path).unlink(missing_ok=True)
            else:
                sizes[entry.name] = state.st_size
        if is_due:
            self._swept = now
        return sizes


def ending_of(name: str) -> str:
    """Return a name's ending in lower case, with its dot; empty if it has none."""
    _, dot, ending = name.rpartition(".")
    return (dot + ending).lower()


def check_ending(name: str, endings: Sequence[str], kind: str) -> None:
    """Look at a name's ending.

    Raises:
        BadMessage: It is none of ``endings``.
    """
    if ending_of(name) not in endings:
        raise BadMessage(f"The {kind} must be a file ending in {', '.join(endings)}.")


def check_size(count: int, limit: int) -> None:
    """Look at the bytes that have come so far.

    Raises:
        TooLarge: They are more than ``limit``.
    """
    if count > limit:
        raise TooLarge(f"The file is larger than {limit / 1e6:.3g} MB.")
