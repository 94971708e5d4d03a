"""Answer the browser's requests."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import quote, unquote

from foxy_auth.cli.login._answers import Verdict, judge
from foxy_auth.cli.login._desk import Desk
from foxy_auth.cli.login._pages import FOREIGN, HEADERS, NOWHERE, Page

FOREIGN_QUERY = "not-used"


class Handler(BaseHTTPRequestHandler):
    """
    Answer one request.

    An answer of the provider is handed in, and the browser sent on to the same path without it, so that the code stays
    neither in the address bar nor in the history; there it gets the outcome.
    """

    timeout = 30.0  # seconds that a browser may take to say something

    def __init__(self, desk: Desk, *connection: Any) -> None:
        """Answer on *connection* what *desk* says."""
        self._desk = desk
        super().__init__(*connection)

    def do_GET(self) -> None:
        """Take an answer, or show a page."""
        path, _, query = self.path.partition("?")
        if unquote(path) != self._desk.path:
            self._show(NOWHERE)
        elif query == FOREIGN_QUERY:
            self._show(FOREIGN)
        elif judge(query, state="") is Verdict.NOTHING:
            self._show(self._desk.page())
        else:
            self._send_on("" if self._desk.hand_in(query) else f"?{FOREIGN_QUERY}")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - http.server's signature
        """Refuse what is no GET, or no HTTP at all."""
        other_method = code == HTTPStatus.NOT_IMPLEMENTED
        self.send_response(HTTPStatus.METHOD_NOT_ALLOWED if other_method else code)
        if other_method:
            self.send_header("Allow", "GET")
        self._finish(b"")

    def version_string(self) -> str:
        """Tell no versions."""
        return "foxy-auth"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's signature
        """Write no log: addresses hold codes."""

    def _show(self, page: Page) -> None:
        self.send_response(page.status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self._finish(page.html().encode())
        self._desk.shown(page)

    def _send_on(self, query: str) -> None:
        self.send_response(HTTPStatus.SEE_OTHER)
        self.send_header("Location", quote(self._desk.path) + query)
        self._finish(b"")

    def _finish(self, body: bytes) -> None:
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
