"""One step of several takes of one checkpoint: what they have to hear, to move and to draw, network by network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from studio.beat import AudioChunk, Beat
from studio.engines.blanks import Blanks
from studio.engines.ditto.crew import Crew, Sampling, checked
from studio.engines.ditto.motion import Request
from studio.engines.ditto.take import Shot
from studio.engines.ditto.types import Floats
from studio.engines.runtime import Array, is_finite

Picture = NDArray[np.uint8]
FRAMES = 5
"""Frames of features for each window of sound."""


class Player(Sampling, Protocol):
    """A take without its pictures: `take.Conductor` or `film.Film`."""

    @property
    def void(self) -> list[AudioChunk]:
        """Chunks whose beats nobody will see."""

    @property
    def is_starved(self) -> bool:
        """A beat is due and has no motion."""

    @property
    def blanks(self) -> Blanks:
        """Counts pictures that the decoder failed to make."""

    def hear(self, chunk: AudioChunk) -> list[Floats]:
        """Return the windows of sound (6480,) to hear now."""

    def learn(self, features: Floats) -> None:
        """Take the features (5, 1024) of the first of them."""

    def request(self) -> Request | None:
        """Return what the next window of motion needs."""

    def accept(self, window: Floats) -> None:
        """Take it, sampled."""

    def shot(self) -> Shot | None:
        """Return the beat that can be drawn."""

    def commit(self, points: Floats | None) -> None:
        """Note how it left."""


class Painter(Protocol):
    """What puts a drawn face into an avatar's frame."""

    def picture(self, template: int, face: Floats) -> Picture:
        """Return (H * 3 // 2, W) I420 for a face (3, 512, 512) 0..1."""


class Scene(Protocol):
    """What drawing must know of an avatar."""

    @property
    def features(self) -> Sequence[Array]:
        """(1, 32, 16, 64, 64) for each template frame, on the device."""

    @property
    def keypoints(self) -> Floats:
        """(n, 21, 3) of the template's frames."""

    @property
    def painter(self) -> Painter:
        """Of its frames."""

    def idle(self, phase: int) -> Picture:
        """Return an idle picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One take's part in a step."""

    scene: Scene
    player: Player
    chunk: AudioChunk


def perform(crew: Crew, parts: Sequence[Part]) -> list[list[Beat]]:
    """Advance each take by its chunk; return the beats of each.

    Until everything is drawn no take moves on, so that a step that failed can be tried again with each take alone.

    Raises:
        EngineFault: A network failed, or its answer is not a number.
    """
    _hear(crew, parts)
    _move(crew, [part.player for part in parts])
    shots = [part.player.shot() for part in parts]
    points = _points(crew, parts, shots)
    pictures = _pictures(crew, parts, shots, points)
    return [_beats(*one) for one in zip(parts, shots, points, pictures, strict=True)]


def _hear(crew: Crew, parts: Sequence[Part]) -> None:
    """Let every take hear its chunk, and the speech network all windows that are complete."""
    windows = [(part.player, window) for part in parts for window in part.player.hear(part.chunk)]
    if windows:
        features = crew.hearing.features(np.stack([window for _, window in windows]))
        for i, (player, _) in enumerate(windows):
            player.learn(features[i * FRAMES : (i + 1) * FRAMES])


def _move(crew: Crew, players: Sequence[Player]) -> None:
    """Sample the windows of motion that are of use now, and further ones only for a beat that waits for them."""
    asking = list(players)
    while asked := [(player, request) for player in asking if (request := player.request()) is not None]:
        windows = crew.sampled(asked)
        for (player, _), window in zip(asked, windows, strict=True):
            if is_finite(window):  # the good ones go on: their noise is drawn, and a second try would draw other noise
                player.accept(window)
        for window in windows:
            checked(window, "lmdm")
        asking = [player for player, _ in asked if player.is_starved]


def _points(crew: Crew, parts: Sequence[Part], shots: Sequence[Shot | None]) -> list[Floats | None]:
    """Return the keypoints (21, 3) of every shot that is drawn."""
    spoken = {
        i: shot.spoken
        for i, (part, shot) in enumerate(zip(parts, shots, strict=True))
        if shot is not None and shot.spoken is not None and part.player.setup.flag_stitching
    }
    stitched: dict[int, Floats] = {}
    if spoken:
        answers = crew.stitched([source for source, _ in spoken.values()], [driven for _, driven in spoken.values()])
        stitched = dict(zip(spoken, answers, strict=True))
    points: list[Floats | None] = []
    for i, shot in enumerate(shots):
        if shot is None or not shot.weight:
            points.append(None)
        else:
            points.append(shot.points(stitched.get(i, shot.spoken[1] if shot.spoken else None)))
    return points


def _pictures(
    crew: Crew, parts: Sequence[Part], shots: Sequence[Shot | None], points: Sequence[Floats | None]
) -> list[Picture | None]:
    """Return the picture of every shot; those without keypoints are the idle loop's."""
    drawn = [
        (part.scene.features[shot.template], part.scene.keypoints[shot.template], x_d)
        for part, shot, x_d in zip(parts, shots, points, strict=True)
        if shot is not None and x_d is not None
    ]
    faces = iter(crew.drawn(drawn) if drawn else ())
    return [
        None if shot is None else _picture(part, shot, None if x_d is None else next(faces))
        for part, shot, x_d in zip(parts, shots, points, strict=True)
    ]


def _picture(part: Part, shot: Shot, face: Floats | None) -> Picture:
    """Return the picture of a shot: the idle loop's where no face is wanted, or none that could be shown was made."""
    if face is not None and part.player.blanks.takes(face):
        return part.scene.painter.picture(shot.template, face)
    return part.scene.idle(shot.chunk.phase)


def _beats(part: Part, shot: Shot | None, points: Floats | None, picture: Picture | None) -> list[Beat]:
    """Return the beats that leave: those that an interruption made void all show the same idle picture."""
    beats = []
    if part.player.void:
        idle = part.scene.idle(part.player.void[0].phase)
        beats = [_beat(chunk, idle) for chunk in part.player.void]
        part.player.void.clear()
    if shot is not None and picture is not None:
        part.player.commit(points)
        beats.append(_beat(shot.chunk, picture))
    return beats


def _beat(chunk: AudioChunk, picture: Picture) -> Beat:
    return Beat(chunk.index, picture, chunk.pcm, chunk.speech, chunk.phase)
