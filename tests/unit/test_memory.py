from __future__ import annotations

import sys
import threading

import pytest

from studio import memory


class Library:
    """Counts what is asked of it."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int]] = []
        self.trims = 0
        self.trimmed = threading.Event()

    def mallopt(self, option: int, value: int) -> None:
        self.options.append((option, value))

    def malloc_trim(self, pad: int) -> None:
        self.trims += 1
        self.trimmed.set()


def names() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


def test_a_keeper_trims_until_it_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(memory, "_glibc", lambda: library)
    with memory.Keeper(every=0.001):
        assert library.trimmed.wait(5)
        assert "memory" in names()
    trims = library.trims
    assert "memory" not in names()
    assert library.options == [(-3, 1 << 20)]
    assert library.trims == trims


def test_without_glibc_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with memory.Keeper(every=0.001):
        assert "memory" not in names()


def test_other_systems_have_no_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert memory._glibc() is None


def test_the_real_library_can_be_asked() -> None:
    with memory.Keeper(every=60):
        pass
