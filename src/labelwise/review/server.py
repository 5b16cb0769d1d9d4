"""The review over HTTP, for one person's browser on the same machine.

Bound to the loopback address, and to no other: there is no option for it. Every request must name a loopback host (which
stops DNS rebinding), come from no other origin, and carry the token of the address that the command printed; nothing is
cached, framed or fetched from elsewhere. Heads, bodies, connections and the time they take are limited.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from labelwise.base import InputError
from labelwise.review import exchange, pages
from labelwise.review.desk import NoSuchCard, NothingToUndo, Review, annotator_name
from labelwise.review.store import Unsaved

LOOPBACK = "127.0.0.1"
PORTS = range(8765, 8775)
"""Tried in turn where no port was named."""
TOKEN = ".review-token"
HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
LARGEST_BODY, LARGEST_IMPORT = 64 * 2**10, 64 * 2**20
LARGEST_HEAD = 16 * 2**10
"""Bytes of a request's line and headers."""
MOST_CONNECTIONS = 64
PATIENCE = 30.0
"""Seconds that a request may take to come in, its head and then its body."""
HEADERS = (
    ("cache-control", "no-store"), ("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"), ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)  # fmt: skip
NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that are no page."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]]


def make_app(review: Review, token: str, started: Callable[[], None] = lambda: None) -> App:
    """Return the ASGI application of a review.

    Parameters
    ----------
    review
        The run under review; its material begins to be read when the server starts.
    token
        What every request must carry.
    started
        Called when requests are about to be answered.
    """

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        review.material.start()
        started()
        yield

    routes = [Route(path, _answering(review, handler), methods=[method]) for method, path, handler in ROUTES]
    trouble: dict[Any, Any] = {HTTPException: _http_error, Exception: _crashed}
    app = Starlette(routes=routes, exception_handlers=trouble, lifespan=life)
    app.router.redirect_slashes = False
    return Guard(app, token)


def listen(port: int | None = None) -> socket.socket:
    """Return a socket on the loopback address.

    Parameters
    ----------
    port
        0 takes any free one; None the first free of `PORTS`, so that a page that is open finds the server again after it
        was started anew, and any where none of them is.

    Raises
    ------
    InputError
        If the port is taken, or not ours to take.
    """
    if port is None:
        for one in PORTS:
            with suppress(InputError):
                return listen(one)
        port = 0
    if not 0 <= port <= 65535:
        raise InputError(f"--port must be from 0 (any free one) to 65535. Got {port}.")
    wanted = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    wanted.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        wanted.bind((LOOPBACK, port))
        wanted.listen(128)
    except OSError as error:
        wanted.close()
        raise InputError(
            f"--port: {port} cannot be used ({error.strerror}). Name another, or leave it out for any free one."
        ) from error
    return wanted


def serve(review: Review, wanted: socket.socket, token: str, started: Callable[[], None]) -> None:
    """Answer requests until the process is interrupted."""
    import uvicorn

    uvicorn.Server(configured(make_app(review, token, started))).run(sockets=[wanted])


def configured(app: App) -> Any:
    """Return uvicorn's configuration: small heads, few connections, none that says nothing."""
    import uvicorn

    return uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, ws="none", timeout_graceful_shutdown=2,
        http=impatient(), h11_max_incomplete_event_size=LARGEST_HEAD, limit_concurrency=MOST_CONNECTIONS,
    )  # fmt: skip


