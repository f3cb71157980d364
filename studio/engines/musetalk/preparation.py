"""From a film to a prepared avatar: a first pass finds the face, a second one makes latents, masks and pictures.

One frame is in memory at a time, however long the film. What is done is kept beside the draft until all is done: an
interrupted preparation goes on where it stopped.
"""

from __future__ import annotations

import fcntl
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from studio.engine import Finding, Progress
from studio.engines.musetalk import boxes, latents, masks, material
from studio.engines.musetalk.finding import Finder, box_of, finder_of
from studio.engines.musetalk.importer import Upstream, is_upstream
from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.options import Chosen
from studio.engines.musetalk.report import OWN_MESH, SOFT_MASKS, findings
from studio.engines.musetalk.store import FILES, INDEX, LATENT_BYTES, Draft, Room
from studio.engines.musetalk.types import LATENT, Box, Bytes, Frame, Rules
from studio.errors import AvatarNotReady, BadPortrait
from studio.spec import LimitsSpec

log = logging.getLogger(__name__)

SEEN = "faces.jsonl"
"""One line for each frame of the first pass: its box, or null."""
LOCK = "lock"
LARGEST_SHARE = 0.3
"""Of its bytes that a compressed picture takes at the most, if it is no noise."""
FIRST_PASS = 0.4
"""Part of the progress."""
_UNKNOWN = 500
"""Frames after which half of the first pass is shown as done: nobody knows how long a film is before its end."""


def prepare(
    source: Path, own: Chosen, networks: Networks, folder: Path, key: str, report: Progress, limits: LimitsSpec
) -> list[Finding]:
    """Write a prepared avatar into ``folder``.

    Args:
        source: A film as of `material`, or an avatar that upstream prepared.
        own: The avatar's options.
        networks: Of its checkpoint; an avatar of upstream's can do without.
        folder: Exists, empty.
        key: Names what is done in the meantime; the same for the same source and options.
        report: Told how far it is; what it raises ends the preparation, which can be taken up again.
        limits: Of pictures, and of the avatar's memory.

    Raises:
        BadPortrait: The source cannot become an avatar, or one that does not fit into memory.
        BadNetwork: A network is missing that the preparation needs.
        AvatarNotReady: The disk has no room.
    """
    if own.bbox_shift:
        log.info("bbox_shift %d has no effect: MuseTalk v1.5 ignores it as well", own.bbox_shift)
    if source.is_dir() and is_upstream(source):
        return _taken_over(source, own, networks, folder, report, limits)
    with _workplace(folder, key) as work:
        finder = finder_of(networks)
        shots = partial(material.frames, source, own.seconds, limits)
        seen = _faces(shots(), own, finder, work / SEEN, report)
        kept, filled = boxes.filled(seen)
        placed = boxes.calmed(filled) if own.smooth_boxes else filled
        room = Room(len(placed), limits.avatar_memory_mb * 1_000_000)
        draft = _painted(
            shots(),
            (kept, placed),
            (work, room),
            lambda shot, box: framed(shot, box, own.rules, networks),
            report,
        )
        for name in (*FILES, INDEX):
            (work / name).rename(folder / name)
        (work / SEEN).unlink()
    said = findings(placed, len(seen) - sum(box is not None for box in seen), draft)
    return said if finder.is_upstream else [*said, OWN_MESH]


def _taken_over(
    source: Path, own: Chosen, networks: Networks, folder: Path, report: Progress, limits: LimitsSpec
) -> list[Finding]:
    """Copy an avatar that upstream prepared; its masks are those of live speech, a film's are made anew."""
    has_parser = networks.path("face_parsing") is not None
    with Upstream(source, limits.picture_pixels, limits.picture_bytes) as upstream:
        upstream.agree(own.bbox_shift)
        placed, room = [], Room(upstream.count, limits.avatar_memory_mb * 1_000_000)
        with Draft(folder, upstream.width, upstream.height, room) as draft:
            _make_room(folder, upstream.count, upstream.width, upstream.height, draft.packing)
            for number, frame in enumerate(upstream.frames()):
                report(number / upstream.count, f"taking over frame {number + 1} of {upstream.count}")
                draft.add(_sharpened(frame, own.rules, networks) if has_parser else frame)
                placed.append(frame.box)
            draft.finish()
        said = findings(placed, upstream.left_out, draft)
        return said if has_parser else [*said, SOFT_MASKS]


