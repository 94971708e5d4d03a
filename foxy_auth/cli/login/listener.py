"""Listen for the callback on the loopback address of the redirect URI, and nowhere else."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from hmac import compare_digest
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_address
from socket import AF_INET, AF_INET6
from socketserver import ThreadingTCPServer
from sys import exception
from threading import Thread
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from foxy_auth.cli.exit_status import PortUnavailableError
from foxy_auth.cli.login.callback import Callback, Problem, StartPage, find_problem
from foxy_auth.cli.login.pages import HEADERS, USED, Page
from foxy_auth.cli.login.peer import user_of

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
POLL_INTERVAL = 0.05  # seconds until a server notices that it must stop
# An absolute URI without a fragment (RFC 6749, section 3.1.2); also one of an app (RFC 8252, section 7.1).
ABSOLUTE_URI = re.compile(r"(https?://[^/?#\s]+|(?!https?:)[a-z][a-z0-9+.-]*:/)[^#\s]*", re.IGNORECASE)
# The errors of a machine where IPv6 is switched off.
NO_IPV6 = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}


def check_redirect_uri(redirect_uri: str) -> None:
    """Raise ValueError if *redirect_uri* is not an absolute URI without a fragment."""
    if not ABSOLUTE_URI.fullmatch(redirect_uri):
        raise ValueError(
            "the redirect URI must be a whole address without a fragment, exactly as it was registered, "
            "such as http://127.0.0.1:8910/callback"
        )


class LoopbackAddress(NamedTuple):
    """Where a redirect URI with plain http on a loopback host leads."""

    host: str
    port: int
    path: str

    @property
    def hosts(self) -> tuple[str, ...]:
        """The IP addresses that a browser may use."""
        return ("127.0.0.1", "::1") if self.host == "localhost" else (self.host,)


# Where the start page is if the redirect URI leads elsewhere: at a free port.
ANY_PORT = LoopbackAddress("127.0.0.1", 0, "")


def loopback_address(redirect_uri: str) -> LoopbackAddress | None:
    """Return where *redirect_uri* leads, or None if this machine cannot listen there."""
    try:
        parts = urlsplit(redirect_uri)
        host, port = parts.hostname or "", 80 if parts.port is None else parts.port
        loopback = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return None
    if parts.scheme != "http" or not loopback or not port:
        return None
    return LoopbackAddress(host, port, f"/{unquote(parts.path).lstrip('/')}")


def best_redirect_uri(redirect_uris: Sequence[str]) -> str:
    """
    Return an IP address of this machine if there is one, else `localhost`, else the first.

    A name may lead elsewhere than an IP address (RFC 8252, section 8.3).

    Raises:
        ValueError: One is not an absolute URI without a fragment.
    """
    for redirect_uri in redirect_uris:
        check_redirect_uri(redirect_uri)
    return min(redirect_uris, key=_distance)


def _distance(redirect_uri: str) -> int:
    address = loopback_address(redirect_uri)
    return 2 if address is None else int(address.host == "localhost")


@contextmanager
def listening(address: LoopbackAddress, callback: Callback) -> Generator[str]:
    """
    Pass what arrives at *address* to *callback*, and return the beginning of its URLs.

    Raises:
        PortUnavailableError: The port is in use at one of the host's IP addresses, or may not be opened. Another
            program there could receive the callback, so it is all of them or none.
    """
    port = address.port
    with ExitStack() as stack:
        for host in address.hosts:
            try:
                server = stack.enter_context(_Server(host, address.port, callback))
            except OSError as error:
                if host != address.host and ":" in host and error.errno in NO_IPV6:
                    continue
                raise _port_error(host, address.port, error) from None
            Thread(target=server.serve_forever, args=(POLL_INTERVAL,), name="foxy-auth-login", daemon=True).start()
            stack.callback(server.shutdown)
            port = int(server.server_address[1])  # a free one if the address names none
        yield f"http://[{address.host}]:{port}" if ":" in address.host else f"http://{address.host}:{port}"


def _port_error(host: str, port: int, error: OSError) -> PortUnavailableError:
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    reason = "it is in use by another program" if error.errno == errno.EADDRINUSE else os.strerror(error.errno or 0)
    return PortUnavailableError(
        f"cannot listen on {place}, where the redirect URI leads: {reason}; free the port, or register a redirect URI "
        "with another one"
    )


class _Server(ThreadingTCPServer):
    """A server with a thread per connection, because browsers open connections that they do not use."""

    allow_reuse_address = os.name == "posix"  # on Windows this would share the port with other programs
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, callback: Callback) -> None:
        """Bind to one IP address."""
        self.address_family = AF_INET6 if ":" in host else AF_INET
        super().__init__((host, port), partial(_Handler, callback))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a browser that closes its connection; any other error is a bug, and printed."""
        if not isinstance(exception(), OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """
    Handle a request of the browser.

    A response from Foxy is redirected to the same path without a query, so that the code stays neither in the address
    bar nor in the history. The result is shown there.
    """

    timeout = 30.0  # seconds to wait for the request

    def __init__(self, callback: Callback, *connection: Any) -> None:
        self._callback = callback
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Take a response from Foxy, or show a page."""
        path, _, query = self.path.partition("?")
        callback, start = self._callback, self._callback.start
        if not self._is_for_us():
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        elif start and compare_digest(path.encode(), start.path.encode()):
            self._open_start(start)
        elif callback.path is None or unquote(path) != callback.path:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif find_problem(query) is Problem.NO_RESPONSE:
            page = callback.page()
            self._send_page(HTTPStatus.OK, page)
            callback.page_shown(page)
        else:
            callback.receive(query, self.headers.get("Cookie", ""))
            self._send(HTTPStatus.SEE_OTHER, "", {"Location": quote(callback.path)})

    def _is_for_us(self) -> bool:
        """Tell whether the request names this server: a web page sends another name after DNS rebinding."""
        host, port = self.connection.getsockname()[:2]
        ending = "" if port == HTTP_PORT else f":{port}"  # browsers leave out the default port
        hosts = [name.lower() for name in self.headers.get_all("Host", [])]
        return len(hosts) == 1 and hosts[0] in {f"{name}{ending}" for name in (host, *LOOPBACK_NAMES)}

    def _open_start(self, start: StartPage) -> None:
        """Send the browser on to Foxy, but neither a second browser nor one of another user."""
        user = user_of(self.connection)
        if user and user != os.geteuid():  # root can do as it likes anyway
            self._callback.refuse_user(user)
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self._callback.open_start(start, self.headers.get("Cookie", "")):
            cookie = f"{start.cookie}; Path=/; Max-Age=86400; HttpOnly; SameSite=Lax"
            self._send(HTTPStatus.SEE_OTHER, "", {"Location": start.request.url, "Set-Cookie": cookie})
        else:
            try:
                self._send_page(HTTPStatus.GONE, USED)
            finally:
                self._callback.stop()  # after the page, because the command ends then

    def _send_page(self, status: HTTPStatus, page: Page) -> None:
        self._send(status, page.html(), {"Content-Type": "text/html; charset=utf-8"})

    def _send(self, status: HTTPStatus, body: str, headers: dict[str, str]) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in {**HEADERS, **headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """Name the program, without versions."""
        return "foxy-auth"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in http.server
        """Log nothing, because addresses contain codes."""
