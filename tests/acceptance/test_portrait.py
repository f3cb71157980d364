"""The portrait engine's automatic acceptance on every shipped avatar (specification section 11, tests 1 to 10).

Test 11, the budget, is a bench (`tests.bench.render`); test 12 and the checklist need people.
"""

from __future__ import annotations

import numpy as np
import pytest

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.portrait.contours import JOINED
from studio.engines.portrait.curves import trace
from studio.engines.portrait.folding import folding
from studio.engines.portrait.life import idle_poses
from studio.engines.portrait.lipnet import LearnedVoice
from studio.engines.portrait.parameters import EXPRESSION, INDEX, PARAMETERS, pose
from studio.engines.portrait.portable import inverse
from studio.engines.portrait.renderer import Face, Renderer, i420
from studio.engines.portrait.rig import SIZE, Float
from studio.engines.portrait.screen import ScreenMouth
from studio.engines.portrait.sheet import STATES
from studio.engines.portrait.skin import sample
from studio.engines.portrait.take import SPEED
from studio.engines.portrait.warp import COLD, WARM
from tests.acceptance import measures
from tests.acceptance.measures import Eyewitness
from tests.bench.render import Sitter

VISEMES = ("aa", "ee", "oo", "oh", "mm", "ff", "th", "smile")
SHUT = (
    pose(close=1, press=0.9),
    pose(close=1),
    pose(close=1, press=1, yaw=0.06, pitch=-0.05),
    pose(close=1, press=0.6, roll=0.06, wide=0.2),
)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = float(((a.astype(np.float64) - b) ** 2).mean())
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


# 1. Neutral frame.
def test_neutral_picture_is_the_source(face: Face) -> None:
    drawn, source = Renderer(face).render(pose()), i420(face.source.rgb)
    if face.geometry.gap <= 1.6:
        assert np.array_equal(drawn, source)
        return
    (x0, y0), (x1, y1) = face.geometry.upper.min(0).astype(int) - 8, face.geometry.lower.max(0).astype(int) + 9
    assert psnr(drawn[y0:y1, x0:x1], source[y0:y1, x0:x1]) >= 42
    assert psnr(drawn[:SIZE], source[:SIZE]) >= 54


# 2. Aperture.
def talking() -> list[Float]:
    rng = np.random.default_rng(2)
    rows = []
    for jaw in np.linspace(0, 1, 40):
        lodep, upraise, wide = rng.uniform(0, 1, 3)
        yaw, pitch, roll = rng.uniform(-0.06, 0.06, 3)
        rows.append(pose(close=1, jaw=jaw, lodep=lodep, upraise=upraise, wide=wide, yaw=yaw, pitch=pitch, roll=roll))
    return rows


def test_lips_open_as_far_as_commanded(human: Face, eyewitness: Eyewitness) -> None:
    # Without the tongue: it is as red as lips, and whoever looks for the lip's edge finds the tongue's.
    renderer, seen = Renderer(measures.with_mouth(human, None, tongue=False)), list[float]()
    # The specification's thresholds were set with MediaPipe's attention mesh (0.10.21, not among our models). It reads,
    # of these very pictures: mira r .986 slope 1.24, omar .975 and 0.97, astronaut .977 and 1.07 (2026-11-21).
    if human.source.drawn:
        pytest.skip("the plain mesh reads six tenths of a drawn mouth's opening: measured in pixels instead")
    for row in talking():
        picture = renderer.render(row)
        landmarks = measures.lips_seen(human, picture, eyewitness.landmarks(human, picture))
        seen.append(measures.distance(landmarks, 13, 14) / human.geometry.scale)
    r, slope = measures.fit([measures.aperture(human, row) for row in talking()], seen)
    assert r >= 0.95 and 0.8 <= slope <= 1.4, (r, slope)


def test_inside_is_uncovered_as_far_as_commanded(human: Face) -> None:
    # Two cavities of different luma: where the pictures differ is the opening.
    bright, dark = (Renderer(measures.with_mouth(human, luma)) for luma in (230.0, 30.0))
    seen = [measures.hole(human, bright.render(row), dark.render(row)) for row in talking()]
    r, slope = measures.fit([measures.aperture(human, row) for row in talking()], seen)
    assert r >= 0.95 and 0.8 <= slope <= 1.4, (r, slope)


