"""What hangs on the application, typed."""

from __future__ import annotations

from aiohttp import web

from studio.host import SessionHost
from studio.library import Library
from studio.scheduler import Scheduler
from studio.spec import StudioSpec
from studio.stats import Stats

SPEC = web.AppKey("SPEC", StudioSpec)
STATS = web.AppKey("STATS", Stats)
LIBRARY = web.AppKey("LIBRARY", Library[Scheduler])
HOST = web.AppKey("HOST", SessionHost)
