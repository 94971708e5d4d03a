"""Serve WSGI applications on loopback ports, in threads of this process."""

from __future__ import annotations

import contextlib
import socket
from http.client import HTTP_PORT
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.wrappers import Request, Response

from foxy_auth.emulator.faults import Faults
from foxy_auth.emulator.recorder import Call, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_HOST = "127.0.0.1"
_BACKLOG = 4096  # connections that may wait to be accepted; the system may allow fewer
_POLL = 0.02  # seconds after which `close` is noticed where nothing wakes the thread up
_MISDIRECTED = Response("This is not a host of the emulator: use its own address.", 421)


class _Handler(WSGIRequestHandler):
    """Handle a connection without an access log, which would show codes and states."""

    def connection_dropped(self, error: BaseException, environ: WSGIEnvironment | None = None) -> None:  # noqa: ARG002 - Werkzeug's signature
        """Close the connection; Werkzeug would wait for another request."""
        self.close_connection = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


class _Server(ThreadedWSGIServer):
    """Serve each connection in a daemon thread, and end the open ones on request."""

    def __init__(self, application: WSGIApplication, listener: socket.socket) -> None:
        self._connections: set[Any] = set()
        port = int(listener.getsockname()[1])
        super().__init__(_HOST, port, _for_own_hosts(application, port), _Handler, fd=listener.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """End the open connections, so that no thread waits for an idle client."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):  # the client has closed it already
                connection.shutdown(socket.SHUT_RDWR)


def _for_own_hosts(application: WSGIApplication, port: int) -> WSGIApplication:
    """Return *application* without requests to other host names, which a web page sends after DNS rebinding."""
    ending = "" if port == HTTP_PORT else f":{port}"  # clients leave out the default port
    hosts = {f"{name}{ending}" for name in (_HOST, "localhost")}

    def check(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        is_own = environ.get("HTTP_HOST", "").lower() in hosts
        return (application if is_own else _MISDIRECTED)(environ, start_response)

    return check


class Server:
    """Serve one application; it can be closed and started again, on the same port."""

    def __init__(self, application: WSGIApplication, *, port: int = 0) -> None:
        """Prepare to serve on *port*; 0 takes a free one at the start."""
        self._application = application
        self._port = port
        self._running: tuple[_Server, Thread] | None = None

    @property
    def url(self) -> str:
        """The URL, known from the first start on."""
        if not self._port:
            raise RuntimeError("the emulator has no address before it is started: use it in a with statement")
        return f"http://{_HOST}:{self._port}"

    def start(self) -> None:
        """
        Listen, and serve in a thread.

        Raises:
            OSError: The port is taken.
        """
        if self._running is not None:
            return
        # Werkzeug would end the whole program if the port were taken.
        with socket.create_server((_HOST, self._port), backlog=_BACKLOG) as listener:
            server = _Server(self._application, listener)
        self._port = server.port
        thread = Thread(target=server.serve_forever, args=(_POLL,), name="foxy-emulator", daemon=True)
        self._running = server, thread
        thread.start()

    def close(self) -> None:
        """Stop listening and end the open connections."""
        if self._running is None:
            return
        (server, thread), self._running = self._running, None
        with contextlib.suppress(OSError):  # not every system allows it
            server.socket.shutdown(socket.SHUT_RDWR)  # wakes the thread up
        server.shutdown()
        thread.join()
        server.end_connections()


class SecondOrigin:
    """
    A server of somebody else, which records its requests and gives the same response to all.

    Attributes:
        status: The status of its responses. `/bounce?to=URL` redirects to URL instead.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Prepare; *clock* returns seconds since the epoch."""
        self.status = 200
        self._recorder = Recorder(self._application, Faults(), clock)
        self._server = Server(self._recorder)
        self._lock = Lock()
        self._open = False

    @property
    def url(self) -> str:
        """Its URL, `http://127.0.0.1:PORT`; it listens from the first use on, since few tests need it."""
        with self._lock:
            if self._open:
                self._server.start()
        return self._server.url

    @property
    def calls(self) -> list[Call]:
        """The requests so far, in the order of arrival."""
        return self._recorder.calls

    def clear_calls(self) -> None:
        """Forget the requests so far."""
        self._recorder.clear()

    def start(self) -> None:
        """Allow it to listen."""
        self._open = True

    def close(self) -> None:
        """Stop listening."""
        with self._lock:
            self._open = False
            self._server.close()

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        if request.path == "/bounce":
            response = Response(status=302, headers={"Location": request.args.get("to", "/")})
        else:
            response = Response(b'{"elsewhere": true}', self.status, content_type="application/json")
        return response(environ, start_response)
