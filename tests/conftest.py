"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import isolate

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """Leave nothing within reach but 127.0.0.1, before any thread or process is started.

    What runs in a shell's background ignores Ctrl-C, and so would every program that the tests start and interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    isolate()


@pytest.fixture
def counting_peers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process's aiortc peers offer 127.0.0.1 alone and count instead of decode."""
    import aioice.ice
    import aiortc.rtcrtpreceiver

    from tests.visitor import count_only

    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    monkeypatch.setattr(aiortc.rtcrtpreceiver, "decoder_worker", count_only)
    yield


def need(program: str, package: str) -> str:
    """Return the path of an outside program, or skip saying how to get it; in CI its absence fails."""
    path = shutil.which(program)
    if path:
        return path
    sentence = f"{program} is missing: `apt install {package}` (macOS: `brew install {package}`) gets it"
    if os.environ.get("CI") == "true":
        pytest.fail(sentence)
    pytest.skip(sentence)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; skip without it, fail in CI."""
    if SHARED.is_dir():
        return SHARED
    if os.environ.get("CI") == "true":
        pytest.fail(f"{SHARED} is missing")
    pytest.skip("the reference material of ../shared is not on this machine")
