from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from studio.beat import SAMPLES_PER_BEAT, AudioChunk
from studio.engines.musetalk import hearing
from studio.engines.musetalk.hearing import BEFORE, FULL, KEPT, WEARY, Canvas
from studio.engines.musetalk.mel import log_mel
from studio.engines.musetalk.options import LATENCIES, chosen, latency
from studio.engines.musetalk.take import Due, Film, Player
from studio.errors import ConfigError

LOOP = 300


def chunk(index: int, speech: bool = True, phase: int | None = None, cut: bool = False) -> AudioChunk:
    pcm = np.full(SAMPLES_PER_BEAT, index % 7, np.int16)
    return AudioChunk(index, pcm, speech, (index if phase is None else phase) % LOOP, cut)


def played(chunks: list[AudioChunk], name: str = "balanced") -> list[tuple[int, Due]]:
    """Return what is due with the index of the chunk that made it so."""
    player = Player(LATENCIES[name], LOOP)
    return [(one.index, due) for one in chunks for due in player.hear(one)]


@pytest.mark.parametrize(("name", "waits"), [("low", {3}), ("balanced", {3, 4}), ("quality", {5, 6, 7, 8})])
def test_pictures_come_in_order_as_late_as_the_arithmetic_says(name: str, waits: set[int]) -> None:
    made = played([chunk(i) for i in range(60)], name)
    assert [due.chunk.index for _, due in made] == list(range(len(made)))
    assert {at - due.chunk.index for at, due in made} == waits
    assert max(waits) == LATENCIES[name].lookahead


