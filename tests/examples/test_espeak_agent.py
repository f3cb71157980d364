"""The small agent, run as its reader runs it: a process beside a studio in which somebody is."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys

from studio_link import StudioLink
from studio_media import Sound

from tests.conftest import need
from tests.server import ROOT, free_port


async def agent(*arguments: str) -> asyncio.subprocess.Process:
    """Start the agent."""
    need("espeak-ng", "espeak-ng")
    return await asyncio.create_subprocess_exec(
        sys.executable, "examples/espeak_agent.py", *arguments, cwd=ROOT,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process, limit: float = 20.0) -> str:
    """Return its words when it has ended."""
    out, _ = await asyncio.wait_for(process.communicate(), limit)
    return out.decode().strip()


async def listen(link: StudioLink, heard: asyncio.Event, sounds: list[bool]) -> None:
    """Note which sounds are audible."""
    async for item in link:
        if isinstance(item, Sound):
            sounds.append(item.is_audible)
            if sum(sounds) >= 25:
                heard.set()


async def test_words_are_heard_in_the_newest_visit(http: str) -> None:
    older: list[bool] = []
    newest: list[bool] = []
    async with (
        StudioLink(http, speaks=False) as first,
        StudioLink(http, speaks=False) as second,
        asyncio.TaskGroup() as ears,
    ):
        tasks = [
            ears.create_task(listen(*one))
            for one in ((first, asyncio.Event(), older), (second, asyncio.Event(), newest))
        ]
        process = await agent("--server", http, "Good morning to you all.")
        assert await said(process) == "Spoken." and process.returncode == 0
        await asyncio.sleep(0.3)  # the last sounds are on their way
        for task in tasks:
            task.cancel()
    assert sum(newest) * 0.02 > 0.8 and not any(older)


async def test_interrupt_key_silences_the_avatar_and_says_how_far_it_came(http: str) -> None:
    heard, sounds = asyncio.Event(), list[bool]()
    async with StudioLink(http, speaks=False) as link:
        ear = asyncio.create_task(listen(link, heard, sounds))
        process = await agent("--server", http, "--session", link.session_id, "one two three four five " * 20)
        await asyncio.wait_for(heard.wait(), 10)
        process.send_signal(signal.SIGINT)
        words = await said(process)
        assert words.startswith("Interrupted after ") and "silent within" in words and process.returncode == 0
        await asyncio.sleep(0.5)
        sounds.clear()
        await asyncio.sleep(0.5)
        assert sounds and not any(sounds)
        ear.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ear


async def test_what_cannot_be_is_said_in_a_line(http: str) -> None:
    for arguments, words in (
        ((), "press Start"),
        (("--session", "nobody"), "404"),
        (("--server", f"http://127.0.0.1:{free_port()}"), "Cannot connect"),
    ):
        process = await agent("--server", http, *arguments, "Hello")
        answer = await said(process)
        assert words in answer and "Traceback" not in answer and process.returncode == 1
