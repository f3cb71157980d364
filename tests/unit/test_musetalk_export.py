"""What the export decides before PyTorch is asked: files, configurations, sentences. `tests/export` does the rest."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from studio.cli import main
from studio.config import pip
from studio.engines.musetalk.export.probes import probes
from studio.engines.musetalk.export.settings import UNET, VAE, WHISPER, WIDTHS, Settings, read_settings
from studio.engines.musetalk.export.sources import SOURCES, find
from studio.engines.musetalk.networks import ROLES
from studio.errors import BadNetwork
from studio.weights import manifest


def put(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_every_network_has_a_source_and_inputs_to_try_it_on() -> None:
    assert set(SOURCES) == set(ROLES) == {weight.role for weight in manifest("musetalk")}
    for role, ends in ROLES.items():
        tried = probes(role)
        for probe in tried:
            assert set(probe) == {end.names[0] for end in ends.inputs}
            for end in ends.inputs:
                value = probe[end.names[0]]
                assert all(want in (None, have) for want, have in zip(end.shape, value.shape, strict=True))
                assert np.isfinite(value).all()
        rows = [len(next(iter(probe.values()))) for probe in tried]
        assert rows[0] == 1 and rows[1] == 2
        assert all(np.array_equal(a, b) for a, b in zip(tried[1].values(), probes(role)[1].values(), strict=True))


@pytest.mark.parametrize(
    ("role", "there", "taken"),
    [
        ("unet", ["musetalkV15/unet.pth"], "unet.pth"),
        ("unet", ["musetalkV15/unet.pth", "musetalkV15/unet.safetensors"], "unet.safetensors"),
        ("vae_encoder", ["sd-vae-ft-mse/diffusion_pytorch_model.bin"], "diffusion_pytorch_model.bin"),
        ("whisper_encoder", ["whisper-tiny/model.safetensors", "whisper/pytorch_model.bin"], "pytorch_model.bin"),
        ("face_parsing", ["face-parse-bisent/79999_iter.pth"], "79999_iter.pth"),
        ("s3fd", ["s3fd-619a316812.pth"], "s3fd-619a316812.pth"),
        ("s3fd", ["hub/checkpoints/s3fd-619a316812.pth"], "s3fd-619a316812.pth"),
        ("dwpose", ["dwpose/dw-ll_ucoco_384.onnx"], "dw-ll_ucoco_384.onnx"),
        ("unet", ["unet_v15.onnx"], "unet_v15.onnx"),
        ("unet", ["unet_v15.onnx", "musetalkV15/unet.pth"], "unet.pth"),
    ],
)
def test_weights_are_found_where_downloads_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str, there: list[str], taken: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in there:
        path = put(tmp_path / name)
        put(path.with_name(SOURCES[role].settings or "none"))
    found = find(role, tmp_path)
    assert found.weights.name == taken
    assert found.is_graph == taken.endswith(".onnx")
    assert (found.settings is not None) == (bool(SOURCES[role].settings) and not found.is_graph)


@pytest.mark.parametrize("role", list(SOURCES))
def test_what_is_missing_is_named_with_where_to_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(BadNetwork, match=r"is missing below .*; checkpoints/README\.md says how"):
        find(role, tmp_path)


def test_missing_configuration_is_named(tmp_path: Path) -> None:
    put(tmp_path / "musetalkV15/unet.pth")
    with pytest.raises(BadNetwork, match=r"musetalkV15/musetalk\.json is missing beside unet\.pth"):
        find("unet", tmp_path)


@pytest.mark.parametrize("known", [UNET, VAE, WHISPER])
def test_the_known_configuration_is_taken(tmp_path: Path, known: Settings) -> None:
    path = put(tmp_path / "config.json", json.dumps({"_class_name": "Any", "foreign": [1], **known}))
    assert read_settings(path, known, {"dropout": 0.0}) == known
    put(path, json.dumps({"_diffusers_version": "0.4.2"}))
    assert read_settings(path, known, {}) == known


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"cross_attention_dim": 768}, "its cross_attention_dim is 768, not 384"),
        ({WIDTHS: [32, 64, 128, 128]}, r"its block_out_channels is \[32, 64"),
        ({"use_linear_projection": True}, "its use_linear_projection is True, not False"),
        ({"act_fn": "x" * 1000}, "its act_fn is x{80}, not silu"),
    ],
)
def test_another_configuration_is_told_by_what_differs(
    tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    path = put(tmp_path / "musetalk.json", json.dumps({**UNET, **change}))
    with pytest.raises(BadNetwork, match=f"describes another network than MuseTalk's: {complaint}"):
        read_settings(path, UNET, {"use_linear_projection": False})


@pytest.mark.parametrize(
    "widths", [[32, 64, 128], [32, 64, 128, 130], [32, 64, 128, 2560], [0, 0, 0, 0], 32, ["a"] * 4]
)
def test_stand_ins_may_be_narrower_and_nothing_else(tmp_path: Path, widths: object) -> None:
    path = put(tmp_path / "musetalk.json", json.dumps({**UNET, WIDTHS: [32, 64, 128, 128]}))
    assert read_settings(path, UNET, {}, allow_small=True)[WIDTHS] == [32, 64, 128, 128]
    put(path, json.dumps({**UNET, WIDTHS: widths}))
    with pytest.raises(BadNetwork, match="its block_out_channels"):
        read_settings(path, UNET, {}, allow_small=True)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "{", "<html>", "[" * 5000, '{"a": "' + "x" * 1_000_000 + '"}', "\x00"]
)
def test_what_is_no_configuration_is_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadNetwork, match=r"config\.json (is no configuration|cannot be read)"):
        read_settings(put(tmp_path / "config.json", text), VAE, {})
    with pytest.raises(BadNetwork, match="cannot be read"):
        read_settings(tmp_path, VAE, {})


def test_missing_packages_are_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "diffusers" else there("json"))
    assert main(["export", "musetalk", "--weights", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "The export needs diffusers: " + pip("'.[export]'") + "\n"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there("json"))
    assert main(["export", "musetalk", "--weights", str(tmp_path / "nowhere")]) == 1
    assert "There is no folder" in capsys.readouterr().err