@pytest.mark.parametrize(
    ("name", "together", "future_ms"), [("low", 1, 100), ("balanced", 2, 120), ("quality", 4, 200)]
)
def test_the_delay_is_that_of_the_specification(name: str, together: int, future_ms: int) -> None:
    """Section 4.5: 40 n + R ms from the first sample of a group's first picture; R in whole beats, which come in 40."""
    made = played([chunk(i) for i in range(60)], name)
    heard_ms = [40 * (at + 1 - due.chunk.index) for at, due in made]  # until the chunk that brought it was complete
    whole_ms = -(-future_ms // 40) * 40
    assert LATENCIES[name].together == together
    assert max(heard_ms) == 40 * together + whole_ms == 40 * (1 + LATENCIES[name].lookahead)
    assert min(heard_ms) == 40 + whole_ms


@pytest.mark.parametrize("name", LATENCIES)
def test_every_picture_has_heard_its_whole_window(name: str) -> None:
    """Its last row but one needs 92.5 ms (section 4.4): no prompt of a picture that is due ends in the unknown."""
    player = Player(LATENCIES[name], LOOP)
    for i in range(40):
        due = player.hear(chunk(i))
        if due:
            states = np.ones((1500, 5, 384), np.float32)
            beats = [one.chunk.index for one in due]
            made = player.prompts(states, beats) - player.prompts(states * 0, beats)
            assert np.rint(made).all()


def test_both_edges_of_speech_are_eased_over_four_beats() -> None:
    made = played([chunk(i, speech=20 <= i < 40) for i in range(70)])
    shares = [due.share for _, due in made]
    assert shares[16:21] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert shares[39:44] == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert set(shares[21:39]) == {1.0} and not any(shares[44:])


def test_speech_that_begins_at_once_is_eased_too() -> None:
    shares = [due.share for _, due in played([chunk(i) for i in range(20)])]
    assert shares[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_a_pause_between_words_keeps_the_mouth() -> None:
    shares = [due.share for _, due in played([chunk(i, speech=i % 10 != 5) for i in range(60)])]
    assert min(shares[10:]) == 0.75


def test_interruption_closes_from_the_last_face_within_three_beats() -> None:
    player = Player(LATENCIES["balanced"], LOOP)
    for i in range(20):
        player.hear(chunk(i))
    face = np.full((256, 256, 3), 9, np.uint8)
    player.shown(face)
    due = player.hear(chunk(20, speech=False, cut=True))
    assert [one.chunk.index for one in due] == [16, 17, 18, 19] and not any(one.share for one in due)
    after = [one for i in range(21, 40) for one in player.hear(chunk(i, speech=False))]
    assert [one.share for one in after[:4]] == [0.6, 0.25, 0.0, 0.0]
    assert all(one.face is face for one in after[:2]) and after[2].face is None


def test_speech_after_an_interruption_is_heard_from_there() -> None:
    player = Player(LATENCIES["low"], LOOP)
    for i in range(20):
        player.hear(chunk(i))
    player.shown(np.zeros((256, 256, 3), np.uint8))
    made = [one for i in range(20, 40) for one in player.hear(chunk(i, cut=i == 20))]
    later = [one.share for one in made if one.chunk.index >= 20]
    assert later[:7] == [0.6, 0.25, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_the_same_chunk_again_gives_the_same_again() -> None:
    player = Player(LATENCIES["balanced"], LOOP)
    for i in range(5):
        due = player.hear(chunk(i))
    before = player.picture()
    assert player.hear(chunk(4)) is due
    assert np.array_equal(player.picture(), before)


def test_a_new_utterance_hands_out_what_was_held() -> None:
    chunks = [chunk(i, speech=i < 10) for i in range(30)] + [chunk(30 + i, phase=130 + i) for i in range(10)]
    made = played(chunks)
    assert [due.chunk.index for _, due in made] == list(range(len(made)))
    assert [at for at, due in made if due.chunk.index == 29] == [30]


def test_a_jump_in_the_midst_of_speech_breaks_nothing() -> None:
    made = played([chunk(i) for i in range(20)] + [chunk(20 + i, phase=90 + i) for i in range(10)])
    assert {due.share for _, due in made[4:]} == {1.0}


def test_a_films_pictures_are_due_at_once() -> None:
    film = Film(np.zeros((3, 50, 384), np.float32))
    assert [[due.share for due in film.hear(chunk(i))] for i in range(4)] == [[1.0], [1.0], [1.0], [0.0]]
    assert film.prompts(None, [1, 2]).shape == (2, 50, 384)


def beats(count: int, seed: int = 0) -> list[NDArray[np.int16]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(-9000, 9000, SAMPLES_PER_BEAT).astype(np.int16) for _ in range(count)]


def test_a_canvas_begins_with_what_was_before_or_silence() -> None:
    canvas, sound = Canvas(), beats(3)
    canvas.begin(70)
    for pcm in sound:
        canvas.hear(pcm, is_pause=False)
    silence = np.zeros(BEFORE * SAMPLES_PER_BEAT, np.int16)
    whole = hearing.as_wave(np.concatenate([silence, *sound]))
    assert np.array_equal(canvas.picture(), log_mel(whole))


def test_windows_of_a_canvas_are_those_of_the_sound() -> None:
    canvas = Canvas()
    canvas.begin(5)
    for pcm in beats(10):
        canvas.hear(pcm, is_pause=False)
    states = np.arange(1500, dtype=np.float32)[:, None, None] + np.zeros((1, 5, 384), np.float32)
    made = canvas.prompts(states, [5, 8]) - canvas.prompts(states * 0, [5, 8])
    rows = np.rint(made[:, ::5, 0]).astype(int)
    own = 2 * BEFORE  # of beat 5: its canvas begins BEFORE beats earlier
    assert rows[0].tolist() == list(range(own - 4, own + 6))
    assert rows[1].tolist() == list(range(own + 2, own + 12))


def test_the_future_that_is_not_there_is_zero() -> None:
    canvas = Canvas()
    canvas.begin(0)
    canvas.hear(beats(1)[0], is_pause=False)
    states = np.ones((1500, 5, 384), np.float32)
    made = canvas.prompts(states, [0]) - canvas.prompts(states * 0, [0])
    assert made[0, :30].all() and not np.rint(made[0, 30:]).any()


@pytest.mark.parametrize(("pauses", "length", "kept"), [(True, WEARY, BEFORE), (False, FULL, KEPT)])
def test_a_long_canvas_is_anchored_anew(pauses: bool, length: int, kept: int) -> None:
    canvas, sound = Canvas(), beats(length - BEFORE + 1)
    canvas.begin(0)
    for pcm in sound[:-1]:
        canvas.hear(pcm, is_pause=False)
    full = canvas.picture()
    canvas.hear(sound[-1], is_pause=pauses)
    expected = log_mel(hearing.as_wave(np.concatenate(sound[-kept - 1 :])))
    assert np.array_equal(canvas.picture(), expected) and not np.array_equal(full, expected)


def test_options_are_judged() -> None:
    own = chosen({"latency": "low", "parsing_mode": "raw", "bbox_shift": 7, "audio_clips": {"a": "b.wav"}})
    assert (own.latency, own.rules.parsing_mode, own.bbox_shift) == ("low", "raw", 7)
    assert latency({}, "quality").lookahead == 8
    for wrong in ({"latency": "slow"}, {"colour": 1}, {"checkpoint": ""}, {"seconds": 0}, {"smooth_boxes": 1},
                  {"bbox_shift": "7"}, {"parsing_mode": ["jaw"]}, {"extra_margin": True}):  # fmt: skip
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            chosen(wrong)
    for refused in ({"latency": 3}, {"parsing_mode": "raw"}):
        with pytest.raises(ConfigError, match="latency"):
            latency(refused, "low")
