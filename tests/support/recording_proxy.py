"""A proxy that forwards nothing, and records all that it gets."""

from __future__ import annotations

import socketserver
import threading
from contextlib import suppress
from typing import Self


class RecordingProxy:
    """
    A server on loopback; a context manager.

    Attributes:
        url: Its address.

        received: All that clients have sent, one after the other.

        status: What it answers.
    """

    def __init__(self) -> None:
        """Listen on a free port."""
        self.status = "502 Recorded"
        proxy = self
        self.received = received = bytearray()

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):
                    while data := self.request.recv(2**16):
                        received.extend(data)
                        self.request.sendall(f"HTTP/1.1 {proxy.status}\r\nContent-Length: 0\r\n\r\n".encode())

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