# 3. Width.
def test_mouth_widens_and_rounds_as_commanded(human: Face, eyewitness: Eyewitness) -> None:
    renderer, commanded, seen = Renderer(human), list[float](), list[float]()
    rows = [pose(close=1, jaw=0.15, wide=w) for w in np.linspace(0, 1, 12)]
    rows += [pose(close=1, jaw=0.15, pucker=p) for p in np.linspace(0, 1, 12)]
    for row in rows:
        landmarks = eyewitness.landmarks(human, renderer.render(row))
        commanded.append(float(row[INDEX["wide"]] * 6.5 - row[INDEX["pucker"]] * 9.5))
        seen.append(measures.distance(landmarks, 61, 291))
    r, _ = measures.fit(commanded, seen)
    assert r >= 0.95, r


# 4. Blink.
def test_lids_close_as_commanded(human: Face, eyewitness: Eyewitness) -> None:
    renderer, blinks, lids = Renderer(human), [float(b) for b in np.linspace(0, 1, 11)], list[float]()
    for blink in blinks:
        picture = renderer.render(pose(blink_left=blink, blink_right=blink))
        landmarks = eyewitness.landmarks(human, picture, eyes=True)
        both = [measures.distance(landmarks, upper, lower) for upper, lower in ((159, 145), (386, 374))]
        lids.append(float(np.mean(both)) / human.geometry.scale)
    r, _ = measures.fit(blinks, lids)
    assert r <= -0.95, (r, lids)
    assert lids[-1] <= 3.3, lids


# 2-4 for a screen: no detector sees a face there, so its lights are measured in the picture.
def test_lights_follow_their_commands(robot: Face) -> None:
    assert isinstance(robot.mouth, ScreenMouth)
    renderer, mouth = Renderer(robot), robot.mouth.place

    def size(box: np.ndarray, axis: int, **values: float) -> float:
        return measures.spread(measures.lit(robot, renderer.render(pose(**values)), box), axis)

    jaws = [float(j) for j in np.linspace(0, 1, 20)]
    assert measures.fit(jaws, [size(mouth, 0, jaw=j) for j in jaws])[0] >= 0.95
    rounds = [float(w) for w in np.linspace(-1, 1, 20)]
    widths = [size(mouth, 1, jaw=0.4, wide=max(-w, 0), pucker=max(w, 0)) for w in rounds]
    assert measures.fit(rounds, widths)[0] <= -0.95
    for eye in robot.eyes:
        box, blinks = np.array(eye.box), [float(b) for b in np.linspace(0, 1, 11)]
        heights = [size(box, 0, blink_left=b, blink_right=b) for b in blinks]
        assert measures.fit(blinks, heights)[0] <= -0.95
        assert heights[-1] <= 0.3 * heights[0]


# 5. No folds.
@pytest.mark.parametrize("viseme", VISEMES)
def test_skin_never_folds(face: Face, viseme: str) -> None:
    worst = 9.0
    for yaw in (-0.087, 0.087):
        for pitch in (-0.087, 0.087):
            for roll in (-0.087, 0.087):
                row = STATES[viseme] + pose(yaw=yaw) + pose(pitch=pitch) + pose(roll=roll)
                worst = min(worst, folding(face.geometry, row))
    assert worst > 0.2


# 6. The head's window has no visible frame.
def test_window_of_the_head_has_no_rim(face: Face) -> None:
    drawn = measures.drawn_pixels(face.shape)
    rim = measures.rim(drawn)
    for row in measures.extremes():
        change = np.abs(Renderer(face).render(row)[:SIZE].astype(int) - face.texture[:SIZE])
        assert change[rim].max(initial=0) <= 2
        assert not change[~drawn].any()


