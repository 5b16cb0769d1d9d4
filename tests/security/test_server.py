"""The review server on a real socket: what it refuses, by the byte, and that it goes on answering after it did."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import pytest
import uvicorn
from tests.review.runs import many_flags

from labelwise.review import server
from labelwise.review.desk import Review

TOKEN = "t" * 32


class Answer(NamedTuple):
    """Status, headers by lower-case name, and body."""

    status: int
    headers: dict[str, str]
    body: str


class Raw:
    """Sends bytes as they are: no library corrects them."""

    def __init__(self, port: int, review: Review) -> None:
        self.port, self.review = port, review

    def send(self, *pieces: bytes, timeout: float = 10.0) -> bytes:
        """Return everything the server answers until it hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as line:
            got = b""
            with suppress(ConnectionResetError, BrokenPipeError):  # it may hang up before it has read everything
                for piece in pieces:
                    line.sendall(piece)
            with suppress(ConnectionResetError):
                while chunk := line.recv(65536):
                    got += chunk
            return got

    def ask(
        self,
        path: str = "/api/session",
        method: str = "GET",
        body: bytes = b"",
        drop: tuple[str, ...] = (),
        **headers: str,
    ) -> Answer:
        """Return the answer to a request; keyword ``x_y`` is the header ``x-y``."""
        lines = {
            "host": f"127.0.0.1:{self.port}", "x-labelwise-token": TOKEN, "connection": "close",
            "content-length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if name not in drop)
        return parsed(self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body))

    def fine(self) -> None:
        """The server answers who may ask, and nobody decided anything."""
        assert self.ask().status == 200
        assert self.review.store.empty


def parsed(got: bytes) -> Answer:
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return Answer(int(first.split()[1]) if first else 0, headers, body.decode("utf-8", "replace"))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Raw]:
    run = many_flags(tmp_path_factory.mktemp("served") / "run", 200, classes=3, queries=10)
    review, ready, wanted = Review(run, "Ann"), threading.Event(), server.listen(0)
    served = uvicorn.Server(server.configured(server.make_app(review, TOKEN, ready.set)))
    thread = threading.Thread(target=served.run, kwargs={"sockets": [wanted]}, daemon=True)
    thread.start()
    assert ready.wait(30)
    yield Raw(wanted.getsockname()[1], review)
    served.should_exit = True
    thread.join(10)
    wanted.close()
    review.close()


@pytest.fixture
def raw(running: Raw) -> Iterator[Raw]:
    yield running
    running.fine()


def test_it_listens_on_this_machine_alone(raw: Raw) -> None:
    assert server.LOOPBACK == "127.0.0.1"
    assert server.address.__doc__
    with pytest.raises(OSError), socket.create_connection((other_address(), raw.port), timeout=2):
        pass


