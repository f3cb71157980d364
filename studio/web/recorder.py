"""The older microphone dialect on ``GET /ws`` (wire contract C): ``start``, then sound; pictures come until the end.

The sound is raw float32, 16 kHz mono, or what a browser's MediaRecorder makes; see `recording.read_stream`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable

from aiohttp import web

from studio.errors import BadMessage, StudioError
from studio.messages import Fault, ServerMessage, Start
from studio.outputs.images import ImageOutput, Images
from studio.source import LiveVoice, Pipe
from studio.web.forms import in_thread
from studio.web.keys import GUESTS, HOST, STATS
from studio.web.patience import ReaderStalled, patiently
from studio.web.uploads import find_avatar

log = logging.getLogger(__name__)

WANTED = Images(form="jpeg", quality=80, quality_min=40)


class Recorder:
    """One socket's microphone.

    Args:
        app: The application.
        socket: Where pictures go.
        tell: What the visitor must hear besides.
    """

    def __init__(
        self, app: web.Application, socket: web.WebSocketResponse, tell: Callable[[ServerMessage], None]
    ) -> None:
        self._app, self._socket, self._tell = app, socket, tell
        self._pipe = Pipe()
        self._task: asyncio.Task[None] | None = None

    def start(self, message: Start) -> None:
        """Begin to show who speaks.

        Raises:
            BadMessage: It was started before.
        """
        if self._task is not None and not self._task.done():
            raise BadMessage("The microphone is being heard already.")
        self._pipe = Pipe()
        self._task = asyncio.create_task(self._run(message.source_path))

    def hear(self, data: bytes) -> None:
        """Add sound.

        Raises:
            BadMessage: Nobody said start.
            TooLarge: It comes faster than it can be heard.
        """
        if self._task is None:
            raise BadMessage("This socket takes JSON texts, not binary messages, unless one said start.")
        self._pipe.push(data)

    async def aclose(self) -> None:
        """End it, and give the seat back; idempotent."""
        self._pipe.close()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self, source_path: str) -> None:
        app = self._app
        session_id = app[HOST].open(self._note)
        try:
            avatar_id = await find_avatar(app, source_path) if source_path else app[GUESTS].first_id
            still = await in_thread(app, app[GUESTS].get(avatar_id).avatar.idle, 0)
            output = ImageOutput(WANTED, still, app[STATS])
            await app[HOST].play(session_id, avatar_id, output, LiveVoice(self._pipe))
            while (image := await output.next()) is not None:
                data = base64.b64encode(image.data).decode()
                await patiently(
                    self._socket.send_str(json.dumps({"type": "frame", "data": data, "timestamp": image.at}))
                )
        except StudioError as error:
            self._tell(Fault.of(error))
        except ReaderStalled:
            log.info("a microphone's pictures are not read any more")
            await self._socket.close()
        finally:
            await app[HOST].close(session_id)

    def _note(self, message: ServerMessage) -> None:
        """Of the session's messages, those clients know only complaints."""
        if isinstance(message, Fault):
            self._tell(message)
