"""Where the lips really meet: the mesh's inner lip rows, corrected by the picture.

The face mesh is trained on many faces and loose by some pixels around the lips, most at the corners of a smile. The cut
between the lips is what a viewer looks at, so it is measured again: parted lips by segmenting the mouth's inside by
colour, closed lips by following the dark line between them. Photos only; a drawing's landmarks are exact.

Methods: GrabCut, Rother et al. 2004; shortest paths by dynamic programming, as in seam carving, Avidan and Shamir 2007.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.portrait.anatomy import LOWER_LIP, PARTED, UPPER_LIP, measure

Float = NDArray[np.float32]
Double = NDArray[np.float64]
Picture = NDArray[np.uint8]

DOUBTFUL = 3.2
"""Up to this gap in mm the mesh may be wrong about parted lips, and the picture decides."""
ZOOM = 3
"""Pixels of the working crop per pixel of the picture."""
DEGREE = 5
"""Of the polynomial that a lip's edge may differ from the mesh by."""
FARTHEST = 0.16
"""How far a row may be moved, as a share of the mouth's half width: beyond, the picture has misled us."""


def refine(rgb: Picture, landmarks: Float) -> Float:
    """Return ``landmarks`` with the lip rows moved to where the picture shows the lips' edges.

    Args:
        rgb: (512, 512, 3) RGB.
        landmarks: (478, 3) px; left untouched.
    """
    crop = Crop(landmarks)
    view = crop.cut(rgb)
    lips = [[crop.inward(landmarks[row, :2]) for row in lip] for lip in (UPPER_LIP, LOWER_LIP)]
    gap = measure(landmarks).gap
    found = _parted(view, *lips) if gap > PARTED else None
    if found is None:
        if gap > DOUBTFUL:
            return landmarks
        found = _closed(view, *lips)
    moved = landmarks.copy()
    for lip, row in zip((UPPER_LIP, LOWER_LIP), found, strict=True):
        shift = crop.outward(row) - landmarks[lip[3], :2]
        # The lips' outer edges stay where the mesh saw them; the corners move as one.
        for indices, share in zip(lip, (0.0, 1 / 3, 2 / 3, 1.0), strict=True):
            moved[indices[1:-1], :2] = landmarks[indices[1:-1], :2] + share * shift[1:-1]
            moved[indices[[0, -1]], :2] = landmarks[indices[[0, -1]], :2] + shift[[0, -1]]
    return moved


class Crop:
    """A level, enlarged view of the mouth: its corners' line is horizontal.

    Args:
        landmarks: (478, 3) px.
    """

    def __init__(self, landmarks: Float) -> None:
        left, right = landmarks[[61, 291], :2].astype(np.float64)
        across = (right - left) / 2
        self.half = float(np.linalg.norm(across)) * ZOOM
        turn = np.stack([across, np.array([-across[1], across[0]])]) / np.linalg.norm(across)
        self.size = round(2.8 * self.half), round(1.8 * self.half)
        middle = (left + right) / 2
        self._forward = np.zeros((2, 3))
        self._forward[:, :2] = turn * ZOOM
        self._forward[:, 2] = np.array([self.size[0] / 2, self.size[1] * 0.4]) - self._forward[:, :2] @ middle

    def cut(self, rgb: Picture) -> Picture:
        """Return the view (h, w, 3) of ``rgb``."""
        view = cv2.warpAffine(rgb, self._forward, self.size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(view, np.uint8)

    def inward(self, points: Float) -> Double:
        """Return picture pixels (n, 2) as pixels of the view."""
        return np.asarray(points @ self._forward[:, :2].T + self._forward[:, 2], np.float64)

    def outward(self, points: Double) -> Double:
        """Return pixels (n, 2) of the view as picture pixels."""
        return np.asarray((points - self._forward[:, 2]) @ np.linalg.inv(self._forward[:, :2]).T)


def _parted(view: Picture, upper: list[Double], lower: list[Double]) -> list[Double] | None:
    """Return the inner rows (11, 2) each at the rim of the mouth's inside, or None if none can be seen."""
    inside = _inside(view, upper, lower)
    columns = np.flatnonzero(inside.any(0))
    before = cv2.contourArea(_outline(upper[3], lower[3]).astype(np.float32))
    if not 0.4 < inside.sum() / max(before, 1.0) < 1.7:
        return None
    first, last = columns[[0, -1]]
    top = np.argmax(inside[:, columns], 0)
    bottom = inside.shape[0] - np.argmax(inside[::-1, columns], 0)
    ends = (top[[0, -1]] + bottom[[0, -1]]) / 2
    rows = []
    for row, edge, outward in ((upper[3], top, -1.0), (lower[3], bottom, 1.0)):
        share = (row[:, 0] - row[0, 0]) / (row[-1, 0] - row[0, 0])
        x = first + share * (last - first)
        rest = np.interp(np.linspace(0, 1, len(columns)), share, row[:, 1])
        shift = smooth_fit(np.linspace(-1, 1, len(columns)), edge - rest, outward)
        y = row[:, 1] + np.interp(x, columns, shift)
        y[[0, -1]] = ends
        limit = FARTHEST * (row[-1, 0] - row[0, 0]) / 2
        rows.append(row + np.clip(np.stack([x, y], 1) - row, -limit, limit))
    return rows


def smooth_fit(t: Double, values: Double, lean: float = 0.0) -> Double:
    """Return the polynomial in ``t`` (n,), -1..1, that follows ``values`` (n,) and ignores outliers.

    Args:
        t: Ascending.
        values: What to follow.
        lean: 1 or -1 to follow the values' upper or lower side: the tops of the teeth, not the gum between them.

    Method: iteratively reweighted least squares with Cauchy's weights, Holland and Welsch 1977, with expectiles' sides.
    """
    basis = np.polynomial.legendre.legvander(t, DEGREE)
    fit = np.full(len(t), np.median(values))
    for _ in range(10):
        off = values - fit
        spread = 1.5 * max(float(np.median(np.abs(off))), 0.5)
        weight = (np.where(off * lean > 0, 4.0, 1.0) / (1 + (off / spread) ** 2))[:, None]
        normal = basis.T @ (weight * basis) + 1e-3 * len(t) * np.eye(DEGREE + 1)
        fit = basis @ np.linalg.solve(normal, basis.T @ (weight[:, 0] * values))
    return np.asarray(fit)


def _outline(upper: Double, lower: Double) -> NDArray[np.int32]:
    return np.asarray(np.rint(np.concatenate([upper, lower[::-1]])), np.int32)


def _ellipse(x: int, y: int) -> Picture:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * x + 1, 2 * y + 1)), np.uint8)


