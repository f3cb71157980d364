"""The whole program as a process: it ends in time whatever it is doing, and its second start is quick."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from pathlib import Path

from studio.config import home
from tests.server import studio
from tests.visitor import Visitor

CONFIG = {"avatars": [{"id": "ada", "engine": "testcard"}, {"id": "bob", "engine": "testcard"}]}


async def test_process_ends_in_time_with_live_visits(tmp_path: Path, counting_peers: None) -> None:
    """SIGTERM with two live peers, one of them speaking: exit code 0 within 3 s."""
    (tmp_path / "server").mkdir()
    async with studio(tmp_path / "server", {**CONFIG, "cache": str(tmp_path / "cache")}) as server:
        visitors = [Visitor(server.ws, "ada", None), Visitor(server.ws, "bob", [b"\xf8\xff\xfe"])]
        try:
            for visitor in visitors:
                await visitor.connect()
            began = time.monotonic()
            server.process.terminate()
            code = await asyncio.wait_for(server.child.wait(), 10)
            assert (code, time.monotonic() - began < 3) == (0, True)
        finally:
            for visitor in visitors:
                await visitor.close()


async def test_process_ends_in_time_while_it_prepares(tmp_path: Path) -> None:
    """Ctrl-C in the first start, in the middle of the work; nothing half done stays."""
    photo = home() / "static" / "avatars" / "astronaut.png"
    config = tmp_path / "avatars.yaml"
    config.write_text(f"cache: {tmp_path}/cache\navatars: [{{id: astro, source: {photo}}}]\n")
    command = [sys.executable, "start_studio.py", "--config", str(config), "--port", "0"]
    child = await asyncio.create_subprocess_exec(*command, cwd=home(), stderr=asyncio.subprocess.PIPE)
    assert child.stderr is not None
    await asyncio.wait_for(child.stderr.readuntil(b"reading the picture"), 30)
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, errors = await asyncio.wait_for(child.communicate(), 20)
    assert time.monotonic() - began < 6
    assert (child.returncode, b"Traceback" in errors) == (0, False), errors.decode()
    assert list((tmp_path / "cache").rglob("astro")) == []


async def test_second_start_takes_the_avatars_from_the_cache(tmp_path: Path) -> None:
    written: list[dict[str, int]] = []
    for n in range(2):
        folder = tmp_path / str(n)
        folder.mkdir()
        async with studio(folder, {**CONFIG, "cache": str(tmp_path / "cache")}):
            files = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
            written.append({str(path): path.stat().st_mtime_ns for path in files})
    assert written[0] == written[1]
    assert len([path for path in written[0] if path.endswith("prepared.json")]) == 2
