"""``start_studio.py export musetalk``, for real: random networks of the true layers, PyTorch, ONNX, the engine.

Needs the extra ``export``; `.ci/run` installs it for this folder alone.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed: pip install '.[export]'")
pytest.importorskip("diffusers", reason="diffusers is not installed: pip install '.[export]'")

import safetensors.torch
import torch

from studio.beat import SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.cli import main
from studio.engine import Options, Prepared
from studio.engines.musetalk import detector
from studio.engines.musetalk.engine import MuseTalkEngine
from studio.engines.musetalk.export import tracing
from studio.engines.musetalk.export.bisenet import BiSeNet
from studio.engines.musetalk.export.command import make
from studio.engines.musetalk.export.networks import build
from studio.engines.musetalk.export.probes import probes
from studio.engines.musetalk.export.s3fd import S3FD
from studio.engines.musetalk.export.sources import Found, find
from studio.engines.musetalk.export.statedict import fill, read_state
from studio.engines.musetalk.networks import ROLES, End, Ends, Networks
from studio.engines.onnxgraph import write
from studio.engines.onnxhalf import in_half
from studio.engines.onnxheader import read_header
from studio.engines.tensorrtbuild import HALF_LIMIT, distance
from studio.errors import AvatarNotReady, BadNetwork
from studio.spec import AvatarSpec
from studio.weights import judge, manifest
from tests.export import released

MADE = ("whisper_encoder", "unet", "vae_decoder", "vae_encoder", "face_parsing", "s3fd")


def nothing(done: float, phrase: str) -> None:
    pass


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return released.write(tmp_path_factory.mktemp("released"))


@pytest.fixture(scope="module")
def said(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """The folder of networks that the command made, and what it said."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(folder / "nowhere"))
        out, err = spoken(weights, folder, 0)
    return folder, out, err


@pytest.fixture(scope="module")
def networks(said: tuple[Path, str, str]) -> Iterator[Networks]:
    opened = Networks(said[0], allow_small=True)
    yield opened
    opened.close()