def impatient() -> type[asyncio.Protocol]:
    """Return uvicorn's protocol that hangs up on who connects and sends no whole head of a request in time."""
    from uvicorn.protocols.http.h11_impl import H11Protocol

    class Impatient(H11Protocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.loop.call_later(PATIENCE, self._lose_patience)

        def _lose_patience(self) -> None:
            if getattr(self, "cycle", None) is None and not self.transport.is_closing():
                self.transport.close()

    return Impatient


def token_of(run: Path) -> str:
    """Return a token that nobody can guess: that of the run's last review, kept in a file only its owner can read."""
    file = run / TOKEN
    with suppress(OSError, UnicodeDecodeError):
        kept = file.read_text(encoding="ascii")
        if re.fullmatch(r"[\w-]{32}", kept) and not file.stat().st_mode & (0o077 if os.name == "posix" else 0):
            return kept
    token = secrets.token_urlsafe(24)
    with suppress(OSError):  # a run that cannot be written gets a new one every time
        file.unlink(missing_ok=True)
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
            opened.write(token)
    return token


def address(wanted: socket.socket, token: str) -> str:
    """Return the page's address, with the token."""
    return f"http://{LOOPBACK}:{wanted.getsockname()[1]}/?token={token}"


class Guard:
    """Lets through what comes from this machine's own page, and puts the protecting headers on every answer."""

    def __init__(self, app: Any, token: str) -> None:
        self.app, self.token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request, or pass on what is no request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        protected = _with_headers(send)
        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, protected)
        else:
            await self.app(scope, receive, protected)

    def _refusal(self, scope: Scope) -> Response | None:
        if _size(scope) > LARGEST_HEAD:
            return _error(431, f"The head of the request is too large: at most {LARGEST_HEAD:,} bytes are accepted.")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get("host", "")
        if _name(host) not in HOSTS:
            return _refused(headers, "This page is for this machine only.")
        elsewhere = headers.get("sec-fetch-site") == "cross-site" and scope["path"] != "/"  # a link may lead to "/"
        if headers.get("origin", f"http://{host}") != f"http://{host}" or elsewhere:
            return _refused(headers, "Requests from other pages are refused.")
        if scope["path"] == "/favicon.ico":
            return Response(status_code=204)
        given = headers.get("x-labelwise-token", "")
        if scope["path"] == "/":
            given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if not secrets.compare_digest(given.encode("utf-8", "surrogateescape"), self.token):
            return _refused(headers, "The token is missing or wrong.")
        return None


def _size(scope: Scope) -> int:
    """Bytes of a head; uvicorn limits only those that come in pieces."""
    sizes = sum(len(name) + len(value) for name, value in scope["headers"])
    return sizes + len(scope.get("raw_path") or b"") + len(scope["query_string"])


def _refused(headers: dict[str, str], why: str) -> Response:
    """Say no: to a person with a page, to a program with JSON."""
    if "text/html" in headers.get("accept", ""):
        html = pages.refusal(why)
        return HTMLResponse(html, status_code=403, headers={"content-security-policy": pages.policy(html)})
    return _error(403, f"{why} Open the address that `labelwise review` printed.")


