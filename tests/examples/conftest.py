"""What the examples' tests share: a real studio on a port of 127.0.0.1."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from studio.spec import AvatarSpec
from tests.inside import Inside, inside, spec_of

CARDS = (
    AvatarSpec("card", Path("/nowhere"), "Card", "testcard"),
    AvatarSpec("beeps", Path("/nowhere"), "Beeps", "testcard", options={"beep": True}),
)


@pytest.fixture(autouse=True)
def loopback_peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process's aiortc peers offer 127.0.0.1, which they leave out where there is more than that."""
    import aioice.ice

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    yield


@pytest.fixture
async def studio(tmp_path: Path) -> AsyncIterator[Inside]:
    """A studio with two test cards, one of which flashes and beeps."""
    async with inside(spec_of(tmp_path, CARDS, queue_seconds=2.0, sessions=4)) as running:
        yield running


@pytest.fixture
def http(studio: Inside) -> str:
    """Its address."""
    return studio.url("")
