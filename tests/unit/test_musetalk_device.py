"""What MuseTalk keeps on a GPU, and what travels to it and back for a picture. The GPU is `tests.unit.gpu`'s."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from studio.beat import AudioChunk
from studio.engines import tensorrtmodel
from studio.engines.cudamemory import CudaMemory
from studio.engines.device import Array, DeviceArray, Memory, host, rows_of
from studio.engines.musetalk import networks as module
from studio.engines.musetalk import painting
from studio.engines.musetalk.networks import ROLES, Networks
from studio.engines.musetalk.options import LATENCIES
from studio.engines.musetalk.take import Player
from studio.engines.network import Model, Port
from studio.engines.tensorrtmodel import TensorrtBackend
from studio.errors import EngineFault
from tests.unit import gpu

FRAMES = 6
STATES_BYTES = 1500 * 5 * 384 * 4
"""Of one answer of the speech encoder."""


def hearing(input_features: NDArray[Any]) -> dict[str, NDArray[Any]]:
    rows = np.repeat(input_features[:, :5, ::2].transpose(0, 2, 1)[..., None], 384, axis=3)
    return {"audio_features_all_layers": np.ascontiguousarray(rows, np.float32)}


def painting_of(
    input_latents: NDArray[Any], timesteps: NDArray[Any], audio_prompts: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    loud = audio_prompts.astype(np.float32).mean(axis=(1, 2))[:, None, None, None]
    return {"noise_prediction": (input_latents[:, :4].astype(np.float32) + loud).astype(np.float32)}


def decoding(latents: NDArray[Any]) -> dict[str, NDArray[Any]]:
    return {"image": np.ascontiguousarray(latents[:, :3].repeat(8, axis=2).repeat(8, axis=3))}


WORK: Mapping[str, Callable[..., dict[str, NDArray[Any]]]] = {
    "whisper_encoder": hearing,
    "unet": painting_of,
    "vae_decoder": decoding,
}
KINDS = {"input_latents": np.float16, "audio_prompts": np.float16, "timesteps": np.int64}
"""Ends that are not float32."""


class Plain:
    """A backend on the host."""

    title, most_rows, memory = "plain", None, None

    def __init__(self, role: str, inputs: gpu.Ends, outputs: gpu.Ends) -> None:
        self._role = role
        self.inputs, self.outputs = ports(inputs), ports(outputs)

    def call(self, feeds: Mapping[str, Array], keep: bool) -> dict[str, Array]:
        return dict(WORK[self._role](**feeds))

    def close(self) -> None:
        pass


def ports(ends: gpu.Ends) -> tuple[Port, ...]:
    return tuple(
        Port(name, np.dtype(kind), tuple(None if axis < 0 else axis for axis in shape))
        for name, (kind, shape) in ends.items()
    )


def ends_of(role: str) -> tuple[gpu.Ends, gpu.Ends]:
    def described(ends: tuple[module.End, ...]) -> gpu.Ends:
        shapes = {end.names[0]: tuple(axis if isinstance(axis, int) else -1 for axis in end.shape) for end in ends}
        return {name: (np.dtype(KINDS.get(name, np.float32)).type, shape) for name, shape in shapes.items()}

    return described(ROLES[role].inputs), described(ROLES[role].outputs)


class Counting(gpu.HostDriver):
    """Counts what travels."""

    def __init__(self) -> None:
        super().__init__(1 << 28)
        self.sent = self.fetched = 0

    def to_device(self, address: int, array: NDArray[Any]) -> None:
        self.sent += array.nbytes
        super().to_device(address, array)

    def to_host(self, array: NDArray[Any], address: int) -> None:
        self.fetched += array.nbytes
        super().to_host(array, address)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for role in WORK:
        (tmp_path / f"{role}.onnx").touch()
    return tmp_path


@pytest.fixture
def below(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Counting:
    """Networks that are opened run on TensorRT from now on."""
    driver = Counting()
    memory = CudaMemory(driver)

    def opened(path: Path, runtime: str = "auto") -> Model:
        monkeypatch.setitem(sys.modules, "tensorrt", gpu.Tensorrt(*ends_of(path.stem), WORK[path.stem], 8))
        tensorrtmodel.journal.cache_clear()
        return Model(path.stem, TensorrtBackend(gpu.plan(path.with_suffix(".engine")), memory))

    monkeypatch.setattr(module, "open_model", opened)
    return driver


def on_host(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Networks:
    plain = lambda path, runtime: Model(path.stem, Plain(path.stem, *ends_of(path.stem)))  # noqa: E731
    networks = Networks(folder, allow_small=True)
    with monkeypatch.context() as patch:
        patch.setattr(module, "open_model", plain)
        for role in WORK:
            networks.get(role)
    return networks


def spoken(networks: Networks, shown: NDArray[np.float32], visits: int) -> list[list[Any]]:
    """Return the first faces of some visits, made in one step."""
    held, wanted = networks.hold(shown), []
    for visit in range(visits):
        rng = np.random.default_rng(visit)
        player, due = Player(LATENCIES["balanced"], 100), []
        for i in range(7):
            due += player.hear(AudioChunk(i, rng.integers(-9000, 9000, 640).astype(np.int16), True, i))
        frames = [(visit + one.chunk.index) % len(shown) for one in due]
        wanted.append(painting.Wanted(player, due, rows_of(held, frames)))
    return painting.faces(networks, wanted, 4)


def test_faces_are_those_of_the_host(folder: Path, below: Counting, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = np.random.default_rng(0).standard_normal((FRAMES, 8, 32, 32)).astype(np.float32)
    there = spoken(Networks(folder, allow_small=True), shown, 3)
    here = spoken(on_host(folder, monkeypatch), shown, 3)
    assert [len(faces) for faces in there] == [4] * 3
    for one, other in zip(there, here, strict=True):
        assert np.array_equal(np.stack(one), np.stack(other))


def test_only_what_is_heard_and_seen_travels(folder: Path, below: Counting) -> None:
    shown = np.zeros((FRAMES, 8, 32, 32), np.float32)
    networks = Networks(folder, allow_small=True)
    spoken(networks, shown, 1)
    held = networks.hold(shown)
    assert isinstance(held, DeviceArray) and held.dtype == np.float16
    below.sent = below.fetched = 0
    spoken(networks, shown, 1)
    faces_bytes, painted_bytes, window_bytes = 4 * 3 * 256 * 256 * 4, 4 * 4 * 32 * 32 * 4, 16 * 5 * 384 * 4
    assert below.fetched <= faces_bytes + painted_bytes + window_bytes < STATES_BYTES / 3
    mel_bytes, prompts_bytes, held_bytes = 80 * 3000 * 4, 4 * 50 * 384 * 2, FRAMES * 8 * 32 * 32 * 2
    assert below.sent == mel_bytes + prompts_bytes + held_bytes + painted_bytes + 4 * 8, "and a time step each"


def test_memory_of_what_is_held_is_given_back(folder: Path, below: Counting) -> None:
    networks = Networks(folder, allow_small=True)
    shown = np.zeros((FRAMES, 8, 32, 32), np.float32)
    spoken(networks, shown, 2)
    used = below.used
    for _ in range(3):
        spoken(networks, shown, 2)
    assert below.used == used


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 1, 0], [3, 3, 4, 5, 0], [5]])
def test_rows_are_taken_in_any_order(rows: list[int]) -> None:
    array = np.arange(FRAMES * 4, dtype=np.float32).reshape(FRAMES, 4)
    memory: Memory = gpu.memory()[0]
    assert np.array_equal(host(rows_of(memory.upload(array), rows)), array[rows])
    assert np.array_equal(host(rows_of(array, rows)), array[rows])


def test_one_row_of_an_array_has_no_first_axis() -> None:
    array = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    there = gpu.memory()[0].upload(array)
    assert np.array_equal(host(there[1]), array[1]) and np.array_equal(host(there[1][1:3]), array[1][1:3])
    for row in (-1, 2):
        with pytest.raises(IndexError):
            there[row]


def test_what_no_input_wants_is_not_held(folder: Path, below: Counting) -> None:
    networks = Networks(folder, allow_small=True)
    with pytest.raises(EngineFault, match="input_latents"):
        networks.hold(np.zeros((2, 4, 32, 32), np.float32))
    with pytest.raises(EngineFault, match="no input"):
        networks.get("unet").model.put("picture", np.zeros((2, 4), np.float32))
