"""The portrait engine: a photo or a drawn character that speaks, on plain CPUs.

Preparation: photo -> source -> geometry -> face -> the idle loop, rendered once into ``idle.i420``. A visit: sound ->
mouth rows (`voice`) -> poses (`take`) -> pictures (`renderer`), each beat drawn when the next chunk has come.
"""

from __future__ import annotations

import hashlib
import json
import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engine import Avatar, Finding, Options, Prepared, Progress, Take
from studio.engines.imagefile import read_bytes
from studio.engines.portrait import character, renderer, rig
from studio.engines.portrait.bases import build_geometry
from studio.engines.portrait.life import idle_poses
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.photo import portrait_source
from studio.engines.portrait.renderer import Face, Renderer
from studio.engines.portrait.rig import SIZE
from studio.engines.portrait.screen import ScreenMouth, screen_geometry
from studio.engines.portrait.take import PortraitTake
from studio.errors import AvatarNotReady, BadMessage, ConfigError
from studio.spec import AvatarSpec, LimitsSpec

VERSION = 2
"""Of the preparation, besides those of the rig and the face: rises when prepared avatars must be made anew."""
IDLE_FILE = "idle.i420"
PICTURE_BYTES = SIZE * SIZE * 3 // 2
EXPRESSIVENESS = (0.6, 1.6)
"""Legal range of the one option."""

Picture = NDArray[np.uint8]