# 7. No seams: on a ramp, every step that is not the ramp's own would be one.
@pytest.mark.parametrize("axis", [0, 1])
def test_warp_has_no_seams(face: Face, axis: int) -> None:
    ramp = measures.triangle(SIZE)
    ramped = measures.with_texture(face, np.broadcast_to(np.expand_dims(ramp, 1 - axis), (SIZE, SIZE)))
    for row in (STATES["aa"], STATES["oo"], STATES["ee"], *measures.extremes()[:3]):
        picture = Renderer(ramped).render(row)[:SIZE].astype(int)
        smooth = ~measures.opening_pixels(face, row)
        if isinstance(face.mouth, ScreenMouth):
            x0, y0, x1, y1 = face.mouth.place
            smooth[y0 - 12 : y1 + 12, x0 - 12 : x1 + 12] = False  # its tiles are pictures of their own
        for along in (0, 1):
            step = np.abs(np.diff(picture, axis=along))
            both = np.logical_and(*(np.take(smooth, np.arange(SIZE - 1) + d, along) for d in (0, 1)))
            assert step[both].max() <= 1.5 * 2 + 4


# 8. Lips closed.
def test_pressed_lips_show_nothing_of_the_mouth(human: Face) -> None:
    lips = np.concatenate([human.source.landmarks[[37, 0, 267, 84, 17, 314], :2]]).round().astype(int)
    usual = float(np.median(human.texture[lips[:, 1], lips[:, 0]]))
    for row in SHUT:
        assert measures.inside_weight(human, row) == 0
        bright = measures.lip_line_luma(human, row, Renderer(human).render(row)) > usual + 25
        assert measures.longest_run(bright) <= 3


def test_pressed_screen_shows_one_line(robot: Face) -> None:
    assert isinstance(robot.mouth, ScreenMouth)
    place = robot.mouth.place
    light = measures.lit(robot, Renderer(robot).render(STATES["mm"]), place).sum(axis=0)
    assert 0 < light.max() <= 8


# 9. The inverse holds while the face moves: to 0.3 px but for single points, where four pixels from node to node are
# too far for the steepest skin (pucker with an open jaw), however often it is iterated.
def test_inverse_follows_running_lips(face: Face) -> None:
    middle = slice(JOINED, -JOINED)
    for low, contour in ((False, face.geometry.upper[middle]), (True, face.geometry.lower[middle])):
        points, back, errors = contour.astype(np.float64), None, []
        for row in measures.speech(60):
            planar = np.ascontiguousarray(np.moveaxis(measures.whole_field(face.geometry, row, low), 2, 0))
            back = inverse(planar, np.zeros_like(planar) if back is None else back, COLD if back is None else WARM)
            there = points + sample(np.moveaxis(planar, 0, 2), points)
            home = there - sample(np.moveaxis(back, 0, 2), there)
            errors.append(np.linalg.norm(home - points, axis=1))
        assert np.percentile(errors, 95) <= 0.3
        assert np.max(errors) <= 1.0


# 10. Time.
def test_constant_pose_gives_constant_pictures(face: Face) -> None:
    renderer = Renderer(face)
    for row in measures.speech(5):
        renderer.render(row)
    row = pose(close=1, jaw=0.4, yaw=0.04, blink_left=0.3)
    first = renderer.render(row)
    assert all(np.array_equal(renderer.render(row), first) for _ in range(3))


def test_parameters_keep_their_speed_limits(human: Face) -> None:
    rng = np.random.default_rng(5)
    t = np.arange(150 * SAMPLES_PER_BEAT) / 16000
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, 1) * (np.sin(2 * np.pi * 0.6 * t) > -0.3)
    wave = 6000 * syllables * (np.sin(2 * np.pi * 140 * t) + 0.6 * rng.standard_normal(len(t)))
    pcm = np.clip(wave, -32000, 32000).astype(np.int16).reshape(-1, SAMPLES_PER_BEAT)
    chunks = [AudioChunk(i, part, True) for i, part in enumerate(pcm)]
    poses = trace(Sitter(idle_poses(3)), human, LearnedVoice(), chunks).poses
    change = np.abs(np.diff(poses, axis=0)).max(axis=0)
    assert change[INDEX["jaw"]] > 0.1
    mouth = [INDEX[n] for n in EXPRESSION if not n.startswith(("brow", "squint"))]
    assert (change[mouth] <= SPEED[mouth] + 0.01).all(), dict(zip(PARAMETERS, change.tolist(), strict=True))
    for angle in ("yaw", "pitch", "roll"):
        assert change[INDEX[angle]] <= np.radians(25) / 25
