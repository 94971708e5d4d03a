"""A provider and an API that do what a row of the table asks for, and remember no request."""

from __future__ import annotations

import json
import socket
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.parse import parse_qs


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: its path, and all that may be secret in it."""

    method: str
    path: str
    secrets: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; `sent` bytes of the body are sent before the connection is closed, all of them by default."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    sent: int | None = None


DROP = Answer(0)
HANG = Answer(-1)


def document(status: int, body: object, **headers: str) -> Answer:
    """Return a response in JSON."""
    return Answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **headers})


def badly_framed(asked: Asked) -> Answer:
    """Return a response that client libraries refuse, and quote, and that repeats what was asked."""
    return Answer(200, f"{asked.secrets}\r\n".encode(), {"Transfer-Encoding": "chunked"})


class Provider:
    """
    The server.

    Attributes:
        url: Its address.

        answer: What it does with a request.
    """

    def __init__(self) -> None:
        """Listen on a free port."""
        provider = self
        self.answer: Callable[[Asked], Answer] = lambda _: DROP
        self.asked = Event()
        self._released = Event()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._serve(self)

            do_POST = do_GET  # noqa: N815 - the library's name

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads, self._server.block_on_close = True, False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", "0"))).decode()
        answer = self.answer(Asked(handler.command, handler.path, tuple(_secrets(dict(handler.headers), body))))
        self.asked.set()
        handler.close_connection = True
        if answer is HANG:
            self._released.wait(60.0)
        elif answer is not DROP:
            with suppress(OSError):  # the client may be gone
                handler.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    handler.send_header(name, value)
                handler.end_headers()
                handler.wfile.write(answer.body[: answer.sent])

    def reset(self) -> None:
        """Let go of the requests that wait, and drop whatever comes."""
        self.answer = lambda _: DROP
        self._released.set()
        self._released = Event()
        self.asked = Event()

    @contextmanager
    def running(self) -> Iterator[Provider]:
        """Serve."""
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield self
        finally:
            self.reset()
            self._server.shutdown()
            self._server.server_close()


def _secrets(headers: dict[str, str], body: str) -> Iterator[str]:
    """Give what identifies the client, and the grant: what a careless provider might repeat."""
    kind, _, credentials = headers.get("Authorization", "").partition(" ")
    if kind == "Basic":
        yield b64decode(credentials).decode().partition(":")[2]
    if credentials:
        yield credentials
    fields: dict[str, Any] = {} if body.startswith("{") else parse_qs(body)
    for name in ("client_secret", "refresh_token", "code", "code_verifier"):
        yield from fields.get(name, ())


def closed_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port
