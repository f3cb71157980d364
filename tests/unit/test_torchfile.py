"""Files of PyTorch without PyTorch. ``torchfiles/`` was written by the real one: see ``torchfiles/make.py``."""

from __future__ import annotations

import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from studio.engines.torchfile import Tensor, TorchFile
from studio.errors import AvatarNotReady
from tests.unit.torch_fixtures import Call, Reference, pickled, storage, tensor, written

FILES = Path(__file__).parent / "torchfiles"
KINDS = ("float32", "float16", "float64", "int64", "int32", "int16", "int8", "uint8", "complex64")


def arrays(path: Path) -> Any:
    """Return what a file holds, with arrays for its tensors."""
    with TorchFile(path) as file:
        return fetched(file, file.content)


def fetched(file: TorchFile, value: object) -> Any:
    """Replace every tensor by its numbers."""
    match value:
        case Tensor():
            return file.read(value)
        case list():
            return [fetched(file, item) for item in value]
        case dict():
            return {key: fetched(file, item) for key, item in value.items()}
    return value


def refusal(path: Path) -> str:
    """Return the sentence that refuses a file."""
    with pytest.raises(AvatarNotReady) as caught:
        arrays(path)
    assert caught.value.message.startswith(path.name)
    assert caught.value.message.endswith(".")
    return caught.value.message


def test_every_kind_of_number_is_read() -> None:
    tensors = arrays(FILES / "kinds.pt")
    wanted = np.array([[3, 2, 1], [0, 1, 2]])
    for kind in KINDS:
        assert tensors[kind].dtype == kind
        np.testing.assert_array_equal(tensors[kind], wanted)
    assert tensors["bfloat16"].dtype == np.float32
    np.testing.assert_array_equal(tensors["bfloat16"], wanted)
    np.testing.assert_array_equal(arrays(FILES / "truth.pt"), [True, False, True])


def test_views_of_one_storage_are_read() -> None:
    base = np.arange(24, dtype=np.int32).reshape(4, 6)
    wanted = [base, base[1:3, ::2], base.T, base[0], base[2:2], base[3, 5], np.float32(7.5)]
    for got, want in zip(arrays(FILES / "views.pt"), wanted, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        np.testing.assert_array_equal(got, want)
        assert got.flags.c_contiguous
        assert got.flags.writeable


def test_state_of_a_module_and_plain_values_are_read() -> None:
    state = arrays(FILES / "state.pth")
    np.testing.assert_array_equal(state["weight"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(state["bias"], [0.5, -0.5])
    mixed = arrays(FILES / "parameter.pt")
    np.testing.assert_array_equal(mixed["p"], [0.5, -0.5])
    np.testing.assert_array_equal(mixed["np"], [0, 1, 2])
    assert (mixed["size"], mixed["lr"], mixed["name"]) == ((2, 3), 0.1, "x")


def test_tensors_of_a_gpu_are_read_without_one() -> None:
    assert b"cuda:0" in (FILES / "latents_cuda.pt").read_bytes()
    latents = arrays(FILES / "latents_cuda.pt")
    assert [(one.dtype, one.shape, one.max()) for one in latents] == [("f2", (1, 8, 2, 2), i) for i in range(4)]


def test_golden_latents_are_read(shared: Path) -> None:
    folder = shared / "golden/musetalk"
    exact, half = (
        np.concatenate(arrays(folder / name)) for name in ("avatar_cache/latents.pt", "latents_cuda_half.pt")
    )
    np.testing.assert_allclose(exact, np.load(folder / "e2e.npz")["latents"], atol=1e-6)
    np.testing.assert_array_equal(exact.astype(np.float16), half)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("legacy.pt", "older than 1.6"),
        ("module.pt", "Module"),
        ("sparse.pt", "_rebuild_sparse_tensor"),
        ("expanded.pt", "claims more numbers"),
        ("negated.pt", "negated or conjugated"),
        ("float8.pt", "_rebuild_tensor_v3"),
        ("script.pt", "compressed or encrypted"),
    ],
)
def test_what_is_not_read_is_told(name: str, expected: str) -> None:
    assert expected in refusal(FILES / name)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "is empty"),
        (b"x", "not a file that torch.save wrote"),
        (pickle.dumps([1]) * 9, "plain pickle"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        (b"<!doctype html><html>not found</html>", "web page"),
        (b"PK\3\4" + b"\0" * 99, "damaged"),
        (b"PK\5\6" + b"\0" * 18, "not one that torch.save wrote"),
    ],
)
def test_other_files_are_told(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(AvatarNotReady, match=expected):
        TorchFile(tmp_path / "x.pt")


def test_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(AvatarNotReady, match=r"There is no file x\.pt"):
        TorchFile(tmp_path / "x.pt")


def test_handmade_file_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "x.pt", [tensor(storage())])
    np.testing.assert_array_equal(arrays(path)[0], [0, 1, 2, 3])


