"""Serve an application on a loopback port, in threads that end with it."""

from __future__ import annotations

import socket
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
_BACKLOG = 1024  # connections that may wait, so that a burst of clients is not refused
_POLL = 0.004  # seconds until the loop notices that it is to end: every test of ours waits that long, twice


class _Handler(WSGIRequestHandler):
    """Handle a connection without writing a log of it: addresses hold codes and states."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:  # noqa: ARG002 - werkzeug's signature
        """Close the connection that the application wants dropped; werkzeug would wait for the next request."""
        self.close_connection = True

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002 - werkzeug's signature
        if type == "error":
            super().log(type, message, *args)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Write no access log."""


class _Server(ThreadedWSGIServer):
    """Serve each connection in a daemon thread, and end the open ones when closed."""

    def __init__(self, application: WSGIApplication, listening: socket.socket) -> None:
        """Serve *application* on a socket that listens already."""
        self._lock = Lock()
        self._open: set[Any] = set()
        super().__init__(HOST, listening.getsockname()[1], application, _Handler, fd=listening.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End the open connections, so that no thread waits for a client that says nothing."""
        with self._lock:
            for connection in self._open:
                _end(connection)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # the client was faster


class Serving:
    """Serve one application; start and close may alternate, on the same port."""

    def __init__(self, application: WSGIApplication, *, port: int = 0) -> None:
        """Prepare to serve on *port*; 0 takes a free one at the start."""
        self._application = application
        self._port = port
        self._server: _Server | None = None
        self._thread: Thread | None = None

    @property
    def url(self) -> str:
        """The address; it is known from the first start on."""
        if not self._port:
            raise RuntimeError("the emulator has no address before it is started: use it in a with statement")
        return f"http://{HOST}:{self._port}"

    def start(self) -> None:
        """
        Listen, and serve in a thread.

        Raises:
            OSError: The port is taken.
        """
        if self._server is not None:
            return
        # A socket of our own: werkzeug would end the whole program if the port were taken.
        with socket.create_server((HOST, self._port), backlog=_BACKLOG) as listening:
            self._server = _Server(self._application, listening)
        self._port = self._server.port
        self._thread = Thread(target=self._server.serve_forever, args=(_POLL,), name="foxy-emulator", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening and end the open connections."""
        server, thread = self._server, self._thread
        if server is None or thread is None:
            return
        self._server = self._thread = None
        server.shutdown()
        thread.join()
        server.end_connections()
