"""One measurement from the door to the last picture: uploads what lies here, visits by the chosen transport."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import replace

from studio.beat import FPS
from studio.client.calls import Conversation, recite
from studio.client.door import Door
from studio.client.images import ImageStream
from studio.client.intake import Intake
from studio.client.order import CannotRun, Order, Outcome, clean, local
from studio.client.screen import Screen
from studio.errors import BadAudio, ConfigError
from studio.recording import file_seconds

PULSE = 0.2
"""Seconds between two looks at how far it is."""
UNKNOWN = ("no such file", "must be a file ending in")
"""Words of a studio that was given a path which leads to nothing; it does not say which of two."""
Watch = Callable[[str], None]
"""Told a phrase: what goes on."""


def check(order: Order) -> None:
    """Look at an order before anything is sent.

    Raises:
        ConfigError: It asks for what no studio offers.
    """
    if order.avatar and order.source:
        raise ConfigError("--avatar and --source_path exclude each other: who shall speak?")
    if order.transport != "webrtc" and not order.audio:
        raise ConfigError("--audio_path is missing: frames are streamed for a recording")
    if order.has_portrait and not order.audio:
        raise ConfigError("--audio_path is missing: what shall the portrait say?")


async def measure(order: Order, intake: Intake, screen: Screen, watch: Watch) -> None:
    """Visit the studio; what came is in ``intake`` whatever happens, cancelling included.

    Raises:
        CannotRun: Nothing could be measured; the sentence says why.
        BadAudio: The sound of this machine cannot be read.
    """
    watching = asyncio.create_task(_watch(order, intake, watch))
    try:
        async with Door(order) as door:
            await _go(order, door, intake, screen, watch)
    except CannotRun as error:
        if not intake.pictures:
            raise explained(order, error) from error
        intake.end(Outcome.LOST, f"{error.message[:1].lower()}{error.message[1:].rstrip('.')}")
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)


async def _go(order: Order, door: Door, intake: Intake, screen: Screen, watch: Watch) -> None:
    if order.is_conversation:
        await Conversation(order, door, intake, screen).run()
        return
    seconds = await asyncio.to_thread(sound_seconds, order)
    there = await _brought(order, door, intake, watch)
    if not order.has_portrait and not order.avatar:
        there = replace(there, avatar=await _first_avatar(door))
    if order.transport == "webrtc":
        await recite(there, door, intake, screen, math.ceil(seconds * FPS - 1e-6) if seconds else None)
    else:
        await ImageStream(there, door, intake, screen).run()


async def _brought(order: Order, door: Door, intake: Intake, watch: Watch) -> Order:
    """Return the order with paths of the server in place of files that lie here; the portrait is prepared."""
    named = {"audio": local(order.audio), "source": local(order.source)}
    files = {field: path for field, path in named.items() if path is not None}
    there = order
    if files:
        watch("sending " + " and ".join(path.name for path in files.values()))
        began = time.monotonic()
        answer = await door.upload(files, order.engine)
        intake.timings["upload"] = time.monotonic() - began
        for field in files:
            path = answer.get(f"{field}_path")
            if not isinstance(path, str) or not path or len(path) > 1024:
                raise CannotRun("The server took the upload but does not say where it is.")
            there = replace(there, audio=path) if field == "audio" else replace(there, source=path)
    if there.source:
        began = time.monotonic()
        await door.prepared(there.source, order.engine, watch)
        intake.timings["prepare"] = time.monotonic() - began
    return there


def explained(order: Order, error: CannotRun) -> CannotRun:
    """Return why nothing could be measured; of a file that nobody has, the option that names it."""
    given = {"--audio_path": order.audio, "--source_path": order.source}
    strange = [f"{option} {clean(path)}" for option, path in given.items() if path and local(path) is None]
    if not strange or not any(words in error.message for words in UNKNOWN):
        return error
    if len(strange) == 1:
        return CannotRun(f"{strange[0]}: neither a file on this machine nor known to the server.")
    return CannotRun(f"{' and '.join(strange)}: neither is a file on this machine, nor are both known to the server.")


async def _first_avatar(door: Door) -> str:
    """Return the id of the gallery's first avatar."""
    avatars = (await door.get("/api/avatars")).get("avatars")
    first = avatars[0] if isinstance(avatars, list) and avatars else None
    name = first.get("id") if isinstance(first, dict) else None
    if not isinstance(name, str) or not name:
        raise CannotRun("The studio has no avatar. Name a portrait with --source_path.")
    return name


def sound_seconds(order: Order) -> float:
    """Return how long the order's sound is, 0.0 where it does not lie here; blocks.

    Raises:
        BadAudio: It is no sound.
    """
    path = order.audio_file
    if path is None:
        return 0.0
    try:
        return file_seconds(path)
    except BadAudio as error:
        raise BadAudio(f"{clean(path)} is no sound that can be read.") from error


async def _watch(order: Order, intake: Intake, watch: Watch) -> None:
    """Say how it goes, until cancelled."""
    while True:
        await asyncio.sleep(PULSE)
        if intake.asked_at:
            watch(progress(intake, order.timeout))


def progress(intake: Intake, timeout: float) -> str:
    """Return the live line: pictures, seconds, and what comes at the moment."""
    since = intake.clock() - intake.asked_at
    if not intake.pictures:
        return f"waiting for the first picture, {since:.1f} s"
    fps, bps = intake.live()
    total = f" of {intake.expected}" if intake.expected else ""
    return f"{since:.1f} s, {len(intake.pictures)}{total} pictures, {fps:.1f} fps, {bps / 1000:.0f} kbit/s"
