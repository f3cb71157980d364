"""Wiring: the application, its resources in the order in which they depend on each other, and the server around it."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import aiohttp_cors
from aiohttp import web

from studio.additions import Additions
from studio.encode import encode_pool
from studio.guests import Guests
from studio.host import SessionHost
from studio.library import Library, Report
from studio.scheduler import Scheduler
from studio.spec import StudioSpec
from studio.stats import Stats
from studio.uploads import Store
from studio.web.agent import add_agent
from studio.web.avatars import add_avatars
from studio.web.bulletin import BULLETIN, bulletin
from studio.web.gallery import add_gallery
from studio.web.guard import SERVER_LOG, add_headers, answer_errors
from studio.web.health import add_health
from studio.web.images import add_images
from studio.web.keys import ADDITIONS, FILES, GUESTS, HOST, LIBRARY, SPEC, STATS, STORE
from studio.web.oneshot import add_oneshot
from studio.web.openapi.document import add_openapi
from studio.web.pages import add_pages
from studio.web.signaling import add_signaling
from studio.web.streams import add_streams
from studio.web.tls import Certificate
from studio.web.uploads import add_uploads
from studio.web.whep import add_whep

BODY_BYTES = 1_048_576
"""Of a request that no route allows more."""
GRACE_SECONDS = 1.0
"""For requests that are being answered when the server ends."""
IDLE_SECONDS = 30
"""Until a connection is closed that asks nothing, or takes that long to say what it asks."""
FILE_THREADS = 3
"""That read, write and check files of visitors."""
LINGER_SECONDS = 2.0
"""For the rest of a request that was refused before it was read."""


def make_app(spec: StudioSpec, home: Path, report: Report | None = None) -> web.Application:
    """Return the application; its resources start and stop with it.

    Args:
        spec: The configuration.
        home: Folder that holds ``static``.
        report: Told how the avatars' preparation goes.
    """
    app = web.Application(middlewares=[answer_errors], client_max_size=BODY_BYTES)
    app[SPEC] = spec
    app[STATS] = Stats()
    app[LIBRARY] = Library(spec, lambda engine: Scheduler(engine, app[STATS]))
    app.cleanup_ctx.extend((_pool, _library(report or _silent), bulletin, _files(home), _host))
    add_routes(app, home)
    return app


def add_routes(app: web.Application, home: Path) -> None:
    """Add every family of routes, and other sites' access to them where it is configured."""
    add_pages(app, home)
    add_signaling(app)
    add_gallery(app)
    add_avatars(app)
    add_health(app)
    add_streams(app)
    add_uploads(app)
    add_oneshot(app)
    add_images(app)
    add_agent(app)
    add_openapi(app)
    app.on_response_prepare.append(add_headers)
    options = aiohttp_cors.ResourceOptions(  # type: ignore[no-untyped-call]
        allow_headers=("Authorization", "Content-Type"), expose_headers=("Location",), max_age=600
    )
    cors = aiohttp_cors.setup(app, defaults=dict.fromkeys(app[SPEC].server.origins, options))
    for route in list(app.router.routes()):
        cors.add(route)
    add_whep(app)


def _silent(avatar_id: str, done: float, phrase: str) -> None:
    """Report to nobody."""


async def _pool(app: web.Application) -> AsyncIterator[None]:
    """The bounded threads that encode: aiortc uses the loop's default executor for that and nothing else."""
    pool = encode_pool(app[SPEC].media.encode_threads)
    asyncio.get_running_loop().set_default_executor(pool)
    yield
    pool.shutdown(wait=False, cancel_futures=True)


def _library(report: Report) -> Callable[[web.Application], AsyncIterator[None]]:
    async def library(app: web.Application) -> AsyncIterator[None]:
        shelves = app[LIBRARY]
        with ThreadPoolExecutor(1, "preload") as loader:
            try:
                await asyncio.get_running_loop().run_in_executor(loader, shelves.load, report)
            except BaseException:
                shelves.stop()
                raise
        yield
        await asyncio.gather(*(scheduler.aclose() for scheduler in shelves.schedulers))
        shelves.close()

    return library


def _files(home: Path) -> Callable[[web.Application], AsyncIterator[None]]:
    async def files(app: web.Application) -> AsyncIterator[None]:
        spec, loop = app[SPEC], asyncio.get_running_loop()
        app[FILES] = ThreadPoolExecutor(FILE_THREADS, "files")
        app[STORE] = Store(spec.cache / "uploads", spec.media_roots or (home / "static",), spec.limits)
        app[GUESTS] = Guests(app[LIBRARY], spec.cache, spec.limits.guests, spec.limits.upload_seconds)
        app[ADDITIONS] = Additions(app[LIBRARY], spec.cache, spec.limits, app[BULLETIN].ring)
        app[FILES].submit(app[GUESTS].sweep)
        await loop.run_in_executor(app[FILES], app[ADDITIONS].restore)
        yield
        await loop.run_in_executor(app[FILES], app[ADDITIONS].close)
        await loop.run_in_executor(app[FILES], app[GUESTS].close)
        app[FILES].shutdown(wait=False, cancel_futures=True)

    return files


async def _host(app: web.Application) -> AsyncIterator[None]:
    app[HOST] = SessionHost(app[GUESTS], app[SPEC], app[STATS])
    yield
    await app[HOST].aclose()


def make_runner(app: web.Application) -> web.AppRunner:
    """Return what runs the application, patient with nobody."""
    return web.AppRunner(
        app, access_log=None, shutdown_timeout=GRACE_SECONDS, handler_cancellation=True,
        keepalive_timeout=IDLE_SECONDS, lingering_time=LINGER_SECONDS, auto_decompress=False,  # no client packs
        logger=SERVER_LOG,
    )  # fmt: skip


async def serve(
    app: web.Application, listener: socket.socket, on_ready: Callable[[], None], certificate: Certificate | None = None
) -> None:
    """Serve until SIGINT or SIGTERM, then close everything in reverse order.

    Args:
        app: From `make_app`.
        listener: A bound socket.
        on_ready: Called when visitors can come.
        certificate: For HTTPS; SIGHUP reads it again. None: plain HTTP.
    """
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    if certificate is not None:
        loop.add_signal_handler(signal.SIGHUP, certificate.renew)
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, leave.set)
    runner = make_runner(app)
    setup = asyncio.create_task(_start(runner, listener, certificate))
    leaving = asyncio.create_task(leave.wait())
    try:
        await asyncio.wait((setup, leaving), return_when=asyncio.FIRST_COMPLETED)
        if setup.done():
            setup.result()
            on_ready()
            await leaving
    finally:
        setup.cancel()
        leaving.cancel()
        await asyncio.gather(setup, leaving, return_exceptions=True)
        await runner.cleanup()


async def _start(runner: web.AppRunner, listener: socket.socket, certificate: Certificate | None) -> None:
    await runner.setup()
    context = certificate.context if certificate else None
    await web.SockSite(runner, listener, backlog=128, ssl_context=context).start()
