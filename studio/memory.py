"""Give memory back to the system that nobody uses any more. Knows nothing of what it was used for.

Each visit needs buffers of half a megabyte to some megabytes, made and freed by many threads. The C library of most
Linux systems (glibc) keeps what is freed in heaps per thread: after forty visits, 240 MB in use had become 750 MB
(`tests/bench/RESULTS.md`). `Keeper` asks it every few seconds to return whole free pages; the largest blocks never
enter those heaps. Smaller ones do: a picture that had to be mapped afresh for each beat would cost 0.3 ms.
"""

from __future__ import annotations

import ctypes
import sys
import threading
from types import TracebackType
from typing import Self

MAPPED_BYTES = 1 << 20
"""Blocks of this size and above are returned the moment they are freed."""
EVERY_SECONDS = 5.0
"""One call takes 0.5 to 2 ms of one thread."""
_M_MMAP_THRESHOLD = -3
"""``malloc.h`` of glibc."""


class Keeper:
    """Returns free memory from time to time while entered; does nothing where the C library has no such call."""

    def __init__(self, every: float = EVERY_SECONDS) -> None:
        self._every = every
        self._leave = threading.Event()
        self._library = _glibc()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def __enter__(self) -> Self:
        if self._library is not None:
            self._library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        assert self._library is not None
        while not self._leave.wait(self._every):
            self._library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the C library if it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "gnu_get_libc_version") else None
