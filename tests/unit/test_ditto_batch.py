"""Several visits in one step: each network is called once for all where its graph has a free batch axis, else once for
each; either way a visit looks as if it were alone."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.beat import SAMPLES_PER_BEAT, AudioChunk, Beat
from studio.engine import Options, Prepared
from studio.engines import runtime
from studio.engines.ditto import idle
from studio.engines.ditto.engine import DittoAvatar, DittoEngine, DittoTake
from studio.engines.network import Feeds
from studio.engines.onnxmodel import OnnxBackend
from studio.spec import AvatarSpec

LIVE = ("hubert", "lmdm_v0.4_hubert", "stitch_network", "warp_network_ori", "decoder")
"""Networks of a visit."""
VISITS = 3
BEATS = 14

Calls = Counter[tuple[str, int]]
"""Network and rows -> calls."""


class Counting(OnnxBackend):
    """Counts its calls."""

    calls: ClassVar[Calls] = Counter()

    def __init__(self, path: Path, threads: int = 1) -> None:
        super().__init__(path, threads)
        self._stem = path.stem

    def call(self, feeds: Feeds, keep: bool) -> dict[str, runtime.Array]:
        self.calls[self._stem, max(value.shape[0] for value in feeds.values())] += 1
        return super().call(feeds, keep)


def freed(path: Path) -> None:
    """Give a stand-in a free batch axis: its only fixed ones are at its ends, in what it reshapes to, and a squeeze."""
    model = onnx.load(str(path))
    graph = model.graph
    squeezes = [node for node in graph.node if node.op_type == "Squeeze"]
    for squeeze in squeezes:
        graph.node.remove(squeeze)
        next(node for node in graph.node if squeeze.input[0] in node.output).output[0] = squeeze.output[0]
        graph.output[0].type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension())
    for end in (*graph.input, *graph.output):
        end.type.tensor_type.shape.dim[0].dim_param = "rows"
    targets = {node.input[1] for node in graph.node if node.op_type == "Reshape"}
    for constant in graph.initializer:
        if constant.name in targets:
            shape = numpy_helper.to_array(constant).copy()
            shape[0] = -1
            constant.CopyFrom(numpy_helper.from_array(shape, constant.name))
    path.chmod(0o644)
    onnx.save(model, str(path))


@dataclass(frozen=True, slots=True)
class Stage:
    """An engine with two avatars of one checkpoint."""

    engine: DittoEngine
    avatars: tuple[DittoAvatar, DittoAvatar]
    is_free: bool
    """Its networks have a free batch axis."""

    def begin(self, visit: int) -> DittoTake:
        return self.engine.begin(self.avatars[visit % 2], Options(seed=visit))

    def step(self, batch: Sequence[tuple[DittoTake, AudioChunk]]) -> tuple[list[list[Beat]], Calls]:
        Counting.calls.clear()
        return self.engine.step(batch), Counter(Counting.calls)


@pytest.fixture(scope="module", params=["free", "fixed"])
def stage(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    golden, folder = shared / "golden" / "ditto", tmp_path_factory.mktemp("batch")
    shutil.copytree(golden / "standins", folder / "checkpoint", copy_function=shutil.copyfile)
    (folder / "checkpoint" / "ditto_onnx").chmod(0o755)
    if request.param == "free":
        for name in LIVE:
            freed(folder / "checkpoint" / "ditto_onnx" / f"{name}.onnx")
    options = {"checkpoint": str(folder / "checkpoint"), "max_size": 128, "sampling_timesteps": 3, "latency": "lowest"}
    spec = AvatarSpec("someone", golden / "inputs" / "image.png", engine="ditto", options=options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle, "SHORTEST", 6)
        patch.setattr(idle, "SEAM", 3)
        patch.setattr(runtime, "OnnxBackend", Counting)
        engine = DittoEngine()
        engine.prepare(spec, folder, lambda done, phrase: None)
        prepared = Prepared(spec, folder)
        yield Stage(engine, (engine.load(prepared), engine.load(prepared)), request.param == "free")
        engine.close()


def chunks(seed: int) -> list[AudioChunk]:
    sound = np.random.default_rng(seed).integers(-9000, 9000, (BEATS, SAMPLES_PER_BEAT)).astype(np.int16)
    return [AudioChunk(i, pcm, True, 5 * seed + i) for i, pcm in enumerate(sound)]


def test_each_network_is_called_once_for_all_visits_and_each_looks_as_if_alone(stage: Stage) -> None:
    sounds = [chunks(seed) for seed in range(VISITS)]
    alone: list[list[Beat]] = []
    calls: list[Calls] = []
    for visit, sound in enumerate(sounds):
        take = stage.begin(visit)
        steps = [stage.step([(take, chunk)]) for chunk in sound]
        alone.append([beat for beats, _ in steps for beat in beats[0]])
        calls = [counted for _, counted in steps]
    takes = [stage.begin(visit) for visit in range(VISITS)]
    together: list[list[Beat]] = [[] for _ in takes]
    for heard, single in zip(zip(*sounds, strict=True), calls, strict=True):
        made, counted = stage.step(list(zip(takes, heard, strict=True)))
        assert counted == expected(single, stage.is_free)
        for beats, new in zip(together, made, strict=True):
            beats += new
    assert {name for counted in calls for name, _ in counted} == set(LIVE), "every network was needed"
    for one, other in zip(alone, together, strict=True):
        assert [beat.index for beat in one] == [beat.index for beat in other] == list(range(BEATS - 8))
        for a, b in zip(one, other, strict=True):
            assert np.abs(a.picture.astype(int) - b.picture).max() <= 1, "the same but for rounding"


def expected(single: Calls, is_free: bool) -> Calls:
    """Return the calls of a step of all visits, given those of a step of one."""
    if is_free:
        return Counter({(name, rows * VISITS): count for (name, rows), count in single.items()})
    return Counter({key: count * VISITS for key, count in single.items()})


def test_a_network_is_called_once_a_step_but_for_the_steps_of_the_diffusion(stage: Stage) -> None:
    take = stage.begin(0)
    for chunk in chunks(0):
        _, counted = stage.step([(take, chunk)])
        assert all(count == 1 for (name, _), count in counted.items() if not name.startswith("lmdm"))
        assert counted["lmdm_v0.4_hubert", 1] % 3 == 0, "three for each window of motion"


def test_free_batch_axes_are_seen(stage: Stage) -> None:
    networks = stage.avatars[0].crew.networks
    live = ("hubert", "lmdm", "stitch_network", "warp_network", "decoder")
    assert [networks[role].batches for role in live] == [stage.is_free] * len(live)
