"""Our implementation against the reference of ``shared/golden/musetalk``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime", reason="the networks' runtime is not installed: pip install onnxruntime")

from tests.conformance.musetalk import face, film, sound
from tests.conformance.musetalk.golden import Golden
from tests.conformance.musetalk.verdict import judge


@pytest.mark.parametrize("stage", [sound, face, film], ids=["sound", "face", "film"])
def test_everything_is_as_upstream_computed_it(stage: object, shared: Path) -> None:
    golden = Golden(shared / "golden" / "musetalk")
    verdicts = list(stage.check(golden))  # type: ignore[attr-defined]
    wrong = [str(verdict) for verdict in verdicts if not verdict.passes]
    assert len(verdicts) > 15 and not wrong, "\n".join(wrong)


def test_a_verdict_sees_what_differs() -> None:
    one = np.zeros(3)
    assert judge("same", one, one, 0.0).passes
    assert not judge("other", one, one + 1, 0.5).passes
    assert not judge("shape", one, np.zeros(4), 9.0).passes
    assert not judge("nan", one, np.full(3, np.nan), 9.0).passes
