"""Token endpoints that cannot be reached, or respond slowly."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from foxy_auth.emulator import Emulator

_PAUSE = 0.05  # seconds from one byte to the next


@contextmanager
def unreachable_endpoint() -> Iterator[str]:
    """Return the URL of a token endpoint that drops packets, so that connecting to it hangs."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        # Once the backlog is full, the system drops further attempts to connect.
        for _ in range(4):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)  # noqa: FBT003 - the name of the method says it
            filling.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/token"


class SlowEndpoint:
    """
    A token endpoint that sends its responses byte by byte until `finish` is called; a context manager.

    Attributes:
        bytes_sent: How many bytes it has sent in this way.
    """

    def __init__(self, foxy: Emulator) -> None:
        """Forward the token requests to *foxy*, without delay."""
        endpoint, self._finish, self.bytes_sent = self, Event(), 0

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with suppress(OSError):  # the client may hang up
                    self.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Padding: ")
                    connection = HTTPConnection(urlsplit(foxy.url).netloc)
                    headers = {name: value for name, value in self.headers.items() if name != "Host"}
                    connection.request("POST", self.path, body, headers)
                    response = connection.getresponse().read()
                    connection.close()
                    endpoint._send_slowly(self.connection, response)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
                """Stay silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"

    def finish(self) -> None:
        """Send the rest of all responses at once."""
        self._finish.set()

    def _send_slowly(self, connection: socket.socket, body: bytes) -> None:
        while not self._finish.wait(_PAUSE):
            connection.sendall(b"a")
            self.bytes_sent += 1
        connection.sendall(f"\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, args=(0.004,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._server.shutdown()
        self._server.server_close()
