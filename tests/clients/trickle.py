"""A server that sends the first half of its answer, and the second when it is told to, or refuses drop by drop."""

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


class Trickle:
    """
    A server whose answers trickle; a context manager.

    Attributes:
        go: Lets the second half of every answer go out.

        dropped: How many drops of a 401 have gone out.
    """

    def __init__(self, refused: Token | None = None, *, drops: int = 0) -> None:
        """Refuse requests that carry *refused*, at once, by a 401 that comes in so many *drops*."""
        trickle, go = self, Event()
        self.go, self.dropped = go, 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if refused and self.headers["Authorization"] == f"Bearer {refused.access_token}":
                    self._begin(401, drops)
                    self._drip()
                    return
                self._begin(200, len(FIRST + SECOND))
                self.wfile.write(FIRST)
                go.wait()
                self.wfile.write(SECOND)

            def _drip(self) -> None:
                with suppress(OSError):
                    for _ in range(drops):
                        self.wfile.write(b" ")
                        trickle.dropped += 1
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