def spoken(weights: Path, folder: Path, code: int, *more: str) -> tuple[str, str]:
    """Run the command and return what it said; it must end with ``code``."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        small = () if more else ("--allow-small-networks",)
        assert main(["export", "musetalk", "--weights", str(weights), "--output", str(folder), *small]) == code
    return out.getvalue(), err.getvalue()


def test_every_network_is_made_and_compared(said: tuple[Path, str, str]) -> None:
    folder, _, err = said
    lines = [line for line in err.splitlines() if "million weights, error" in line]
    assert [line.split(".onnx")[0].strip() for line in lines] == list(MADE)
    assert all("rows, 0.0001 allowed" in line for line in lines)
    assert "dwpose/dw-ll_ucoco_384.onnx is missing" in err and "Preparation works without it." in err
    assert sorted(path.name for path in folder.iterdir()) == sorted(f"{role}.onnx" for role in MADE)


def test_check_finds_them_good_with_free_rows(said: tuple[Path, str, str]) -> None:
    for weight in manifest("musetalk"):
        verdict = judge(weight, said[0], allow_small=True)
        assert verdict.good == (weight.role in MADE), verdict
    for role in MADE:
        header = read_header(said[0] / f"{role}.onnx")
        assert [port.name for port in header.inputs] == [end.names[0] for end in ROLES[role].inputs]
        assert [port.name for port in header.outputs] == [end.names[0] for end in ROLES[role].outputs]
        for port in (*header.inputs, *header.outputs):
            assert port.rows is None or port.name == "timesteps"
        for port, end in zip(
            (*header.inputs, *header.outputs), (*ROLES[role].inputs, *ROLES[role].outputs), strict=True
        ):
            assert port.shape is not None and (port.shape[1:] == tuple(end.shape)[1:])


def test_what_is_there_stays(weights: Path, said: tuple[Path, str, str]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in said[0].iterdir()}
    _, err = spoken(weights, said[0], 0)
    assert err.count("is there already; remove it") == len(MADE)
    assert {path.name: path.stat().st_mtime_ns for path in said[0].iterdir()} == before


@pytest.mark.parametrize("role", ["unet", "vae_decoder", "face_parsing"])
def test_rows_are_independent(networks: Networks, role: str) -> None:
    """Three rows at once give what each gives alone."""
    network, probe = networks.get(role), probes(role)[2]
    many = network.run(probe)
    for row in range(3):
        alone = network.run({name: value[row : row + 1] if len(value) > 1 else value for name, value in probe.items()})
        for name, value in many.items():
            np.testing.assert_allclose(alone[name], value[row : row + 1], atol=1e-3 * float(value.std()))


def test_the_graph_computes_what_the_released_weights_do(weights: Path, networks: Networks) -> None:
    """Asked anew, apart from the export's own comparison: loading, names and order of inputs are the engine's."""
    probe = probes("unet")[1]
    with torch.inference_mode():
        unet = build("unet", find("unet", weights), allow_small=True)
        arrays = [torch.tensor(probe[end.names[0]]) for end in ROLES["unet"].inputs]
        wanted = unet(*arrays).numpy()
        swapped = unet(arrays[0].flip(0), *arrays[1:]).numpy()
    made = networks.paint(probe["input_latents"], probe["audio_prompts"])
    assert distance(made, wanted) < 1e-4 < 1e-2 < distance(made, swapped)


def test_half_precision_of_the_exported_graphs_computes_the_same(
    said: tuple[Path, str, str], networks: Networks, tmp_path: Path
) -> None:
    """What `build` does of them before TensorRT sees them."""
    for role in ("unet", "vae_decoder"):
        write(in_half(said[0] / f"{role}.onnx"), tmp_path / f"{role}.onnx")
        probe = probes(role)[0]
        wanted = networks.get(role).run(probe)
        half = Networks(tmp_path, allow_small=True)
        made = half.get(role).run(probe)
        half.close()
        assert all(0 < distance(made[name], value) < HALF_LIMIT for name, value in wanted.items()), role


def test_the_engine_speaks_with_them(said: tuple[Path, str, str], shared: Path, tmp_path: Path) -> None:
    engine = MuseTalkEngine()
    options = {"checkpoint": str(said[0]), "allow_small_networks": True, "latency": "low"}
    spec = AvatarSpec("yong", shared / "golden/musetalk/avatar_cache", engine="musetalk", options=options)
    engine.prepare(spec, tmp_path, nothing)
    avatar = engine.load(Prepared(spec, tmp_path))
    sound = np.random.default_rng(0).normal(0, 4000, (5, SAMPLES_PER_BEAT)).astype(np.int16)

    def played(speech: bool) -> list[Beat]:
        take = engine.begin(avatar, Options())
        heard = [AudioChunk(i, pcm, speech, i) for i, pcm in enumerate(sound)]
        return [beat for chunk in heard for beat in engine.step([(take, chunk)])[0]]

    speaking, silent = played(True), played(False)
    assert [beat.index for beat in speaking] == [0, 1]
    assert not np.array_equal(speaking[1].picture, silent[1].picture)
    engine.close()


def test_safetensors_of_the_same_are_the_same(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights / "s3fd/s3fd-619a316812.pth", weights_only=True)
    safetensors.torch.save_file(state, tmp_path / "s3fd-619a316812.safetensors")
    found = find("s3fd", tmp_path)
    assert found.weights.suffix == ".safetensors"
    again = read_state(found.weights)
    assert all(torch.equal(again[name], value) for name, value in state.items())
    found.weights.write_bytes(found.weights.read_bytes()[:1000])
    with pytest.raises(BadNetwork, match="is damaged or cut off"):
        read_state(found.weights)


def test_numbers_of_weights_are_the_published_ones() -> None:
    """Specification 9."""
    with torch.device("meta"):
        counts = [sum(value.numel() for value in net().parameters()) / 1e6 for net in (BiSeNet, S3FD)]
    assert counts == [pytest.approx(13.30, abs=0.005), pytest.approx(22.46, abs=0.005)]


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("is_old", [False, True])
def test_pickles_that_want_to_run_something_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_old: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "79999_iter.pth"
    torch.save({"a": torch.zeros(2), "b": Evil()}, path, _use_new_zipfile_serialization=not is_old)
    with pytest.raises(BadNetwork, match=r"79999_iter\.pth asks for \w+\.mkdir, which has no place in it"):
        read_state(path)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is empty"),
        (b"<html>sign in</html>" * 9, "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n" * 3, "is only a pointer of Git LFS"),
        (b"\x80\x04\x95" + bytes(99), "is a plain pickle"),
        (b"PK\x03\x04" + bytes(99), "is damaged or cut off"),
        (bytes(99), "is not a file that torch.save wrote"),
    ],
)
def test_what_is_no_file_of_pytorch_is_a_sentence(tmp_path: Path, content: bytes, sentence: str) -> None:
    path = tmp_path / "unet.pth"
    path.write_bytes(content)
    with pytest.raises(BadNetwork, match=sentence):
        read_state(path)


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("cut", [20, 200, 2000, -100])
def test_files_cut_off_are_a_sentence(tmp_path: Path, is_old: bool, cut: int) -> None:
    path = tmp_path / "unet.pth"
    torch.save({"a": torch.zeros(2000)}, path, _use_new_zipfile_serialization=not is_old)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadNetwork, match=r"is damaged or cut off|is not a file"):
        read_state(path)


@pytest.mark.parametrize("content", [[torch.zeros(3)], {"a": 1}, {1: torch.zeros(1)}, torch.zeros(3), {"a": {}}])
def test_what_is_no_table_of_weights_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "unet.pth")
    with pytest.raises(BadNetwork, match="something else than a network's weights"):
        read_state(tmp_path / "unet.pth")


def test_other_networks_are_told_by_what_differs(weights: Path, tmp_path: Path) -> None:
    state = released.detector()
    with torch.device("meta"):
        parser, detector = BiSeNet(), S3FD()
    with pytest.raises(BadNetwork, match=r"x\.pth is another network: it lacks cp\.resnet"):
        fill(parser, dict(state), "x.pth")
    with pytest.raises(BadNetwork, match="another network: it has surplus, which has no place"):
        fill(detector, {**state, "surplus": torch.zeros(2)}, "x.pth")
    with pytest.raises(BadNetwork, match=r"another network: its fc7\.bias is 9 instead of 1024"):
        fill(detector, {**state, "fc7.bias": torch.zeros(9)}, "x.pth")
    with pytest.raises(BadNetwork, match=r"simplified network: 2e-06 million numbers instead of 22\.46 million"):
        fill(detector, {"conv1_1.weight": torch.zeros(2)}, "x.pth")
    settings = tmp_path / "musetalk.json"
    settings.write_text('{"in_channels": 8}')
    with pytest.raises(BadNetwork, match=r"unet\.pth is a simplified network: 9\.405 million .* 849\.9 million"):
        build("unet", Found(weights / "musetalkV15/unet.pth", settings), allow_small=False)


def test_stand_ins_are_refused_unless_asked_for(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(BadNetwork, match=r"musetalk\.json describes another network than MuseTalk's"):
        make("unet", weights, tmp_path, False, nothing)
    assert not list(tmp_path.iterdir())


def test_graph_that_computes_something_else_does_not_appear(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "LIMIT", 1e-12)
    with pytest.raises(BadNetwork, match=r"s3fd\.onnx computes something else than the weights do: error"):
        make("s3fd", weights, tmp_path, False, nothing)
    assert not list(tmp_path.iterdir())


def test_other_exports_are_taken_as_they_are(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    for path in (shared / "golden/musetalk/standins").glob("*.onnx"):
        shutil.copyfile(path, theirs / (f"{path.stem}_v15.onnx" if path.stem == "unet" else path.name))
    (theirs / "dwpose").mkdir()
    (theirs / "dwpose.onnx").rename(theirs / "dwpose/dw-ll_ucoco_384.onnx")
    _, err = spoken(theirs, mine, 0)
    assert err.count("was taken as it is") == len(ROLES)
    assert sorted(path.name for path in mine.iterdir()) == sorted(
        "unet_v15.onnx" if role == "unet" else f"{role}.onnx" for role in ROLES
    )
    shutil.rmtree(mine)
    _, err = spoken(theirs, mine, 1, "--verbose")
    assert "unet_v15.onnx is too small to be MuseTalk's UNet" in err
    assert not (mine / "unet_v15.onnx").exists()


def test_weights_of_an_export_write_over_nothing_but_their_own(shared: Path, tmp_path: Path) -> None:
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    mine.mkdir()
    for name in ("notes.txt", "vae_encoder.onnx.data"):
        shutil.rmtree(theirs, ignore_errors=True)
        theirs.mkdir()
        (mine / name).write_text("mine")
        graph = onnx.load(str(shared / "golden/musetalk/standins/vae_encoder.onnx"))
        onnx.save(graph, str(theirs / "vae_encoder.onnx"), save_as_external_data=True, location=name, size_threshold=0)
        if name == "notes.txt":
            with pytest.raises(BadNetwork, match=r"notes\.txt would be written over"):
                make("vae_encoder", theirs, mine, True, nothing)
            assert [path.name for path in mine.iterdir()] == [name] and (mine / name).read_text() == "mine"
        else:
            assert "was taken as it is" in make("vae_encoder", theirs, mine, True, nothing)
            (mine / "notes.txt").unlink()
            assert sorted(path.name for path in mine.iterdir()) == ["vae_encoder.onnx", name]


def test_exports_of_another_network_are_refused(shared: Path, tmp_path: Path) -> None:
    standins = shared / "golden/musetalk/standins"
    theirs, mine = tmp_path / "theirs", tmp_path / "mine"
    theirs.mkdir()
    shutil.copyfile(standins / "vae_encoder.onnx", theirs / "vae_decoder.onnx")
    with pytest.raises(BadNetwork, match="is not the network that belongs there"):
        make("vae_decoder", theirs, mine, True, nothing)
    assert not list(mine.iterdir())


class Fixed(torch.nn.Module):
    """Adds zeros, of as many rows as Python sees: the tracer takes that for a constant."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.zeros(int(x.shape[0]), 4)


