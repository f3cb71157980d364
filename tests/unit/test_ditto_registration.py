"""Registration: the golden scenarios, and networks that say what a test wants."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.engines.ditto import detect
from studio.engines.ditto.checkpoint import Networks, read_info
from studio.engines.ditto.options import setup_of
from studio.engines.ditto.registration import Sighting, register, register_frames, smoothed
from studio.engines.ditto.source import Frames, open_source
from studio.engines.ditto.types import WIDTHS, Bytes, Floats
from studio.errors import AvatarNotReady, BadPortrait
from tests.conformance.ditto.golden import Scenario, scenarios
from tests.conformance.ditto.verdict import LIMITS, VECTOR
from tests.unit.ditto_faces import landmarks
from tests.unit.test_ditto_detect import Saying, silent_levels
from tests.unit.test_ditto_retarget import motion

CASES = ("offline_image_options", "offline_video_images_chinfo_dict")


def sightings_of(scenario: Scenario) -> tuple[list[Sighting], dict[str, NDArray[Any]]]:
    """Register a scenario's source; return what was seen, and the arrays by their golden names."""
    folder = scenario.folder / "standins"
    info = read_info(folder, scenario.online)
    networks, seen = Networks(folder, info), list[Sighting]()
    setup = setup_of(info.defaults, scenario.options)
    source = register_frames(open_source(scenario.source, setup), setup, networks, watch=seen.append)
    networks.close()
    arrays = {
        "lmk203": np.stack([one.landmarks.points for one in seen]),
        "M_c2o_224": np.stack([one.landmarks.crop_to_frame for one in seen]),
        "M_c2o": source.crop_to_frame,
        "crop224_mean": np.stack([one.landmarks.crop.mean(axis=(0, 1)) for one in seen]),
        "rgb256_sample": np.stack([one.seen[:, :, ::16, ::16] for one in seen]),
        "lmk478": np.stack([one.mesh for one in seen]),
        "f_s_sample": source.features[:, ::4, ::4, ::8, ::8],
        "eye_open": source.person.eye_open,
        "eye_ball": source.person.eye_ball,
        "sc": source.person.sc,
    }
    for key in WIDTHS:
        arrays[f"xs_raw_{key}"] = np.concatenate([one.motion[key] for one in seen])
        arrays[f"xs_{key}"] = np.concatenate([one[key] for one in source.person.motions])
    return seen, arrays


@pytest.mark.parametrize("name", CASES)
def test_registration_equals_the_golden_scenarios(shared: Path, name: str) -> None:
    pytest.importorskip("onnxruntime")
    scenario = next(one for one in scenarios(shared / "golden/ditto") if one.name == name)
    golden = scenario.arrays()
    seen, arrays = sightings_of(scenario)
    assert len(seen) == len(golden["M_c2o"])
    for key, found in arrays.items():
        assert np.abs(found.astype(np.float64) - golden[key]).max() <= LIMITS.get(key, VECTOR), key
    crop = scenario.pictures().get("crop512")
    assert crop is None or np.abs(seen[0].crop.astype(int) - crop).max() <= 12