def _faces(shots: Iterator[Bytes], own: Chosen, finder: Finder, seen: Path, report: Progress) -> list[Box | None]:
    """Return every frame's face box, None where there is no face."""
    known = _read_lines(seen)
    with seen.open("a", encoding="utf-8") as file:
        for number, frame in enumerate(shots):
            if number < len(known):
                continue
            report(FIRST_PASS * number / (number + _UNKNOWN), f"looking for the face in frame {number + 1}")
            box = box_of(finder, frame, own.rules.extra_margin)
            known.append(box)
            file.write(json.dumps(box) + "\n")
            file.flush()
    return known


def _read_lines(seen: Path) -> list[Box | None]:
    """Return the boxes that an earlier attempt found; a half line at the end is cut off."""
    if not seen.exists():
        return []
    text = seen.read_text("utf-8")
    whole = text[: text.rfind("\n") + 1]
    seen.write_text(whole, "utf-8")
    found = [json.loads(line) for line in whole.splitlines()]
    return [None if box is None else (box[0], box[1], box[2], box[3]) for box in found]


def _painted(
    shots: Iterator[Bytes],
    plan: tuple[slice, Sequence[Box]],
    place: tuple[Path, Room],
    made: Callable[[Bytes, Box], Frame],
    report: Progress,
) -> Draft:
    """Write every kept frame; return the finished draft."""
    (kept, placed), (work, room) = plan, place
    draft: Draft | None = None
    try:
        for number, picture in enumerate(shots):
            if draft is None:
                height, width = picture.shape[:2]
                draft = Draft(work, width, height, room)
                _make_room(work, len(placed) - draft.count, width, height, draft.packing)
            at = number - kept.start
            if not draft.count <= at < len(placed):
                continue
            report(FIRST_PASS + (1 - FIRST_PASS) * at / len(placed), f"frame {at + 1} of {len(placed)}")
            box = boxes.inside(placed[at], width, height) or placed[at]
            draft.add(made(picture, box))
        if draft is None or draft.count != len(placed):
            raise BadPortrait("The video changed while it was read. Prepare it again.")
        draft.finish()
    finally:
        if draft is not None:
            draft.close()
    return draft


def framed(picture: Bytes, box: Box, rules: Rules, networks: Networks) -> Frame:
    """Return one frame, prepared.

    Args:
        picture: (H, W, 3) BGR.
        box: Its face box, inside the picture.
        rules: The avatar's.
        networks: Have the parser and the encoder.

    Raises:
        BadNetwork: One of them is missing.
        EngineFault: One of them failed.
    """
    crop = masks.crop_box(box)
    logits = networks.parse(masks.parser_input(masks.cut(picture, crop)))[0]
    area, top = masks.talking_area(logits, rules), rules.upper_boundary_ratio
    soft, sharp = (masks.soft_mask(area, box, crop, top, blur) for blur in (masks.REALTIME_BLUR, masks.OFFLINE_BLUR))
    seen = latents.encoder_input(latents.face_crop(picture, box))
    return Frame(picture, box, crop, soft, networks.encode(np.concatenate(seen)).reshape(LATENT), sharp)


def _sharpened(frame: Frame, rules: Rules, networks: Networks) -> Frame:
    """Return a frame of upstream's real-time script with the mask that its offline script would make of it."""
    logits = networks.parse(masks.parser_input(masks.cut(frame.picture, frame.crop)))[0]
    area, top = masks.talking_area(logits, rules), rules.upper_boundary_ratio
    return replace(frame, sharp=masks.soft_mask(area, frame.box, frame.crop, top, masks.OFFLINE_BLUR))


def _make_room(folder: Path, count: int, width: int, height: int, packing: str) -> None:
    """See that the disk has room for so many frames.

    Raises:
        AvatarNotReady: It has not.
    """
    share = 1.0 if packing == "plain" else LARGEST_SHARE
    needed = count * (share * (width * height * 3 // 2 + width * height // 2) + LATENT_BYTES)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise AvatarNotReady(
            f"The disk of the cache has {free / 1e9:.1f} GB left, this video needs {needed / 1e9:.1f} GB. "
            "Use a shorter or smaller one, or make room."
        )


@contextmanager
def _workplace(folder: Path, key: str) -> Iterator[Path]:
    """Give a folder that outlives an interruption, unless another process is at work there: then ``folder`` itself."""
    work = folder.parent / f".musetalk-{key}"
    work.mkdir(exist_ok=True)
    with (work / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield folder
            return
        yield work
        shutil.rmtree(work, ignore_errors=True)
