"""A chat server of this test run, on a free port, that can be told to misbehave."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Answers calls by ``behave(number of the call, body)``: a text, a dict, bytes, a status, or an action by name."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.behave: Callable[[int, dict[str, Any]], Any] = lambda number, body: "spam"
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self))
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def items(self) -> list[str]:
        """Return the last line of each question, which is the item."""
        return [call["messages"][0]["content"].splitlines()[-1] for call in self.calls]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": text}} | more],
            "usage": {"prompt_tokens": 100, "completion_tokens": 2}}  # fmt: skip


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with server.lock:
                number = len(server.calls)
                server.calls.append(body)
                server.headers.append(dict(self.headers) | {"path": self.path})
                server.under_way += 1
                server.most_under_way = max(server.most_under_way, server.under_way)
            try:
                said = server.behave(number, body)
            finally:
                with server.lock:  # before the answer is out: whoever has it may already ask again
                    server.under_way -= 1
            self.reply(said)

        def reply(self, said: Any) -> None:
            if said == "hang":
                server.released.wait(5)
                said = "spam"
            if said == "drop":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b'{"choices": [')
                return
            if said == "drip":
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                for _ in range(40):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.02)
                return
            status, headers = 200, {}
            if isinstance(said, tuple):
                status, headers, said = said
            payload = (
                said if isinstance(said, bytes) else json.dumps(chat(said) if isinstance(said, str) else said).encode()
            )
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(OSError):  # the client has gone, as some tests want
                super().handle()

    return Handler