class Widened(torch.nn.Module):
    """Has two rows whatever it gets, from one row on."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean(dim=0, keepdim=True) + torch.zeros(int(x.shape[0]), 4)


@pytest.mark.parametrize("network", [Fixed, Widened])
def test_graph_for_some_numbers_of_rows_does_not_pass(tmp_path: Path, network: type[torch.nn.Module]) -> None:
    ends = Ends((End(("x",), (None, 4)),), (End(("y",), (None, 4)),))
    tried = [{"x": np.ones((rows, 4), np.float32)} for rows in (3, 2, 1)]
    with pytest.raises(BadNetwork, match=r"some\.onnx does not take every number of rows"):
        tracing.export("some", network, ends, tried, tmp_path / "some.onnx")


def test_preparation_finds_its_networks(networks: Networks) -> None:
    encoded = networks.encode(probes("vae_encoder")[2]["image"])
    assert encoded.shape == (3, 4, 32, 32) and 0 < encoded.std() < 10
    logits = networks.parse(probes("face_parsing")[0]["image"])
    assert len(np.unique(logits[0].argmax(axis=0))) > 1
    height, width = 97, 131
    maps = networks.detect(np.zeros((1, 3, height, width), np.float32))
    assert [one.shape[1] for one in maps] == [2, 4] * 6
    assert [maps[2 * level].shape[2:] for level in range(3)] == [(24, 32), (12, 16), (6, 8)]
    assert maps[6].shape[2:] == (3 + 4, 4 + 4)  # specification 5.3: padding 3 makes it larger than a thirty-second
    assert detector.candidates(maps).shape[1] == 5


def test_disk_that_is_full_is_a_sentence(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **options: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")

    monkeypatch.setattr(torch.onnx, "export", full)
    with pytest.raises(AvatarNotReady, match=r"cannot write s3fd\.onnx; is the disk full"):
        make("s3fd", weights, tmp_path, False, nothing)
    assert not list(tmp_path.iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(AvatarNotReady, match="file cannot be written: Not a directory"):
        make("s3fd", weights, tmp_path / "file", False, nothing)


def test_it_is_part_of_ci() -> None:
    assert "pytest --durations=5 tests/export" in (Path(__file__).parents[2] / ".ci" / "run").read_text()