class PortraitAvatar:
    """A prepared portrait; immutable, shared by all visits.

    The idle pictures (98 MB) stay on disk, in the system's page cache: the file is closed when the avatar is forgotten.

    Raises:
        AvatarNotReady: The prepared folder is damaged.
    """

    width = SIZE
    height = SIZE
    restless = False

    def __init__(self, spec: AvatarSpec, folder: Path) -> None:
        self.face = Face.load(folder)
        self.poses = idle_poses(loop_seed(spec))
        self.expressiveness = expressiveness(spec.options)
        self.idle_length = len(self.poses)
        self.memory_bytes = _unpacked_bytes(folder)
        try:
            self._file = os.open(folder / IDLE_FILE, os.O_RDONLY)
        except OSError as error:
            raise _damaged(str(error)) from error
        weakref.finalize(self, os.close, self._file)
        if os.fstat(self._file).st_size != self.idle_length * PICTURE_BYTES:
            raise _damaged(f"{folder / IDLE_FILE} has the wrong size")

    def idle(self, phase: int) -> Picture:
        """Return the idle picture at ``phase`` modulo the loop: (768, 512) I420, read-only."""
        stored = os.pread(self._file, PICTURE_BYTES, phase % self.idle_length * PICTURE_BYTES)
        return np.frombuffer(stored, np.uint8).reshape(SIZE * 3 // 2, SIZE)


class PortraitEngine:
    """See the module; synchronous, one lane for each core: the kernels release the GIL."""

    name = "portrait"
    lookahead = 1
    max_batch = 4

    def __init__(self, limits: LimitsSpec | None = None) -> None:
        self._limits = limits or LimitsSpec()
        self.lanes = os.cpu_count() or 1

    def fingerprint(self, spec: AvatarSpec) -> str:
        """Hash of the source's bytes, the options and the versions.

        Raises:
            BadPortrait: The source cannot be read.
            ConfigError: An option this engine does not have, or out of range.
        """
        expressiveness(spec.options)
        head = [self.name, VERSION, rig.VERSION, renderer.VERSION, spec.id, dict(spec.options)]
        digest = hashlib.sha256(json.dumps(head, sort_keys=True).encode())
        for path in _files(spec.source):
            digest.update(path.name.encode() + b"\0" + read_bytes(path, self._limits.picture_bytes))
        return digest.hexdigest()[:16]

    def prepare(self, spec: AvatarSpec, folder: Path, report: Progress) -> Sequence[Finding]:
        """Write the rig, the face and the idle loop into ``folder``.

        Raises:
            BadPortrait: The source cannot become an avatar; the sentence says why.
        """
        face, findings = _face(spec, report, self._limits)
        face.save(folder)
        _write_idle(Face.load(folder), idle_poses(loop_seed(spec)), folder / IDLE_FILE, _part(report, 0.5, 1.0))
        return findings

    def load(self, prepared: Prepared) -> PortraitAvatar:
        """Read a prepared avatar and draw it once, which compiles what is not compiled yet.

        Raises:
            AvatarNotReady: The prepared folder is damaged.
        """
        avatar = PortraitAvatar(prepared.spec, prepared.folder)
        Renderer(avatar.face).render(avatar.poses[0])
        return avatar

    def admit(self, avatar: Avatar, options: Options) -> int:
        """Return 1.

        Raises:
            BadMessage: An option out of range, or unknown.
        """
        try:
            expressiveness(options.values)
        except ConfigError as error:
            raise BadMessage(error.message) from error
        return self.lookahead

    def begin(self, avatar: Avatar, options: Options) -> PortraitTake:
        """Start a visit."""
        assert isinstance(avatar, PortraitAvatar)
        chosen = expressiveness({"expressiveness": avatar.expressiveness, **options.values})
        return PortraitTake(avatar, LearnedVoice(), Renderer(avatar.face), options.seed, chosen)

    def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
        """Give each take its chunk; each returns the beat of the chunk before."""
        beats = []
        for take, chunk in batch:
            assert isinstance(take, PortraitTake)
            beats.append(take.hear(chunk))
        return beats

    def close(self) -> None:
        """Nothing is held: an avatar's file goes with the avatar."""


def loop_seed(spec: AvatarSpec) -> int:
    """Return the seed of an avatar's idle loop: no two avatars of a gallery blink together."""
    return int.from_bytes(hashlib.sha256(spec.id.encode()).digest()[:4], "big")


def expressiveness(options: Mapping[str, object]) -> float:
    """Return the option ``expressiveness``, 1.0 if not given.

    Raises:
        ConfigError: It is no number of `EXPRESSIVENESS`, or there are other options.
    """
    low, high = EXPRESSIVENESS
    value = options.get("expressiveness", 1.0)
    is_alone = set(options) <= {"expressiveness"}
    if is_alone and isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high:
        return float(value)
    raise ConfigError(f"A portrait has one option: expressiveness, a number from {low} to {high}.")


def _files(source: Path) -> list[Path]:
    """Return what a source consists of, in order: the photo and what lies beside it, or a character's folder."""
    if source.is_dir():
        return character.files(source)
    beside = source.with_name(f"{source.stem}.landmarks.npz")
    return [source, beside] if beside.exists() else [source]


def _face(spec: AvatarSpec, report: Progress, limits: LimitsSpec) -> tuple[Face, Sequence[Finding]]:
    report(0.0, "reading the picture")
    if spec.source.is_dir():
        return _drawn_face(character.load_character(spec.source), _part(report, 0.1, 0.5)), []
    source, findings = portrait_source(spec.source, limits.picture_pixels, limits.picture_bytes)
    geometry = build_geometry(source, _part(report, 0.1, 0.3))
    return Face.prepare(source, geometry, _part(report, 0.3, 0.5)), findings


def _drawn_face(drawn: character.Character, report: Progress) -> Face:
    if isinstance(drawn.mouth, ScreenMouth):
        left, right = drawn.eyes
        geometry = screen_geometry((left.box, right.box), drawn.mouth.box, drawn.source.person)
        return Face.screen(drawn.source, geometry, drawn.eyes, drawn.mouth)
    return Face.drawn(drawn.source, build_geometry(drawn.source, report), drawn.eyes, drawn.mouth)


def _write_idle(face: Face, poses: NDArray[np.float32], path: Path, report: Progress) -> None:
    """Render the loop, entered from its own end so that its first picture is as warm as the others."""
    painter = Renderer(face)
    painter.render(poses[-1])
    with path.open("wb") as file:
        for i, pose in enumerate(poses):
            if i % 25 == 0:
                report(i / len(poses), "drawing the idle loop")
            file.write(painter.render(pose).tobytes())
    report(1.0, "ready")


def _part(report: Progress, start: float, end: float) -> Progress:
    """Return a progress that maps 0..1 into ``start`` .. ``end`` of ``report``."""
    return lambda done, doing: report(start + (end - start) * done, doing)


def _unpacked_bytes(folder: Path) -> int:
    """Return what the arrays of a prepared folder, which were read before, take in memory."""
    total = 0
    for path in folder.glob("*.npz"):
        with ZipFile(path) as arrays:
            total += sum(entry.file_size for entry in arrays.infolist())
    return total


def _damaged(detail: str) -> AvatarNotReady:
    return AvatarNotReady("This avatar's prepared files are damaged or old. Prepare it again.", detail)