class Extractor(Saying):
    """A motion extractor whose answers differ from call to call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.calls += 1
        return dict(motion(self.calls))


def cast(**others: Any) -> dict[str, Any]:
    """Return networks that see a face in the middle of every crop."""
    levels = silent_levels()
    cell = (16 * 32 + 16) * 2
    levels["scores2"][cell], levels["boxes2"][cell] = 0.9, 5.0
    blaze: Floats = np.zeros((1, 896, 16), np.float32)
    blaze[:, :, 2:4], blaze[:, :, 4], blaze[:, :, 6] = 60, -16, 16
    seen: Floats = np.full((1, 896, 1), -9, np.float32)
    seen[0, 2 * (8 * 16 + 8)] = 3
    mesh = np.random.default_rng(3).random((1, 1, 1, 1434)).astype(np.float32) * 256
    return {
        "insightface_det": Saying(**levels),
        "landmark106": Saying(fc1=(landmarks(106, 0.1, 90, (0, 0)) / 96).reshape(1, 212)),
        "landmark203": Saying(landmarks=(landmarks(203, 0.0, 140, (112, 112)) / 224).reshape(1, 406)),
        "blaze_face": Saying(regressors=blaze, classificators=seen),
        "face_mesh": Saying(Identity=mesh),
        "motion_extractor": Extractor(),
        "appearance_extractor": Saying(pred=np.zeros((1, 32, 16, 64, 64), np.float32)),
        **others,
    }


def pictures(count: int) -> Frames:
    draw = np.random.default_rng(1)
    frames: list[Bytes] = [draw.integers(0, 256, (240, 240, 3)).astype(np.uint8) for _ in range(count)]
    return Frames(iter(frames), count == 1)


def test_video_is_followed_and_its_motion_smoothed() -> None:
    seen: list[Sighting] = []
    source = register_frames(pictures(5), setup_of({"smo_k_s": 3}), cast(), watch=seen.append)
    assert source.frames.shape == (5, 240, 240, 3)
    assert source.features.shape == (5, 32, 16, 64, 64)
    assert source.crop_to_frame.shape == (5, 3, 3)
    assert source.person.eye_open.shape == (5, 2)
    assert source.person.eye_ball.shape == (5, 6)
    assert np.array_equal(source.person.sc, seen[0].motion["kp"][0])
    expected = np.mean([one.motion["yaw"] for one in seen[1:4]], axis=0)
    assert np.allclose(source.person.motions[2]["yaw"], expected, atol=1e-6)


def test_smoothing_equals_the_golden_filter(shared: Path) -> None:
    units = np.load(shared / "golden/ditto/units.npz")
    rows = [{key: numbers[:, :1].repeat(width, 1) for key, width in WIDTHS.items()} | {"exp": numbers}
            for numbers in units["meanfilter_in"]]  # fmt: skip
    for width in (13, 4):
        found = np.stack([one["exp"] for one in smoothed(rows, width)])
        assert np.abs(found - units[f"meanfilter_{width}"]).max() < 1e-6


def test_picture_without_a_face_is_refused() -> None:
    with pytest.raises(BadPortrait, match="No face was found in this picture"):
        register_frames(pictures(1), setup_of(), cast(insightface_det=Saying(**silent_levels())))


def test_picture_without_eyes_is_refused() -> None:
    blind = Saying(regressors=np.zeros((1, 896, 16), "f4"), classificators=np.full((1, 896, 1), -9, "f4"))
    with pytest.raises(BadPortrait, match="eyes of this face were not found"):
        register_frames(pictures(1), setup_of(), cast(blaze_face=blind))


def test_video_that_loses_its_face_names_the_picture() -> None:
    class Losing(Saying):
        calls = 0

        def run(self, feeds: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
            self.calls += 1
            return {"landmarks": np.full((1, 406), 0.5 if self.calls > 3 else np.nan, np.float32)} if (
                self.calls > 3) else cast()["landmark203"].outputs  # fmt: skip

    with pytest.raises(BadPortrait, match=r"loses its face at picture 4 \(0\.1 s\)"):
        register_frames(pictures(6), setup_of(), cast(landmark203=Losing()))


def test_own_finder_takes_the_place_of_the_checkpoints_detector() -> None:
    asked: list[tuple[int, ...]] = []

    def find(rgb: Bytes) -> Floats:
        asked.append(rgb.shape)
        return landmarks(106, 0.0, 100, (120, 120))

    networks = cast()
    del networks["insightface_det"], networks["landmark106"]
    register_frames(pictures(3), setup_of(), networks, finder=find)
    assert asked == [(240, 240, 3)]


@pytest.mark.parametrize("role", ["motion_extractor", "appearance_extractor"])
def test_networks_that_give_no_numbers_are_named(role: str) -> None:
    wrong = {**motion(1), "pred": np.full((1, 32, 16, 64, 64), np.nan, np.float32)}
    if role == "motion_extractor":
        wrong["yaw"] = np.full((1, 66), np.inf, np.float32)
    with pytest.raises(AvatarNotReady, match="give no numbers"):
        register_frames(pictures(1), setup_of(), cast(**{role: Saying(**wrong)}))


def test_empty_video_is_refused() -> None:
    with pytest.raises(BadPortrait, match="no pictures"):
        register_frames(Frames(iter([]), False), setup_of(), cast())


def test_findings_speak_of_size_room_and_eyes(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "me.png"), next(pictures(1).pictures))
    told: list[float] = []
    source, findings = register(tmp_path / "me.png", setup_of(), cast(), lambda done, _: told.append(done))
    assert source.is_image
    assert [finding.subject for finding in findings] == ["face size", "frame", "eyes", "memory"]
    assert findings[3].text == (
        "The avatar keeps 8.6 MB for all visits (8.4 MB of them, its features, on the GPU where there is one), each "
        "visit up to 5.0 MB more."
    )
    assert all(finding.text.endswith(".") for finding in findings)
    assert told == sorted(told)
    assert told[-1] == 1


def test_faces_without_any_number_are_no_faces() -> None:
    levels = {name: np.full_like(array, np.nan) for name, array in silent_levels().items()}
    assert len(detect.faces(np.zeros((64, 64, 3), np.uint8), Saying(**levels))) == 0
