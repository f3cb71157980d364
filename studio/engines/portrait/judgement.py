"""Says in words how well a face will do as an avatar, and refuses what cannot become one.

Every threshold is in the unit a photographer would understand: pixels of the photo, degrees, millimetres of a face
whose eyes are 63 mm apart (specification section 1).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from studio.engine import Finding
from studio.engines.facemesh import Face
from studio.engines.portrait.anatomy import OVAL, measure
from studio.engines.portrait.rig import SIZE, Source
from studio.errors import BadPortrait

PROFILE, TURNED = 30.0, 15.0
"""Degrees to the side from which a face is refused and from which it is mentioned."""
LEVEL, NODDING = 12.0, 14.0
"""Pitch in degrees that the mesh gives a face at eye level (0-20, measured), and how far off is mentioned."""
TINY, SMALL, AMPLE = 32.0, 90.0, 180.0
"""Pixels of face width in the photo: below is refused, below is soft, from here it fills the portrait."""
SOFT = 4.0
"""Spread of the Laplacian over the framed face, grey levels: blurred sources 2-3.5, crisp ones 5-11."""
UNSURE = 0.55
"""Sureness below which the face is hard to make out."""
HIDDEN_MOUTH, HIDDEN_EYES = 0.028, 0.025
"""Spread of the mesh's views from which something probably covers that part (see `Face.spread`)."""
MOUTH = np.array([0, 13, 14, 17, 37, 61, 78, 84, 267, 291, 308, 314])
EYES = np.array([33, 133, 145, 159, 263, 362, 374, 386])
PARTED, OPEN = 1.6, 12.0
"""Gap between the inner lips in mm: from here the source's teeth show, from here it is in mid-word."""
NARROW = 3.0
"""Opening of the eyes in mm below which they count as closed."""
DARK, BRIGHT, UNEVEN = 55.0, 215.0, 55.0
"""Mean grey of the face, and the difference of its halves, beyond which the light is poor."""
INVENTED = 0.04
"""Share of the portrait beyond the photo's edge worth mentioning."""

Float = NDArray[np.float32]


def refuse(face: Face) -> None:
    """Let ``face`` pass or raise.

    Raises:
        BadPortrait: It is tiny or seen from the side.
    """
    if face.width < TINY:
        raise BadPortrait(f"The face is only {face.width:.0f} pixels wide. Use a picture with 200 or more.")
    yaw, _ = angles(face.landmarks)
    if abs(yaw) > PROFILE:
        raise BadPortrait(
            f"The face looks {abs(yaw):.0f} degrees to the side; {PROFILE:.0f} is the most. Use one from the front."
        )


def judge(source: Source, width: float, face: Face, invented: float) -> list[Finding]:
    """Return what is good about the portrait and what could be better.

    Args:
        source: The framed portrait.
        width: Of the face in the photo, in the photo's pixels.
        face: The face in the portrait.
        invented: Share of the portrait beyond the photo's edge, 0..1.
    """
    checks = (_size(width), _sharpness(source), _yaw(face), _pitch(face), _mouth(source), _eyes(source))
    return [*checks, _light(source), _framing(invented), _clear(face)]


def angles(landmarks: Float) -> tuple[float, float]:
    """Return yaw (positive: the nose points to the image's right) and pitch (positive: down) in degrees.

    Args:
        landmarks: (478, 3) pixels, z away from the camera positive.
    """
    across = landmarks[[263, 454, 291, 361]].mean(0) - landmarks[[33, 234, 61, 132]].mean(0)
    down = landmarks[152] - landmarks[10]
    yaw = np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1])))
    pitch = np.degrees(np.arctan2(down[2], np.hypot(down[0], down[1])))
    return float(yaw), float(pitch)


def _size(width: float) -> Finding:
    text = f"The face is {width:.0f} pixels wide"
    if width < SMALL:
        return Finding("face size", False, f"{text}: it will look soft. 200 or more are better.")
    if width < AMPLE:
        return Finding("face size", True, f"{text}: enough. With 200 or more it would be sharper.")
    return Finding("face size", True, f"{text}: plenty.")


