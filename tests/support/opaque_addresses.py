"""The emulator behind addresses that nobody can guess: whoever does not follow links is lost."""

from __future__ import annotations

import re
from secrets import token_hex
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self

import requests
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from foxy_auth import Environment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from foxy_auth.emulator import Emulator

HOME = "/entrance/v9/"
OWN = {"authorization", "content-type", "foxy-api-version", "accept"}  # the headers that pass


class OpaqueAddresses:
    """
    Stands before an emulator and gives each of its addresses another path; a context manager.

    Attributes:
        lost: The paths that were asked for and that no link has led to.
    """

    def __init__(self, foxy: Emulator) -> None:
        """Hide *foxy*."""
        self.lost: list[str] = []
        self._foxy = foxy
        self._lock = Lock()
        self._ways = {HOME: "/"}

    def __enter__(self) -> Self:
        self._server = make_server("127.0.0.1", 0, self._application, threaded=True)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def home(self) -> str:
        """The API home, the one address that is known from the start."""
        return f"http://127.0.0.1:{self._server.server_port}{HOME}"

    @property
    def environment(self) -> Environment:
        """What discovery finds, with the authorization endpoint, to which nothing links."""
        found = Environment.discover(self.home)
        return Environment(
            api=self.home,
            token_endpoint=found.token_endpoint,
            authorization_endpoint=self._foxy.environment.authorization_endpoint,
        )

    def _application(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        asked = Request(environ)
        body = asked.get_data()
        with self._lock:
            path = self._ways.get(asked.path)
        if path is None:
            self.lost.append(asked.path)
            return Response("lost in the maze", 404)(environ, start_response)
        headers = {name: value for name, value in asked.headers.items() if name.lower() in OWN}
        inner = requests.request(
            asked.method, self._foxy.url + path, headers=headers, data=body, allow_redirects=False, timeout=10
        )
        hidden = re.sub(re.escape(self._foxy.url) + r'([^"]*)', self._hide, inner.text)
        answer = Response(hidden, inner.status_code, content_type=inner.headers["Content-Type"])
        return answer(environ, start_response)

    def _hide(self, found: re.Match[str]) -> str:
        path = found[1] or "/"
        with self._lock:
            known = next((way for way, real in self._ways.items() if real == path), None)
            way = known or f"/{token_hex(8)}"
            self._ways[way] = path
        return self.home.removesuffix(HOME) + way
