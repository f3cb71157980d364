"""A server's HTTP and WebSockets, as one who does not trust it asks: every answer bounded, every wait limited.

No redirect is followed, nothing is unpacked, no cookie kept and no proxy of the environment used. Whatever goes wrong
becomes a `CannotRun` with a sentence.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

import aiohttp

import studio
from studio.client.order import CannotRun, Order, clean
from studio.errors import ConfigError, StudioError
from studio.jsontext import read_object

CONNECT_LIMIT = 10.0
ANSWER_LIMIT = 60.0
"""Seconds that a request may take, an upload more: `UPLOAD_LIMIT`."""
UPLOAD_LIMIT = 300.0
PREPARE_LIMIT = 180.0
"""Seconds that a portrait's preparation is waited for."""
PREPARE_PULSE = 0.3
MAX_ANSWER_BYTES = 2_000_000
MAX_MESSAGE_BYTES = 16_000_000
"""Of one WebSocket message: a picture of 12 MB in base64."""
GOODBYE_LIMIT = 2.0
_STATUSES = {
    401: "it wants a login, which a proxy before it may ask for.",
    403: "it does not let us in.",
    404: "it has no such address. Is this a studio?",
    429: "too much is asked of it from here. Try again later.",
    502: "the proxy before it does not reach it.",
    503: "it is full or not ready. Try again shortly.",
}

Note = Callable[[str], None]
"""Told in a phrase what is being done."""


class Refused(CannotRun):
    """The server answered, but not as hoped; `answered` is its status."""

    def __init__(self, message: str, answered: int) -> None:
        super().__init__(message)
        self.answered = answered


