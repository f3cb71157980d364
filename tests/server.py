"""Start a studio in a process of its own for benches, soak and browser tests: a free port, a scratch configuration."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil
import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Server:
    """A running studio."""

    port: int
    process: psutil.Process
    child: asyncio.subprocess.Process
    scheme: str = "http"

    @property
    def http(self) -> str:
        """Base URL."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        """URL of the signaling socket."""
        return f"ws://127.0.0.1:{self.port}/ws"

    async def metrics(self, query: str = "") -> dict[str, float]:
        """Read /metrics as a flat mapping, labels included in the name; ``?gc`` collects garbage too."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.http}/metrics{query}") as response:
            text = await response.text()
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def memory_mb(self) -> float:
        """Resident memory of the process, MiB."""
        return float(self.process.memory_info().rss) / 2**20

    def cpu_seconds(self) -> float:
        """User and system seconds since its start."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


def free_port() -> int:
    """Return a loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def studio(
    folder: Path,
    config: Mapping[str, object],
    *,
    core: int | None = None,
    port: int = 0,
    entry: tuple[str, ...] = ("start_studio.py",),
    more: tuple[str, ...] = (),
    limit: float = 120.0,
) -> AsyncIterator[Server]:
    """Run a studio with ``config`` until the block ends; its log goes to ``folder/server.log``.

    Args:
        folder: Scratch folder for configuration and log.
        config: The YAML's content.
        core: Pin the process there (Linux only).
        port: Listen there; 0: any free one.
        entry: Script and its first arguments.
        more: Further options of ``serve``.
        limit: Seconds until it must answer /readyz.
    """
    port = port or free_port()
    (folder / "avatars.yaml").write_text(yaml.safe_dump(dict(config)))
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--config", str(folder / "avatars.yaml"), *more]
    with (folder / "server.log").open("w") as log:
        child = await asyncio.create_subprocess_exec(
            sys.executable, *entry, *arguments, cwd=ROOT, stdout=log, stderr=log,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    process = psutil.Process(child.pid)
    if core is not None and hasattr(process, "cpu_affinity"):
        process.cpu_affinity([core])
    server = Server(port, process, child, "https" if "--tls-cert" in more else "http")
    try:
        await _until_ready(server, child, limit, folder)
        yield server
    finally:
        if child.returncode is None:
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), 10)
            except TimeoutError:
                child.kill()
                await child.wait()


async def _until_ready(server: Server, child: asyncio.subprocess.Process, limit: float, folder: Path) -> None:
    async with asyncio.timeout(limit), aiohttp.ClientSession() as session:
        while True:
            if child.returncode is not None:
                raise RuntimeError(f"the studio ended: {(folder / 'server.log').read_text()[-2000:]}")
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{server.http}/readyz", ssl=False) as response:
                    if response.status == 200:
                        return
            await asyncio.sleep(0.1)
