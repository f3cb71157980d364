"""Sound: waveforms, log-mel pictures, feature rows, windows, prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.engines.musetalk import hearing, mel, windows
from studio.engines.musetalk.types import Floats
from studio.resampling import resampled
from tests.conformance.musetalk.golden import Golden
from tests.conformance.musetalk.verdict import EXACT, FLOATS, RESAMPLED, judge
from tests.conformance.verdict import Verdict

_ENDS_UPSTREAM = "error"


def check(golden: Golden) -> Iterator[Verdict]:
    """Yield one verdict for each array of ``audio.npz`` and each case of ``windows.json``."""
    there = golden.arrays("audio.npz")
    loaded = golden.wave(golden.options["wav"])
    yield judge("audio/samples", np.array(len(loaded)), there["samples"], EXACT)
    wave = there["waveform_16k"] if there["waveform_16k"].size else loaded
    if there["waveform_16k"].size:
        yield judge("audio/waveform_16k", golden.wave(golden.options["wav"], resampled), wave, RESAMPLED)
    yield from _mel(wave, there, "")
    yield from _prompts(golden, wave, there)
    for number, name in enumerate(golden.options["extra_wavs"]):
        extra = golden.wave(name, resampled)
        key = f"extra{number}_"
        yield judge(f"audio/{key}samples", np.array(len(extra)), there[f"{key}samples"], EXACT)
        yield judge(f"audio/{key}waveform_16k", extra, there[f"{key}waveform_16k"], RESAMPLED)
        yield from _mel(there[f"{key}waveform_16k"], there, key)
    yield from _windows(golden)


def _mel(wave: Floats, there: dict[str, NDArray[Any]], key: str) -> Iterator[Verdict]:
    picture = mel.log_mel(wave[: mel.SEGMENT])
    head = there[f"{key}mel_head"]
    yield judge(f"audio/{key}mel_head", picture[:, : head.shape[1]], head, FLOATS)
    rest = picture[:, head.shape[1] :]
    if f"{key}mel_pad_value" in there and rest.size:
        value = np.broadcast_to(there[f"{key}mel_pad_value"], rest.shape)
        yield judge(f"audio/{key}mel_pad_value", rest, value, FLOATS)


def _prompts(golden: Golden, wave: Floats, there: dict[str, NDArray[Any]]) -> Iterator[Verdict]:
    features = hearing.features(golden.networks, wave)
    head = there["whisper_rows_head"]
    yield judge("audio/whisper_rows_head", features[: len(head)], head, FLOATS)
    rows = windows.window_rows(len(wave), golden.fps, *golden.padding)
    yield judge("audio/n_frames", np.array(len(rows)), there["n_frames"], EXACT)
    asked = there["prompt_frames"]
    made = windows.prompts(features, rows[asked[asked < len(rows)]])
    yield judge("audio/prompts", made, there["prompts"], FLOATS)
    first = made[: len(there["prompts_pe_first"])] + windows.encoding(made.shape[1])
    yield judge("audio/prompts_pe_first", first, there["prompts_pe_first"], FLOATS)


def _windows(golden: Golden) -> Iterator[Verdict]:
    for case in golden.list("windows.json"):
        name = f"windows/{case['samples']}@{case['fps']}+{case['left']}+{case['right']}"
        rows = windows.window_rows(case["samples"], case["fps"], case["left"], case["right"])
        if _ENDS_UPSTREAM in case:  # upstream gives up; all that is asked of us is that we do not
            yield Verdict(name, 0.0, EXACT, f"upstream: {case[_ENDS_UPSTREAM]}; ours: {len(rows)} windows")
        else:
            theirs = np.array(case["rows"], np.int64).reshape(-1, rows.shape[1])
            yield judge(name, rows, theirs, EXACT)
