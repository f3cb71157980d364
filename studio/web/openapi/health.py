"""The operators' routes, and this document's own."""

from __future__ import annotations

from collections.abc import Iterator

import studio
from studio.spec import StudioSpec
from studio.web.openapi.terms import (
    Content,
    Operation,
    Reply,
    flag,
    in_header,
    in_query,
    many,
    mapping,
    number,
    record,
    text,
    whole,
)

TAG = "operation"
ABOUT = "Signs of life, for whoever runs the studio."


def operations(spec: StudioSpec) -> Iterator[Operation]:
    """Yield the family's operations."""
    about = record(
        {
            "status": text(const="healthy"),
            "service": text(const="avatar-studio"),
            "version": text(),
            "avatars": mapping(flag(), "Id -> whether it can be played."),
            "engines": many(text(), "That are loaded."),
            "sessions": whole("Seats that are taken.", minimum=0),
            "seats": whole(minimum=0),
            "uptime_s": number(minimum=0),
        }
    )
    example = {
        "status": "healthy", "service": "avatar-studio", "version": studio.__version__, "avatars": {"mira": True},
        "engines": ["portrait"], "sessions": 1, "seats": 9, "uptime_s": 3600.5,
    }  # fmt: skip
    yield Operation(
        "health", "GET", "/health", TAG, "Tell how the studio is, in words",
        {200: Reply("It lives.", Content(about, example=example))},
    )  # fmt: skip
    yield Operation(
        "isAlive", "GET", "/healthz", TAG, "Tell whether the process lives",
        {200: Reply("It does.", Content(text(const="ok\n"), "text/plain"))},
    )  # fmt: skip
    yield Operation(
        "isReady", "GET", "/readyz", TAG, "Tell whether visitors can come",
        {200: Reply("At least one avatar can be played.", Content(text(const="ready\n"), "text/plain")),
         503: Reply("None can, or not yet.", Content(text(const="no avatar is ready\n"), "text/plain"))},
    )  # fmt: skip
    yield Operation(
        "metrics", "GET", "/metrics", TAG, "Tell counters, gauges and latencies to Prometheus",
        {200: Reply("Prometheus' text format 0.0.4.", Content(text(), "text/plain", "studio_sessions 1\n"))},
        parameters=(in_query("gc", "The operator: collect garbage before memory is read.", text()),),
    )  # fmt: skip
    self = record({"openapi": text(pattern="^3[.]1"), "paths": mapping({})}, additionalProperties=True)
    yield Operation(
        "showDocument", "GET", "/openapi.json", TAG, "Show this document",
        {200: Reply("OpenAPI 3.1.", Content(self)),
         304: Reply("The client has it.")},
        parameters=(in_header("If-None-Match", "Entity tags of what the client has.", text()),),
    )  # fmt: skip
