"""Names are looked up where nobody waits, and never too many at once."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from studio import lookup


async def test_an_address_is_its_own() -> None:
    assert await lookup.look_up("127.0.0.1", 80) == ["127.0.0.1"]


async def test_names_that_are_none_are_errors() -> None:
    with pytest.raises(OSError, match=r"\w"):
        await lookup.look_up("a\0b", 80)


async def test_a_silent_resolver_holds_so_many_threads_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def silent(*_: Any, **__: Any) -> list[Any]:
        answers.wait(30)
        return []

    monkeypatch.setattr("socket.getaddrinfo", silent)
    asked = [asyncio.ensure_future(lookup.look_up(f"host{i}", 80)) for i in range(lookup.MOST)]
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="too many"):
        await lookup.look_up("one.more", 80)
    answers.set()
    assert await asyncio.gather(*asked) == [[]] * lookup.MOST
    assert await lookup.look_up("again", 80) == []
