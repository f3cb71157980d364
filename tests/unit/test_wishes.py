from __future__ import annotations

from typing import Any

import pytest

from studio.errors import BadMessage
from studio.outputs.images import Images
from studio.web.wishes import Wish, read_wish

PATHS = {"audio_path": "a.wav", "source_path": "b.png"}


def wish(setup: Any = None, run: Any = None, **more: Any) -> Wish:
    return read_wish({**PATHS, "setup_kwargs": setup, "run_kwargs": run, **more})


def test_nothing_asked_for_is_what_is_usual() -> None:
    usual = wish()
    assert (usual.audio_path, usual.source_path, usual.engine) == ("a.wav", "b.png", "auto")
    assert usual.images == Images() and usual.scale is None and usual.binary and not usual.warnings


@pytest.mark.parametrize(("steps", "read"), [(10, 10), (4, 5), (101, 100), (15.4, 15), ("many", 50), (True, 50)])
def test_steps_lie_between_5_and_100(steps: object, read: int) -> None:
    it = wish({"sampling_timesteps": steps, "online_mode": True})
    assert it.setup == {"sampling_timesteps": read, "online_mode": True}
    assert len(it.warnings) == (read not in (10, 15))


@pytest.mark.parametrize(
    ("scale", "read"), [(0.3, 0.3), (0.01, 0.1), (3, 1.0), ("x", 1.0), (10**400, 1.0), (float("nan"), 1.0)]
)
def test_scale_lies_between_a_tenth_and_one(scale: object, read: float) -> None:
    it = wish(run={"frame_scale": scale})
    assert it.scale == it.images.scale == read and len(it.warnings) == (scale != 0.3)


@pytest.mark.parametrize("key", ["chunksize", "chunk_config", "chunk_cfg"])
def test_chunks_are_three_sizes_or_the_usual_ones(key: str) -> None:
    assert wish(run={key: [2, 10, 2], "chunk_sleep_s": 1.0}).images.seconds == pytest.approx(0.1)
    for bad in ([0, 1, 2], [1, 2], "3,5,2", [1, 2, 3.5], [1, 2, True], [1, 2, 10**9]):
        it = wish(run={key: bad, "chunk_sleep_s": 1.0})
        assert it.images.seconds == pytest.approx(0.2) and len(it.warnings) == 1


def test_pictures_leave_no_faster_than_speech() -> None:
    assert wish(run={"chunk_sleep_s": 0}).images.seconds == 0.04
    assert wish(run={"chunk_sleep_ms": 500}).images.seconds == pytest.approx(0.1)
    assert wish(run={"chunk_sleep_s": 10}).images.seconds == 1.0


def test_forms_qualities_and_fades() -> None:
    it = wish(run={"frame_format": "jpg", "frame_quality": 95, "frame_quality_min": 5, "fade_in": 5, "fade_out": -1})
    assert (it.images.form, it.images.quality, it.images.quality_min) == ("jpeg", 95, 10)
    assert (it.images.fade_in, it.images.fade_out) == (5, 0) and len(it.warnings) == 1
    assert wish(run={"frame_format": "gif"}).images.form == "webp"
    assert wish(run={"frame_quality": 30}).images.quality_min == 30
    assert not wish(binary=False).binary


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"audio_path": "a.wav"},
        {**PATHS, "audio_path": 3},
        {**PATHS, "setup_kwargs": []},
        {**PATHS, "run_kwargs": 1},
    ],
)
def test_what_is_missing_or_of_another_kind_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(BadMessage):
        read_wish(body)


def test_a_conversation_needs_no_paths() -> None:
    assert read_wish({}, required=()).audio_path == ""