def test_other_byte_order_is_read(tmp_path: Path) -> None:
    entries = {"data/0": np.arange(4, dtype=">f4").tobytes(), "byteorder": b"big"}
    read = arrays(written(tmp_path / "x.pt", tensor(storage()), **entries))
    assert read.dtype.isnative
    np.testing.assert_array_equal(read, [0, 1, 2, 3])
    assert "damaged" in refusal(written(tmp_path / "x.pt", tensor(storage()), byteorder=b"middle"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (tensor(storage(), 1), "claims more numbers"),
        (tensor(storage(), 0, (5,)), "claims more numbers"),
        (tensor(storage(), 0, (2,), (4,)), "claims more numbers"),
        (tensor(storage(), 0, (10**12,), (0,)), "claims more numbers"),
        (tensor(storage(), 0, (2**62, 2**62), (0, 0)), "claims more numbers"),
        (tensor(storage(), 0, (0, 2**62), (1, 1)), "claims more numbers"),
        (tensor(storage(), -1), "damaged"),
        (tensor(storage(), 0, (-4,)), "damaged"),
        (tensor(storage(), 3, (2,), (-1,)), "damaged"),
        (tensor(storage(), 0, (4,), (1, 1)), "damaged"),
        (tensor(storage(), 0, (1,) * 40, (1,) * 40), "damaged"),
        (tensor(storage(), True, (1,)), "damaged"),
        (tensor(storage(), 0, (1.5,)), "damaged"),
        (tensor(storage(), 0, [4]), "damaged"),
        (tensor(storage(count=5)), "damaged"),
        (tensor(storage(count=10**12)), "damaged"),
        (tensor(storage(count=-4)), "damaged"),
        (tensor(storage(count="4")), "damaged"),
        (tensor(storage(kind="DoubleStorage")), "damaged"),
        (tensor(storage(kind="QInt8Storage")), "torch.QInt8Storage"),
        (tensor(storage("1")), "damaged"),
        (tensor(storage("../data.pkl")), "damaged"),
        (tensor(storage("../../../../etc/passwd")), "damaged"),
        (tensor(storage("/etc/passwd")), "damaged"),
        (tensor(storage(what="module")), "damaged"),
        (tensor(Reference("posix.system")), "damaged"),
        (storage(), "not made of numbers"),
        (Call("posix", "system", "touch sprung"), "posix.system"),
        (Call("builtins", "eval", "1"), "builtins.eval"),
        (Call("torch._utils", "_rebuild_tensor_v2", Call("os", "system", "id")), "os.system"),
        (Call("torch", "load", "x.pt"), "torch.load"),
        (Call("torch.jit._script", "unpackage_script_module", 1), "unpackage_script_module"),
        (Call("torch._utils", "_rebuild_parameter", 1, False, {}), "damaged"),
        (Call("torch", "FloatStorage", 10**12), "wants to call torch.FloatStorage"),
        (Call("collections", "OrderedDict", [[1, 2]]), "damaged"),
        (Call("torch", "Size", 1), "damaged"),
        (b"\x80\x02ccollections\nOrderedDict\n)R}X\1\0\0\0aK\1sb.", "damaged"),
        (b"", "damaged"),
    ],
)  # fmt: skip
def test_hostile_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: object, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert expected in refusal(written(tmp_path / "x.pt", value))
    assert {path.name for path in tmp_path.iterdir()} == {"x.pt"}


def good(path: Path) -> bytes:
    """Return the bytes of a small file that reads."""
    return written(path / "x.pt", [tensor(storage())]).read_bytes()


def test_bombs_and_tricks_of_zip_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("x/data.pkl", pickled([0]))
        file.writestr("x/data/0", bytes(10_000_000))
    assert "compressed" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        for folder in ("x", "y"):
            file.writestr(f"{folder}/data.pkl", pickled([0]))
    assert "not one that torch.save wrote" in refusal(path)
    with zipfile.ZipFile(path, "w") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("x/data.pkl", pickled([0]))
        file.writestr("x/data.pkl", pickled([1]))
    assert "damaged" in refusal(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("../../x/data.pkl", pickled([0]))
    assert arrays(path) == [0]  # a name is only a key: nothing is unpacked
    assert {entry.name for entry in tmp_path.iterdir()} == {"x.pt"}


def test_lies_about_sizes_are_refused(tmp_path: Path) -> None:
    data = good(tmp_path)
    path = tmp_path / "lie.pt"
    directory = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    lies = {
        directory + 24: 10**9,  # size
        directory + 20: 1,  # packed size
        directory + 42: 2**31,  # offset of the local header
        directory + 28: 60_000,  # length of the name
        end + 10: 65_535,  # entries
        end + 12: 2**31,  # bytes of the directory
        end + 16: 2**31,  # offset of the directory
        directory + 16: 7,  # checksum
    }
    for place, lie in lies.items():
        layout = "<H" if place in (directory + 28, end + 10) else "<I"
        changed = bytearray(data)
        struct.pack_into(layout, changed, place, lie)
        path.write_bytes(changed)
        assert refusal(path)


def test_entry_over_another_is_refused(tmp_path: Path) -> None:
    """Two entries of the directory that both claim the whole file would unfold to more than there is."""
    data = bytearray(good(tmp_path))
    first = data.index(b"PK\1\2")
    end = data.index(b"PK\5\6")
    for place in (first, data.index(b"PK\1\2", first + 4)):
        struct.pack_into("<II", data, place + 20, first - 100, first - 100)
        struct.pack_into("<I", data, place + 42, 0)
    path = tmp_path / "over.pt"
    path.write_bytes(data)
    assert end
    assert "damaged" in refusal(path)


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.pt"
    data = good(tmp_path)
    for end in range(0, len(data) - 1, 3):
        path.write_bytes(data[:end])
        assert refusal(path)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["kinds.pt", "views.pt", "state.pth", "parameter.pt", "latents_cuda.pt", "script.pt"]),
    st.integers(0, 2**32),
    st.integers(1, 5),
)
def test_mutated_files_are_read_or_refused(tmp_path: Path, name: str, seed: int, count: int) -> None:
    draw = random.Random(seed)
    data = bytearray((FILES / name).read_bytes())
    for _ in range(count):
        data[draw.randrange(len(data))] = draw.randrange(256)
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    try:
        arrays(path)
    except AvatarNotReady as error:
        assert error.message.startswith("m.pt ")
