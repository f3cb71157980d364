"""What goes wrong with checkpoints, films and networks is said, and a visit survives what it can."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.engine import Options, Prepared
from studio.engines.musetalk.networks import Networks
from studio.engines.runtime import Array
from studio.errors import AvatarNotReady, BadNetwork, BadPortrait, ConfigError, EngineFault
from tests.conformance.musetalk.conftest import Set, chunks, nothing, read


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"allow_small_networks": False}, BadNetwork, "850 million"),
        ({"checkpoint": "/nowhere"}, BadNetwork, "missing"),
        ({"parsing_mode": "chin"}, ConfigError, "parsing_mode"),
    ],
)
def test_wrong_checkpoints_and_options_are_said(
    made: Set, tmp_path: Path, options: dict[str, object], error: type[Exception], words: str
) -> None:
    spec = replace(made.spec, options={**made.spec.options, **options})
    folder = tmp_path / "avatar"
    shutil.copytree(made.folder, folder)
    with pytest.raises(error, match=words):
        made.engine.load(Prepared(spec, folder))


def test_damaged_files_are_said(made: Set, tmp_path: Path) -> None:
    for name in ("avatar.json", "masks", "frames", "latents.f32", "pictures"):
        folder = tmp_path / name
        shutil.copytree(made.folder, folder)
        (folder / name).write_bytes((folder / name).read_bytes()[:-7])
        with pytest.raises(AvatarNotReady, match="Prepare it again"):
            made.engine.load(Prepared(made.spec, folder))


def spoilt(networks: Networks, rows: Callable[[int], bool], role: str = "unet") -> Callable[..., dict[str, Any]]:
    """Return a network's `run` whose answers are no numbers in those calls that ``rows`` names."""
    network = networks.get(role)
    run, calls = network.run, iter(range(1 << 30))

    def answer(feeds: Mapping[str, Array]) -> dict[str, NDArray[Any]]:
        made = run(feeds)
        return {name: np.full_like(value, np.nan) for name, value in made.items()} if rows(next(calls)) else made

    return answer


@pytest.mark.parametrize("role", ["unet", "vae_decoder"])
def test_a_picture_that_is_no_number_is_the_films_own(made: Set, monkeypatch: pytest.MonkeyPatch, role: str) -> None:
    sound = np.tile(read(made.golden, "eng_e2e.wav"), 3)
    monkeypatch.setattr(made.engine, "_sizes", {made.avatar.networks: 2})
    good = made.play(sound)
    with monkeypatch.context() as broken:
        networks = made.avatar.networks
        broken.setattr(networks.get(role), "run", spoilt(networks, lambda call: call == 3, role))
        beats = made.play(sound)
    assert len(beats) == len(good)
    other = [i for i, beat in enumerate(beats) if not np.array_equal(beat.picture, good[i].picture)]
    assert other == [6, 7], "the fourth pair"
    for i in other:
        assert np.array_equal(beats[i].picture, made.avatar.idle(beats[i].phase))


def test_networks_that_answer_nonsense_for_a_second_end_the_take(
    made: Set, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound, networks = np.tile(read(made.golden, "eng_e2e.wav"), 5), made.avatar.networks
    monkeypatch.setattr(made.engine, "_sizes", {networks: 2})
    take, beats = made.engine.begin(made.avatar, Options()), []
    monkeypatch.setattr(networks.get("unet"), "run", spoilt(networks, lambda call: True))
    with pytest.raises(EngineFault, match="no number"):
        for chunk in chunks(sound):
            beats += made.engine.step([(take, chunk)])[0]
    assert len(beats) == 24, "pairs; the twenty-sixth picture is one too many"
    assert all(np.array_equal(beat.picture, made.avatar.idle(beat.phase)) for beat in beats)
    assert len(caplog.records) == 1, "said once"


def test_networks_that_answer_nonsense_from_the_first_are_not_loaded(
    made: Set, monkeypatch: pytest.MonkeyPatch
) -> None:
    networks = made.avatar.networks
    monkeypatch.setattr(networks.get("unet"), "run", spoilt(networks, lambda call: True))
    monkeypatch.setattr(made.engine, "_sizes", {})
    with pytest.raises(BadNetwork, match=r"no number.* runtime: cpu"):
        made.engine.load(Prepared(made.spec, made.folder))


def test_sources_without_frames_are_said(made: Set, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(99))
    (tmp_path / "note.txt").write_text("no film")
    for name, words in (("empty", "no pictures"), ("text.mp4", "damaged"), ("note.txt", "note.txt")):
        folder = tmp_path / f"draft-{name}"
        folder.mkdir()
        with pytest.raises(BadPortrait, match=words):
            made.engine.prepare(replace(made.spec, source=tmp_path / name), folder, nothing)
