"""Files of checkpoints, judged one by one without loading them."""

from __future__ import annotations

import os
import pickle
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from studio import checks
from studio.config import workplace
from studio.engines.ditto.checkpoint import NETWORKS
from studio.engines.ditto.options import Chosen as DittoChosen
from studio.engines.musetalk.networks import ROLES, SUFFIXES
from studio.engines.musetalk.options import Chosen as MuseTalkChosen
from studio.spec import AvatarSpec, StudioSpec
from studio.weights import ENGINES_WITH_WEIGHTS, Verdict, Weight, folder_of, judge, manifest

Ends = dict[str, Sequence[int | None]]
DECODER: tuple[Ends, Ends] = ({"feature": (1, 256, 64, 64)}, {"output": (1, 3, 512, 512)})
NUMBERS = 55_400_000


def weight(path: str, engine: str = "ditto") -> Weight:
    """Return the manifest's entry of a file."""
    return next(one for one in manifest(engine) if path in one.paths)


def write(path: Path, ends: tuple[Ends, Ends] = DECODER, numbers: int = NUMBERS, custom: str = "") -> Path:
    """Write a network that claims to hold so many numbers, in a file beside it that is much smaller."""
    sides = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in side.items()]
        for side in ends
    )
    tensor = TensorProto(dims=[numbers], data_type=TensorProto.FLOAT, name="w", data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=path.name + ".data")
    nodes = [helper.make_node(custom or "Identity", ["w"], ["v"], domain="plugin" if custom else "")]
    graph = helper.make_graph(nodes, "g", *sides, [tensor])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), str(path))
    path.with_name(path.name + ".data").write_bytes(b"\0" * 100)
    return path


def decoder(folder: Path) -> Verdict:
    """Judge the decoder."""
    return judge(weight("ditto_onnx/decoder.onnx"), folder)


def test_right_network_is_told_with_its_size(tmp_path: Path) -> None:
    write(tmp_path / "ditto_onnx/decoder.onnx")
    verdict = decoder(tmp_path)
    assert (verdict.there, verdict.good, verdict.name) == (True, True, "decoder.onnx")
    assert verdict.text.endswith("MB, 55.4 million numbers, opset 17")


def test_missing_file_is_told_with_its_purpose(tmp_path: Path) -> None:
    verdict = decoder(tmp_path)
    assert (verdict.there, verdict.good, verdict.text) == (False, False, "is missing; it draws the face.")


def test_simplified_network_is_recognised_by_its_numbers(tmp_path: Path) -> None:
    write(tmp_path / "ditto_onnx/decoder.onnx", numbers=5_000_000)
    assert "simplified network or a stand-in: 5 million numbers instead of 55.4" in decoder(tmp_path).text
    write(tmp_path / "ditto_onnx/decoder.onnx", numbers=500_000_000)
    assert "another network: 500 million numbers" in decoder(tmp_path).text


def test_stand_ins_are_taken_where_the_options_say_so(shared: Path, tmp_path: Path) -> None:
    stand_ins = shared / "golden/musetalk/standins"
    options = {"checkpoint": str(stand_ins), "allow_small_networks": True}
    table = checks.weights(StudioSpec((AvatarSpec("me", tmp_path, engine="musetalk", options=options),)))
    lines = [check for check in table if check.subject.startswith("musetalk")]
    assert len(lines) == 8
    assert all(check.good for check in lines)
    assert lines[0].text == "ready to speak, complete"


def test_network_with_its_weights_elsewhere_needs_them(tmp_path: Path) -> None:
    path = write(tmp_path / "ditto_onnx/decoder.onnx")
    path.with_name("decoder.onnx.data").unlink()
    assert decoder(tmp_path).text == (
        "decoder.onnx is incomplete: decoder.onnx.data, which holds its weights, is missing."
    )


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        (({"feature": (1, 256, 64, 64)}, {"output": (1, 3, 256, 256)}), "it lacks output [? x 3 x 512 x 512]"),
        (({"feature": (1, 256, 64)}, DECODER[1]), "it lacks feature [? x 256 x 64 x 64], and has feature [1 x 256"),
        (({"x": (1, 3, 64, 64)}, DECODER[1]), "it lacks feature"),
    ],
)
def test_other_ends_are_told(tmp_path: Path, ends: tuple[Ends, Ends], expected: str) -> None:
    write(tmp_path / "ditto_onnx/decoder.onnx", ends)
    verdict = decoder(tmp_path)
    assert not verdict.good
    assert expected in verdict.text


def test_other_exports_are_known_by_their_shapes(tmp_path: Path) -> None:
    write(
        tmp_path / "vae_encoder_v15.onnx",
        ({"pixels": (None, 3, 256, 256)}, {"z": (None, 4, 32, 32)}),
        34_160_000,
    )
    verdict = judge(weight("vae_encoder.onnx", "musetalk"), tmp_path)
    assert (verdict.good, verdict.name) == (True, "vae_encoder_v15.onnx")


