"""Where everything is in a face: 468 mesh points with depth, lids and brows refined, two irises.

`FaceFinder` runs three steps by OpenCV on the CPU: a detector (near faces first, then far ones), MediaPipe's face mesh
on a square turned upright with the face, and its iris model on each eye. All coordinates are pixels of the picture,
pixel centres on integers. Knows nothing of rigs: `photo` judges what is found here.

Measured on 15 faces against mediapipe 0.10.21 with its refined (attention) mesh, which OpenCV cannot load: mean error
over 468 points 3.3 % of the eye distance with one pass as mediapipe does it, 2.2 % with the second pass, three views
and the shift used here (mediapipe's own plain mesh: 2.1 %). A picture and its mirror image confirm the shift in x.
The iris model's brows and outer rings are worse than the mesh's (5.3 against 2.3 %), so only its lids are used.

Methods: face mesh, Kartynnik et al. 2019; iris, Ablavatski et al. 2020. Index order is MediaPipe's canonical mesh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engines.facedetector import Detection, Detector, infer, load_model

MESH_SIDE, EYE_SIDE = 192, 64
"""Pixels of the models' square inputs."""
MESH_MARGIN, EYE_MARGIN = 1.5, 2.6
"""Side of the square to crop over the size of the face, and over the distance of the eye's corners."""
MESH_VIEWS = ((1.35, 0.0), (1.5, -0.14), (1.5, 0.14), (1.6, 0.0))
"""Margin and turn (radians) of the squares whose meshes are averaged; see below."""
EYE_VIEWS = (-0.1, 0.0, 0.1)
"""Turns of the squares whose irises and lids are averaged."""
MESH_SHIFT = np.array([0.5, 0.5, 0.0], np.float32)
EYE_SHIFT = np.array([-0.65, -0.3, 0.0], np.float32)
"""What the models' answers lack, in pixels of their input (x towards the nose), measured as said below."""
FACE, PRESENT = 0.3, 0.3
"""Scores from which the detector's and the mesh's word is taken; drawn faces score low."""
PATTERN = 0.5
"""A face this much less sure than the surest of its picture is a pattern in cloth or leaves."""

Float = NDArray[np.float32]

# The first 16 of the iris model's contour points, lower lid then upper, as the mesh numbers them.
LIDS_LEFT = np.array([33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173])
LIDS_RIGHT = np.array([263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398])
IRIS_LEFT, IRIS_RIGHT = slice(468, 473), slice(473, 478)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face of a picture."""

    box: Float
    """(4,) x0, y0, x1, y1 of the landmarks in pixels."""
    score: float
    """0..1: how sure the detector is."""
    presence: float
    """0..1: how sure the mesh is that it lies on a face; low when much is hidden."""
    landmarks: Float
    """(478, 3) pixels, z in the scale of x, away from the camera positive; 468..472 the iris at the image's left."""

    spread: Float
    """(468,) how far the views of each point disagree, as a share of the distance of the eyes' outer corners: up to
    0.025 where the face is free, 0.03-0.07 where something hides it (measured with masks, glasses, bars pasted on)."""

    @property
    def sureness(self) -> float:
        """0..1: the doubt of detector and mesh together."""
        return self.score * self.presence

    @property
    def width(self) -> float:
        """Pixels between the temples, as the specification measures a face (points 234 and 454)."""
        return float(np.linalg.norm(self.landmarks[454] - self.landmarks[234]))