class Door:
    """One server; an async context manager.

    Args:
        order: Names it.

    Raises:
        ConfigError: The certificate to believe in cannot be read.
    """

    def __init__(self, order: Order) -> None:
        self._order = order
        self._trust = trust(order)

    async def __aenter__(self) -> Door:
        login = {"Authorization": f"Bearer {self._order.token}"} if self._order.token else {}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._trust),
            timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT, sock_connect=CONNECT_LIMIT),
            headers={"User-Agent": f"avatar-studio-client/{studio.__version__}", "Accept-Encoding": "identity"} | login,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trace_configs=[self._no_redirects()],
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def get(self, path: str, **query: str) -> dict[str, object]:
        """Return what ``GET`` answers, a JSON object.

        Raises:
            CannotRun: It does not; `Refused` if it answered something else.
        """
        return await self._ask("GET", path, params=query)

    async def post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        """Return what ``POST`` of a JSON object answers; raises as `get`."""
        return await self._ask("POST", path, json=body)

    async def upload(self, files: Mapping[str, Path], engine: str = "") -> dict[str, object]:
        """Send files of this machine, by field of the form, and return the answer; raises as `get`.

        Their names stay here, but for the ending.
        """
        with contextlib.ExitStack() as opened:
            form = aiohttp.FormData()
            for name, path in files.items():
                try:
                    file = opened.enter_context(path.open("rb"))
                except OSError as error:
                    raise CannotRun(f"{clean(path)} cannot be read: {error.strerror}.") from error
                form.add_field(name, file, filename=name + path.suffix)
            limit = aiohttp.ClientTimeout(total=UPLOAD_LIMIT, sock_connect=CONNECT_LIMIT)
            query = {"engine": engine} if engine else {}
            return await self._ask("POST", "/upload", data=form, params=query, timeout=limit)

    async def prepared(self, source: str, engine: str, note: Note) -> None:
        """Return when the server can play a portrait; at once if it does not tell.

        Raises:
            CannotRun: It cannot be played; the server's sentence says why.
        """
        end = time.monotonic() + PREPARE_LIMIT
        query = {"source_path": source} | ({"engine": engine} if engine else {})
        while time.monotonic() < end:
            try:
                report = await self.get("/api/portraits", **query)
            except Refused as refusal:
                if refusal.answered in (404, 405, 501):  # other studios have no such route, or know the path later
                    return
                raise
            if reason := report.get("reason"):
                raise CannotRun(f"The portrait cannot be played. The server says: {clean(reason)}")
            if report.get("ready", True):
                return
            note(f"the portrait is being prepared: {clean(report.get('phrase', ''), 60)}")
            await asyncio.sleep(PREPARE_PULSE)
        raise CannotRun(f"The portrait was not prepared within {PREPARE_LIMIT:.0f} s.")

    @contextlib.asynccontextmanager
    async def socket(self, path: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """Open a WebSocket until the context ends; what breaks within is `CannotRun`.

        Args:
            path: Quoted.
        """
        with self._in_words(self._order.socket_url(path)):
            async with asyncio.timeout(CONNECT_LIMIT):
                opened = await self._session.ws_connect(
                    self._order.socket_url(path),
                    max_msg_size=MAX_MESSAGE_BYTES,
                    compress=0,
                    heartbeat=None,
                    timeout=aiohttp.ClientWSTimeout(ws_close=GOODBYE_LIMIT),
                )
            try:
                yield opened
            finally:
                with contextlib.suppress(TimeoutError):  # aiohttp's own limit begins anew with each message that comes
                    async with asyncio.timeout(GOODBYE_LIMIT):
                        await opened.close()

    def _no_redirects(self) -> aiohttp.TraceConfig:
        """Return what stops aiohttp from following a redirect, which it does for sockets unasked."""

        async def refuse(*_: object) -> None:
            raise CannotRun(f"{self._order.server} sends us elsewhere, where we do not go. Name the right --server.")

        trace = aiohttp.TraceConfig()
        trace.on_request_redirect.append(refuse)
        return trace

    async def _ask(self, method: str, path: str, **more: object) -> dict[str, object]:
        url = self._order.server + path
        with self._in_words(url):
            async with self._session.request(method, url, allow_redirects=False, **more) as answer:  # type: ignore[arg-type]
                data = await answer.content.read(MAX_ANSWER_BYTES + 1)
                while len(data) <= MAX_ANSWER_BYTES and (part := await answer.content.read(MAX_ANSWER_BYTES)):
                    data += part
        if len(data) > MAX_ANSWER_BYTES:
            raise CannotRun(f"{url} answers with more than {MAX_ANSWER_BYTES // 1_000_000} MB, which is not read.")
        if answer.status != 200:
            raise Refused(f"{url} refused with {answer.status}{said(data)}", answer.status)
        try:
            return read_object(data.decode())
        except (StudioError, UnicodeDecodeError) as error:
            raise Refused(f"{url} does not answer as a studio does.", answer.status) from error

    @contextlib.contextmanager
    def _in_words(self, url: str) -> Iterator[None]:
        """Say what went wrong on the way to ``url``."""
        try:
            yield
        except aiohttp.ClientConnectorCertificateError as error:
            raise CannotRun(
                f"The certificate of {self._order.server} is not trusted. Name it with --tls-ca, or say --insecure.",
            ) from error
        except aiohttp.WSServerHandshakeError as error:
            why = _STATUSES.get(error.status, "is this a studio?")  # a refused socket's words are not handed to us
            raise Refused(f"{url} refused with {error.status}: {why}", error.status) from error
        except aiohttp.ClientConnectorError as error:
            reason = clean(error.os_error.strerror or type(error.os_error).__name__)
            raise CannotRun(
                f"Nobody answers at {self._order.server} ({reason}). Is the studio running there?"
            ) from error
        except TimeoutError as error:
            raise CannotRun(f"{url} does not answer in time.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise CannotRun(f"The conversation with {url} broke off ({type(error).__name__}).") from error


def trust(order: Order) -> ssl.SSLContext | bool:
    """Return which certificates are believed, in aiohttp's words.

    Raises:
        ConfigError: The file cannot be read.
    """
    if order.insecure:
        return False
    if not order.ca:
        return True
    try:
        return ssl.create_default_context(cafile=order.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"--tls-ca: {order.ca} cannot be used: it must be a PEM file of certificates") from error


def said(data: bytes) -> str:
    """Return a server's words for a refusal, after a colon; a full stop if it gave none."""
    text = data[:10_000].decode(errors="replace").strip()
    try:
        body = read_object(text)
    except StudioError:
        words: object = "" if text.startswith("<") else text
    else:
        error = body.get("error")
        words = body.get("detail") or (error.get("message") if isinstance(error, dict) else error) or ""
    return f": {clean(words)}" if words else "."


def quoted(text: str) -> str:
    """Return a text as one part of a path."""
    return quote(text, safe="")