def other_address() -> str:
    """An address of this machine that others know it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        try:
            line.connect(("192.0.2.1", 9))  # sends nothing: a route is looked up
            name = str(line.getsockname()[0])
        except OSError:
            name = "127.0.0.2"
    return "127.0.0.2" if name.startswith("127.") else name


@pytest.mark.parametrize("host", [
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", "[::ffff:7f00:1]", "127.1", "2130706433",
    "127.0.0.1@evil.example", "evil.example#127.0.0.1", "", "[", "localhost.",
])  # fmt: skip
def test_a_name_that_was_rebound_to_this_machine_is_refused(raw: Raw, host: str) -> None:
    assert raw.ask(host=host).status in (400, 403)
    assert raw.ask(f"/?token={TOKEN}", host=host).status in (400, 403)


def test_a_request_without_a_host_is_refused(raw: Raw) -> None:
    assert raw.ask(drop=("host",)).status in (400, 403)


@pytest.mark.parametrize("origin", [
    "http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1", "http://127.0.0.1:1", "http://localhost", "file://",
    "http://evil.example/http://127.0.0.1",
])  # fmt: skip
def test_pages_of_other_origins_are_refused(raw: Raw, origin: str) -> None:
    row = int(raw.review.cards.rows[0])
    body = json.dumps({"row": row, "annotator": "Ann", "action": "skip"}).encode()
    assert raw.ask("/api/decisions", "POST", body, origin=origin).status == 403
    assert raw.ask(origin=origin).status == 403


def test_another_site_may_link_to_the_page_and_ask_nothing_of_it(raw: Raw) -> None:
    """The address may be clicked on in a terminal that is itself a page."""
    assert raw.ask(f"/?token={TOKEN}", sec_fetch_site="cross-site").status == 200
    assert raw.ask(sec_fetch_site="cross-site").status == 403
    assert raw.ask(sec_fetch_site="same-origin").status == 200


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "t", TOKEN.upper(), "é" * 32, "t" * 10_000])
def test_a_wrong_token_is_refused_with_a_page_for_people_and_json_for_programs(raw: Raw, token: str) -> None:
    for path in ("/api/session", "/nowhere"):
        answer = raw.ask(path, x_labelwise_token=token)
        assert answer.status == 403
        assert set(json.loads(answer.body)) == {"error"}
    page = raw.ask("/?token=" + token.replace("é", "%C3%A9"), accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.status == 403
    assert page.headers["content-type"].startswith("text/html")
    assert "labelwise review</code> printed" in page.body
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "unsafe" not in page.headers["content-security-policy"]
    assert TOKEN not in page.body


def test_tokens_are_compared_in_the_same_time(monkeypatch: pytest.MonkeyPatch, raw: Raw) -> None:
    seen = []
    real = server.secrets.compare_digest
    monkeypatch.setattr(server.secrets, "compare_digest", lambda a, b: seen.append(1) or real(a, b))
    raw.ask(x_labelwise_token="x")
    assert seen


@pytest.mark.parametrize("path", [
    "/../run.json", "/..%2frun.json", "/%2e%2e/run.json", "/%252e%252e%252frun.json", "/..%5c..%5crun.json", "/..\\run.json",
    "//etc/passwd", "/etc/passwd", "/file:///etc/passwd", "/api/../run.json", "/api/cards/..%2f..%2frun.json",
    "/api/cards/%2e%2e", "/api/cards/0%00", "/static/page.js", "/page.js", "/%00", "/api/export/../session",
    "/run.json", "/.review-token", "/review.sqlite", "/api/cards/1/../../session",
])  # fmt: skip
def test_no_path_leads_to_a_file(raw: Raw, path: str) -> None:
    answer = raw.ask(path)
    assert answer.status in (400, 404)
    assert "root:" not in answer.body
    assert TOKEN not in answer.body


@pytest.mark.parametrize("path", ["http://127.0.0.1/api/session", "*", "evil.example:80", ""])
def test_requests_as_to_a_proxy_lead_nowhere(raw: Raw, path: str) -> None:
    assert raw.ask(path).status in (400, 403, 404, 405)


@pytest.mark.parametrize("query", ["format=../../x", "format=csv%00", "format=", "format=csv&format=html"])
def test_forms_of_export_are_a_list(raw: Raw, query: str) -> None:
    assert raw.ask(f"/api/export?{query}").status == 400


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "OPTIONS", "PROPFIND", "BREW"])
def test_other_methods_are_refused(raw: Raw, method: str) -> None:
    answer = raw.ask(method=method)
    assert answer.status in (400, 405)
    assert "access-control-allow-origin" not in answer.headers


def test_a_body_declared_too_large_is_not_read(raw: Raw) -> None:
    answer = parsed(raw.send(
        f"POST /api/decisions HTTP/1.1\r\nHost: 127.0.0.1:{raw.port}\r\nX-Labelwise-Token: {TOKEN}\r\n"
        "Content-Length: 999999999999\r\nConnection: close\r\n\r\n".encode()
    ))  # fmt: skip
    assert answer.status == 413


@pytest.mark.parametrize("path", ["/api/decisions", "/api/undo"])
def test_a_body_without_a_length_is_cut_off(raw: Raw, path: str) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{raw.port}\r\nX-Labelwise-Token: {TOKEN}\r\n"
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )
    got = raw.send(head.encode(), *[chunk] * 4, b"0\r\n\r\n")
    assert parsed(got).status == 413


@pytest.mark.parametrize("head", [
    "Content-Length: -1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n", "Content-Length: x\r\n",
    "Transfer-Encoding: gzip\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Bad Header: x\r\n",
    "X: a\x00b\r\n", " folded: x\r\n",
])  # fmt: skip
def test_heads_that_can_be_read_in_two_ways_are_refused(raw: Raw, head: str) -> None:
    whole = f"POST /api/undo HTTP/1.1\r\nHost: 127.0.0.1:{raw.port}\r\nX-Labelwise-Token: {TOKEN}\r\n{head}\r\n"
    assert parsed(raw.send(whole.encode("latin-1"))).status in (400, 403, 501)


@pytest.mark.parametrize("what", ["one long header", "many headers", "a long line"])
def test_a_large_head_is_refused(raw: Raw, what: str) -> None:
    size = 2 * server.LARGEST_HEAD
    if what == "one long header":
        answer = raw.ask(x_long="x" * size)
    elif what == "many headers":
        answer = raw.ask(**{f"x{number}": "x" * 64 for number in range(size // 64)})
    else:
        answer = raw.ask("/api/session?" + "x" * size)
    assert answer.status in (400, 414, 431)


def test_slow_bodies_and_silent_connections_are_hung_up_on(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.3)
    names = f"Host: 127.0.0.1:{raw.port}\r\nX-Labelwise-Token: {TOKEN}\r\nContent-Length: 9"
    assert parsed(raw.send(f"POST /api/undo HTTP/1.1\r\n{names}\r\n\r\n{{".encode())).status == 408
    assert raw.send(b"") == b"", "who says nothing"
    assert raw.send(b"GET /api/session HTTP/1.1\r\nHost: 127") == b"", "who says half a head"


def test_many_connections_do_not_pile_up(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "PATIENCE", 0.5)
    lines = [socket.create_connection(("127.0.0.1", raw.port), timeout=10) for _ in range(server.MOST_CONNECTIONS + 20)]
    try:
        assert raw.ask().status == 503
        for line in lines:
            assert line.recv(1) == b"", "hung up"
    finally:
        for line in lines:
            line.close()
    assert raw.ask().status == 200


@pytest.mark.parametrize("path", ["/api/session", "/nowhere", f"/?token={TOKEN}", "/?token=x", "/api/export?format=x"])
def test_every_answer_carries_the_protecting_headers(raw: Raw, path: str) -> None:
    headers = raw.ask(path).headers
    assert all(headers[name] == value for name, value in server.HEADERS)
    assert headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_what_is_refused_is_not_served_by_another_spelling(raw: Raw, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is not taken from the query of the interface, nor from a cookie."""
    for answer in (
        raw.ask(f"/api/session?token={TOKEN}", x_labelwise_token=""),
        raw.ask(cookie=f"token={TOKEN}", x_labelwise_token=""),
        raw.ask("/API/SESSION"),
        raw.ask("/api/session/"),
    ):
        assert answer.status in (403, 404)
