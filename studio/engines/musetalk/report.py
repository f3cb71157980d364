"""What a preparation says of a film, in words: what is good, and what would make it better."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from studio.beat import FPS
from studio.engine import MEMORY, Finding
from studio.engines.musetalk.boxes import jitter
from studio.engines.musetalk.hearing import VISIT_BYTES
from studio.engines.musetalk.store import Draft
from studio.engines.musetalk.types import FACE, Box

LEAST_GOOD = 160
"""Pixels of a face's longer side from which it looks sharp."""
CALM = 1.0
"""Pixels of box jitter; upstream's own film has 0.3 across and 1.3 at the top."""
SHORT = 3.0
"""Seconds; a shorter loop is seen to repeat."""

OWN_MESH = Finding(
    "landmarks",
    False,
    "Faces were found by the studio's own mesh: the mouth may sit pixels off. dwpose.onnx and s3fd.onnx do better.",
)

SOFT_MASKS = Finding(
    "masks",
    False,
    "Films rendered offline have this avatar's masks of live speech, softer than upstream's: face_parsing.onnx is "
    "missing to make theirs.",
)


def findings(boxes: Sequence[Box], lost: int, draft: Draft) -> list[Finding]:
    """Return the report.

    Args:
        boxes: The face box of every frame.
        lost: Frames without a face.
        draft: What was written.
    """
    return [_face(boxes), _jitter(boxes), _lost(lost), _length(len(boxes)), _memory(draft)]


def _face(boxes: Sequence[Box]) -> Finding:
    sides = [max(x1 - x0, y1 - y0) for x0, y0, x1, y1 in boxes]
    side = round(float(np.median(sides)))
    if side > 1.5 * FACE:
        text = (
            f"The face is {side} pixels high, but is painted with {FACE}: the mouth will look soft. Film from farther."
        )
        return Finding("face size", False, text)
    if side < LEAST_GOOD:
        return Finding("face size", False, f"The face is only {side} pixels high. {FACE} would be best.")
    return Finding("face size", True, f"The face is {side} pixels high.")


def _jitter(boxes: Sequence[Box]) -> Finding:
    moved = jitter(boxes)
    if moved > CALM:
        text = f"The face box trembles by {moved:.1f} pixels, the mouth may too. The option smooth_boxes calms it."
        return Finding("box jitter", False, text)
    return Finding("box jitter", True, f"The face box is calm ({moved:.1f} pixels).")


def _lost(lost: int) -> Finding:
    if lost:
        return Finding("face seen", False, f"The face was not seen in {lost} frames; they were bridged or left out.")
    return Finding("face seen", True, "The face is seen in every frame.")


def _length(count: int) -> Finding:
    seconds = count / FPS
    if 1 < count < SHORT * FPS:
        return Finding("length", False, f"{seconds:.1f} seconds are short: the loop will be noticed. Ten are better.")
    return Finding("length", True, f"{count} frames, {seconds:.1f} seconds, played forth and back.")


def _memory(draft: Draft) -> Finding:
    """Tell what the avatar keeps; what would be too much was refused while it was written."""
    compressed = "" if draft.packing == "plain" else " compressed, which costs a core some milliseconds a picture"
    text = (
        f"The avatar keeps {draft.rest_bytes / 1e6:.1f} MB for all visits, each visit up to {VISIT_BYTES / 1e6:.1f} "
        f"MB more. Its pictures take {draft.picture_bytes / 1e6:.1f} MB{compressed}."
    )
    return Finding(MEMORY, True, text)
