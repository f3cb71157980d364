"""A studio of cardboard for the page alone: real HTTP, real signaling, a real peer, but a script instead of an engine.

Serves `static/` under the strict policy of the house and does what a test tells it to: refuse, keep silent, go away.
What the page sends is kept in ``heard``. By hand, to design with:

    python -m tests.browser.stub [--port 8090] [--pictures FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import aioice.ice
import cv2
import numpy as np
from aiohttp import WSMsgType, web
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.sdp import candidate_from_sdp
from numpy.typing import NDArray

from tests.browser.cardboard import SIDE, PictureTrack, SilenceTrack, draw_face

STATIC = Path(__file__).parents[2] / "static"
POLICY = "default-src 'self'"
AVATARS = {"mira": "Mira", "omar": "Omar", "robot": "Robot", "astronaut": "Astronaut"}
REASON = "Its engine needs the Python package onnxruntime, which is not installed here."
CAPACITY = {
    "code": "capacity",
    "message": "All seats are taken. Please try again shortly.",
    "fatal": False,
    "retryable": True,
}
ENGINE_FAILED = {
    "code": "engine_failed",
    "message": "The avatar lost its thread. Start again.",
    "fatal": True,
    "retryable": True,
}
NOT_READY = {
    "code": "avatar_not_ready",
    "message": "This avatar is not ready on this server.",
    "fatal": False,
    "retryable": True,
}
NOTHING: Mapping[str, Any] = {}


class Stub:
    """The server, its script and its memory."""

    def __init__(self, pictures: Path | None = None) -> None:
        self.refusal: dict[str, Any] | None = None
        """An ``error`` that answers every offer."""
        self.is_silent = False
        """True: offers are never answered."""
        self.not_ready: set[str] = set()
        """Avatars that the gallery shows as not ready."""
        self.broken: set[str] = set()
        """Avatars that seem ready and are refused when they are selected."""
        self.is_empty = False
        self.may_add = False
        """Whether the page's visitor may add avatars, and remove the last one."""
        self.heard: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        """Set as soon as a visitor's socket has closed."""
        self.url = ""
        self._pictures, self._cache = pictures, dict[str, NDArray[np.uint8]]()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._port = 0

    def picture(self, avatar_id: str) -> NDArray[np.uint8]:
        """Return an avatar's still, (512, 512, 3) uint8 BGR."""
        if avatar_id not in self._cache:
            file = self._pictures / f"{avatar_id}.png" if self._pictures else None
            read = cv2.imread(str(file)) if file and file.exists() else None
            still = draw_face(avatar_id) if read is None else cv2.resize(read, (SIDE, SIDE))
            self._cache[avatar_id] = still.astype(np.uint8)
        return self._cache[avatar_id]

    @contextlib.asynccontextmanager
    async def serve(self, port: int = 0) -> AsyncIterator[Stub]:
        """Listen on 127.0.0.1 until the block ends."""
        with mock.patch.object(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"]):
            await self.appear(port)
            try:
                yield self
            finally:
                await self.vanish()

    async def appear(self, port: int = 0) -> None:
        """Listen; after `vanish`, at the same address as before."""
        app = web.Application()
        app.on_response_prepare.append(harden)
        app.router.add_get("/", show_page)
        app.router.add_get("/ws", self._converse)
        app.router.add_get("/api/ice-servers", list_ice_servers)
        app.router.add_get("/api/avatars", self._list)
        app.router.add_get("/api/avatars/{id}/thumbnail", self._thumbnail)
        app.router.add_static("/static", STATIC)
        self._runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port or self._port).start()
        self._port = self._runner.addresses[0][1]
        self.url = f"http://127.0.0.1:{self._port}/"

    async def vanish(self) -> None:
        """Break every connection as a killed server does; may be called twice."""
        for socket in tuple(self._sockets):
            if socket._req and socket._req.transport:
                socket._req.transport.abort()
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    async def push(self, message: Mapping[str, Any]) -> None:
        """Say something to every page."""
        for socket in tuple(self._sockets):
            await socket.send_json(dict(message))

    def count(self, kind: str) -> int:
        """How many messages of a type were heard."""
        return sum(message["type"] == kind for message in self.heard)

    async def _list(self, request: web.Request) -> web.Response:
        return web.json_response({"avatars": self.cards(), "may_add": self.may_add})

    async def _thumbnail(self, request: web.Request) -> web.Response:
        encoded = cv2.imencode(".jpg", self.picture(request.match_info["id"]))[1]
        return web.Response(body=encoded.tobytes(), content_type="image/jpeg")

    def cards(self) -> list[dict[str, Any]]:
        """Return the gallery as the wire has it."""
        return [
            {
                "id": id, "name": name, "video_path": "", "engine": "portrait", "ready": id not in self.not_ready,
                "thumbnail": f"/api/avatars/{id}/thumbnail", "reason": REASON if id in self.not_ready else "",
                "added": self.may_add and id == "astronaut",
            }
            for id, name in ({} if self.is_empty else AVATARS).items()
        ]  # fmt: skip

    async def _converse(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self._sockets.add(socket)
        visit = StubVisit(self, socket)
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    body = message.json()
                    self.heard.append(body)
                    await visit.obey(body)
        finally:
            self._sockets.discard(socket)
            self.left.set()
            await visit.close()
        return socket


class StubVisit:
    """One socket's peer."""

    def __init__(self, stub: Stub, socket: web.WebSocketResponse) -> None:
        self._stub, self._socket = stub, socket
        self._pc: RTCPeerConnection | None = None
        self._avatar_id = next(iter(AVATARS))
        self._picture: PictureTrack | None = None

    async def obey(self, message: dict[str, Any]) -> None:
        """Answer one message as the contract says."""
        match message["type"]:
            case "get_avatars":
                await self._socket.send_json({"type": "avatars", "avatars": self._stub.cards()})
            case "select_avatar" if message["avatar_id"] in self._stub.broken:
                await self._socket.send_json({"type": "error", **NOT_READY})
            case "select_avatar":
                self._avatar_id = message["avatar_id"]
                if self._picture:
                    self._picture.avatar_id = self._avatar_id
                await self._socket.send_json({"type": "avatar_selected", "avatar_id": self._avatar_id})
            case "offer":
                await self._answer(message)
            case "ice_candidate":
                await self._add(message.get("candidate"))
            case "interrupt":
                await self._socket.send_json({"type": "interrupted", "spoken_ms": 0, "discarded_ms": 0})
            case "stop":
                await self.close()
                await self._socket.send_json({"type": "stopped"})
            case "ping":
                await self._socket.send_json({"type": "pong", "timestamp": message.get("timestamp")})

    async def close(self) -> None:
        """Close the peer, if there is one."""
        pc, self._pc = self._pc, None
        if pc:
            await pc.close()

    async def _answer(self, message: dict[str, Any]) -> None:
        if self._stub.refusal:
            await self._socket.send_json({"type": "error", **self._stub.refusal})
            return
        if self._stub.is_silent:
            return
        await self.close()
        self._avatar_id = message.get("avatar_id") or self._avatar_id
        pc = self._pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._picture = PictureTrack(self._stub.picture, self._avatar_id)
        pc.addTrack(self._picture)
        pc.addTrack(SilenceTrack())
        lines = [line for line in message["sdp"].splitlines(keepends=True) if ".local" not in line]
        await pc.setRemoteDescription(RTCSessionDescription("".join(lines), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        sdp = pc.localDescription.sdp
        await self._socket.send_json({"type": "answer", "sdp": sdp, "session_id": "stub", "sdp_type": "answer"})

    async def _add(self, body: dict[str, Any] | None) -> None:
        if not self._pc or not body or not body.get("candidate") or ".local" in body["candidate"]:
            return
        candidate = candidate_from_sdp(body["candidate"].removeprefix("candidate:"))
        candidate.sdpMid, candidate.sdpMLineIndex = body["sdpMid"], body["sdpMLineIndex"]
        await self._pc.addIceCandidate(candidate)


async def show_page(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /``."""
    return web.FileResponse(STATIC / "index.html")


async def list_ice_servers(request: web.Request) -> web.StreamResponse:
    """Answer ``GET /api/ice-servers``: none."""
    return web.json_response({"iceServers": []})


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Send the policy of the house with everything."""
    response.headers["Content-Security-Policy"] = POLICY


async def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    async with Stub(options.pictures).serve(options.port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
