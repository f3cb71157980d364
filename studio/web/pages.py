"""The page and its files, read at start and served from memory with entity tags; paths are looked up, never joined."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

import jinja2
from aiohttp import web

import studio
from studio.web.keys import SPEC

TEXTS = ("text/", "image/svg", "application/javascript", "application/json")


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it goes out."""

    body: bytes
    mime: str
    tag: str
    """Entity tag, without quotes."""
    packed: bytes | None
    """The gzipped body, if that is worth it."""


ASSETS = web.AppKey("ASSETS", dict[str, Asset])
PAGE = web.AppKey("PAGE", Asset)
DEMO = web.AppKey("DEMO", Asset)


def asset(body: bytes, mime: str) -> Asset:
    """Wrap bytes for `respond`."""
    packed = gzip.compress(body, 6, mtime=0) if mime.startswith(TEXTS) and len(body) > 600 else None
    return Asset(body, mime, hashlib.sha256(body).hexdigest()[:20], packed)


def read_assets(folder: Path) -> dict[str, Asset]:
    """Read every file below ``folder`` by its path relative to it; hidden ones and numbers (``.npz``) are left out."""
    found: dict[str, Asset] = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")) and path.suffix != ".npz":
            mime = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            found[name] = asset(path.read_bytes(), "text/javascript" if path.suffix == ".js" else mime)
    return found


def render_page(folder: Path, name: str = "index.html") -> Asset:
    """Render a page; its one variable is the version."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    text = environment.get_template(name).render(version=studio.__version__)
    return asset(text.encode(), "text/html")


def respond(request: web.Request, found: Asset, cache: str = "no-cache") -> web.Response:
    """Answer with an asset, or with 304 if the browser has it."""
    headers = {"ETag": f'"{found.tag}"', "Cache-Control": cache, "Vary": "Accept-Encoding"}
    if any(tag.value == found.tag for tag in request.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    body = found.body
    if found.packed and "gzip" in request.headers.get("Accept-Encoding", ""):
        headers["Content-Encoding"] = "gzip"
        body = found.packed
    charset = "utf-8" if found.mime.startswith("text/") else None
    return web.Response(body=body, content_type=found.mime, charset=charset, headers=headers)


async def page(request: web.Request) -> web.Response:
    """Answer ``GET /``."""
    return respond(request, request.app[PAGE])


async def demo(request: web.Request) -> web.Response:
    """Answer ``GET /demo``."""
    return respond(request, request.app[DEMO])


async def static(request: web.Request) -> web.Response:
    """Answer ``GET /static/...``."""
    found = request.app[ASSETS].get(request.match_info["path"])
    if found is None:
        raise web.HTTPNotFound
    return respond(request, found)


def add_pages(app: web.Application, home: Path) -> None:
    """Read the files and add the routes."""
    base = app[SPEC].server.base
    app[ASSETS] = read_assets(home / "static")
    app[PAGE] = render_page(home / "static")
    app[DEMO] = render_page(home / "static", "demo.html")
    app.router.add_get(base + "/", page)
    app.router.add_get(base + "/demo", demo)
    app.router.add_get(base + "/static/{path:.+}", static)
    if base:
        app.router.add_get(base, _to_slash)


async def _to_slash(request: web.Request) -> web.Response:
    raise web.HTTPMovedPermanently(request.app[SPEC].server.base + "/")
