"""A real RTMP server for a test: Debian's nginx with its RTMP module, on a free port of 127.0.0.1; it records."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.conftest import need
from tests.inside import Inside
from tests.server import free_port

MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
CONFIGURATION = """
load_module {module};
daemon off; master_process off; pid {folder}/pid; error_log {folder}/nginx.log info;
events {{ worker_connections 64; }}
rtmp {{
  server {{
    listen 127.0.0.1:{port};
    chunk_size 4096;
    application live {{ live on; record all; record_path {folder}/tapes; record_unique on; record_suffix .flv; }}
    application closed {{ live on; deny publish all; }}
  }}
}}
"""


@dataclass
class RtmpServer:
    """The server; it can be killed and started again."""

    program: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    def url(self, key: str, app: str = "live") -> str:
        return f"rtmp://127.0.0.1:{self.port}/{app}/{key}"

    @property
    def tapes(self) -> list[Path]:
        """What was published, oldest first."""
        return sorted((self.folder / "tapes").glob("*.flv"), key=lambda tape: tape.stat().st_mtime_ns)

    async def start(self) -> None:
        configuration = self.folder / "nginx.conf"
        (self.folder / "tapes").mkdir(exist_ok=True)
        configuration.write_text(CONFIGURATION.format(module=MODULE, folder=self.folder, port=self.port))
        errors = str(self.folder / "nginx.log")
        self.process = await asyncio.create_subprocess_exec(
            self.program, "-c", str(configuration), "-p", str(self.folder), "-e", errors
        )
        async with asyncio.timeout(10):
            while not self._answers():
                assert self.process.returncode is None, (self.folder / "nginx.log").read_text()
                await asyncio.sleep(0.05)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


@contextlib.asynccontextmanager
async def rtmp_server(folder: Path) -> AsyncIterator[RtmpServer]:
    """Run the server until the block ends; skip where there is none."""
    server = RtmpServer(_program(), folder)
    await server.start()
    try:
        yield server
    finally:
        await server.kill()


def _program() -> str:
    if not MODULE.exists():
        need("nginx with an RTMP module", "libnginx-mod-rtmp")
    return need("nginx", "nginx")


async def probe(url: str) -> dict[str, Any]:
    """Return what ffprobe sees of a stream: by kind of stream."""
    child = await asyncio.create_subprocess_exec(
        need("ffprobe", "ffmpeg"), "-v", "error", "-show_streams", "-of", "json", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        out, errors = await asyncio.wait_for(child.communicate(), 60)
    except TimeoutError:
        child.kill()
        await child.wait()
        raise
    assert not child.returncode, errors.decode()
    return {stream["codec_type"]: stream for stream in json.loads(out)["streams"]}


async def ask(house: Inside, method: str, path: str, body: object = None) -> tuple[int, dict[str, Any]]:
    async with house.client.request(method, house.url(path), json=body) as response:
        return response.status, await response.json()


async def start(house: Inside, name: str, url: str, **more: object) -> tuple[int, dict[str, Any]]:
    body = {"rtmp_url": url, "avatar_id": "ada", **more}
    return await ask(house, "POST", f"/start_stream/{name}", body)


async def played(house: Inside, name: str, pictures: int) -> dict[str, Any]:
    """Wait until a stream has sent so many pictures, however slow the machine; return what is told of it."""
    async with asyncio.timeout(60):
        while True:
            _, body = await ask(house, "GET", "/streams")
            told = next(one for one in body["streams"] if one["id"] == name)
            if told["frames"] >= pictures:
                return dict(told)
            await asyncio.sleep(0.1)


def words_in(tape: Path) -> int:
    """Count the stretches of sound that half a second of silence divides."""
    with av.open(str(tape), "r") as film:
        heard = np.concatenate([frame.to_ndarray()[0] for frame in film.decode(audio=0)])
    loud = np.flatnonzero(np.abs(heard) > 0.02)
    return int(len(loud) > 0) + int(np.count_nonzero(np.diff(loud) > 12_000))
