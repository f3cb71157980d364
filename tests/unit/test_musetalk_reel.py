"""Compressed pictures are there when they are asked for, in bounded memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from studio.engines.loop import mirror
from studio.engines.musetalk import reel
from studio.engines.musetalk.reel import AHEAD, Reel
from studio.engines.musetalk.types import Bytes
from studio.errors import AvatarNotReady

COUNT = 20


class Source:
    """Counts what is unpacked; waits or fails when told."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.bad: set[int] = set()
        self.gate = threading.Event()
        self.gate.set()

    def unpack(self, frame: int) -> Bytes:
        if threading.current_thread() is not threading.main_thread():
            assert self.gate.wait(10)
        self.asked.append(frame)
        self.threads.add(threading.get_ident())
        if frame in self.bad:
            raise AvatarNotReady("damaged")
        return np.full((3, 2), frame, np.uint8)


def made(source: Source) -> Reel:
    return Reel(source.unpack, lambda phase: mirror(phase, COUNT), 6)


def seen(watched: Reel, phase: int) -> int:
    """Watch, and wait until what was foreseen is there: a visit leaves 40 ms for it."""
    shown = watched.at(phase)
    for shot in list(watched._shots.values()):
        shot.result(10)
    return int(shown[0, 0])


def test_every_phase_has_its_picture_in_the_loop_and_past_it() -> None:
    source = Source()
    watched = made(source)
    for phase in range(3 * COUNT):
        assert seen(watched, phase) == mirror(phase, COUNT)
    assert watched.missed == 1, "all but the first are foreseen"
    assert watched.foreseen == len(source.asked) - 1


def test_a_jump_is_unpacked_where_it_is_asked_for() -> None:
    source = Source()
    watched = made(source)
    source.gate.clear()
    for phase in (0, 10):
        assert watched.at(phase)[0, 0] == phase
    assert threading.get_ident() in source.threads and watched.missed == 2
    source.gate.set()


def test_what_waits_behind_others_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    source = Source()
    watched = made(source)
    source.gate.clear()
    watched.at(0)
    assert watched.at(2)[0, 0] == 2, "frame 1 is being unpacked, and frame 2 waits for it"
    source.gate.set()
    assert watched.at(1)[0, 0] == 1


def test_memory_is_bounded_and_what_nobody_has_seen_yet_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reel, "KEPT_BYTES", 60)
    source = Source()
    watched = made(source)
    assert watched.memory_bytes == 60
    for step in range(40):
        for visit in (0, 7, 15):
            seen(watched, visit + step)
            assert len(watched._shots) <= 10
    assert watched.missed == 3, "three visits, and each finds what it will see"


def test_a_damaged_picture_is_an_error_each_time_and_harms_no_other() -> None:
    source = Source()
    source.bad = {2}
    watched = made(source)
    watched.at(1)
    for _ in range(2):
        with pytest.raises(AvatarNotReady):
            watched.at(2)
    assert watched.at(3)[0, 0] == 3
    assert AHEAD == 3