def _inside(view: Picture, upper: list[Double], lower: list[Double]) -> NDArray[np.bool_]:
    """Return where the view shows teeth, tongue or the dark, starting from the mesh's idea of it."""
    guess: Picture = np.zeros(view.shape[:2], np.uint8)
    bound = guess.copy()
    cv2.fillPoly(guess, [_outline(upper[3], lower[3])], 1)
    cv2.fillPoly(bound, [_outline(upper[1], lower[1])], 1)
    reach = round((upper[3][-1, 0] - upper[3][0, 0]) * 0.05)
    bound = np.asarray(cv2.dilate(bound, _ellipse(reach, 1)), np.uint8)
    for corner in upper[3][[0, -1]]:
        cv2.circle(bound, (round(corner[0]), round(corner[1])), 2 * reach, 1, -1)
    mask = np.full(view.shape[:2], cv2.GC_BGD, np.uint8)
    mask[(cv2.dilate(guess, _ellipse(2 * reach, reach)) > 0) & (bound > 0)] = cv2.GC_PR_BGD
    mask[(guess > 0) & (bound > 0)] = cv2.GC_PR_FGD
    mask[cv2.erode(guess, _ellipse(reach, reach)) > 0] = cv2.GC_FGD
    # Hue tells lips from teeth and skin better than brightness: shadows and highlights lie on all of them.
    lab = cv2.cvtColor(cv2.GaussianBlur(view, (0, 0), 1.0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    colours = np.clip(lab * (1.5, 4.0, 2.0) + (0.0, 128.0, 128.0), 0, 255).astype(np.uint8)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(1)
    cv2.grabCut(colours, mask, (0, 0, 1, 1), *models, 4, cv2.GC_INIT_WITH_MASK)
    found = ((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.morphologyEx(found, cv2.MORPH_OPEN, _ellipse(1, 1)))
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax()) if len(stats) > 1 else -1
    return np.asarray(labels == largest)


def _closed(view: Picture, upper: list[Double], lower: list[Double]) -> list[Double]:
    """Return both inner rows (11, 2) on the dark line between closed lips."""
    row = (upper[3] + lower[3]) / 2
    grey = cv2.cvtColor(view, cv2.COLOR_RGB2GRAY).astype(np.float32)
    # Darker than what lies a lip's half above and below: a line, not a shadow's edge.
    height = max(2.0, float(lower[0][5, 1] - upper[0][5, 1]) / 8)
    dark = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), height)
    columns = np.arange(int(np.ceil(row[0, 0])), int(row[-1, 0]) + 1)
    line = np.interp(columns, row[:, 0], row[:, 1])
    span = np.arange(-int(2 * height), int(2 * height) + 1)
    at = np.clip(np.rint(line[None] + span[:, None]).astype(int), 0, len(grey) - 1)
    contrast = max(float(np.std(dark[at, columns[None]])), 1.0)
    cost = dark[at, columns[None]] / contrast + 0.5 * (span[:, None] / height) ** 2
    offset = span[shortest_path(cost.astype(np.float64))]
    shift = np.interp(row[:, 0], columns, smooth_fit(np.linspace(-1, 1, len(columns)), offset.astype(np.float64)))
    return [np.stack([row[:, 0], row[:, 1] + shift], 1)] * 2


def shortest_path(cost: Double) -> NDArray[np.intp]:
    """Return the row for each column of ``cost`` (h, w) on the cheapest path that climbs one row at most per column."""
    total, steps = cost[:, 0], []
    for column in cost.T[1:]:
        padded = np.pad(total, 1, constant_values=np.inf)
        options = np.stack([padded[:-2] + 0.3, padded[1:-1], padded[2:] + 0.3])
        steps.append(options.argmin(0) - 1)
        total = column + options.min(0)
    path = [int(total.argmin())]
    for step in reversed(steps):
        path.append(path[-1] + int(step[path[-1]]))
    return np.array(path[::-1])
