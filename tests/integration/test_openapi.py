"""``/openapi.json`` against the running studio: every route is in it, each answer as it says, all limits the code's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp.web import AbstractRoute
from openapi_spec_validator import validate

import studio as package
from studio.web.openapi import document
from tests.inside import Inside

OTHERWISE = {
    "/": "the page",
    "/demo": "a page",
    "/static/{path}": "the pages' files",
    "/ws": "a WebSocket: docs/protocols.md",
    "/ws/{client_id}": "a WebSocket: docs/protocols.md",
    "/api/sessions/{id}/audio": "a WebSocket: docs/protocols.md",
}
"""Routes that the document leaves out, and why."""


@pytest.fixture
async def told(studio: Inside) -> dict[str, Any]:
    """The document as a client gets it."""
    async with studio.client.get(studio.url("/openapi.json")) as answer:
        assert (answer.status, answer.content_type) == (200, "application/json")
        found: dict[str, Any] = await answer.json()
        return found


def test_families_files_are_all_in_the_document() -> None:
    names = {family.__name__.rpartition(".")[2] for family in document.FAMILIES}
    folder = {path.stem for path in Path(document.__file__).parent.glob("*.py")}
    assert names == folder - {"__init__", "document", "terms"}


async def test_document_is_openapi(told: dict[str, Any]) -> None:
    validate(told)
    assert told["openapi"].startswith("3.1.") and told["info"]["version"] == package.__version__


def is_preflight(route: AbstractRoute) -> bool:
    """Tell whether a route is no operation of ours but what aiohttp_cors adds to each for browsers."""
    return route.method == "OPTIONS" and route.handler.__module__.startswith("aiohttp_cors")


async def test_every_route_is_in_the_document_and_the_other_way_round(studio: Inside, told: dict[str, Any]) -> None:
    all_routes = [route for route in studio.app.router.routes() if route.resource and not is_preflight(route)]
    routes = {(route.method, route.resource.canonical) for route in all_routes if route.resource}
    written = {(method.upper(), path) for path, item in told["paths"].items() for method in item}
    served = {(method, path) for method, path in routes if path not in OTHERWISE and method != "HEAD"}
    assert served == written
    assert set(OTHERWISE) <= {path for _, path in routes}
