"""The pictures of a compressed avatar as visits watch them: unpacked a few ahead, in threads of their own.

Whoever watches goes from phase to phase, so that what is wanted next is known. A picture that nobody foresaw (a visit
begins, or jumps) is unpacked where it is asked for. Knows nothing of files and networks.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from studio.engines.musetalk.types import Bytes

AHEAD = 3
"""Pictures that are unpacked before they are asked for: 120 ms."""
KEPT_BYTES = 128_000_000
"""What unpacked pictures may take: 41 of 1080p, which is enough for a dozen visits."""


class Reel:
    """See the module; any number of threads may ask. Its threads end when nobody holds it any more.

    Args:
        unpack: Returns the picture of a frame; may raise.
        frame_of: Phase -> frame.
        picture_bytes: Of one picture, unpacked.
    """

    def __init__(self, unpack: Callable[[int], Bytes], frame_of: Callable[[int], int], picture_bytes: int) -> None:
        self._unpack, self._frame_of = unpack, frame_of
        self._most = max(KEPT_BYTES // picture_bytes, 2 * AHEAD)
        self._shots: OrderedDict[int, Future[Bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max(1, (os.cpu_count() or 1) // 2), "musetalk-reel")
        self.memory_bytes = self._most * picture_bytes
        """What it may take."""
        self.foreseen = self.missed = 0
        """Pictures that were unpacked before they were asked for, and where they were."""

    def at(self, phase: int) -> Bytes:
        """Return the picture at a phase, (H * 3 // 2, W) I420, read-only, and have those behind it unpacked.

        Raises:
            AvatarNotReady: It is damaged.
        """
        frame = self._frame_of(phase)
        with self._lock:
            shot = self._shots.pop(frame, None)
            for later in range(phase + 1, phase + 1 + AHEAD):
                self._order(self._frame_of(later))
        if shot is None or shot.cancel():  # nobody has begun with it: here it is faster than behind others
            shot = Future()
            shot.set_result(self._unpack(frame))
            self.missed += 1
        picture = shot.result()
        with self._lock:
            self._shots.setdefault(frame, shot)
            self._shots.move_to_end(frame, last=False)  # it was seen: it may be the first to go
            while len(self._shots) > self._most:
                self._shots.popitem(last=False)[1].cancel()
        return picture

    def _order(self, frame: int) -> None:
        """Have a frame unpacked, unless it is there or under way; the lock is held."""
        if frame not in self._shots:
            self._shots[frame] = self._pool.submit(self._unpack, frame)
            self.foreseen += 1
        self._shots.move_to_end(frame)
