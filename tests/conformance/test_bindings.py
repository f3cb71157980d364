"""The studio's calls into TensorRT and CUDA exist in the real packages, and the comparison would notice if not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests import bindings
from tests.bindings import CUDA, OVERRIDES, PACKAGES, ROOT, TENSORRT, Use, complaints, uses

FETCHED = ROOT / ".studio" / "bindings"
PACKAGE = '''
class ICudaEngine:
    def get_tensor_name(self):
        """get_tensor_name(self: tensorrt.ICudaEngine, index: int, other: List[int, str] = [1, 2]) -> str"""
    num_io_tensors = property(lambda self: 1)
    name = property(lambda self: "", lambda self, value: None)
def nptype(kind): pass
'''


@pytest.mark.parametrize("label", list(PACKAGES))
def test_everything_that_is_used_exists(label: str) -> None:
    """`.ci/run` fetches the packages and compares them by itself: tests have no network."""
    if not (FETCHED / label / "complete").is_file():
        pytest.skip(f"{label} is not here: `python -m tests.bindings` fetches it")
    assert not complaints(FETCHED, label)


def test_source_is_read_as_it_is_written() -> None:
    names = {(one.name, one.kind, one.arguments) for one in uses(TENSORRT)}
    assert ("ICudaEngine.get_tensor_profile_shape", "call", 2) in names
    assert ("IBuilderConfig.progress_monitor", "write", -1) in names
    assert ("NetworkDefinitionCreationFlag.STRONGLY_TYPED", "read", -1) in names
    assert ("ILogger.__init__", "call", 0) in names
    assert ("cudaMemcpyAsync", "call", 5) in {(o.name, o.kind, o.arguments) for o in uses(CUDA, "CudaPythonDriver")}
    assert not any(one.name in ("ICudaEngine", "IExecutionContext") for one in uses(TENSORRT))


@pytest.mark.parametrize(
    ("use", "complaint"),
    [
        (Use("a.py:1", "ICudaEngine.get_tensor_name", "call", 1), ""),
        (Use("a.py:1", "ICudaEngine.get_tensor_name", "call", 2), ""),
        (Use("a.py:1", "ICudaEngine.get_tensor_name", "call", 3), "takes [[1, 2]] arguments, gets 3"),
        (Use("a.py:1", "ICudaEngine.get_tensor_name", "call", 0), "gets 0"),
        (Use("a.py:1", "ICudaEngine.get_tensor_names", "read"), "a.py:1 ICudaEngine.get_tensor_names does not exist"),
        (Use("a.py:1", "ICudaEngine.num_io_tensors", "read"), ""),
        (Use("a.py:1", "ICudaEngine.num_io_tensors", "write"), "cannot be set"),
        (Use("a.py:1", "ICudaEngine.num_io_tensors", "call", 0), "cannot be called"),
        (Use("a.py:1", "ICudaEngine.name", "write"), ""),
        (Use("a.py:1", "nptype", "call", 1), ""),
        (Use("a.py:1", "nptype", "call", 2), "gets 2"),
        (Use("a.py:1", "Builder", "call", 1), "does not exist"),
    ],
)
def test_what_does_not_exist_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Use, complaint: str) -> None:
    folder = tmp_path / "TensorRT 0" / "tensorrt_bindings"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(PACKAGE)
    monkeypatch.setattr(bindings, "uses", lambda modules, only="": [use])
    monkeypatch.setattr(bindings, "OVERRIDES", ())
    told = complaints(tmp_path, "TensorRT 0")
    assert len(told) == bool(complaint)
    assert complaint.replace("[[1, 2]]", "[(1, 2)]") in "".join(told)


def test_package_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    (tmp_path / "TensorRT 0").mkdir()
    assert "cannot be imported" in complaints(tmp_path, "TensorRT 0")[0]


def test_comparison_is_part_of_ci() -> None:
    assert "-m tests.bindings" in (ROOT / ".ci" / "run").read_text()
    assert OVERRIDES
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
