"""Signs of life for operators: ``/health``, ``/healthz``, ``/readyz`` and ``/metrics``."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
import threading
import time
from pathlib import Path

from aiohttp import web

import studio
from studio.web.guard import is_operator
from studio.web.keys import HOST, LIBRARY, SPEC, STATS

BEGAN = time.monotonic()
_PROCESS = Path("/proc/self")


async def health(request: web.Request) -> web.Response:
    """Answer ``GET /health`` in words."""
    library = request.app[LIBRARY]
    capacity = request.app[HOST].capacity()
    return web.json_response(
        {
            "status": "healthy",
            "service": "avatar-studio",
            "version": studio.__version__,
            "avatars": {id: shelf.loaded is not None for id, shelf in library.shelves.items()},
            "engines": list(library.engines),
            "sessions": len(request.app[HOST].sessions()),
            "seats": capacity.seats,
            "uptime_s": round(time.monotonic() - BEGAN, 1),
        }
    )


async def healthz(request: web.Request) -> web.Response:
    """Answer ``GET /healthz``: the process lives."""
    return web.Response(text="ok\n")


async def readyz(request: web.Request) -> web.Response:
    """Answer ``GET /readyz``: at least one avatar can be played."""
    if any(shelf.loaded for shelf in request.app[LIBRARY].shelves.values()):
        return web.Response(text="ready\n")
    return web.Response(status=503, text="no avatar is ready\n")


async def metrics(request: web.Request) -> web.Response:
    """Answer ``GET /metrics`` in Prometheus' text format; the operator may have garbage collected, which stops all."""
    if "gc" in request.query and is_operator(request):
        gc.collect()
    stats = request.app[STATS]
    capacity = request.app[HOST].capacity()
    stats.gauge("studio_sessions", len(request.app[HOST].sessions()))
    stats.gauge("studio_seats", capacity.seats)
    stats.gauge("studio_seats_taken", capacity.taken)
    stats.gauge("studio_tasks", len(asyncio.all_tasks()))
    stats.gauge("studio_threads", threading.active_count())
    stats.gauge("studio_memory_bytes", memory_bytes())
    return web.Response(body=stats.prometheus().encode(), headers={"Content-Type": "text/plain; version=0.0.4"})


def memory_bytes() -> float:
    """Return the resident memory; where the system does not tell, the highest it ever was."""
    if _PROCESS.is_dir():
        return float((_PROCESS / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def add_health(app: web.Application) -> None:
    """Add the routes."""
    base = app[SPEC].server.base
    for path, handler in (("/health", health), ("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.router.add_get(base + path, handler)
