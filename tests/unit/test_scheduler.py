from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest

from studio.audio import SILENCE
from studio.beat import AudioChunk, Beat
from studio.engine import Avatar, Options, Take
from studio.errors import BadMessage, EngineFault, StudioError
from studio.scheduler import Scheduler, Seat
from studio.stats import Stats
from tests.fakes import FakeAvatar, FakeEngine, FakeTake, until


class Visit:
    """Seats itself and notes what comes back."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.beats: list[Beat] = []
        self.faults: list[StudioError] = []
        self.seat: Seat = scheduler.seat(FakeAvatar(), Options(), self.beats.extend, self.faults.append)

    def ask(self, *indexes: int, deadline: float = 0.0) -> None:
        for index in indexes:
            self.scheduler.submit(self.seat, AudioChunk(index, SILENCE, True), deadline + index)

    @property
    def indexes(self) -> list[int]:
        return [beat.index for beat in self.beats]


def noting(order: list[str], name: str) -> Callable[[list[Beat]], None]:
    return lambda beats: order.append(name)


def unheard(error: StudioError) -> None:
    raise AssertionError(error)


@contextlib.asynccontextmanager
async def running(engine: FakeEngine, stats: Stats | None = None) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(engine, stats or Stats())
    try:
        yield scheduler
    finally:
        engine.gate.set()
        await scheduler.aclose()


async def test_one_visit_gets_its_beats_in_order() -> None:
    async with running(FakeEngine()) as scheduler:
        visit = Visit(scheduler)
        visit.ask(0, 1, 2)
        await until(lambda: len(visit.beats) == 3)
        assert visit.indexes == [0, 1, 2] and not visit.faults


async def test_lookahead_holds_beats_back() -> None:
    async with running(FakeEngine(lookahead=2)) as scheduler:
        visit = Visit(scheduler)
        visit.ask(0, 1, 2, 3)
        await until(lambda: len(visit.beats) == 2)
        assert visit.indexes == [0, 1]


async def test_chunks_gather_into_one_batch_while_a_step_runs() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        visits = [Visit(scheduler) for _ in range(5)]
        await until(lambda: len(engine.takes) == 5)
        engine.gate.clear()
        visits[0].ask(0)
        await until(lambda: engine.threads)
        for visit in visits:
            visit.ask(*([1] if visit is visits[0] else [0]))
        engine.gate.set()
        await until(lambda: sum(len(visit.beats) for visit in visits) == 6)
        assert engine.batches == [1, 5]


async def test_take_appears_once_in_a_batch_and_batches_are_bounded() -> None:
    engine = FakeEngine(max_batch=2)
    async with running(engine) as scheduler:
        visits = [Visit(scheduler) for _ in range(3)]
        await until(lambda: len(engine.takes) == 3)
        engine.gate.clear()
        for visit in visits:
            visit.ask(0, 1)
        engine.gate.set()
        await until(lambda: sum(len(visit.beats) for visit in visits) == 6)
        assert max(engine.batches) == 2
        assert all(visit.indexes == [0, 1] for visit in visits)


async def test_oldest_deadline_goes_first() -> None:
    engine = FakeEngine(max_batch=1)
    async with running(engine) as scheduler:
        order: list[str] = []
        names = ("late", "early", "middle")
        seats = {name: scheduler.seat(FakeAvatar(), Options(), noting(order, name), unheard) for name in names}
        await until(lambda: len(engine.takes) == 3)
        engine.gate.clear()
        scheduler.submit(seats["late"], AudioChunk(0, SILENCE, True), 0.0)  # taken at once, alone
        await until(lambda: engine.threads)
        for name, deadline in (("late", 9.0), ("early", 1.0), ("middle", 5.0)):
            scheduler.submit(seats[name], AudioChunk(1, SILENCE, True), deadline)
        engine.gate.set()
        await until(lambda: len(order) == 4)
        assert order == ["late", "early", "middle", "late"]


async def test_visit_with_a_long_queue_starves_nobody() -> None:
    order: list[Take] = []

    class Noting(FakeEngine):
        def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
            order.extend(take for take, _ in batch)
            return super().step(batch)

    engine = Noting(max_batch=1)
    async with running(engine) as scheduler:
        greedy, modest = Visit(scheduler), Visit(scheduler)
        await until(lambda: len(engine.takes) == 2)
        engine.gate.clear()
        greedy.ask(*range(50))
        modest.ask(0)
        engine.gate.set()
        await until(lambda: modest.beats and len(greedy.beats) == 50)
        assert order.index(engine.takes[1]) <= 2


async def test_takes_spread_over_lanes_and_stay_there() -> None:
    engine = FakeEngine(lanes=2)
    async with running(engine) as scheduler:
        visits = [Visit(scheduler) for _ in range(4)]
        assert scheduler.takes == 4
        assert len({id(visit.seat.lane) for visit in visits}) == 2
        for visit in visits:
            visit.ask(0, 1, 2)
        await until(lambda: all(len(visit.beats) == 3 for visit in visits))
        assert len(engine.threads) == 2


async def test_lane_that_is_slow_holds_up_no_other_lane() -> None:
    slow = threading.Event()

    class HalfSlow(FakeEngine):
        def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
            if any(take is self.takes[0] for take, _ in batch):
                slow.wait(5)
            return super().step(batch)

    engine = HalfSlow(lanes=2)
    async with running(engine) as scheduler:
        stuck = Visit(scheduler)
        await until(lambda: len(engine.takes) == 1)
        quick = Visit(scheduler)
        stuck.ask(0)
        quick.ask(0, 1, 2)
        await until(lambda: len(quick.beats) == 3)
        assert not stuck.beats
        slow.set()
        await until(lambda: stuck.beats)


async def test_step_that_fails_once_is_repeated_and_nobody_notices() -> None:
    engine, stats = FakeEngine(), Stats()
    async with running(engine, stats) as scheduler:
        visit = Visit(scheduler)
        engine.fail_once = 1
        visit.ask(0, 1)
        await until(lambda: len(visit.beats) == 2)
        assert not visit.faults and stats.value("studio_engine_faults_total", engine="fake") == 1


async def test_take_that_fails_twice_ends_alone() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        good, bad = Visit(scheduler), Visit(scheduler)
        await until(lambda: len(engine.takes) == 2)
        engine.fail_on = {7}
        engine.gate.clear()
        good.ask(0, 1)
        bad.ask(7)
        engine.gate.set()
        await until(lambda: bad.faults and len(good.beats) == 2)
        assert isinstance(bad.faults[0], EngineFault) and not bad.beats and not good.faults
        bad.ask(8)
        good.ask(2)
        await until(lambda: len(good.beats) == 3)
        assert len(bad.faults) == 1 and scheduler.takes == 1


@pytest.mark.parametrize(
    ("error", "told"), [(BadMessage("No such option."), BadMessage), (ValueError("x"), EngineFault)]
)
async def test_take_that_cannot_begin_is_told_why(error: Exception, told: type[StudioError]) -> None:
    class Picky(FakeEngine):
        def begin(self, avatar: Avatar, options: Options) -> FakeTake:
            raise error

    async with running(Picky()) as scheduler:
        visit = Visit(scheduler)
        await until(lambda: visit.faults)
        assert type(visit.faults[0]) is told and scheduler.takes == 0


async def test_engine_that_returns_the_wrong_number_is_a_fault() -> None:
    class Short(FakeEngine):
        def step(self, batch: Sequence[tuple[Take, AudioChunk]]) -> list[list[Beat]]:
            return []

    async with running(Short()) as scheduler:
        visit = Visit(scheduler)
        visit.ask(0)
        await until(lambda: visit.faults)


async def test_chunks_not_yet_taken_can_be_recalled() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        visit = Visit(scheduler)
        await until(lambda: engine.takes)
        engine.gate.clear()
        visit.ask(0)
        await until(lambda: engine.threads)
        visit.ask(1, 2, 3)
        assert scheduler.recall(visit.seat) == 3
        visit.ask(1)
        engine.gate.set()
        await until(lambda: len(visit.beats) == 2)
        assert visit.indexes == [0, 1]


async def test_visit_that_left_hears_nothing_more() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        gone, stays = Visit(scheduler), Visit(scheduler)
        await until(lambda: len(engine.takes) == 2)
        engine.gate.clear()
        gone.ask(0)
        await until(lambda: engine.threads)
        scheduler.leave(gone.seat)
        scheduler.leave(gone.seat)
        gone.ask(1)
        stays.ask(0)
        engine.gate.set()
        await until(lambda: stays.beats)
        assert not gone.beats and scheduler.takes == 1


async def test_capacity_follows_the_measured_steps() -> None:
    engine = FakeEngine(lanes=2, max_batch=4)
    async with running(engine) as scheduler:
        assert scheduler.capacity() == 8 and scheduler.step_ms() == 0
        scheduler._steps = {1: deque([8.0])}
        assert scheduler.capacity() == 2 * 4
        scheduler._steps = {1: deque([8.0]), 4: deque([15.0])}
        assert scheduler.capacity() == 2 * 8 and scheduler.step_ms() == 11.5
        scheduler._steps = {1: deque([100.0])}
        assert scheduler.capacity() == 2


async def test_step_time_is_read_while_a_lane_measures_a_new_batch_size() -> None:
    class Meanwhile(deque[float]):
        def __iter__(self) -> Iterator[float]:
            scheduler._steps[len(scheduler._steps) + 1] = deque([1.0])
            return super().__iter__()

    async with running(FakeEngine()) as scheduler:
        scheduler._steps = {1: Meanwhile([3.0]), 2: deque([5.0])}
        assert scheduler.step_ms() == 4.0


async def test_closing_ends_every_thread_and_is_idempotent() -> None:
    engine = FakeEngine(lanes=3)
    before = threading.active_count()
    scheduler = Scheduler(engine, Stats())
    visits = [Visit(scheduler) for _ in range(3)]
    for visit in visits:
        visit.ask(0)
    await until(lambda: all(visit.beats for visit in visits))
    await asyncio.gather(scheduler.aclose(), scheduler.aclose())
    await scheduler.aclose()
    assert threading.active_count() == before and scheduler.takes == 0


async def test_step_that_never_returns_does_not_hold_up_closing() -> None:
    engine = FakeEngine()
    scheduler = Scheduler(engine, Stats())
    visit = Visit(scheduler)
    await until(lambda: engine.takes)
    engine.gate.clear()
    visit.ask(0)
    await until(lambda: engine.threads)
    await scheduler.aclose(limit=0.05)
    engine.gate.set()


async def test_begin_hands_the_options_over() -> None:
    engine = FakeEngine()
    async with running(engine) as scheduler:
        options = Options(seed=4)
        scheduler.seat(FakeAvatar(), options, noting([], ""), unheard)
        await until(lambda: engine.takes)
        take: FakeTake = engine.takes[0]
        assert take.options is options
