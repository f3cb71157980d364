"""``start_studio.py build``, on the stand-in networks and a TensorRT made of ONNX Runtime."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from studio.cli import build as command
from studio.cli import main
from studio.engines import tensorrtmodel
from tests.unit import gpu


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> gpu.Builder:
    """A machine with a GPU and TensorRT."""
    fake = gpu.Builder()
    memory, _ = gpu.memory(limit=1 << 30)
    monkeypatch.setitem(sys.modules, "tensorrt", fake)
    monkeypatch.setattr(command, "cuda_memory", lambda: memory)
    tensorrtmodel.journal.cache_clear()
    request.addfinalizer(tensorrtmodel.journal.cache_clear)
    return fake


def test_command_builds_every_network_of_ditto(
    library: gpu.Builder, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the stand-ins: released names and shapes, in half precision where the specification allows it."""
    source = shared / "golden" / "ditto" / "standins"
    for path in source.rglob("*.*"):
        target = tmp_path / path.relative_to(source)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    arguments: list[Any] = ["build", "ditto", "--checkpoint", str(tmp_path)]
    assert main(arguments) == 0, capsys.readouterr().err
    out = capsys.readouterr().out
    assert "12 networks, for Testing GPU and TensorRT 10.13.3.9." in out
    assert "12 of 12 networks have an engine." in out
    notes = {json.loads(path.read_text())["network"]: path for path in tmp_path.rglob("*.json")}
    single = {name for name, path in notes.items() if json.loads(path.read_text())["precision"] == "float32"}
    assert single == {"hubert.onnx", "lmdm_v0.4_hubert.onnx", "motion_extractor.onnx"}
    assert "warp_network_ori.onnx" in notes
    library.complaint = "build"
    for path in tmp_path.rglob("stitch_network*.engine"):
        path.unlink()
    assert main(arguments) == 1
    assert "11 of 12" in capsys.readouterr().out


def test_command_builds_every_network_of_musetalk(
    library: gpu.Builder, shared: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (shared / "golden" / "musetalk" / "standins").glob("*.onnx"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert main(["build", "musetalk", "--checkpoint", str(tmp_path)]) == 0, capsys.readouterr().err
    assert "6 of 6 networks have an engine." in capsys.readouterr().out
    notes = [json.loads(path.read_text()) for path in tmp_path.rglob("*.json")]
    assert {note["precision"] for note in notes} == {"float16"}
    assert max(max(note["errors"].values()) for note in notes) > 0
    (tmp_path / "unet.onnx").unlink()
    assert main(["build", "musetalk", "--checkpoint", str(tmp_path)]) == 1
    assert "unet.onnx is missing" in capsys.readouterr().err
