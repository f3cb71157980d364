"""What a face does during a sound, as curves: for whoever tunes an avatar (``render --debug-curves``).

The take runs as in a visit, but its painter only takes notes: no picture is drawn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.beat import BEAT_SECONDS, AudioChunk
from studio.engines.portrait.field import Shape, contours
from studio.engines.portrait.parameters import COUNT, INDEX
from studio.engines.portrait.renderer import Face
from studio.engines.portrait.rig import BASES, SIZE
from studio.engines.portrait.take import Portrait, PortraitTake
from studio.engines.portrait.voice import Voice

Float = NDArray[np.float32]
Byte = NDArray[np.uint8]
Line = tuple[str, NDArray[np.float32], float]
"""Name, values, and the value that reaches the panel's top."""

PANEL_HEIGHT, LABEL_WIDTH, PIXELS_PER_BEAT = 110, 110, 6
LONGEST_BEATS = 1500
"""A minute: what one picture shows."""
COLOURS = ((34, 106, 209), (214, 90, 36), (33, 145, 90), (150, 60, 170), (120, 120, 120))
PAPER, GRID, INK = (255, 255, 255), (228, 228, 232), (60, 60, 66)


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """n beats of a take."""

    pcm: NDArray[np.int16]
    """(n * 640,) what was heard."""
    poses: Float
    """(n, COUNT) what was to be drawn."""
    aperture_mm: Float
    """(n,) distance of the inner lips at the middle of the mouth, in the rig's millimetres."""