def _name(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            present = {name.lower() for name, _ in message["headers"]}
            added = [
                (name.encode(), value.encode()) for name, value in (*HEADERS, ("content-security-policy", NOTHING))
            ]
            message["headers"] = [*message["headers"], *((n, v) for n, v in added if n not in present)]
        await send(message)

    return sending


# -- the routes: each turns a request into a call of the review


async def _page(review: Review, request: Request) -> Response:
    html = pages.page()
    return HTMLResponse(html, headers={"content-security-policy": pages.policy(html)})


async def _session(review: Review, request: Request) -> Any:
    return await run_in_threadpool(review.session)


async def _cards(review: Review, request: Request) -> Any:
    asked = request.query_params
    return await run_in_threadpool(
        review.page, _annotator(request), asked.get("kind") or None, asked.get("state", "all"), asked.get("search", ""),
        _whole(asked.get("offset", "0"), "offset"), _whole(asked.get("limit", "50"), "limit"),
    )  # fmt: skip


async def _card(review: Review, request: Request) -> Any:
    row = _whole(request.path_params["row"], "row")
    return await run_in_threadpool(review.card, row, _annotator(request))


async def _decide(review: Review, request: Request) -> Any:
    return await run_in_threadpool(review.decide, _object(await _body(request, LARGEST_BODY)))


async def _undo(review: Review, request: Request) -> Any:
    given = _object(await _body(request, LARGEST_BODY))
    return await run_in_threadpool(review.undo, given.get("annotator"))


async def _progress(review: Review, request: Request) -> Any:
    return await run_in_threadpool(review.progress, _annotator(request))


async def _export(review: Review, request: Request) -> Response:
    form = request.query_params.get("format", "")
    content = await run_in_threadpool(exchange.export, review, form)
    name = exchange.file_name(review, form)
    disposition = f'attachment; filename="{name}"'
    return Response(content, media_type=exchange.FORMATS[form].media, headers={"content-disposition": disposition})


async def _import(review: Review, request: Request) -> Any:
    body = await _body(request, LARGEST_IMPORT)
    content = await run_in_threadpool(exchange.uploaded, body, request.headers.get("content-type", ""))
    return await run_in_threadpool(exchange.import_bytes, review, content)


ROUTES: list[tuple[str, str, Callable[[Review, Request], Awaitable[Any]]]] = [
    ("GET", "/", _page),
    ("GET", "/api/session", _session),
    ("GET", "/api/cards", _cards),
    ("GET", "/api/cards/{row}", _card),
    ("POST", "/api/decisions", _decide),
    ("POST", "/api/undo", _undo),
    ("GET", "/api/progress", _progress),
    ("GET", "/api/export", _export),
    ("POST", "/api/import", _import),
]


def _answering(review: Review, handler: Callable[[Review, Request], Awaitable[Any]]) -> Callable[[Request], Any]:
    """Return an endpoint that answers with JSON, and with one sentence where the input is wrong."""

    async def endpoint(request: Request) -> Response:
        try:
            answer = await handler(review, request)
        except NoSuchCard as error:
            return _error(404, str(error))
        except NothingToUndo as error:
            return _error(409, str(error))
        except Unsaved as error:
            return _error(507, str(error))
        except InputError as error:
            return _error(400, str(error))
        return answer if isinstance(answer, Response) else _json(answer)

    return endpoint


def _json(content: Any, status: int = 200) -> Response:
    """Return JSON; lone surrogates, which a table can hold and UTF-8 cannot, are escaped."""
    text = json.dumps(_finite(content), ensure_ascii=True, allow_nan=False)
    return Response(text, status_code=status, media_type="application/json")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and (value != value or abs(value) == float("inf")) else value


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)


async def _http_error(_: Request, error: Any) -> Response:
    texts = {404: "There is no such address here.", 405: "This address does not take such a request."}
    answer = _error(error.status_code, texts.get(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer


async def _crashed(_: Request, error: Any) -> Response:
    return _error(
        500, f"Something failed ({type(error).__name__}). What was decided before is kept; the terminal says more."
    )


async def _body(request: Request, largest: int) -> bytes:
    """Return the request's body, as long as it is not too large; what is declared too large is not read."""
    declared = request.headers.get("content-length", "")
    hang_up = {"connection": "close"}  # what is left of it is not read
    too_large = HTTPException(413, f"The request is too large: at most {largest:,} bytes are accepted.", hang_up)
    if declared.isdigit() and int(declared) > largest:
        raise too_large
    content = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                content += chunk
                if len(content) > largest:
                    raise too_large
                await asyncio.sleep(0)
    except TimeoutError:
        raise HTTPException(408, "The request came in too slowly.", hang_up) from None
    return bytes(content)


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise InputError("The request is not JSON.") from None
    if not isinstance(content, dict):
        raise InputError("The request must be a JSON object.")
    return content


def _annotator(request: Request) -> str | None:
    name = request.query_params.get("annotator")
    return annotator_name(name) if name else None


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InputError(f"{name} must be a whole number from 0. Got {text!r:.40}.")
    return int(text)
