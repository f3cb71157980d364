"""What hangs on the application, typed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from studio.additions import Additions
from studio.guests import Guests
from studio.host import SessionHost
from studio.library import Library
from studio.scheduler import Scheduler
from studio.spec import StudioSpec
from studio.stats import Stats
from studio.uploads import Store

SPEC = web.AppKey("SPEC", StudioSpec)
STATS = web.AppKey("STATS", Stats)
LIBRARY = web.AppKey("LIBRARY", Library[Scheduler])
HOST = web.AppKey("HOST", SessionHost)
STORE = web.AppKey("STORE", Store)
GUESTS = web.AppKey("GUESTS", Guests)
ADDITIONS = web.AppKey("ADDITIONS", Additions)
FILES = web.AppKey("FILES", ThreadPoolExecutor)
"""The threads that read, write and check files of visitors."""