class _Notes:
    """A painter that writes poses down and returns a blank picture."""

    def __init__(self) -> None:
        self.poses: list[Float] = []
        self._blank = np.zeros((SIZE * 3 // 2, SIZE), np.uint8)

    def render(self, pose: Float) -> Byte:
        self.poses.append(pose.copy())
        return self._blank


def trace(
    avatar: Portrait, face: Face, voice: Voice, chunks: Iterable[AudioChunk], expressiveness: float = 1.0
) -> Trace:
    """Run a take over ``chunks``, at most a minute of them; the last chunk is heard but not shown.

    Args:
        avatar: Whose idle loop the speech is laid over.
        face: Its face, for the lips' geometry.
        voice: New.
        chunks: In order, from index 0.
        expressiveness: 0.6..1.6.
    """
    notes = _Notes()
    take = PortraitTake(avatar, voice, notes, seed=0, expressiveness=expressiveness)
    poses, heard = [], []
    for chunk in chunks:
        drawn = len(notes.poses)
        for beat in take.hear(chunk):
            poses.append(notes.poses[-1] if len(notes.poses) > drawn else avatar.poses[beat.phase % len(avatar.poses)])
            heard.append(beat.pcm)
        if len(poses) >= LONGEST_BEATS:
            break
    rows = np.array(poses, np.float32).reshape(-1, COUNT)
    pcm = np.concatenate(heard) if heard else np.zeros(0, np.int16)
    return Trace(pcm, rows, aperture(face.shape, rows, face.geometry.scale))


def aperture(shape: Shape, poses: Float, scale: float) -> Float:
    """Return (n,) the distance of the inner lip contours at their middle, mm; ``scale`` is pixels per mm."""
    gaps = []
    for pose in poses:
        upper, lower = contours(shape, np.ascontiguousarray(pose[: len(BASES)], np.float32))
        middle = len(upper) // 2
        gaps.append(float(np.linalg.norm(lower[middle] - upper[middle])) / scale)
    return np.array(gaps, np.float32)


def plot(traced: Trace, title: str) -> Byte:
    """Draw sound, mouth, closures, eyes and head one under the other: (h, w, 3) RGB, 6 pixels a beat."""
    poses = traced.poses

    def line(name: str, top: float, factor: float = 1.0) -> Line:
        return name, poses[:, INDEX[name]] * np.float32(factor), top

    degrees = float(np.degrees(1.0))
    panels: list[tuple[str, list[Line]]] = [
        ("opening", [("aperture / 15 mm", traced.aperture_mm, 15.0), line("jaw", 1.0)]),
        ("width", [line("wide", 1.0), line("pucker", 1.0)]),
        ("closures", [line("press", 1.0), line("ff", 1.0)]),
        ("eyes", [line("blink_left", 1.0), line("browup", 1.0), line("gx", 2.0)]),
        ("head / 5 deg", [line("yaw", 5.0, degrees), line("pitch", 5.0, degrees), line("roll", 5.0, degrees)]),
    ]
    drawn = [_sound(traced), *(_panel(name, lines, len(poses)) for name, lines in panels)]
    head = np.full((34, drawn[0].shape[1], 3), PAPER, np.uint8)
    _write(head, title, (8, 22), INK, 0.5)
    return np.concatenate([head, *drawn], axis=0)


def _sheet(name: str, beats: int) -> Byte:
    """Return an empty panel with a line for every second."""
    sheet = np.full((PANEL_HEIGHT, LABEL_WIDTH + beats * PIXELS_PER_BEAT + 8, 3), PAPER, np.uint8)
    for beat in range(0, beats + 1, round(1 / BEAT_SECONDS)):
        x = LABEL_WIDTH + beat * PIXELS_PER_BEAT
        cv2.line(sheet, (x, 4), (x, PANEL_HEIGHT - 4), GRID, 1)
        _write(sheet, f"{round(beat * BEAT_SECONDS)} s", (x + 2, PANEL_HEIGHT - 6), (170, 170, 176), 0.3)
    _write(sheet, name, (8, 18), INK, 0.42)
    return sheet


def _panel(name: str, lines: list[Line], beats: int) -> Byte:
    sheet = _sheet(name, beats)
    lowest = min((float((values / top).min()) for _, values, top in lines if len(values)), default=0.0)
    signed = lowest < -0.02
    base, reach = (PANEL_HEIGHT // 2, PANEL_HEIGHT // 2 - 8) if signed else (PANEL_HEIGHT - 8, PANEL_HEIGHT - 16)
    cv2.line(sheet, (LABEL_WIDTH, base), (sheet.shape[1] - 8, base), GRID, 1)
    for i, (label, values, top) in enumerate(lines):
        x = LABEL_WIDTH + (np.arange(len(values)) + 0.5) * PIXELS_PER_BEAT
        y = base - np.clip(values / top, -1.0, 1.0) * reach
        points = np.round(np.stack([x, y], 1) * 16).astype(np.int32)
        cv2.polylines(sheet, [points], False, COLOURS[i], 1, cv2.LINE_AA, 4)
        _write(sheet, label, (8, 38 + 15 * i), COLOURS[i], 0.36)
    return sheet


def _sound(traced: Trace) -> Byte:
    beats = len(traced.poses)
    sheet = _sheet("sound", beats)
    parts = _columns(traced.pcm, beats)
    loudest = max(1, int(np.abs(parts).max(initial=1)))
    middle = PANEL_HEIGHT // 2
    for i, part in enumerate(parts):
        low, high = (round(float(v) / loudest * (middle - 8)) for v in (part.min(), part.max()))
        cv2.line(sheet, (LABEL_WIDTH + i, middle - high), (LABEL_WIDTH + i, middle - low), COLOURS[-1], 1)
    return sheet


def _columns(pcm: NDArray[np.int16], beats: int) -> NDArray[np.int32]:
    """Return (beats * 6, 2) the lowest and highest sample of each column of pixels."""
    edges = np.linspace(0, len(pcm), beats * PIXELS_PER_BEAT + 1).astype(int)
    parts = (pcm[a:b].astype(np.int32) for a, b in itertools.pairwise(edges.tolist()))
    return np.array([(part.min(initial=0), part.max(initial=0)) for part in parts], np.int32).reshape(-1, 2)


def _write(sheet: Byte, text: str, at: tuple[int, int], colour: tuple[int, int, int], size: float) -> None:
    cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
