"""The README's commands for the studio's doors, pasted one by one into a shell beside a running studio."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiortc import RTCPeerConnection, RTCSessionDescription

from tests.conftest import need
from tests.server import ROOT, Server, free_port, studio

PROGRAMS = {"espeak-ng": "espeak-ng", "ffmpeg": "ffmpeg", "curl": "curl", "bash": "bash"}
CARDS = [
    {"id": "mira", "source": "static/avatars/mira", "engine": "testcard"},
    {"id": "astronaut", "source": "static/avatars/astronaut.png", "engine": "testcard"},
]
VERDICT = (1, "Measure what a visitor gets")
"""What a client says of a busy machine is its business."""
LIMIT = 120.0
"""Seconds for one block."""


def blocks() -> dict[str, str]:
    """Return the shell blocks of the doors by their sections' titles."""
    text = (ROOT / "README.md").read_text("utf-8")
    doors = re.search(r"^## Doors\n(.*?)^## ", text, re.M | re.S)
    assert doors
    found: dict[str, str] = {}
    for part in re.split(r"^### ", "Before\n" + doors[1], flags=re.M):
        title, _, rest = part.partition("\n")
        shells = re.findall(r"^```sh\n(.*?)^```", rest, re.M | re.S)
        assert len(shells) == 1, f"{title!r} has {len(shells)} blocks"
        found[title] = shells[0]
    return found


BLOCKS = blocks()
RESULTS: dict[str, str | tuple[str, ...]] = {
    "Before": ("speech.wav", "me.png"),
    "In a browser": "",
    "Uploads": r'"audio_path": "uploads/[\w-]+\.wav", "source_path": "uploads/[\w-]+\.png"',
    "A portrait speaks a recording, over WebRTC": ("visit.mp4",),
    "Pictures over a WebSocket": r"metadata.*picture of \d+ bytes.*writer_closed",
    "A microphone over a WebSocket": ("frame.jpg",),
    "Speak through an avatar: agents, TTS, recordings": r'"seconds": [\d.]+.*flushed.*False',
    "For agents: espeak-ng, Pipecat, LiveKit": r"^Spoken\.$",
    "Many watch one avatar (WHEP), a microphone from outside speaks (WHIP)": ("broadcast.mp4",),
    "Stream to an RTMP server": r'Stream demo started.*"state": "live".*Stream demo stopped',
    "Avatars that come while it runs": r'"state": "(queued|preparing)".*event: state.*"state": "(ready|failed)"',
    "Measure what a visitor gets": ("measured.webm", "measured.json", "measured.html"),
    "A film": ("talk.mp4", "curves.png"),
}
"""What each block prints, or the files it makes."""


def test_every_door_has_a_command_and_every_command_is_tried() -> None:
    assert set(BLOCKS) == set(RESULTS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the checkout's, whose Python knows no address but loopback and whose port 8080 is another."""
    for program, source in PROGRAMS.items():
        need(program, source)
    place = tmp_path_factory.mktemp("pasted")
    for name in ("static", "configs", "studio", "start_studio.py", "examples"):
        if (ROOT / name).exists():
            (place / name).symlink_to(ROOT / name)
    for python in (place / ".venv" / "bin" / "python", place / "bin" / "python3"):
        python.parent.mkdir(parents=True)
        python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
    (place / "site").mkdir()
    (place / "site" / "sitecustomize.py").write_text(LOOPBACK)
    return place


LOOPBACK = """import sys
if "aioice" not in sys.modules and sys.argv[:1] != ["-m"]:
    try:
        import aioice.ice
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    except ImportError:
        pass
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    config = {"avatars": CARDS, "cache": str(tmp_path_factory.mktemp("cache")), "limits": {"sessions": 4}}
    async with studio(tmp_path_factory.mktemp("studio"), config) as running:
        yield running


async def pasted(title: str, folder: Path, server: Server) -> str:
    """Run a block in bash, which stops at the first command that fails; return what it printed."""
    script = BLOCKS[title].replace("localhost:8080", f"localhost:{server.port}").replace(":1935/", f":{free_port()}/")
    environment = {
        **os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(folder / "site"),
        "BROWSER": shutil.which("true") or "true",
        "STUDIO_CACHE": str(folder / "cache"),
    }  # fmt: skip
    child = await asyncio.create_subprocess_exec(
        "bash", "-euo", "pipefail", "-c", script, cwd=folder, env=environment, start_new_session=True,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        out, _ = await asyncio.wait_for(child.communicate(), LIMIT)
    except TimeoutError:
        os.killpg(child.pid, signal.SIGKILL)
        raise
    assert child.returncode == 0 or (child.returncode, title) == VERDICT, out.decode()
    return out.decode()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("title", RESULTS)
async def test_command_works_when_pasted(title: str, folder: Path, server: Server, counting_peers: None) -> None:
    visitor = RTCPeerConnection()
    try:
        if title.startswith(("Speak", "For agents")):
            await visit(visitor, server)
        printed = await pasted(title, folder, server)
    finally:
        await visitor.close()
    wanted = RESULTS[title]
    if isinstance(wanted, str):
        assert re.search(wanted, printed, re.S), printed
    else:
        assert all((folder / name).stat().st_size > 1000 for name in wanted), printed


async def visit(pc: RTCPeerConnection, server: Server) -> None:
    """Begin what the page's Start begins."""
    pc.addTransceiver("video", direction="recvonly")
    await pc.setLocalDescription(await pc.createOffer())
    body = {"sdp": pc.localDescription.sdp, "type": "offer"}
    async with aiohttp.ClientSession(server.http) as web, web.post("/offer", json=body) as answer:
        told = await answer.json()
    await pc.setRemoteDescription(RTCSessionDescription(told["sdp"], "answer"))
