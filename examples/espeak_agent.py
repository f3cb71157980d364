"""A whole voice agent in one small file: espeak-ng speaks, an avatar of a running studio moves its lips.

    python examples/espeak_agent.py "Good morning. I speak what you type."
    python examples/espeak_agent.py --server https://studio.example --session ID "Hello"

Open the studio's page and press Start first: the agent speaks in the newest visit unless one is named. Needs
`espeak-ng` and `pip install aiohttp`. Ctrl-C interrupts: the avatar falls silent, and the agent tells how far it came.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import struct

import aiohttp

WAV_HEADER = 44
"""Bytes before espeak-ng's samples; the 24th begins their rate."""


async def newest_session(web: aiohttp.ClientSession, server: str) -> str:
    """Return the id of the visit that began last. A studio tells ids on its own machine, and who has its token."""
    async with web.get(f"{server}/api/sessions", raise_for_status=True) as answer:
        sessions = [one for one in (await answer.json())["sessions"] if "id" in one]
    if not sessions:
        raise RuntimeError("Nobody is there: open the studio's page and press Start, or name a --session.")
    return str(sessions[-1]["id"])


async def push(text: str, voice: str, socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send what espeak-ng says while it says it. A studio that has enough reads no more, and sending waits."""
    espeak = await asyncio.create_subprocess_exec("espeak-ng", "-v", voice, "--stdout", "--", text, stdout=-1)
    assert espeak.stdout is not None
    try:
        header = await espeak.stdout.readexactly(WAV_HEADER)
        await socket.send_json({"type": "format", "sample_rate": struct.unpack_from("<I", header, 24)[0]})
        while sound := await espeak.stdout.read(65_536):  # s16le, mono
            await socket.send_bytes(sound)
        await socket.send_json({"type": "flush"})  # answered when the last of it was spoken
    finally:
        await espeak.communicate()  # what it still says after an interruption goes nowhere


async def listen(socket: aiohttp.ClientWebSocketResponse) -> str:
    """Return how it ended, in words."""
    async for message in socket:
        match message.json():
            case {"type": "interrupted", "spoken_ms": spoken, "stopped_in_ms": took}:
                return f"Interrupted after {spoken / 1000:.1f} s; silent within {took} ms."
            case {"type": "flushed", "interrupted": False}:
                return "Spoken."
            case {"type": "error", "message": sentence}:
                raise RuntimeError(sentence)
    raise RuntimeError("The studio hung up.")


async def speak(server: str, token: str, session: str, text: str, voice: str) -> str:
    """Speak in a visit and return how it ended; cancelling (Ctrl-C) interrupts."""
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"} if token else {}) as web:
        session = session or await newest_session(web, server)
        async with web.ws_connect(f"{server}/api/sessions/{session}/audio") as socket:
            listening, pushing = asyncio.create_task(listen(socket)), asyncio.create_task(push(text, voice, socket))
            try:
                return (await asyncio.shield(asyncio.gather(listening, pushing)))[0]
            except asyncio.CancelledError:
                pushing.cancel()
                await socket.send_json({"type": "interrupt"})
                return await asyncio.wait_for(listening, 10)
            finally:
                for task in (listening, pushing):
                    task.cancel()
                await asyncio.gather(listening, pushing, return_exceptions=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Let an avatar speak a text.")
    parser.add_argument("text")
    parser.add_argument("--server", default="http://127.0.0.1:8080", help="the studio")
    parser.add_argument(
        "--token", default=os.environ.get("STUDIO_SERVER_TOKEN", ""), help="the operator's, from elsewhere"
    )
    parser.add_argument("--session", default="", help="id of a visit; default: the newest")
    parser.add_argument("--voice", default="en", help="one of espeak-ng --voices")
    try:
        print(asyncio.run(speak(**vars(parser.parse_args()))))
    except (RuntimeError, OSError, aiohttp.ClientError) as error:
        raise SystemExit(str(error)) from error
