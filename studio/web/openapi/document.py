"""``GET /openapi.json``: the whole document, written once at start with the configuration's own limits."""

from __future__ import annotations

import json
from collections.abc import Iterator

from aiohttp import web

import studio
from studio.errors import StudioError, Unauthorized
from studio.spec import StudioSpec
from studio.web.keys import SPEC
from studio.web.openapi import agent, avatars, gallery, health, oneshot, streams, uploads, whep
from studio.web.openapi.terms import OPERATOR, Content, Json, Operation, Reply, flag, record, ref, text
from studio.web.pages import Asset, asset, respond

FAMILIES = (gallery, avatars, uploads, oneshot, agent, whep, streams, health)
"""Each has ``TAG``, ``ABOUT`` and ``operations``; in the order in which readers shall meet them."""
DOCUMENT = web.AppKey("DOCUMENT", Asset)
ABOUT = """\
Give a voice a face: somebody speaks, and an avatar is seen speaking it.

These are the studio's HTTP routes; its WebSockets are described in `docs/protocols.md`. Nobody has to log in, but for
what is the operator's business: who asks from the studio's own machine, or has its token. What a browser sends on
behalf of another site's page is refused unless that site is listed in `server.origins`; a studio bound to loopback
answers to loopback names only, any other to addresses, to local names and to those listed. Whoever is told the id of a
session, or the random path of an upload, may use it: such names are told to nobody else.

Errors are JSON, with a sentence that a person can act on: `{"error": {...}}`, or `{"detail": "..."}` on routes that
were made for other people's clients.
"""

SCHEMES: Json = {
    OPERATOR: {
        "type": "http",
        "scheme": "bearer",
        "description": "The configuration's token, where it has one.",
    }
}
SCHEMAS: Json = {
    "Error": record(
        {
            "error": record(
                {
                    "code": text("A stable word.", pattern="^[a-z_]+$"),
                    "message": text("A sentence to show."),
                    "retryable": flag("The same request may succeed later."),
                    "session_id": {"type": ["string", "null"], "description": "Of the visit that it is about."},
                }
            )
        },
        about="What went wrong.",
    ),
    "Detail": record({"detail": text("A sentence to show.")}, about="What went wrong, for other people's clients."),
}


def write_document(spec: StudioSpec) -> dict[str, object]:
    """Return the document of a studio with this configuration."""
    paths: dict[str, dict[str, object]] = {}
    for operation in operations(spec):
        paths.setdefault(operation.path, {})[operation.method.lower()] = operation.write()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Avatar Studio",
            "version": studio.__version__,
            "summary": "A real-time talking-avatar server.",
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": ".", "description": "Where this document lies."}],
        "tags": [{"name": family.TAG, "description": family.ABOUT} for family in FAMILIES],
        "paths": paths,
        "components": {"schemas": SCHEMAS, "responses": _responses(), "securitySchemes": SCHEMES},
        "security": [{}],
    }


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield every operation."""
    for family in FAMILIES:
        yield from family.operations(spec)


def _responses() -> Json:
    """Return what any route can answer."""
    errors = {"Unauthorized": Unauthorized, "Internal": StudioError}
    return {name: Reply(error.default, Content(ref("Error"))).write() for name, error in errors.items()}


async def show_document(request: web.Request) -> web.Response:
    """Answer ``GET /openapi.json``."""
    return respond(request, request.app[DOCUMENT])


def add_openapi(app: web.Application) -> None:
    """Write the document and add its route."""
    spec = app[SPEC]
    app[DOCUMENT] = asset(json.dumps(write_document(spec), ensure_ascii=False).encode(), "application/json")
    app.router.add_get(spec.server.base + "/openapi.json", show_document)