def test_network_for_a_plug_in_is_told_with_the_remedy(tmp_path: Path) -> None:
    plain = NETWORKS["warp_network"]
    ends = tuple(
        {name: [side or 1 for side in shape] for name, shape in side.items()} for side in (plain.inputs, plain.outputs)
    )
    write(tmp_path / "ditto_onnx/warp_network.onnx", ends, 45_500_000, "GridSample3D")  # type: ignore[arg-type]
    verdict = judge(weight("ditto_onnx/warp_network.onnx"), tmp_path)
    assert not verdict.good
    assert "plugin.GridSample3D" in verdict.text
    assert "take warp_network_ori.onnx instead" in verdict.text
    write(tmp_path / "ditto_onnx/warp_network_ori.onnx", ends, 45_500_000)  # type: ignore[arg-type]
    assert judge(weight("ditto_onnx/warp_network.onnx"), tmp_path).name == "warp_network_ori.onnx"


class Gadget:
    """Reduces to a call of the shell."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch sprung",)


def test_options_that_would_run_something_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "ditto_cfg/v0.4_hubert_cfg_trt_online.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps({"base_cfg": Gadget(), "x": np.zeros(3)}))
    verdict = judge(weight("ditto_cfg/v0.4_hubert_cfg_trt_online.pkl"), tmp_path)
    assert not verdict.good
    assert "posix.system" in verdict.text
    assert not (tmp_path / "sprung").exists()


def test_manifest_covers_what_the_engines_open() -> None:
    assert {one.role for one in manifest("ditto")} - {""} == set(NETWORKS)
    assert {one.role for one in manifest("musetalk")} == set(ROLES)
    for one in manifest("musetalk"):
        assert one.paths == tuple(f"{one.role}{suffix}.onnx" for suffix in SUFFIXES)
    assert manifest("portrait") == ()
    assert {one.needed for engine in ENGINES_WITH_WEIGHTS for one in manifest(engine)} == {
        "live", "preparation", "offline", "optional",
    }  # fmt: skip


def test_golden_stand_ins_are_taken_for_what_they_are(shared: Path, tmp_path: Path) -> None:
    for folder in ("ditto_cfg", "ditto_onnx"):
        shutil.copytree(shared / "golden/ditto/standins" / folder, tmp_path / folder)
    verdicts = {verdict.name: verdict for verdict in (judge(one, tmp_path) for one in manifest("ditto"))}
    assert "stand-in" in verdicts["hubert.onnx"].text
    assert verdicts["v0.4_hubert_cfg_trt_online.pkl"].good
    assert verdicts["face_mesh.onnx"].good


def test_networks_lie_where_the_engines_look_for_them(tmp_path: Path) -> None:
    for engine, usual in (("ditto", DittoChosen({}).checkpoint), ("musetalk", MuseTalkChosen().checkpoint)):
        assert folder_of(engine, {}) == workplace() / usual
        assert folder_of(engine, {"checkpoint": str(tmp_path)}) == tmp_path
        assert folder_of(engine, {"checkpoint": "mine"}) == workplace() / "mine"


def avatar(folder: Path) -> AvatarSpec:
    """Return an avatar of the Ditto engine."""
    return AvatarSpec("me", folder / "me.png", engine="ditto", options={"checkpoint": str(folder)})


def test_check_tells_each_file_of_an_engine_that_is_used(tmp_path: Path) -> None:
    table = checks.weights(StudioSpec((avatar(tmp_path),)))
    assert table[0].subject == f"ditto in {tmp_path.name}"
    assert table[0].text == "cannot speak; 12 files are missing or wrong"
    assert "README.md says" in table[0].remedy
    assert [check.subject for check in table[1:3]] == [
        f"ditto: {tmp_path.name}/v0.4_hubert_cfg_trt_online.pkl", f"ditto: {tmp_path.name}/v0.4_hubert_cfg_trt.pkl",
    ]  # fmt: skip
    assert table[2].text.endswith("Only offline films need it.")
    told = {check.subject.rpartition("/")[2]: check.text for check in table}
    assert told["insightface_det.onnx"] == "is missing; it finds the face. Our own landmark detector does that as well."
    assert not any(check.needed for check in table)
    assert len({check.subject for check in table}) == len(table)


def test_check_is_short_where_nobody_needs_weights(tmp_path: Path) -> None:
    assert [check.text for check in checks.files("ditto", tmp_path, False)] == ["no files; no avatar needs them"]
    write(tmp_path / "ditto_onnx/decoder.onnx")
    assert len(checks.files("ditto", tmp_path, False)) == 15


def test_check_says_when_all_is_there_for_speaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def judged(one: Weight, folder: Path, allow_small: bool) -> Verdict:
        return Verdict(one, one.paths[0], True, one.needed == "live", "text")

    monkeypatch.setattr(checks, "judge", judged)
    assert checks.files("musetalk", tmp_path, True)[0].text == "ready to speak; 4 files are missing or wrong"


def test_commands_that_fetch_are_understood_by_the_hub_of_today() -> None:
    """``hf`` takes one pattern after ``--include``; what follows is a file, and then no pattern counts."""
    lines = (workplace() / "checkpoints" / "README.md").read_text("utf-8").splitlines()
    commands = [shlex.split(line) for line in lines if "hf download" in line and line.startswith("    ")]
    assert len(commands) >= 6
    for command in commands:
        values = command[command.index("download") + 1 :]
        named = [one for one in values[1:] if not one.startswith("--") and values[values.index(one) - 1][:2] != "--"]
        assert ("--include" in values) != bool(named), command
        assert not any("*" in one for one in named), command