class FaceFinder:
    """Finds faces and their landmarks; holds its own nets, so one finder belongs to one thread.

    Raises:
        BadPortrait: The model carrier is not installed; the sentence says what to run.
    """

    def __init__(self) -> None:
        self._near = Detector("face_detection_back", 256, ((16, 2), (32, 6)), ("classificators", "regressors"))
        self._far = Detector(
            "face_detection_full_range", 192, ((4, 1),), ("reshaped_classifier_face_4", "reshaped_regressor_face_4")
        )
        self._mesh = load_model("face_landmark")
        self._iris = load_model("iris_landmark")

    def find(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of ``rgb``, (H, W, 3) uint8 RGB, the largest first; empty if there is none."""
        found = [self._face(rgb, detection) for detection in self._detect(rgb)]
        faces = distinct([face for face in found if face.presence >= PRESENT])
        surest = max((face.sureness for face in faces), default=0.0)
        return sorted((face for face in faces if face.sureness > PATTERN * surest), key=lambda face: -face.width)

    def _detect(self, rgb: NDArray[np.uint8]) -> list[Detection]:
        # The border lets the detector see a face that fills the picture.
        return self._near.detect(rgb, FACE) or self._far.detect(rgb, FACE) or self._near.detect(rgb, FACE, margin=0.5)

    def _face(self, rgb: NDArray[np.uint8], detection: Detection) -> Face:
        box = detection.box
        side = float(max(box[2] - box[0], box[3] - box[1]))
        angle = _angle(detection.points[0], detection.points[1])
        mesh, _ = self._look(rgb, (box[:2] + box[2:]) / 2, side * MESH_MARGIN, angle)
        # The detector's box is rough: look again at what the first mesh shows, from several views.
        centre, side, angle = upright_box(mesh)
        views = [self._look(rgb, centre, side * margin, angle + turn) for margin, turn in MESH_VIEWS]
        meshes = np.stack([view for view, _ in views])
        landmarks = np.zeros((478, 3), np.float32)
        landmarks[:468] = meshes.mean(0)
        eyes = float(np.linalg.norm(landmarks[33] - landmarks[263]))
        spread = (meshes[:, :, :2].std(0).sum(-1) / eyes).astype(np.float32)
        for lids, iris, flip in ((LIDS_LEFT, IRIS_LEFT, False), (LIDS_RIGHT, IRIS_RIGHT, True)):
            refine_eye(self._iris, rgb, landmarks, lids, iris, flip)
        box = np.concatenate([landmarks[:468, :2].min(0), landmarks[:468, :2].max(0)])
        return Face(box, detection.score, float(np.mean([presence for _, presence in views])), landmarks, spread)

    def _look(
        self, rgb: NDArray[np.uint8], centre: NDArray[np.floating], side: float, angle: float
    ) -> tuple[Float, float]:
        square = Square(centre, side, angle, MESH_SIDE)
        mesh, presence = infer(self._mesh, square.cut(rgb), ("conv2d_20", "conv2d_30"))
        return square.restore(mesh.reshape(468, 3) + MESH_SHIFT), float(1 / (1 + np.exp(-presence[0])))


def distinct(faces: list[Face]) -> list[Face]:
    """Return ``faces`` without those that are another look at a surer one: the middle of one lies inside the other."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.sureness):
        if not any(_inside(face.box, other.box) or _inside(other.box, face.box) for other in kept):
            kept.append(face)
    return kept


def _inside(inner: Float, outer: Float) -> bool:
    middle = (inner[:2] + inner[2:]) / 2
    return bool((middle > outer[:2]).all() and (middle < outer[2:]).all())


class Square:
    """A turned square of a picture, as a model sees it.

    Args:
        centre: (2,) pixels of the picture.
        side: Length of its side in pixels of the picture.
        angle: Radians, clockwise on the screen.
        pixels: Side of the model's input.
        flip: The model sees the square mirrored.
    """

    def __init__(
        self, centre: NDArray[np.floating], side: float, angle: float, pixels: int, flip: bool = False
    ) -> None:
        self._zoom = side / pixels
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * self._zoom
        if flip:
            turn[:, 0] *= -1
        self._turn = turn.astype(np.float32)
        self._centre = np.asarray(centre, np.float32)
        self._middle = np.float32((pixels - 1) / 2)
        self._pixels = pixels

    def cut(self, rgb: NDArray[np.uint8]) -> Float:
        """Return the square as (pixels, pixels, 3) float32 0..1; outside the picture its edge goes on."""
        rgb, corner = self._near(rgb)
        height, width = rgb.shape[:2]
        shrink = max(1.0, self._zoom / 1.5)  # sampling coarser than this would alias
        size = (max(1, round(width / shrink)), max(1, round(height / shrink)))
        if shrink > 1:
            rgb = np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
        scale = np.array([rgb.shape[1] / width, rgb.shape[0] / height])
        first = self._centre - corner - self._turn @ [self._middle, self._middle]
        matrix = np.hstack([self._turn * scale[:, None], ((first + 0.5) * scale - 0.5)[:, None]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        square = cv2.warpAffine(rgb, matrix, (self._pixels,) * 2, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return (square / 255).astype(np.float32)

    def _near(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the part of ``rgb`` that holds the square, and its corner: the rest need not be filtered."""
        reach = 0.75 * self._zoom * self._pixels + 2
        limit = np.array([rgb.shape[1], rgb.shape[0]])
        low = np.clip(np.floor(self._centre - reach), 0, limit - 1).astype(np.int64)
        high = np.clip(np.ceil(self._centre + reach), low + 1, limit).astype(np.int64)
        return rgb[low[1] : high[1], low[0] : high[0]], low

    def restore(self, points: Float) -> Float:
        """Return ``points`` (n, 3) of the square in pixels of the picture; z keeps the scale of x."""
        flat = (points[:, :2] - self._middle) @ self._turn.T + self._centre
        return np.hstack([flat, points[:, 2:] * self._zoom]).astype(np.float32)


def _angle(left: Float, right: Float) -> float:
    return float(np.arctan2(right[1] - left[1], right[0] - left[0]))


def upright_box(mesh: Float) -> tuple[Float, float, float]:
    """Return centre (2,), longer side in pixels and angle in radians of ``mesh`` (468 or more, 3) along its eyes."""
    angle = _angle(mesh[33], mesh[263])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)
    flat = mesh[:468, :2] @ turn
    low, high = flat.min(0), flat.max(0)
    return (turn @ ((low + high) / 2)).astype(np.float32), float((high - low).max()), angle


def refine_eye(
    net: Any, rgb: NDArray[np.uint8], landmarks: Float, lids: NDArray[np.int64], iris: slice, flip: bool
) -> None:
    """Replace the mesh's lids by the iris model's finer ones and write its iris, all in ``landmarks``.

    Depth stays the mesh's: the model's own is not in its scale. The iris lies as deep as the lids' mean.
    """
    outer, inner = landmarks[lids[0], :2], landmarks[lids[8], :2]
    angle = _angle(inner, outer) if flip else _angle(outer, inner)
    side = float(np.linalg.norm(inner - outer)) * EYE_MARGIN
    views = []
    for turn in EYE_VIEWS:
        square = Square((outer + inner) / 2, side, angle + turn, EYE_SIDE, flip)
        rims, disc = infer(net, square.cut(rgb), ("output_eyes_contours_and_brows", "output_iris"))
        points = np.concatenate([rims.reshape(71, 3)[:16], disc.reshape(5, 3)])
        views.append(square.restore(points + EYE_SHIFT)[:, :2])
    mean = np.mean(views, axis=0)
    landmarks[lids, :2], landmarks[iris, :2] = mean[:16], mean[16:]
    landmarks[iris, 2] = landmarks[lids, 2].mean()
