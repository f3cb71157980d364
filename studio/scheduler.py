"""Runs one engine for all visits: a thread per lane gathers chunks, steps them as one batch and hands the beats back.

Batches form by themselves: while a step runs, chunks gather; the lane then takes all that waits, at most one chunk
per take and `Engine.max_batch` in all, oldest deadline first. One visitor waits for nobody. Knows nothing of
pacing or peers; the event loop hears of a step in one call.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from studio.beat import BEAT_SECONDS, AudioChunk, Beat
from studio.engine import Avatar, Engine, Options, Take
from studio.errors import EngineFault, StudioError
from studio.stats import Stats, percentile

log = logging.getLogger(__name__)

HEADROOM = 0.2
"""Part of the 40 ms that the capacity leaves unused."""
MEMORY = 256
"""Newest steps per batch size that the capacity is derived from."""

OnBeats = Callable[[list[Beat]], None]
OnFault = Callable[[StudioError], None]


@dataclass(slots=True, eq=False)
class Seat:
    """One take's place on a lane; made by `Scheduler.seat`."""

    lane: _Lane
    avatar: Avatar
    options: Options
    on_beats: OnBeats
    on_fault: OnFault
    take: Take | None = None
    """Begun by the lane's thread."""
    waiting: deque[tuple[float, AudioChunk]] = field(default_factory=deque)
    left: bool = False


class _Lane:
    """A thread's work; everything but ``thread`` and ``gone`` is guarded by ``wakes``."""

    def __init__(self) -> None:
        self.wakes = threading.Condition()
        self.seats: list[Seat] = []
        self.closing = False
        self.thread: threading.Thread | None = None
        self.gone: asyncio.Future[None] | None = None

    def gather(self, max_batch: int) -> list[tuple[Seat, AudioChunk | None]]:
        """Return what is to be done: takes to begin (without a chunk), else one batch of chunks."""
        beginners: list[tuple[Seat, AudioChunk | None]] = [(seat, None) for seat in self.seats if seat.take is None]
        if beginners:
            return beginners
        waiting = sorted((seat for seat in self.seats if seat.waiting), key=lambda seat: seat.waiting[0][0])
        return [(seat, seat.waiting.popleft()[1]) for seat in waiting[:max_batch]]


Result = tuple[Seat, list[Beat] | StudioError]


