"""A server that sends the first half of a response, and the second half when it is told to, or a 401 byte by byte."""

from __future__ import annotations

from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Self

from clients.drivers import PIECE

if TYPE_CHECKING:
    from foxy_auth import Token

# Of the size that `requests` is asked to read at a time.
FIRST, SECOND = b"1" * PIECE, b"2" * PIECE


class SlowServer:
    """
    A server whose responses take their time; a context manager.

    Attributes:
        go: Lets the second half of every response go out.

        sent: How many bytes of a 401 have gone out.
    """

    def __init__(self, refused: Token | None = None, *, size: int = 0) -> None:
        """Respond to requests that carry *refused* with a 401 of *size* bytes, which come one by one."""
        server, go = self, Event()
        self.go, self.sent = go, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if refused and self.headers["Authorization"] == f"Bearer {refused.access_token}":
                    self._begin(401, size)
                    self._send_slowly()
                    return
                self._begin(200, len(FIRST + SECOND))
                self.wfile.write(FIRST)
                go.wait()
                self.wfile.write(SECOND)

            def _send_slowly(self) -> None:
                with suppress(OSError):
                    for _ in range(size):
                        self.wfile.write(b" ")
                        server.sent += 1
                        go.wait(0.01)

            def _begin(self, status: int, length: int) -> None:
                self.send_response(status)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Content-Length", str(length))
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.004,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go.set()
        self._server.shutdown()
        self._server.server_close()
