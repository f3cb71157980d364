"""Cuts a portrait out of a photo: where the square lies, what is beyond the picture's edge, where the person is.

Works on landmarks that somebody else found; judges nothing, refuses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.anatomy import OVAL
from studio.engines.portrait.rig import SIZE

FACE_WIDTH = 0.40
"""Distance of the temples (landmarks 234, 454) as a share of the square (specification section 2)."""
TIGHTEST = 0.50
"""The same where the picture has no more room around the head."""
CENTRE = (0.5, 0.47)
"""Where the middle of the face lies in the square."""
SHIFT = 0.10
"""How far the square moves, as a share of its side, to stay inside the picture."""
CRISPNESS = 0.4
"""Unsharp masking of photos enlarged twofold or more; by eye on the astronaut, more shows her picture's grain."""
UPRIGHT = np.radians(20)
"""Roll from which the square turns with the face."""

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A square of a photo that becomes the portrait."""

    zoom: float
    """Portrait pixels per photo pixel."""
    angle: float
    """Radians by which the photo is turned back (0 below `UPRIGHT`)."""
    origin: Float
    """(2,) photo pixel at the portrait's pixel (0, 0)."""

    def map(self, landmarks: Float) -> Float:
        """Return photo landmarks (n, 3) in portrait pixels."""
        flat = (landmarks[:, :2] - self.origin) @ self._turn * self.zoom
        return np.hstack([flat, landmarks[:, 2:] * self.zoom]).astype(np.float32)

    def unmap(self, landmarks: Float) -> Float:
        """Return portrait landmarks (n, 3) in photo pixels: the inverse of `map`."""
        flat = landmarks[:, :2] / self.zoom @ self._turn.T + self.origin
        return np.hstack([flat, landmarks[:, 2:] / self.zoom]).astype(np.float32)

    @property
    def _turn(self) -> Float:
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        return np.array([[cos, -sin], [sin, cos]], np.float32)

    def cut(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
        """Return the portrait (512, 512, 3) and the share of it that had to be invented beyond the photo's edge."""
        shrunk, matrix = self._shrunk(rgb)
        flags = cv2.INTER_LANCZOS4 | cv2.WARP_INVERSE_MAP
        square = (SIZE, SIZE)
        portrait = cv2.warpAffine(shrunk, matrix, square, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        inside = cv2.warpAffine(
            np.ones(shrunk.shape[:2], np.uint8), matrix, square, flags=cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        )
        portrait = sharpen(np.asarray(portrait, np.uint8), float(np.clip(self.zoom - 1, 0, 1)))
        return soften(portrait, inside.astype(bool)), float(1 - inside.mean())

    def _shrunk(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Return the photo area-filtered to the portrait's scale if larger, and the matrix from portrait to it."""
        height, width = rgb.shape[:2]
        factor = min(1.0, self.zoom)
        size = (max(1, round(width * factor)), max(1, round(height * factor)))
        if factor < 1:
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = np.array([size[0] / width, size[1] / height])
        origin = (self.origin + 0.5) * scale - 0.5
        return rgb, np.hstack([self._turn / self.zoom * scale[:, None], origin[:, None]])


def frame(landmarks: Float, width: int, height: int) -> Frame:
    """Place the square around a face.

    Args:
        landmarks: (478, 3) photo pixels.
        width: Of the photo, pixels.
        height: Of the photo, pixels.
    """
    eyes = landmarks[263] - landmarks[33]
    roll = float(np.arctan2(eyes[1], eyes[0]))
    angle = roll if abs(roll) > UPRIGHT else 0.0
    face = float(np.linalg.norm(landmarks[454] - landmarks[234]))
    side = face / FACE_WIDTH
    if not angle:
        side = float(np.clip(min(width, height), face / TIGHTEST, side))
    across, along = landmarks[[234, 454], :2].mean(0), landmarks[[10, 152], :2].mean(0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    # Across the face the temples say where its middle is, along it hairline and chin.
    middle = turn @ np.array([(across @ turn)[0], (along @ turn)[1]])
    corner = middle - turn @ (np.array(CENTRE) * side)
    if not angle:
        corner = np.array([inwards(corner[0], side, width), inwards(corner[1], side, height)])
    # From the square's corner to the centre of its first pixel, both as pixel coordinates of the photo.
    return Frame(SIZE / side, angle, (corner + turn @ np.full(2, 0.5 * side / SIZE)).astype(np.float32))


def inwards(start: float, side: float, length: int) -> float:
    """Return ``start`` of a span ``side`` moved towards lying on 0..``length``, by at most `SHIFT` of the span."""
    low, high = (-0.5, length - 0.5 - side)
    wanted = (low + high) / 2 if high < low else min(max(start, low), high)
    return start + float(np.clip(wanted - start, -SHIFT * side, SHIFT * side))


def sharpen(rgb: NDArray[np.uint8], amount: float) -> NDArray[np.uint8]:
    """Give an enlarged photo back some of its edge: ``amount`` 0..1 of `CRISPNESS`, unsharp masking."""
    if amount <= 0:
        return rgb
    sharp = rgb.astype(np.float32)
    sharp += CRISPNESS * amount * (sharp - cv2.GaussianBlur(sharp, (0, 0), 1.4))
    return np.rint(np.clip(sharp, 0, 255)).astype(np.uint8)


def soften(rgb: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Blur what the edge's repetition invented, the more the farther out, so that no streaks remain."""
    if inside.all():
        return rgb
    far = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5)[:, :, None]
    result = rgb.astype(np.float32)
    for sigma, reach in ((4, 6), (12, 24), (30, 70)):
        blurred = cv2.GaussianBlur(result, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        result += (blurred - result) * np.clip(far / reach, 0, 1)
    return np.rint(np.clip(result, 0, 255)).astype(np.uint8)


def person_mask(rgb: NDArray[np.uint8], landmarks: Float) -> Float:
    """Tell the person from the background.

    Args:
        rgb: (512, 512, 3) the portrait.
        landmarks: (478, 3) in its pixels.

    Returns:
        (512, 512) float32 0..1, 1 on the person, soft over about 8 px.

    Method: GrabCut (Rother et al. 2004) at half size, seeded by where head, neck and shoulders must be.
    """
    half = SIZE // 2
    small = cv2.resize(rgb, (half, half), interpolation=cv2.INTER_AREA)
    seeds = _seeds(landmarks[:, :2] / 2, half)
    background, person = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)  # the mixture models start at random; the same photo must give the same mask
    cv2.grabCut(small, seeds, (0, 0, half, half), background, person, 5, cv2.GC_INIT_WITH_MASK)
    mask = _around(np.isin(seeds, (cv2.GC_FGD, cv2.GC_PR_FGD)), landmarks[OVAL, :2].mean(0) / 2)
    large = cv2.resize(mask.astype(np.float32), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
    return np.clip(cv2.GaussianBlur(large, (0, 0), 3), 0, 1).astype(np.float32)


def _seeds(points: NDArray[np.floating], side: int) -> NDArray[np.uint8]:
    """Return GrabCut's first guess (side, side): the face is certain, head and shoulders likely, the corners not."""
    top, chin = points[10], points[152]
    down = float(chin[1] - top[1])
    wide = float(np.linalg.norm(points[454] - points[234]))
    x = float(points[[234, 454], 0].mean())
    seeds = np.full((side, side), cv2.GC_PR_BGD, np.uint8)
    head = ((x, float(top[1] + 0.38 * down)), (1.5 * wide, 1.75 * down), 0.0)
    cv2.ellipse(seeds, head, cv2.GC_PR_FGD, -1)
    base = chin[1] + 0.35 * down
    torso = [(x - 0.35 * wide, chin[1]), (x + 0.35 * wide, chin[1]), (x + 0.5 * wide, base), (x + 1.1 * wide, side)]
    torso += [(x - 1.1 * wide, side), (x - 0.5 * wide, base)]
    cv2.fillPoly(seeds, [np.rint(torso).astype(np.int32)], cv2.GC_PR_FGD)
    # Above the shoulders and more than a face's width off the middle, and over the hair, there is no person.
    shoulder = int(np.clip(chin[1] + 0.1 * down, 0, side))
    left, right, over = (int(np.clip(v, 0, side)) for v in (x - 1.05 * wide, x + 1.05 * wide, top[1] - 0.62 * down))
    seeds[:shoulder, :left] = seeds[:shoulder, right:] = seeds[:over] = cv2.GC_BGD
    core = np.rint(points[OVAL]).astype(np.int32)
    cv2.fillPoly(seeds, [core], cv2.GC_FGD)
    chest = [(x - 0.4 * wide, chin[1] + 0.6 * down), (x + 0.4 * wide, chin[1] + 0.6 * down)]
    chest += [(x + 0.6 * wide, side), (x - 0.6 * wide, side)]
    cv2.fillPoly(seeds, [np.rint(chest).astype(np.int32)], cv2.GC_FGD)
    neck = [(x - 0.22 * wide, chin[1] - 0.1 * down), (x + 0.22 * wide, chin[1] - 0.1 * down)]
    neck += [(x + 0.3 * wide, side), (x - 0.3 * wide, side)]
    cv2.fillPoly(seeds, [np.rint(neck).astype(np.int32)], cv2.GC_FGD)
    return seeds


def _around(mask: NDArray[np.bool_], inside: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Return the one piece of ``mask`` that holds the point ``inside`` (x, y), smoothed, its holes filled."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc)
    _, labels = cv2.connectedComponents(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc))
    x, y = np.clip(np.rint(inside).astype(int), 0, mask.shape[0] - 1)
    piece = labels == labels[y, x]
    _, outside = cv2.connectedComponents(np.pad(~piece, 1, constant_values=True).astype(np.uint8))
    hole = ~piece & (outside[1:-1, 1:-1] != outside[0, 0])
    return np.asarray(piece | hole, np.bool_)
