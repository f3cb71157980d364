"""An avatar that never goes idle, like the test card that beeps: one beat a slot, whatever the microphone does."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import BEAT_SECONDS, SAMPLE_RATE, SAMPLES_PER_BEAT
from studio.timeline import AHEAD
from tests.fakes import silence, speech
from tests.unit.pipeline_stage import stage

Packets = list[tuple[float, NDArray[np.int16]]]
"""When each 20 ms of sound come in, in seconds after the first slot, and what is in them."""


def packets(pcm: NDArray[np.int16], start: float = 0.0, jitter_ms: int = 0, pace: float = 1.0) -> Packets:
    """Return ``pcm`` as a microphone sends it: in order, each packet up to ``jitter_ms`` early or late."""
    random, came, last = np.random.default_rng(3), [], 0.0
    for i in range(0, len(pcm), 320):
        due = start + (i + 320) / SAMPLE_RATE / pace + random.uniform(-jitter_ms, jitter_ms) / 1000
        last = max(last, due)
        came.append((last, pcm[i : i + 320]))
    return came


def loud(pcm: NDArray[np.int16]) -> NDArray[np.int16]:
    """Return the beats of a sound that are not silent, (n, 640)."""
    beats = pcm[: len(pcm) // SAMPLES_PER_BEAT * SAMPLES_PER_BEAT].reshape(-1, SAMPLES_PER_BEAT)
    return beats[beats.any(axis=1)]


LIVE: dict[str, Packets] = {
    "steady": packets(speech(4)),
    "silent": packets(silence(4)),
    "off the beat": packets(speech(4), start=0.013),
    "late": packets(speech(2), start=1.5),
    "pausing": [*packets(speech(1)), *packets(speech(1), start=2.01), *packets(silence(0.5), start=3.4)],
    "ending": packets(speech(1.01)),
    "jittering": packets(speech(4), jitter_ms=60),
    "in a burst": [(1.0, speech(0.4)), *packets(silence(3), start=1.0)],
    "a fast clock": packets(np.tile(np.concatenate((speech(0.5), silence(0.5))), 10), pace=1.05),
    "none": [],
}


async def test_restless_avatar_plays_on_when_a_recording_has_been_spoken() -> None:
    async with stage(2, restless=True) as it:
        await it.slots(5)
        pcm = speech(1.0)
        it.pipeline.feed(pcm)
        it.pipeline.end()
        assert not it.pipeline.is_finished
        beats = await it.slots(36)
        assert np.array_equal(loud(np.concatenate([beat.pcm for beat in beats])), loud(pcm))
        assert it.pipeline.is_finished
        assert all(beat.index >= 0 for beat in await it.slots(5))


@pytest.mark.parametrize("lookahead", [0, 2])
@pytest.mark.parametrize("source", LIVE)
async def test_restless_avatar_makes_one_beat_a_slot_whatever_its_source_does(source: str, lookahead: int) -> None:
    async with stage(lookahead, restless=True) as it:
        coming, beats, start = deque(LIVE[source]), [], it.now
        for _ in range(round(max(4.0, coming[-1][0] if coming else 0.0) / BEAT_SECONDS)):
            while coming and coming[0][0] <= it.now - start:
                it.pipeline.feed(coming.popleft()[1], live=True, arrived=it.now)
            beats.append(await it.slot())
        begun = next(i for i, beat in enumerate(beats) if beat.index >= 0)
        assert begun <= lookahead + 2
        assert [beat.index for beat in beats[begun:]] == list(range(len(beats) - begun)), "one beat a slot, in order"
        heard = len(it.engine.takes[0].heard)
        assert heard <= len(beats) + lookahead + AHEAD, "one step a slot"
        assert it.pipeline.late == 0 and it.pipeline.depth <= lookahead + AHEAD + 3
        said = loud(np.concatenate([silence(0), *(pcm for _, pcm in LIVE[source])]))
        left = loud(np.concatenate([beat.pcm for beat in beats]))
        assert np.array_equal(left, said[: len(left)]) and len(said) - len(left) <= lookahead + 5, "every word, whole"