def _sharpness(source: Source) -> Finding:
    grey = cv2.cvtColor(source.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    spread = float(cv2.Laplacian(grey, cv2.CV_32F)[_face(source)].std())
    if spread < SOFT:
        return Finding("sharpness", False, "The face is blurred: the mouth may look pasted in. Use a sharper picture.")
    return Finding("sharpness", True, "The face is sharp.")


def _yaw(face: Face) -> Finding:
    yaw, _ = angles(face.landmarks)
    if abs(yaw) > TURNED:
        text = f"The head is turned by {abs(yaw):.0f} degrees: the open mouth may look skewed. Straight on is better."
        return Finding("yaw", False, text)
    return Finding("yaw", True, "The head looks straight into the camera.")


def _pitch(face: Face) -> Finding:
    pitch = angles(face.landmarks)[1] - LEVEL
    if abs(pitch) > NODDING:
        where = "down" if pitch > 0 else "up"
        return Finding("pitch", False, f"The head is tilted {where}. A picture taken at eye level is better.")
    return Finding("pitch", True, "The picture is taken at eye level.")


def _mouth(source: Source) -> Finding:
    gap = measure(source.landmarks).gap
    if gap > OPEN:
        return Finding("mouth", False, "The mouth is wide open. A picture with closed or hardly parted lips is better.")
    if gap > PARTED:
        return Finding("mouth", True, "The lips are parted: the teeth of the picture are used. Closed lips speak best.")
    return Finding("mouth", True, "The mouth is closed: the best start for speech.")


def _eyes(source: Source) -> Finding:
    points = source.landmarks
    scale = measure(points).scale
    openings = [np.linalg.norm(points[a] - points[b]) / scale for a, b in ((159, 145), (386, 374))]
    if min(openings) < NARROW:
        return Finding("eyes", False, "An eye is closed or nearly so. Blinks look right only if both are open.")
    return Finding("eyes", True, "Both eyes are open.")


def _light(source: Source) -> Finding:
    grey = cv2.cvtColor(source.rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    inside = _face(source)
    left = inside & (np.arange(SIZE) < source.landmarks[[10, 152], 0].mean())
    halves = float(grey[left].mean()), float(grey[inside & ~left].mean())
    level = float(grey[inside].mean())
    if not DARK <= level <= BRIGHT:
        return Finding(
            "light", False, f"The face is too {'dark' if level < DARK else 'bright'}. Use softer, even light."
        )
    if abs(halves[0] - halves[1]) > UNEVEN:
        return Finding("light", False, "One half of the face lies in shadow. Light from the front is better.")
    return Finding("light", True, "The light is even.")


def _framing(invented: float) -> Finding:
    if invented > INVENTED:
        text = "The picture ends close to the head: what is beyond its edge was filled in. Leave more room around."
        return Finding("framing", False, text)
    return Finding("framing", True, "There is enough room around the head.")


def _clear(face: Face) -> Finding:
    covered = [
        name
        for name, part, limit in (("mouth", MOUTH, HIDDEN_MOUTH), ("eyes", EYES, HIDDEN_EYES))
        if face.spread[part].mean() > limit
    ]
    if covered:
        text = f"Something seems to cover the {' and the '.join(covered)}: a hand, hair, glasses, a mask? Keep it free."
        return Finding("visibility", False, text)
    if face.sureness < UNSURE:
        return Finding("visibility", False, "The face is hard to make out. Use a clearer picture of the whole face.")
    return Finding("visibility", True, "The face is clearly visible.")


def _face(source: Source) -> NDArray[np.bool_]:
    """Return (512, 512): inside the face's outline."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.rint(source.landmarks[OVAL, :2]).astype(np.int32)], 1)
    return mask.astype(bool)