class Scheduler:
    """The lanes of one engine.

    Args:
        engine: Stepped by the lanes' threads only; closed by whoever made it, after `aclose`.
        stats: Gets ``studio_engine_step_ms`` and ``studio_engine_faults_total``.
    """

    def __init__(self, engine: Engine, stats: Stats) -> None:
        self.engine = engine
        self._stats = stats
        self._lanes = [_Lane() for _ in range(engine.lanes)]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._steps: dict[int, deque[float]] = {}
        self._closed = False

    def seat(self, avatar: Avatar, options: Options, on_beats: OnBeats, on_fault: OnFault) -> Seat:
        """Begin a take on the least loaded lane; called on the event loop.

        ``on_beats`` and ``on_fault`` are called on the loop; after a fault the seat has left.
        """
        assert not self._closed
        self._loop = asyncio.get_running_loop()
        lane = min(self._lanes, key=lambda lane: len(lane.seats))
        seat = Seat(lane, avatar, options, on_beats, on_fault)
        with lane.wakes:
            lane.seats.append(seat)
            lane.wakes.notify()
        if lane.thread is None:
            name = f"{self.engine.name}-{self._lanes.index(lane)}"
            lane.gone = self._loop.create_future()
            lane.thread = threading.Thread(target=self._run, args=(lane,), name=name)
            lane.thread.start()
        return seat

    def submit(self, seat: Seat, chunk: AudioChunk, deadline: float) -> None:
        """Queue a chunk; never blocks for a step. ``deadline`` orders chunks of different takes, in seconds."""
        with seat.lane.wakes:
            if not seat.left:
                seat.waiting.append((deadline, chunk))
                seat.lane.wakes.notify()

    def recall(self, seat: Seat) -> int:
        """Take back the chunks that no step has taken yet; return how many. Their indexes are free again."""
        with seat.lane.wakes:
            count = len(seat.waiting)
            seat.waiting.clear()
        return count

    def leave(self, seat: Seat) -> None:
        """End a take and let go of it; no callback follows. Idempotent."""
        with seat.lane.wakes:
            seat.left = True
            seat.take = None
            seat.waiting.clear()
            if seat in seat.lane.seats:
                seat.lane.seats.remove(seat)

    @property
    def takes(self) -> int:
        """Takes that are seated."""
        return sum(len(lane.seats) for lane in self._lanes)

    def step_ms(self, beats: int = 25) -> float:
        """Mean of the newest ``beats`` steps, in milliseconds; 0 before the first."""
        recent = [ms for times in list(self._steps.values()) for ms in list(times)[-beats:]]
        return sum(recent) / len(recent) if recent else 0.0

    def capacity(self) -> int:
        """Takes that all lanes together can step every 40 ms at p99 with `HEADROOM`; ``max_batch`` per lane unmeasured.

        A batch larger than those measured is taken to cost in proportion to the nearest smaller one.
        """
        budget_ms = BEAT_SECONDS * 1000 * (1 - HEADROOM)
        measured = {size: percentile(list(times), 0.99) for size, times in list(self._steps.items())}
        if not measured:
            return self.engine.lanes * self.engine.max_batch
        fits = [size * max(1, int(budget_ms / ms)) for size, ms in measured.items() if 0 < ms <= budget_ms]
        return self.engine.lanes * max(fits, default=1)

    async def aclose(self, limit: float = 2.0) -> None:
        """End every take and join the threads; idempotent. A step that outlasts ``limit`` seconds is only logged."""
        self._closed = True
        for lane in self._lanes:
            with lane.wakes:
                lane.closing = True
                lane.seats.clear()
                lane.wakes.notify()
        gone = [lane.gone for lane in self._lanes if lane.gone is not None]
        if gone:
            _, stuck = await asyncio.wait(gone, timeout=limit)
            for lane in self._lanes:
                if lane.thread is not None and lane.gone not in stuck:
                    lane.thread.join()
            if stuck:
                log.error("engine %s: %d lanes did not stop within %.1f s", self.engine.name, len(stuck), limit)

    def _run(self, lane: _Lane) -> None:
        while work := self._wait(lane):
            results = self._begin(work) if work[0][1] is None else self._step(work)
            self._call(self._hand_back, results)
        assert lane.gone is not None
        self._call(_resolve, lane.gone)

    def _wait(self, lane: _Lane) -> list[tuple[Seat, AudioChunk | None]]:
        with lane.wakes:
            while not lane.closing:
                if work := lane.gather(self.engine.max_batch):
                    return work
                lane.wakes.wait()
        return []

    def _begin(self, work: Sequence[tuple[Seat, AudioChunk | None]]) -> list[Result]:
        results: list[Result] = []
        for seat, _ in work:
            try:
                take = self.engine.begin(seat.avatar, seat.options)
                with seat.lane.wakes:
                    seat.take = None if seat.left else take
            except StudioError as error:
                results.append((seat, self._end(seat, error)))
            except Exception as error:  # an edge: the thread outlives whatever an engine does
                log.exception("engine %s could not begin a take", self.engine.name)
                results.append((seat, self._end(seat, EngineFault(detail=type(error).__name__))))
        return results

    def _step(self, work: Sequence[tuple[Seat, AudioChunk | None]]) -> list[Result]:
        # A seat may leave at any time: the take that is stepped is looked up once.
        steps = [(s, take, chunk) for s, chunk in work if chunk is not None and (take := s.take) is not None]
        results = self._attempt(steps)
        if results is not None:
            return results
        alone: list[Result] = []
        for step in steps:
            fault = EngineFault(detail=f"{self.engine.name} failed twice")
            alone += self._attempt([step]) or [(step[0], self._end(step[0], fault))]
        return alone

    def _attempt(self, steps: Sequence[tuple[Seat, Take, AudioChunk]]) -> list[Result] | None:
        if not steps:
            return []
        began = time.perf_counter()
        try:
            with self._stats.stage("step"):
                beats = self.engine.step([(take, chunk) for _, take, chunk in steps])
            if len(beats) != len(steps):
                raise ValueError(f"{len(beats)} lists for {len(steps)} pairs")
        except Exception:  # an edge: the thread outlives whatever an engine does
            log.exception("engine %s failed in a batch of %d", self.engine.name, len(steps))
            self._stats.count("studio_engine_faults_total", engine=self.engine.name)
            return None
        ms = (time.perf_counter() - began) * 1000
        self._steps.setdefault(len(steps), deque(maxlen=MEMORY)).append(ms)
        self._stats.observe("studio_engine_step_ms", ms, engine=self.engine.name)
        return [(seat, made) for (seat, _, _), made in zip(steps, beats, strict=True)]

    def _end(self, seat: Seat, error: StudioError) -> StudioError:
        with seat.lane.wakes:
            seat.waiting.clear()
            if seat in seat.lane.seats:
                seat.lane.seats.remove(seat)
        return error

    def _call(self, function: Callable[..., None], argument: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
            self._loop.call_soon_threadsafe(function, argument)

    def _hand_back(self, results: list[Result]) -> None:
        for seat, result in results:
            if seat.left:
                continue
            if isinstance(result, StudioError):
                seat.left = True
                seat.on_fault(result)
            elif result:
                seat.on_beats(result)


def _resolve(gone: asyncio.Future[None]) -> None:
    if not gone.done():
        gone.set_result(None)
