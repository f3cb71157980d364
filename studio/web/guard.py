"""Who may ask and how the studio answers: error shape, origins, security headers, rate limit."""

from __future__ import annotations

import functools
import hmac
import ipaddress
import logging
import re
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler

from studio.errors import OperatorOnly, RateLimited, StudioError, StudioFull, Unauthorized
from studio.spec import ServerSpec
from studio.web.keys import SPEC

log = logging.getLogger(__name__)

RETRY_AFTER_SECONDS = 5
BURST_SECONDS = 5.0
"""A visitor may send this many seconds' worth of messages at once."""
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")
WORDS = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}
"""What aiohttp itself refuses: status -> code."""


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure in the one error shape; what nobody expected is logged and hidden."""
    try:
        check_origin(request)
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        word = WORDS.get(error.status, "bad_request" if error.status < 500 else "internal")
        return error_response(error.status, word, f"{error.reason}.", retryable=False, headers=_allow(error))
    except StudioError as error:
        log.info("%s %s: %s", request.method, _route(request), error)
        return error_response(error.status, error.code, error.message, error.retryable, retry_headers(error))
    except Exception:  # an edge: a fault of one request ends no other
        log.exception("%s %s failed", request.method, _route(request))
        return error_response(500, StudioError.code, StudioError.default, StudioError.retryable)


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def in_detail(handler: Answer) -> Answer:
    """Answer failures in the shape of other people's clients: status and ``{"detail": sentence}``.

    They know no 415: a file that will not do is a bad request to them.
    """

    @functools.wraps(handler)
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except StudioError as error:
            log.info("%s %s: %s", request.method, _route(request), error)
            status = 400 if error.status == web.HTTPUnsupportedMediaType.status_code else error.status
            return web.json_response({"detail": error.message}, status=status, headers=retry_headers(error))

    return answer


def _route(request: web.Request) -> str:
    """Return a path for the log: as the router has it, because real ones hold ids with which one could speak."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else "?"


def retry_headers(error: StudioError) -> dict[str, str]:
    """Return when a visitor may try again, if that will help, or what would."""
    if isinstance(error, OperatorOnly):
        return {"WWW-Authenticate": "Bearer"}
    return {"Retry-After": str(RETRY_AFTER_SECONDS)} if isinstance(error, StudioFull | RateLimited) else {}


def error_response(
    status: int, code: str, message: str, retryable: bool, headers: dict[str, str] | None = None
) -> web.Response:
    """Return the one shape of an error on our own routes."""
    body = {"error": {"code": code, "message": message, "retryable": retryable, "session_id": None}}
    return web.json_response(body, status=status, headers=headers)


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}


def check_origin(request: web.Request) -> None:
    """Refuse pages of other sites where a browser would send what the visitor's own page sends.

    A request without ``Origin`` comes from no page of another site and passes. A foreign name that was made to point
    here (DNS rebinding) reaches nothing: a studio bound to loopback answers to loopback names only, any other to
    addresses, to names that nobody can own in the world, and to those of ``server.origins``; with a certificate of
    its own to any, because a browser compares the two.

    Raises:
        Unauthorized: The origin, or the name the studio was called by, is not allowed.
    """
    server = request.app[SPEC].server
    if not _is_known_name(request.host, server) and (is_loopback(server.host) or not request.secure):
        raise Unauthorized("The studio does not answer to this name. Add its address to server.origins.")
    origin = request.headers.get("Origin")
    is_plain = request.method in ("GET", "HEAD", "OPTIONS") and "Upgrade" not in request.headers
    if origin is None or is_plain or origin in server.origins or "*" in server.origins:
        return
    if origin.lower() not in (f"http://{request.host.lower()}", f"https://{request.host.lower()}"):
        raise Unauthorized(detail=origin[:200])


LOCAL_NAMES = (".local", ".localhost", ".lan", ".internal", ".home.arpa")
"""Ends of names that no registry gives out: RFC 6761, 6762, 8375, and ICANN's ``internal``; ``lan`` is a habit."""
FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip")
"""Headers by which a proxy says that somebody else asks."""


