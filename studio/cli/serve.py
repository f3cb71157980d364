"""``serve``: bind the port, prepare the avatars, say where the page is."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import gc
import logging
import socket

from studio.checks import Check, machine
from studio.cli import settings
from studio.cli.terminal import Preparation, complain, say
from studio.config import home
from studio.errors import StudioError
from studio.memory import Keeper
from studio.spec import ServerSpec, StudioSpec
from studio.web.app import make_app, serve
from studio.web.keys import LIBRARY
from studio.web.tls import certificate_of

log = logging.getLogger(__name__)


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    spec = _spec(arguments)
    if not arguments.skip_checks:
        _look(machine(spec))
    certificate = certificate_of(spec.server)
    with Keeper(), listen(spec.server) as listener:
        preparation = Preparation([avatar.id for avatar in spec.avatars])
        app = make_app(spec, home(), preparation.report)

        def welcome() -> None:
            preparation.end()
            for id, shelf in app[LIBRARY].shelves.items():
                if not shelf.loaded:
                    complain(f"  {id} is not ready: {shelf.reason}")
            say(f"\n  Avatar Studio is ready: {address(spec.server, listener.getsockname()[1])}\n  Ctrl-C ends it.\n")
            gc.freeze()  # what start-up made lives as long as the process: collections need not look at it

        asyncio.run(serve(app, listener, welcome, certificate))
    log.debug("closed")
    return 0


def _spec(arguments: argparse.Namespace) -> StudioSpec:
    spec = settings.read(arguments)
    given = {key: getattr(arguments, key) for key in ("host", "port", "tls_cert", "tls_key")}
    server = dataclasses.replace(spec.server, **{key: value for key, value in given.items() if value is not None})
    return dataclasses.replace(spec, server=server)


def _look(checks: list[Check]) -> None:
    for check in checks:
        if not check.good:
            complain(f"  {check.subject}: {check.text} {check.remedy}")


def listen(server: ServerSpec) -> socket.socket:
    """Bind the port before the avatars are prepared, so that nobody waits for a refusal.

    Raises:
        StudioError: It is taken or not allowed; the sentence says what to do.
    """
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StudioError(f"The host {server.host!r} is no address of this machine ({error.strerror}).") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(where)
    except OSError as error:
        listener.close()
        raise StudioError(
            f"Port {server.port} on {server.host} cannot be used ({error.strerror}). Choose another with --port."
        ) from error
    return listener


def address(server: ServerSpec, port: int) -> str:
    """Return the page's address as a person on this machine types it."""
    host = "localhost" if server.host in ("127.0.0.1", "0.0.0.0", "::", "::1") else server.host
    scheme = "https" if server.tls_cert else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{server.base}"
