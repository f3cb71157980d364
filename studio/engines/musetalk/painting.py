"""Many visits' pictures in one go: the encoder once for all that listen, UNet and decoder once for all faces."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from studio.engines.musetalk.networks import Networks
from studio.engines.musetalk.take import Due, Sound
from studio.engines.musetalk.types import LATENT, TOKENS, WIDTH, Bytes, Floats
from studio.engines.runtime import Array, join, rows_of
from studio.errors import BadNetwork

LARGEST = 16
"""Faces in one call of the networks; the gain beyond 8 is small (specification 9)."""
BUDGET = 0.032
"""Seconds that a call may take: a beat, less a fifth."""

TRIES = 3
"""Of each size, of which the fastest counts: at start-up others work too."""


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """The faces that one visit needs now."""

    sound: Sound
    due: Sequence[Due]
    latents: Array
    """(n, 8, 32, 32), those of the frames that will be seen; on the device, if the avatar's are."""


def faces(networks: Networks, wanted: Sequence[Wanted], largest: int) -> list[list[Bytes | None]]:
    """Return the faces (256, 256, 3) BGR of each visit; a batch gives what single visits give.

    Where the networks' answer is no number there is none.

    Args:
        networks: Of all these visits.
        wanted: One for each visit that needs faces.
        largest: Rows in one call of UNet and decoder.

    Raises:
        EngineFault: A network failed.
    """
    pictures = [one.sound.picture() for one in wanted]
    heard = [picture for picture in pictures if picture is not None]
    states = iter(_heard(networks, heard) if heard else ())
    prompts = [
        one.sound.prompts(None if picture is None else next(states), [due.chunk.index for due in one.due])
        for one, picture in zip(wanted, pictures, strict=True)
    ]
    made = _painted(networks, join([one.latents for one in wanted]), np.concatenate(prompts), largest)
    ends = np.cumsum([0, *(len(one.due) for one in wanted)]).tolist()
    return [made[start:end] for start, end in pairwise(ends)]


def _heard(networks: Networks, pictures: Sequence[Floats]) -> list[Array]:
    """Return the encoder's states (1500, 5, 384) of each log-mel picture."""
    answer = networks.hear(np.stack(pictures))
    return [answer[i] for i in range(len(pictures))]


def measured(networks: Networks) -> int:
    """Return how many faces a call may make within `BUDGET`, and at least one; warms the networks up.

    Raises:
        BadNetwork: They make no faces.
    """
    size = 1
    while size <= LARGEST:
        shown, prompts = np.zeros((size, *LATENT), np.float32), np.zeros((size, TOKENS, WIDTH), np.float32)
        if any(face is None for face in _painted(networks, shown, prompts, size)):
            sentence = "UNet and decoder answer with something that is no number: this runtime cannot run them."
            raise BadNetwork(f"{sentence} Try the option runtime: cpu.", f"{networks.folder}, {size} rows")
        if min(_seconds(networks, shown, prompts, size) for _ in range(TRIES)) > BUDGET:
            break
        size *= 2
    return max(1, size // 2)


def _seconds(networks: Networks, shown: Floats, prompts: Floats, size: int) -> float:
    began = time.perf_counter()
    _painted(networks, shown, prompts, size)
    return time.perf_counter() - began


def _painted(networks: Networks, shown: Array, prompts: Floats, largest: int) -> list[Bytes | None]:
    """Paint and decode n faces in calls of ``largest`` rows, the last of them filled up to a power of two.

    A graph that always sees the same few sizes is not tuned anew for each; what was filled up is thrown away.
    """
    faces = shown.shape[0]
    made: list[Bytes | None] = []
    for start in range(0, faces, largest):
        count = min(largest, faces - start)
        rows = np.minimum(np.arange(start, start + (1 << (count - 1).bit_length())), start + count - 1)
        painted = networks.paint(rows_of(shown, rows.tolist()), prompts[rows])
        made += networks.decode(painted)[:count]
    return made