def caller(request: web.Request) -> str:
    """Return a name for who asks, so that one does not take what is everybody's; empty for this machine's own programs.

    A proxy on this machine or in its network speaks for many, and says for whom in the last place of
    ``X-Forwarded-For``. A neighbour could say anything there, and so be counted as many: no more. One visitor has all
    addresses of an IPv6 network (/64).
    """
    address = _address(request.remote or "")
    told = _address(request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip())
    if address is None or (address.is_private and told is not None):
        address = told
    if address is None or address.is_loopback:
        return ""
    return str(ipaddress.ip_network((address, 64), strict=False) if address.version == 6 else address)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return None
    return address.ipv4_mapped or address if address.version == 6 else address


def _is_from_here(request: web.Request) -> bool:
    """Tell whether a program or a page of this machine asks, by one of its loopback names.

    That is so where no other origins are configured (behind a proxy they have to be), and no proxy handed it on.
    """
    is_here = is_loopback(request.remote or "") and is_loopback(_name(request.host))
    return is_here and not request.app[SPEC].server.origins and not any(name in request.headers for name in FORWARDED)


def is_operator(request: web.Request) -> bool:
    """Tell whether the studio's operator asks: from this machine, no proxy between, or with the token."""
    token = request.app[SPEC].server.token
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if token and scheme.lower() == "bearer":
        return hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode())
    return _is_from_here(request)


def check_operator(request: web.Request, is_open: bool) -> None:
    """Refuse who is not the operator, unless everybody may do this.

    Raises:
        OperatorOnly: So it is.
    """
    if not is_open and not is_operator(request):
        raise OperatorOnly


def check_page(request: web.Request) -> None:
    """Refuse other sites' pages where a ``GET`` begins something: a picture's address is enough to send one.

    Raises:
        Unauthorized: A browser says that such a page asks.
    """
    allowed = request.app[SPEC].server.origins
    is_foreign = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if is_foreign and request.headers.get("Origin") not in allowed and "*" not in allowed:
        raise Unauthorized


def is_loopback(host: str) -> bool:
    """Tell whether a bound address or host name is this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_known_name(host: str, server: ServerSpec) -> bool:
    if not _HOST.fullmatch(host):
        return False
    name = _name(host)
    if is_loopback(name) or "*" in server.origins or any(urlsplit(o).hostname == name for o in server.origins):
        return True
    is_local = "." not in name or name.endswith(LOCAL_NAMES) or _address(name) is not None
    return is_local and not is_loopback(server.host)


def _name(host: str) -> str:
    """Return a ``Host`` header's name, without port and brackets."""
    return host.rpartition("]")[0].strip("[") or host.partition(":")[0].rstrip(".").lower()


def no_traceback(record: logging.LogRecord) -> bool:
    """Let the log know in one line of requests that are no HTTP: whoever sends them decides how many there are."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args, record.exc_info = "a request is no HTTP: %s", (type(error).__name__,), None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True


SERVER_LOG = logging.getLogger("studio.web.server")
"""Where aiohttp says what happens outside our routes."""
SERVER_LOG.addFilter(no_traceback)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add the security headers to every response."""
    server = request.app[SPEC].server
    host = request.host if _HOST.fullmatch(request.host) else "localhost"
    frames = " ".join(origin for origin in server.origins if origin.startswith("http"))
    response.headers.setdefault(
        "Content-Security-Policy",
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        f"connect-src 'self' ws://{host} wss://{host}; object-src 'none'; base-uri 'none'; form-action 'self'; "
        f"frame-ancestors 'self' {frames}".rstrip(),
    )
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    response.headers.setdefault("Permissions-Policy", "camera=(self), geolocation=(), microphone=(self)")
    response.headers.setdefault("Cache-Control", "no-store")


class Allowance:
    """How many messages a socket may still send: a bucket that refills.

    Args:
        per_second: Messages a second, averaged over `BURST_SECONDS`.
        now: Seconds, of any clock.
    """

    def __init__(self, per_second: float, now: float) -> None:
        self._rate, self._most = per_second, per_second * BURST_SECONDS
        self._left, self._at = self._most, now

    def take(self, now: float) -> bool:
        """Use up one message; False if there is none left."""
        self._left = min(self._most, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
